"""Statistics of weighted photos, and their 95 % bootstrap intervals over photos and over classes, reproducible."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from devise.arrays import Bool, Float64, Int64
from devise.errors import UsageError
from devise.evaluation.measures import ClassRows, PerImage

__all__ = [
    "BINS",
    "Bootstrap",
    "Interval",
    "Measured",
    "Reliability",
    "Statistic",
    "Weights",
    "adaptive_calibration_error",
    "area_under",
    "bins_of",
    "calibration_error",
    "false_positive_rate",
    "harmonic_of",
    "mean_of",
    "measure",
    "measure_class_means",
    "median_of",
    "ratio_of",
    "reliability",
    "roc_area",
    "seen_unseen_area",
]

BINS = 15
"""Bins of equal width over [0, 1]."""

Weights = Float64[np.ndarray, "draws images"]
"""How often each image counts in each draw, a whole number."""
_PerDraw = Float64[np.ndarray, "draws"]
Statistic: TypeAlias = Callable[[Weights], _PerDraw]
"""One number a draw; NaN where the draw gives none."""
_Mask = Bool[np.ndarray, "images"]
_Curve = Float64[np.ndarray, "draws points"]
_Bins = Int64[np.ndarray, "images"]
_Ends = Int64[np.ndarray, "_runs"]


def mean_of(values: PerImage) -> Statistic:
    """The mean over the images that have a value (not NaN).

    >>> mean_of(np.array([1.0, 0.0, np.nan]))(np.array([[1.0, 1.0, 1.0], [3.0, 1.0, 5.0]])).tolist()
    [0.5, 0.75]
    """
    known = (~np.isnan(values)).astype(np.float64)
    kept = np.nan_to_num(values)

    def statistic(weights: Weights) -> _PerDraw:
        return _share(weights @ kept, weights @ known)

    return statistic


def ratio_of(part: PerImage, whole: PerImage) -> Statistic:
    """The sum of the parts over the sum of the wholes.

    >>> ratio_of(np.array([1.0, 0.0]), np.array([2.0, 4.0]))(np.array([[1.0, 1.0], [2.0, 0.0]])).round(6).tolist()
    [0.166667, 0.5]
    """

    def statistic(weights: Weights) -> _PerDraw:
        return _share(weights @ part, weights @ whole)

    return statistic


def median_of(values: PerImage) -> Statistic:
    """The middle value of the images that have one; the mean of the two middle ones of an even number.

    >>> median_of(np.array([5.0, 1.0, 3.0]))(np.array([[1.0, 1.0, 1.0], [0.0, 1.0, 1.0]])).tolist()
    [3.0, 2.0]
    """
    order = np.argsort(values, kind="stable")[: int(np.count_nonzero(~np.isnan(values)))]
    ordered = values[order]

    def statistic(weights: Weights) -> _PerDraw:
        reached = np.cumsum(weights[:, order], axis=1)
        medians = np.full(len(weights), np.nan)
        for draw, ends in enumerate(reached):
            if len(ends) and ends[-1] > 0:
                middle = np.array([(ends[-1] - 1) // 2, ends[-1] // 2])
                medians[draw] = ordered[np.searchsorted(ends, middle, side="right")].mean()
        return medians

    return statistic


def harmonic_of(values: PerImage, trained: _Mask) -> Statistic:
    """The harmonic mean of the means over photos of trained classes and over the others; 0 if either is 0."""
    seen, unseen = mean_of(np.where(trained, values, np.nan)), mean_of(np.where(trained, np.nan, values))

    def statistic(weights: Weights) -> _PerDraw:
        one, other = seen(weights), unseen(weights)
        return np.where(one + other == 0, one + other, 2 * one * other / np.where(one + other == 0, 1, one + other))

    return statistic


def seen_unseen_area(gap: PerImage, right_trained: _Mask, right_other: _Mask, trained: _Mask) -> Statistic:
    """The area under the curve of seen against unseen hit@1 as a penalty on the trained labels goes from -inf to inf.

    gap: how far an image's best trained label is above its best other label: at a penalty below it the trained
        label is named. right_trained, right_other: whether these labels are the true ones. trained: whether the image
    shows a trained class (Chao et al. 2016).
    """
    ends, order = _groups(gap)

    def statistic(weights: Weights) -> _PerDraw:
        chosen = weights[:, order]
        seen, unseen = chosen * trained[order], chosen * ~trained[order]
        won = _grouped(unseen * right_other[order], ends)
        lost = _grouped(seen * right_trained[order], ends)
        left = lost[:, -1:] - lost
        area = area_under(won, left)
        return _share(area, seen.sum(axis=1) * unseen.sum(axis=1))

    return statistic


def roc_area(scores: PerImage, positive: _Mask) -> Statistic:
    """AUROC: the probability that a positive image has the higher score; equal scores count one half."""
    ends, order = _groups(-scores)

    def statistic(weights: Weights) -> _PerDraw:
        kept, false = _rates(weights[:, order], positive[order], ends)
        return _share(area_under(false, kept), false[:, -1] * kept[:, -1])

    return statistic


def false_positive_rate(scores: PerImage, positive: _Mask, kept_share: float = 0.95) -> Statistic:
    """The share of the negative images that pass the highest threshold which at least `kept_share` positives pass."""
    ends, order = _groups(-scores)

    def statistic(weights: Weights) -> _PerDraw:
        kept, false = _rates(weights[:, order], positive[order], ends)
        enough = kept >= kept_share * kept[:, -1:] - 1e-9  # sums of whole numbers: the margin is for the product
        first = enough.argmax(axis=1)
        rate = _share(false[np.arange(len(false)), first], false[:, -1])
        return np.where(kept[:, -1] > 0, rate, np.nan)

    return statistic


def calibration_error(confidence: PerImage, right: PerImage, bins: _Bins) -> Statistic:
    """ECE: the mean over the images of |mean confidence - share that is right| of the image's bin."""
    columns = np.eye(int(bins.max()) + 1)[bins]
    gaps = columns * (confidence - right)[:, None]

    def statistic(weights: Weights) -> _PerDraw:
        return _share(np.abs(weights @ gaps).sum(axis=1), weights.sum(axis=1))

    return statistic


def adaptive_calibration_error(confidence: PerImage, right: PerImage, bins: int = BINS) -> Statistic:
    """ECE over bins of equal mass (Nixon et al. 2019): in each draw, every bin has as near to 1 / bins of the images.

    An image is in bin floor(bins * share of the images with less confidence), so that equal confidences share a bin.

    >>> halves = adaptive_calibration_error(np.array([0.9, 0.8, 0.7, 0.6]), np.array([1.0, 1.0, 0.0, 1.0]), 2)
    >>> halves(np.ones((1, 4))).round(6).tolist()
    [0.15]
    """
    ends, order = _groups(confidence)
    gaps = (confidence - right)[order]
    group = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=-1))

    def statistic(weights: Weights) -> _PerDraw:
        chosen = weights[:, order]
        below = _grouped(chosen, ends)
        total = below[:, -1:]
        number = np.floor(bins * below[:, :-1] / np.where(total > 0, total, 1)).astype(np.int64)
        number = np.minimum(number, bins - 1)  # a run after the last image drawn, without weight
        cells = number[:, group] + bins * np.arange(len(weights))[:, None]
        sums = np.bincount(cells.ravel(), (chosen * gaps).ravel(), minlength=bins * len(weights))
        return _share(np.abs(sums.reshape(len(weights), bins)).sum(axis=1), total[:, 0])

    return statistic


def area_under(across: _Curve, up: _Curve) -> _PerDraw:
    """By trapezoids, from the point (0, up at the start); both as running sums, one row a draw."""
    return np.asarray((np.diff(across, axis=1) * (up[:, 1:] + up[:, :-1]) / 2).sum(axis=1))


def _rates(weights: Weights, positive: _Mask, ends: _Ends) -> tuple[_Curve, _Curve]:
    """How many positive and how many negative images pass each threshold, from the highest one down."""
    return _grouped(weights * positive, ends), _grouped(weights * ~positive, ends)


def _groups(keys: PerImage) -> tuple[_Ends, _Bins]:
    """Where each run of equal keys ends in the ascending order, and the order."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    return ends, order


def _grouped(weights: Weights, ends: _Ends) -> _Curve:
    """Running sums at the end of each run, with 0 before the first."""
    sums = np.cumsum(weights, axis=1)[:, ends]
    return np.asarray(np.concatenate([np.zeros((len(weights), 1)), sums], axis=1))


def _share(part: _PerDraw, whole: _PerDraw) -> _PerDraw:
    return np.asarray(np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0))


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


Interval = tuple[float, float]
"""Lower and upper end."""

_BLOCK = 2**21  # weights in memory at once
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """The settings of intervals: percentiles of a statistic over draws with replacement.

    draws: how many. seed: of the generator. level: share of the draws inside.
    """

    draws: int = 1000
    seed: int = 0
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.draws < 1 or not 0 < self.level < 1:
            raise UsageError(f"a bootstrap needs draws and a level between 0 and 1, got {self.draws} and {self.level}")


@dataclass(frozen=True, slots=True)
class Measured:
    """A value with its intervals; None for a missing interval.

    images: over draws of images. classes: over draws of test classes, each with all its images.
    """

    value: float | None
    images: Interval | None = None
    classes: Interval | None = None


def measure(statistics: Mapping[str, Statistic], classes: ClassRows, rules: Bootstrap) -> dict[str, Measured]:
    """Compute each statistic with its intervals; all see the same draws, so differences are paired.

    There is no interval over fewer than 2 images or classes. A draw in which a statistic has no value (no error in
    it, say) is left out of that statistic's interval.
    """
    images, kinds = len(classes), int(classes.max()) + 1
    plain = np.ones((1, images))
    values = {name: float(statistic(plain)[0]) for name, statistic in statistics.items()}
    of_images = _ends(statistics, _drawn(images, None, rules), rules) if images > 1 else {}
    of_classes = _ends(statistics, _drawn(kinds, classes, rules), rules) if kinds > 1 else {}
    return {
        name: Measured(_rounded(value), of_images.get(name), of_classes.get(name)) for name, value in values.items()
    }


def measure_class_means(values: PerImage, classes: ClassRows, rules: Bootstrap) -> Measured:
    """The mean over the classes of the means over each class's images, with its interval over classes.

    Images without a value (NaN) do not count; a class without any is left out.
    """
    known = ~np.isnan(values)
    kinds = int(classes.max()) + 1
    counts = np.bincount(classes[known], minlength=kinds)
    sums = np.bincount(classes[known], weights=values[known], minlength=kinds)
    means = sums[counts > 0] / counts[counts > 0]
    if not len(means):
        return Measured(None)
    drawn = [weights @ means / len(means) for weights in _drawn(len(means), None, rules)] if len(means) > 1 else []
    return Measured(_rounded(float(means.mean())), None, _percentiles(np.concatenate(drawn), rules) if drawn else None)


def _drawn(things: int, members: Int64[np.ndarray, "images"] | None, rules: Bootstrap) -> Iterator[Weights]:
    """Count how often each class or image is drawn, in blocks of draws."""
    rng = np.random.default_rng([rules.seed, things])
    width = things if members is None else len(members)
    step = max(1, _BLOCK // width)
    for start in range(0, rules.draws, step):
        draws = min(step, rules.draws - start)
        chosen = rng.integers(0, things, (draws, things)) + np.arange(draws)[:, None] * things
        weights = np.bincount(chosen.ravel(), minlength=draws * things).reshape(draws, things).astype(np.float64)
        yield weights if members is None else weights[:, members]


def _ends(statistics: Mapping[str, Statistic], drawn: Iterator[Weights], rules: Bootstrap) -> dict[str, Interval]:
    found: dict[str, list[Float64[np.ndarray, "_"]]] = {name: [] for name in statistics}
    for weights in drawn:
        for name, statistic in statistics.items():
            found[name].append(statistic(weights))
    ends = {name: _percentiles(np.concatenate(values), rules) for name, values in found.items()}
    return {name: end for name, end in ends.items() if end is not None}


def _percentiles(values: Float64[np.ndarray, "_"], rules: Bootstrap) -> Interval | None:
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    tail = (1 - rules.level) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return round(float(low), _DIGITS), round(float(high), _DIGITS)


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 12)
