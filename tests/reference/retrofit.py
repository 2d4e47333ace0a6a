"""Retrofitting as one system of linear equations, solved at once: slow, but there is nothing to settle."""

from collections.abc import Sequence

import numpy as np

__all__ = ["settled"]


def settled(vectors: np.ndarray, edges: Sequence[tuple[int, int]], pull: float) -> np.ndarray:
    """q with (a + pull) q = a v + pull * mean of its neighbours; a is 0 for zeros, pull 0 for a node without any."""
    size = len(vectors)
    near: list[set[int]] = [set() for _ in range(size)]
    for one, other in edges:
        near[one].add(other)
        near[other].add(one)
    left = np.zeros((size, size))
    right = np.zeros(vectors.shape)
    for node in range(size):
        own = 1.0 if vectors[node].any() else 0.0
        weight = pull if near[node] else 0.0
        left[node, node] = own + weight
        for other in near[node]:
            left[node, other] -= weight / len(near[node])
        right[node] = own * vectors[node]
    return np.linalg.solve(left, right)
