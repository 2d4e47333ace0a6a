"""Calibration of a scorer's confidence: reliability bins and the expected calibration error."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from devise.evaluation.measures import PerImage

__all__ = ["BINS", "Reliability", "bins_of", "reliability"]

BINS = 15
"""Bins of equal width over [0, 1]."""

_PerBin = Float64[np.ndarray, "bins"]


@dataclass(frozen=True, eq=False, slots=True)
class Reliability:
    """Images by confidence, in bins of equal width; a bin includes its upper end, the first one also 0.

    counts: images in each bin. confidence: their mean confidence; right: the share whose first label is the true
    one; both NaN for a bin without images.
    """

    counts: Int64[np.ndarray, "bins"]
    confidence: _PerBin
    right: _PerBin

    @property
    def error(self) -> float:
        """The expected calibration error: the mean over the images of |confidence - right| of their bin."""
        filled = self.counts > 0
        gaps = np.abs(self.confidence - self.right)[filled]
        return float(gaps @ self.counts[filled] / self.counts.sum())

    def to_dict(self) -> dict[str, list[Any]]:
        """For JSON; None for a bin without images."""
        return {
            "counts": [int(count) for count in self.counts],
            "confidence": [None if np.isnan(value) else round(float(value), 6) for value in self.confidence],
            "right": [None if np.isnan(value) else round(float(value), 6) for value in self.right],
        }


def bins_of(confidence: PerImage, bins: int = BINS) -> Int64[np.ndarray, "images"]:
    """The bin of each confidence, from 0.

    >>> bins_of(np.array([0.0, 0.1, 0.11, 1.0]), 10).tolist()
    [0, 0, 1, 9]
    """
    return np.asarray(np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1))


def reliability(confidence: PerImage, right: PerImage, bins: int = BINS) -> Reliability:
    """Bins of confidence against being right.

    >>> reliability(np.array([0.9, 0.7, 0.2]), np.array([1.0, 0.0, 0.0]), 2).right.tolist()
    [0.0, 0.5]
    """
    rows = bins_of(confidence, bins)
    counts = np.bincount(rows, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(rows, weights=values, minlength=bins) / counts for values in (confidence, right)]
    return Reliability(counts, means[0], means[1])
