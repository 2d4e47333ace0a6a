"""Hedged names: accuracy against information over thresholds (Deng et al. 2012), and the area under it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from devise.arrays import Bool, Float64
from devise.errors import RecordError
from devise.evaluation.measures import PerImage
from devise.evaluation.record import Record
from devise.evaluation.statistics import Statistic, Weights
from devise.taxonomy.hedging import information, label_tree
from devise.taxonomy.wordnet import Taxonomy

__all__ = [
    "SHOWN",
    "Hedged",
    "HedgingCurve",
    "hedged_answers",
    "hedging_area",
    "hedging_cells",
    "hedging_curve",
]

SHOWN = (0.5, 0.7, 0.9)
"""The thresholds whose accuracy and information are measures of their own."""

_PerThreshold = Float64[np.ndarray, "images thresholds"]


@dataclass(frozen=True, eq=False, slots=True)
class Hedged:
    """One scorer's answers at each threshold, ascending.

    bits: how much each answer says, see `information`; 0 where it has none. right: whether it is the true synset or
    above it; no answer is right, as the root is. possible: the bits of the best right answer to each image.
    """

    thresholds: tuple[float, ...]
    bits: _PerThreshold
    right: Bool[np.ndarray, "images thresholds"]
    possible: PerImage


@dataclass(frozen=True, slots=True)
class HedgingCurve:
    """By threshold, ascending: the mean bits of the answers and the share of them that is right.

    possible: the mean bits of right answers that could not be narrower.
    """

    thresholds: tuple[float, ...]
    bits: tuple[float, ...]
    right: tuple[float, ...]
    possible: float

    def columns(self) -> tuple[tuple[float, ...], ...]:
        """Thresholds, bits and shares."""
        return self.thresholds, self.bits, self.right


def hedged_answers(record: Record, taxonomy: Taxonomy) -> dict[str, Hedged]:
    """Return the answers by scorer, if the record has them. Bits are counted over `Record.labels` for all scorers."""
    if record.hedging is None:
        return {}
    tree = label_tree(taxonomy, record.labels)
    of_node = information(tree)
    nodes = (*record.labels, *record.hedging.above)
    strange = next((one for one in nodes if one not in tree.positions), None)
    if strange is not None:
        raise RecordError(f"the record answers {strange}, which is not above any of its labels: make the record again")
    bits = np.array([*(of_node[tree.positions[one]] for one in nodes), 0.0])  # the last is that of place -1
    classes = sorted(set(record.truth_ids))
    place = {one: number for number, one in enumerate(nodes)}
    above = [[place[one] for one in (name, *taxonomy.ancestors(name)) if one in place] for name in classes]
    best = {name: max(bits[places], default=0.0) for name, places in zip(classes, above, strict=True)}
    possible = np.array([best[name] for name in record.truth_ids])
    rows = {name: row for row, name in enumerate(classes)}
    of_image = np.array([rows[name] for name in record.truth_ids], dtype=np.int64)
    keys = np.array([row * len(nodes) + one for row, places in enumerate(above) for one in places], dtype=np.int64)
    return {
        name: Hedged(
            record.hedging.thresholds,
            bits[one.answers],
            np.isin(of_image[:, None] * len(nodes) + one.answers, keys) | (one.answers < 0),
            possible,
        )
        for name, one in record.scorers.items()
        if one.answers is not None
    }


def hedging_curve(answers: Hedged) -> HedgingCurve:
    """The means over all images."""
    bits, right = (_rounded(values.mean(axis=0)) for values in (answers.bits, answers.right))
    return HedgingCurve(answers.thresholds, bits, right, round(float(answers.possible.mean()), 12))


def hedging_cells(curves: Mapping[str, HedgingCurve]) -> tuple[tuple[str, ...], ...]:
    """A table as text, the header first: for each threshold and scorer "right % at bits"."""
    thresholds = sorted({threshold for curve in curves.values() for threshold in curve.thresholds})
    points = {
        name: {t: f"{100 * right:.1f} at {bits:.1f}" for t, bits, right in zip(*curve.columns(), strict=True)}
        for name, curve in curves.items()
    }
    body = [(f"{t:g}", *(of.get(t, "-") for of in points.values())) for t in thresholds]
    return (("threshold", *curves), *body)


def hedging_area(answers: Hedged) -> Statistic:
    """Compute the area under accuracy against information, as a share of that of a perfect system.

    The curve goes from (0 bits, accuracy 1), the root for all images, through (mean bits, share right) at each
    threshold from the highest to the lowest, in straight lines: a point between two thresholds is reached by
    answering a share of the images by each. It is cut where the mean bits are those of the best right answers, and
    ends with accuracy 0 if it does not get there. NaN if right answers say nothing.
    """

    def statistic(weights: Weights) -> Any:
        total = weights.sum(axis=1, keepdims=True)
        start = np.zeros_like(total)
        bits = np.concatenate([start, (weights @ answers.bits / total)[:, ::-1]], axis=1)
        right = np.concatenate([start + 1, (weights @ answers.right / total)[:, ::-1]], axis=1)
        limit = weights @ answers.possible[:, None] / total
        low, high = np.minimum(bits, limit)[:, :-1], np.minimum(bits, limit)[:, 1:]
        steps = np.diff(bits, axis=1)
        share = np.divide(high - bits[:, :-1], steps, out=np.zeros_like(steps), where=steps > 0)
        end = right[:, :-1] + np.diff(right, axis=1) * share
        area = ((high - low) * (right[:, :-1] + end) / 2).sum(axis=1)
        return np.divide(area, limit[:, 0], out=np.full(len(area), np.nan), where=limit[:, 0] > 0)

    return statistic


def _rounded(values: Sequence[float] | Float64[np.ndarray, "thresholds"]) -> tuple[float, ...]:
    return tuple(round(float(value), 12) for value in values)
