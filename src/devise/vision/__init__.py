"""Pictures, their preprocessing, and the backbones that turn them into features."""
