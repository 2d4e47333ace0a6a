"""Rank correlation and skewness."""

import numpy as np
from jaxtyping import Float64, Int64, Real

from devise.errors import UsageError

__all__ = ["average_ranks", "skewness", "spearman"]

_Values = Real[np.ndarray, "values"]
_Ranks = Float64[np.ndarray, "values"]


def average_ranks(values: _Values) -> _Ranks:
    """The place of each value in ascending order, from 1; equal values share the mean of their places.

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
