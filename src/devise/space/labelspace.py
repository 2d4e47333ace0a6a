"""The label space: where pictures and labels meet, centred on the trained labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from devise.arrays import Float32, Int64, LabelVectors, Queries, Scores
from devise.errors import LabelError
from devise.labels import LabelSet

__all__ = ["CENTRE", "Centre", "DeferredSpace", "LabelSpace", "centre_of", "placed", "unit_rows", "unit_vector"]

_Rows = Float32[np.ndarray, "rows dim"]
Centre = Float32[np.ndarray, "dim"]
CENTRE = "label_centre"
"""Under this name a bundle's surgery part keeps the mean of the trained labels' composed vectors."""
Positions = Int64[np.ndarray, "some"]


@dataclass(frozen=True, eq=False)
class LabelSpace:
    """Labels and their unit vectors, in the same order; a row of zeros is a label without a vector."""

    labels: LabelSet
    vectors: LabelVectors
    without_vector: Positions = field(init=False)

    def __post_init__(self) -> None:
        assert len(self.labels) == len(self.vectors), "one vector per label"
        object.__setattr__(self, "without_vector", np.flatnonzero(~self.vectors.any(axis=1)))

    def cosines(self, queries: Queries) -> Scores:
        """Return the cosine of every query with every label, both of unit length; -inf for a label without a vector."""
        scores = _products(queries, self.vectors)
        if len(self.without_vector):
            scores[:, self.without_vector] = -np.inf
        return scores

    def rows(self, positions: Positions) -> LabelVectors:
        """Return the vectors at these positions."""
        found: LabelVectors = self.vectors[positions]
        return found

    def subset(self, positions: Sequence[int] | np.ndarray) -> "LabelSpace":
        """The labels at these positions, in the order given."""
        rows = np.asarray(positions, dtype=np.int64)
        return DeferredSpace(self.labels.subset(rows.tolist()), lambda wanted: self.rows(rows[wanted]))

    def joined(self, other: "LabelSpace") -> "LabelSpace":
        """Return these labels, then the others; LabelError if one is in both."""
        first = len(self.labels)

        def rows(wanted: Positions) -> LabelVectors:
            is_own = wanted < first
            own, others = self.rows(wanted[is_own]), other.rows(wanted[~is_own] - first)
            both = np.empty((len(wanted), own.shape[1]), dtype=np.float32)
            both[is_own], both[~is_own] = own, others
            return both

        return DeferredSpace(self.labels.joined(other.labels), rows)

    def named(self, labels: LabelSet) -> "LabelSpace":
        """Return the same vectors under other labels."""
        return DeferredSpace(labels, self.rows)


_FEW = 8  # queries
_SMALL = 1200  # values of a product


def _products(queries: Queries, vectors: LabelVectors) -> Scores:
    """Return queries @ vectors.T; for a few queries in strips that BLAS multiplies as they are.

    Else OpenBLAS first copies all vectors, which takes as long as 50 queries. With AVX-512 it has kernels without that
    copy, for at most `_SMALL` values (`sgemm_small_kernel_permit_skylakex.c` in 0.3.31); other processors lose
    a little.
    """
    scores: Scores = np.empty((len(queries), len(vectors)), dtype=np.float32)
    width = _SMALL // len(queries) if 1 < len(queries) <= _FEW else max(1, len(vectors))
    for start in range(0, len(vectors), width):
        strip = slice(start, start + width)
        np.matmul(queries, vectors[strip].T, out=scores[:, strip])
    return scores


class DeferredSpace(LabelSpace):
    """Labels whose vectors are read on first use: kernel surgery needs those of typed labels alone.

    read: gives the vectors at some positions; its errors come then.
    """

    def __init__(self, labels: LabelSet, read: Callable[[Positions], LabelVectors]) -> None:
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "_read", read)

    def rows(self, positions: Positions) -> LabelVectors:
        """Return the vectors at these positions, without reading the others."""
        found: LabelVectors = vars(self)["vectors"][positions] if "vectors" in vars(self) else self._read(positions)  # type: ignore[attr-defined]
        return found

    @cached_property
    def vectors(self) -> LabelVectors:
        """One row per label."""
        vectors: LabelVectors = self._read(np.arange(len(self.labels)))  # type: ignore[attr-defined]
        assert len(self.labels) == len(vectors), "one vector per label"
        return vectors

    @cached_property
    def without_vector(self) -> Positions:
        """Labels whose row is zeros."""
        return np.flatnonzero(~self.vectors.any(axis=1))


def unit_rows(rows: _Rows) -> _Rows:
    """Scale every row to length 1; a row of zeros stays zeros.

    >>> unit_rows(np.array([[3, 4], [0, 0]], dtype=np.float32)).round(2).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: _Rows = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    return scaled


def unit_vector(vector: Float32[np.ndarray, "dim"]) -> Float32[np.ndarray, "dim"]:
    """Scale a vector to length 1; zeros stay zeros."""
    norm = np.float32(np.linalg.norm(vector))
    return vector / norm if norm > 0 else vector


def centre_of(trained_vectors: LabelVectors) -> Centre:
    """Average the trained labels' vectors, ignoring labels without one; LabelError if none has one."""
    known = trained_vectors[trained_vectors.any(axis=1)]
    if not len(known):
        raise LabelError(f"no trained label has a vector, of {len(trained_vectors)}: use words that name some of them")
    mean: Centre = known.mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean


def placed(vectors: LabelVectors, centre: Centre) -> Queries:
    """Place composed vectors in the label space: subtract the centre, scale to unit length.

    What all labels share separates none of them; a label without a vector stays at zero.
    """
    return unit_rows(np.where(vectors.any(axis=1, keepdims=True), vectors - centre, np.float32(0)))
