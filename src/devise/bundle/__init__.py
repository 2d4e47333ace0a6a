"""The directory a model is kept in."""
