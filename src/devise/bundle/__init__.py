"""The directory that contains a model."""
