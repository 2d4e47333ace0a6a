"""Measures of a ranking of photos for one word: average precision, precision among the first k."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

from devise.errors import UsageError

__all__ = ["Retrieval", "retrieval"]

_K = 10


@dataclass(frozen=True, slots=True)
class Retrieval:
    """How well a word finds its photos.

    average_precision: mean of the precision at the place of each right photo, in [0, 1]. precision_at_10: share of
    right photos among the first ten, or among all where there are fewer. relevant: how many are right.
    """

    average_precision: float
    precision_at_10: float
    relevant: int


def retrieval(scores: Float32[np.ndarray, "photos"], right: Bool[np.ndarray, "photos"]) -> Retrieval:
    """Of photos ordered by score, equal ones by place; UsageError if no photo is right.

    >>> retrieval(np.float32([0.9, 0.5, 0.7]), np.array([True, True, False])).average_precision.__round__(3)
    0.833
    """
    if not right.any():
        raise UsageError("a word needs at least one right photo to be measured, got none")
    hits = right[np.argsort(-scores, kind="stable")]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return Retrieval(float(precision[hits].mean()), float(hits[:_K].mean()), int(right.sum()))
