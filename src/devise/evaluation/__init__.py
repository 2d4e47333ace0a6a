"""Flat hit@k and hierarchical precision@k."""
