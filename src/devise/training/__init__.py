"""Building a model: everything that needs torch or numba."""
