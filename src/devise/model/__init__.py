"""A model: its parts, candidate labels, scorers, and answers for photos."""
