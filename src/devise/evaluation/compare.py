"""Two evaluations of the same photos, side by side: paired differences, and the photos that changed."""

from dataclasses import asdict, dataclass
from typing import Any

from devise.errors import RecordError
from devise.evaluation.intervals import Bootstrap, Measured, measure
from devise.evaluation.record import Record, ScorerRecord
from devise.evaluation.summary import (
    ImageValues,
    class_rows,
    image_values,
    of_one_class,
    statistics_of,
    trained_images,
)
from devise.evaluation.weighted import Statistic, Weights
from devise.taxonomy.wordnet import Taxonomy

__all__ = ["Change", "Comparison", "Difference", "compare_records"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A measure of both, and second - first with its intervals, over draws that are the same for both."""

    first: float | None
    second: float | None
    change: Measured

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"first": self.first, "second": self.second, "change": self.change.to_dict()}


@dataclass(frozen=True, slots=True)
class Change:
    """A photo whose first label is another one now: its id, its true label, and both first labels."""

    image: str
    truth: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """One scorer of the first record against one of the second.

    gained: photos that only the second names rightly; lost: only the first; moved: both wrong, in different ways.
    """

    first: str
    second: str
    images: int
    differences: dict[str, Difference]
    gained: tuple[Change, ...]
    lost: tuple[Change, ...]
    moved: tuple[Change, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        changes = {"gained": self.gained, "lost": self.lost, "moved": self.moved}
        return {
            "first": self.first,
            "second": self.second,
            "images": self.images,
            "differences": {name: one.to_dict() for name, one in self.differences.items()},
            **{kind: [asdict(change) for change in of] for kind, of in changes.items()},
        }


def compare_records(
    first: Record,
    second: Record,
    taxonomy: Taxonomy,
    *,
    scorer: str | None = None,
    against: str | None = None,
    rules: Bootstrap | None = None,
) -> tuple[Comparison, ...]:
    """Every measure that both have, scorer by scorer.

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
    values = [image_values(record, taxonomy) for record in (first, second)]
    bootstrap = rules or Bootstrap()
    return tuple(
        _compared(first, second, names, (values[0][names[0]], values[1][names[1]]), bootstrap) for names in pairs
    )


def _check(first: Record, second: Record) -> None:
    if first.images != second.images:
        apart = len(set(first.images) ^ set(second.images))
        counts = f"{len(first.images)} and {len(second.images)} photos, {apart} in one only or with other truth"
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
        raise RecordError(f"the records hold to different rules ({', '.join(rules)}): run both with the same version")


def _compared(
    first: Record,
    second: Record,
    names: tuple[str, str],
    values: tuple[ImageValues, ImageValues],
    rules: Bootstrap,
) -> Comparison:
    classes, trained = class_rows(first), trained_images(first)
    one = statistics_of(first, first.scorers[names[0]], values[0], trained)
    other = statistics_of(second, second.scorers[names[1]], values[1], trained)
    shared = [name for name in one if name in other]
    plain = [measure(side, classes, Bootstrap(1, rules.seed)) for side in (one, other)]
    changes = measure({name: _minus(other[name], one[name]) for name in shared}, classes, rules)
    changes = of_one_class(changes, values[0], classes)
    differences = {name: Difference(plain[0][name].value, plain[1][name].value, changes[name]) for name in shared}
    kinds = _changes(first, first.scorers[names[0]], second, second.scorers[names[1]])
    return Comparison(*names, len(first.images), differences, *kinds)


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
