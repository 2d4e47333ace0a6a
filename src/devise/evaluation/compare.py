"""Compares two evaluations of the same photos: paired differences, and the photos that changed."""

from dataclasses import dataclass
from typing import Any

from devise.errors import RecordError, counted
from devise.evaluation.hedging import HedgingCurve, hedging_curve
from devise.evaluation.record import Record, ScorerRecord
from devise.evaluation.statistics import Bootstrap, Measured, Statistic, Weights, measure
from devise.evaluation.summary import (
    ImageValues,
    TreeView,
    image_values,
    of_one_class,
    statistics_of,
    tree_views,
)
from devise.taxonomy.wordnet import Taxonomy

__all__ = ["Change", "Comparison", "Difference", "compare_records"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A measure of both, and second - first with its intervals, over the same draws."""

    first: float | None
    second: float | None
    change: Measured


@dataclass(frozen=True, slots=True)
class Change:
    """A photo whose first label changed: its id, its true label, and both first labels."""

    image: str
    truth: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """One scorer of the first record against one of the second.

    gained: photos that only the second names rightly; lost: only the first; moved: both wrong, in different ways.
    hedging: the curve of each, where both have one.
    """

    first: str
    second: str
    images: int
    differences: dict[str, Difference]
    gained: tuple[Change, ...]
    lost: tuple[Change, ...]
    moved: tuple[Change, ...]
    hedging: tuple[HedgingCurve, HedgingCurve] | None = None


def compare_records(
    first: Record,
    second: Record,
    taxonomy: Taxonomy,
    *,
    scorer: str | None = None,
    against: str | None = None,
    rules: Bootstrap | None = None,
) -> tuple[Comparison, ...]:
    """Compare every measure that both records have, scorer by scorer.

    scorer: only this one of the first; against: the one of the second to set it against, by default of the same
    name. None takes all names both have. RecordError for records of other images, candidates, trained labels or
    rules, and for a scorer that is not there.
    """
    _check(first, second)
    pairs = [(name, name) for name in first.scorers if name in second.scorers]
    if scorer is not None:
        pairs = [(scorer, against or scorer)]
    for record, name in [(first, one) for one, _ in pairs] + [(second, other) for _, other in pairs]:
        if name not in record.scorers:
            raise RecordError(f"a record has no scorer {name!r}: use one of {', '.join(record.scorers)}")
    if not pairs:
        names = f"{', '.join(first.scorers)}; {', '.join(second.scorers)}"
        raise RecordError(f"the records have no scorer in common: {names}")
    views = [tree_views(record, taxonomy) for record in (first, second)]
    values = [image_values(record, taxonomy, views=of) for record, of in zip((first, second), views, strict=True)]
    bootstrap = rules or Bootstrap()
    return tuple(
        _compared(
            _Side(first, name, values[0][name], views[0][name]),
            _Side(second, other, values[1][other], views[1][other]),
            bootstrap,
        )
        for name, other in pairs
    )


def _check(first: Record, second: Record) -> None:
    if first.images != second.images:
        apart = len(set(first.images) ^ set(second.images))
        counts = (
            f"{len(first.images)} and {counted(len(second.images), 'photo')}, {apart} in one only or with other truth"
        )
        raise RecordError(f"the records are of different photos ({counts}): run both on the same folders")
    for kind, one, other in (
        ("candidates", first.candidates, second.candidates),
        ("trained labels", first.trained, second.trained),
    ):
        if one != other:
            apart = len(set(one) ^ set(other))
            counts = f"{len(one)} and {len(other)}, {apart} in one only"
            raise RecordError(f"the records have different {kind} ({counts}): run both with the same ones")
    rules = [key for key in ("graph", "hit_ks", "hp_ks") if first.settings.get(key) != second.settings.get(key)]
    if rules:
        raise RecordError(f"the records have different rules ({', '.join(rules)}): run both with the same version")


@dataclass(frozen=True, eq=False, slots=True)
class _Side:
    """One scorer of one record."""

    record: Record
    name: str
    values: ImageValues
    view: TreeView

    @property
    def said(self) -> ScorerRecord:
        return self.record.scorers[self.name]

    def statistics(self) -> dict[str, Statistic]:
        return statistics_of(self.record, self.said, self.values, self.view, self.record.trained_images)


def _compared(first: _Side, second: _Side, rules: Bootstrap) -> Comparison:
    classes = first.record.class_rows
    one, other = first.statistics(), second.statistics()
    shared = [name for name in one if name in other]
    plain = [measure(side, classes, Bootstrap(1, rules.seed)) for side in (one, other)]
    changes = measure({name: _minus(other[name], one[name]) for name in shared}, classes, rules)
    changes = of_one_class(changes, first.values, classes)
    differences = {name: Difference(plain[0][name].value, plain[1][name].value, changes[name]) for name in shared}
    kinds = _changes(first.record, first.said, second.record, second.said)
    hedged = [side.view.hedged for side in (first, second)]
    curves = None
    if hedged[0] is not None and hedged[1] is not None:
        curves = hedging_curve(hedged[0]), hedging_curve(hedged[1])
    return Comparison(first.name, second.name, len(first.record.images), differences, *kinds, curves)


def _minus(one: Statistic, other: Statistic) -> Statistic:
    def statistic(weights: Weights) -> Any:
        return one(weights) - other(weights)

    return statistic


def _changes(
    first: Record, one: ScorerRecord, second: Record, other: ScorerRecord
) -> tuple[tuple[Change, ...], tuple[Change, ...], tuple[Change, ...]]:
    gained: list[Change] = []
    lost: list[Change] = []
    moved: list[Change] = []
    for image, before, after in zip(first.images, one.top[:, 0].tolist(), other.top[:, 0].tolist(), strict=True):
        change = Change(image.id, image.truth, first.labels[before], second.labels[after])
        if change.first == change.second:
            continue
        kind = lost if change.first == image.truth else gained if change.second == image.truth else moved
        kind.append(change)
    return tuple(gained), tuple(lost), tuple(moved)
