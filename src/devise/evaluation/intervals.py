"""95 % bootstrap intervals, over images and over classes, reproducible."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from devise.errors import UsageError
from devise.evaluation.measures import ClassRows, PerImage
from devise.evaluation.weighted import Statistic, Weights

__all__ = ["Bootstrap", "Interval", "Measured", "measure", "measure_class_means"]

Interval = tuple[float, float]
"""Lower and upper end."""

_BLOCK = 2**21  # weights held at once
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

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        ends = {"images": self.images, "classes": self.classes}
        return {"value": self.value, **{key: None if end is None else list(end) for key, end in ends.items()}}


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
