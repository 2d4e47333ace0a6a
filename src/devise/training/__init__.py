"""What needs torch or numba: building a model."""
