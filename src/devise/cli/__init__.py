"""The command devise."""
