"""The nearest label vectors."""
