"""Rankings: the best k of all labels, ranks, the order of ties, and rank correlation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from devise.arrays import Float32, Float64, Int64, LabelVectors, Queries, Ranking, Real, Scores
from devise.errors import UsageError, VectorsError, counted

__all__ = [
    "TIE_RULE",
    "LabelBias",
    "Matches",
    "average_ranks",
    "nearest",
    "ranks",
    "rows_in_cache",
    "skewness",
    "spearman",
    "top_k",
]

LabelBias = Float32[np.ndarray, "labels"]
"""Added to each label's score."""
_Bounds = Float32[np.ndarray, "images"]
_Values = Real[np.ndarray, "values"]
_Ranks = Float64[np.ndarray, "values"]

TIE_RULE = "equal scores are ordered by the lower position in the label list"
"""What `top_k` promises, in words for reports."""

_BLOCK_BYTES = 64 * 2**20
_CACHE_BYTES = 2**20
_DEPTH = 64


@dataclass(frozen=True, slots=True)
class Matches:
    """The best k labels of every image, best first.

    positions: where each label is in the label list that was scored.
    scores: its score, up is better, never rising along a row.
    """

    positions: Ranking
    scores: Float32[np.ndarray, "images k"]


def top_k(scores: Scores, k: int) -> Matches:
    """Return the k highest scores of every row, highest first; the lower position wins a tie.

    Exact, and the same on every machine for the same scores. Infinite scores are allowed: minus infinity
    ranks a label last. Raises UsageError when k is below 1 or above the number of labels, VectorsError when a
    score is NaN.

    >>> found = top_k(np.array([[0.5, 0.75, 0.5, 0.25]], dtype=np.float32), 3)
    >>> found.positions.tolist(), found.scores.tolist()
    ([[1, 0, 2]], [[0.75, 0.5, 0.5]])
    """
    return _top_k(scores, _checked(k, scores.shape[1]), first_image=0)


def ranks(scores: Scores, positions: Sequence[int]) -> Ranking:
    """Return the rank of these labels in every row; 1 is best, equal scores share the better rank.

    >>> ranks(np.array([[0.5, 0.75, 0.5, 0.25]], dtype=np.float32), [1, 2, 3]).tolist()
    [[1, 2, 4]]
    """
    found = np.empty((len(scores), len(positions)), dtype=np.int64)
    for row, of_image in zip(found, scores, strict=True):
        # One sort per image serves all positions: the rank is one more than the number of higher scores.
        row[:] = 1 + len(of_image) - np.searchsorted(np.sort(of_image), of_image[positions], side="right")
    return found


def nearest(
    queries: Queries,
    label_vectors: LabelVectors,
    k: int,
    *,
    bias: LabelBias | None = None,
    block: int | None = None,
) -> Matches:
    """The k labels with the highest dot product (the cosine, if both are unit length) for every image.

    bias: added to each label's score: a penalty on trained labels, or minus infinity to rank a label last.
    block: images scored at once; by default as many as keep a block's scores within 64 MiB, at least one.

    The product is float32, so its last digit may depend on the block and on the machine; the order of equal
    scores does not. Raises UsageError for a bad k or block, VectorsError when a score is NaN.

    >>> north, east = np.eye(2, dtype=np.float32)
    >>> nearest(north[None], np.stack([east, north]), 1).positions.tolist()
    [[1]]
    """
    images, labels = len(queries), len(label_vectors)
    _checked(k, labels)
    if block is None:
        block = max(1, _BLOCK_BYTES // (4 * labels))
    if block < 1:
        raise UsageError(f"block needs at least 1 image at a time, got {block}: raise it or leave it out")
    positions = np.empty((images, k), dtype=np.int64)
    best = np.empty((images, k), dtype=np.float32)
    buffer = np.empty((min(block, images), labels), dtype=np.float32)
    for start in range(0, images, block):
        rows = slice(start, min(start + block, images))
        with np.errstate(invalid="ignore"):  # _top_k names the image
            scores = np.matmul(queries[rows], label_vectors.T, out=buffer[: rows.stop - start])
            if bias is not None:
                scores += bias
        found = _top_k(scores, k, first_image=start)
        positions[rows], best[rows] = found.positions, found.scores
    return Matches(positions, best)


def _checked(k: int, labels: int) -> int:
    if k < 1:
        raise UsageError(f"the number of labels to keep needs to be at least 1, got {k}: raise k")
    if k > labels:
        raise UsageError(f"the best {k} were requested of {counted(labels, 'label')}: lower k or add labels")
    return k


def _top_k(scores: Scores, k: int, first_image: int) -> Matches:
    """`top_k`, a few rows at a time so that they stay in the processor's cache."""
    positions = np.empty((len(scores), k), dtype=np.int64)
    best = np.empty((len(scores), k), dtype=np.float32)
    for rows in rows_in_cache(scores):  # read twice: for the bound, then for those that reach it
        chunk = np.ascontiguousarray(scores[rows])
        positions[rows] = _best_positions(chunk, _lower_bounds(chunk, k, first_image + rows.start), k)
        best[rows] = np.take_along_axis(chunk, positions[rows], axis=1)
    return Matches(positions, best)


def rows_in_cache(scores: Scores) -> Iterator[slice]:
    """Yield a few rows at a time, which stay in the processor's cache while they are read more than once."""
    images, labels = scores.shape
    step = max(1, _CACHE_BYTES // (4 * max(1, labels)))
    for start in range(0, images, step):
        yield slice(start, min(start + step, images))


def _lower_bounds(scores: Scores, k: int, first_image: int) -> _Bounds:
    """Find for every row a score that at least k scores reach, and few more; VectorsError on NaN.

    The row is cut into `depth` strips of equal width and the element-wise maximum of the strips is taken. The
    k-th largest maximum is the bound: the k largest maxima are at k different positions of the row. A short
    rest of the row takes no part. Maxima carry NaN on, so looking at them and at the rest finds every NaN.
    """
    images, labels = scores.shape
    depth = max(1, min(_DEPTH, labels // (4 * k)))
    width = labels // depth
    maxima = scores[:, : depth * width].reshape(images, depth, width).max(axis=1)
    broken = np.isnan(maxima).any(axis=1) | np.isnan(scores[:, depth * width :]).any(axis=1)
    if broken.any():
        image = first_image + int(broken.argmax())
        raise VectorsError(
            f"scores need to be numbers, got NaN for image {image}: check its features and the label vectors"
        )
    return np.asarray(np.partition(maxima, width - k, axis=1)[:, width - k])


def _best_positions(scores: Scores, bounds: _Bounds, k: int) -> Ranking:
    """The first k of each row's scores that reach its bound; at least k must."""
    images, labels = scores.shape
    reached = np.flatnonzero(scores >= bounds[:, None])
    rows, positions = np.divmod(reached, labels)
    order = np.lexsort((-scores.ravel()[reached], rows))  # stable, so ties stay in order of position
    first = np.searchsorted(rows, np.arange(images))
    return np.asarray(positions[order[first[:, None] + np.arange(k)]])


def average_ranks(values: _Values) -> _Ranks:
    """Return the rank of each value in ascending order, from 1; equal values share their mean rank.

    >>> average_ranks(np.array([30, 10, 30, 20])).tolist()
    [3.5, 1.0, 3.5, 2.0]
    """
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last: Int64[np.ndarray, "_"] = np.cumsum(counts)
    ranks: _Ranks = (last - (counts - 1) / 2)[places]
    return ranks


def spearman(one: _Values, other: _Values) -> float | None:
    """Spearman's rank correlation in [-1, 1], ties by average ranks.

    None where it is not defined: for fewer than two pairs, or where one side has equal values only.

    >>> spearman(np.array([1, 2, 3]), np.array([0.9, 0.5, 0.1]))
    -1.0
    """
    ranks, others = (average_ranks(side) - (len(side) + 1) / 2 for side in (one, other))
    spread = float(np.sqrt((ranks @ ranks) * (others @ others)))
    return float(np.clip(ranks @ others / spread, -1, 1)) if spread else None


def skewness(values: _Values) -> float:
    """Third central moment over the cubed standard deviation; 0 for values spread evenly or all equal.

    >>> round(skewness(np.array([0, 0, 0, 4])), 4)
    1.1547
    """
    if not len(values):
        raise UsageError("skewness needs at least 1 value, got 0")
    from_mean = values - np.mean(values, dtype=np.float64)
    variance = float(np.mean(from_mean**2))
    return float(np.mean(from_mean**3)) / variance**1.5 if variance else 0.0
