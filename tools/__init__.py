"""What only builds the package and its figures: not part of the wheel."""
