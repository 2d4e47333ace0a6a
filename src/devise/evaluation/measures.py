"""Flat hit@k, means of measures, and chance values; for hierarchical precision see `hierarchy`."""

import math
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float64, Int64

from devise.arrays import Truth
from devise.errors import UsageError

__all__ = [
    "ClassRows",
    "PerImage",
    "chance_hit_at_k",
    "harmonic_mean",
    "hit_at_k",
    "mean_per_class",
    "mean_per_image",
    "possible_ks",
]

PerImage = Float64[np.ndarray, "images"]
"""One value a test image, in [0, 1]."""
ClassRows = Int64[np.ndarray, "images"]
"""Which of the test classes each image shows, counted from 0."""
_Ranked = Int64[np.ndarray, "images ranked"]


def hit_at_k(ranking: _Ranked, truth: Truth, k: int) -> PerImage:
    """Return 1 for an image whose true label is among its first k labels, else 0.

    truth: the true label's position in the ranked label list; -1 where it is not in that list: a miss.
    Raises UsageError when fewer than k labels are ranked.

    >>> hit_at_k(np.array([[4, 2], [0, 3]]), np.array([2, 1]), 2).tolist()
    [1.0, 0.0]
    """
    if k < 1:
        raise UsageError(f"hit@k needs k of at least 1, got {k}: raise k")
    ranked = ranking.shape[1]
    if ranked < k:
        raise UsageError(f"hit@{k} needs at least {k} candidate labels, got {ranked}: lower k or add labels")
    return np.asarray((ranking[:, :k] == truth[:, None]).any(axis=1), dtype=np.float64)


def possible_ks(ks: Iterable[int], labels: int) -> tuple[int, ...]:
    """Return the ks that a ranking of so many labels can answer; reports print "-" for the others.

    >>> possible_ks((2, 5, 10, 20), labels=12)
    (2, 5, 10)
    """
    return tuple(k for k in ks if 1 <= k <= labels)


def chance_hit_at_k(k: int, candidates: int) -> float:
    """Compute the expected hit@k of a uniformly random ranking of the candidates, in [0, 1].

    It holds for an image whose true label is among the candidates; for another it is 0.
    """
    if k < 1 or candidates < 1:
        raise UsageError(f"chance needs k and candidates of at least 1, got k {k} and {candidates} candidates")
    return min(k, candidates) / candidates


def mean_per_image(values: PerImage) -> float:
    """Average over images. Rounded once, so their order does not matter."""
    if not len(values):
        raise UsageError("a mean needs at least 1 image, got 0: add images")
    return math.fsum(values) / len(values)


def mean_per_class(values: PerImage, classes: ClassRows) -> float:
    """Average over classes: the mean of the mean over each class's images.

    >>> mean_per_class(np.array([1.0, 1.0, 1.0, 0.0]), np.array([0, 0, 0, 1]))
    0.5
    """
    if not len(values):
        raise UsageError("a mean needs at least 1 image, got 0: add images")
    counts = np.bincount(classes)
    sums = np.bincount(classes, weights=values)
    return math.fsum(sums[counts > 0] / counts[counts > 0]) / int(np.count_nonzero(counts))


def harmonic_mean(seen: float, unseen: float) -> float:
    """2 seen unseen / (seen + unseen), the usual summary of generalised zero-shot; 0 if either is 0.

    >>> harmonic_mean(0.6, 0.3), harmonic_mean(0.7, 0.0)
    (0.4, 0.0)
    """
    return 0.0 if 0.0 in (seen, unseen) else 2 * seen * unseen / (seen + unseen)
