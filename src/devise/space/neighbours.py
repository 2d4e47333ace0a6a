"""Context: moves a picture in the label space towards the nearest pictures of the same run."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32

from devise.arrays import Queries
from devise.errors import UsageError
from devise.space.labelspace import unit_rows

__all__ = ["NEIGHBOURS", "WEIGHT", "in_context", "neighbours_of"]

NEIGHBOURS = 10
"""Other pictures that help one; the rows `fused` and `context` of `devise evaluate --context` show what they add."""
WEIGHT = 1.0
"""What their mean weighs beside the picture's own point."""

_SCORES = 1 << 21  # cosines held at once, 8 MB: all pictures against all others would be 400 MB for 10,000 of them
_ROWS = 512  # pictures in a block at most


def in_context(queries: Queries, neighbours: int = NEIGHBOURS, weight: float = WEIGHT) -> Queries:
    """Move each picture toward its nearest others: q' = unit(q + weight * mean of their q).

    queries: unit length, one row per picture; two pictures at least, UsageError for fewer.
    neighbours: how many other pictures, by cosine; all others where there are fewer. A second copy of a picture counts.
    weight: of their mean, from 0; 0 leaves the pictures where they are.

    >>> in_context(np.array([[1, 0], [0, 1]], dtype=np.float32)).round(2).tolist()
    [[0.7099999785423279, 0.7099999785423279], [0.7099999785423279, 0.7099999785423279]]
    """
    found = neighbours_of(len(queries), neighbours)
    moved = np.empty_like(queries)
    for start, cosines in _blocks(queries):
        rows = np.arange(len(cosines))
        cosines[rows, start + rows] = -np.inf  # a picture does not help itself
        nearest = np.argpartition(cosines, -found, axis=1)[:, -found:]
        means = queries[nearest].mean(axis=1, dtype=np.float32)
        moved[start : start + len(rows)] = unit_rows(queries[start : start + len(rows)] + np.float32(weight) * means)
    return moved


def neighbours_of(pictures: int, neighbours: int = NEIGHBOURS) -> int:
    """Return the number of neighbours of each picture; UsageError if there are no others."""
    if pictures < 2:
        raise UsageError(f"context needs at least 2 photos that can be read, got {pictures}: leave it out")
    return min(neighbours, pictures - 1)


def _blocks(queries: Queries) -> Iterator[tuple[int, Float32[np.ndarray, "rows images"]]]:
    """The first picture of each block, and the cosines of the block's pictures with all of them."""
    rows = max(1, min(_ROWS, _SCORES // len(queries)))
    for start in range(0, len(queries), rows):
        yield start, queries[start : start + rows] @ queries.T
