"""The tables of an evaluation from its record, for all its images or some of them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Int64

from devise.errors import RecordError
from devise.evaluation.measures import harmonic_mean
from devise.evaluation.protocol import EvaluationResult, EvaluationSettings, Means, RankedIds, evaluate_rankings
from devise.evaluation.record import Record, ScorerRecord
from devise.evaluation.summary import trained_images
from devise.taxonomy.correct_sets import CorrectSets
from devise.taxonomy.wordnet import Taxonomy

__all__ = ["Generalised", "evaluate_record", "generalised", "settings_of"]

_Rows = Int64[np.ndarray, "some"]


@dataclass(frozen=True, slots=True)
class Generalised:
    """The same run split by whether the photo's class was trained on, and the harmonic means of the two."""

    seen: EvaluationResult
    unseen: EvaluationResult

    def harmonic(self) -> tuple[dict[str, Any], ...]:
        """One row per scorer: harmonic means of seen and unseen per measure and image; None if one is None."""
        return tuple(
            {"scorer": seen.scorer, **_harmonic(seen.per_image, unseen.per_image)}
            for seen, unseen in zip(self.seen.rows, self.unseen.rows, strict=True)
        )


def evaluate_record(
    record: Record, taxonomy: Taxonomy, rows: Sequence[int] | None = None, correct: CorrectSets | None = None
) -> EvaluationResult:
    """Make the table of `evaluate_rankings` from a record. rows: which images, None for all. correct: as there."""
    settings = settings_of(record)
    if settings.graph != taxonomy.graph_hash:
        raise RecordError(
            f"the record was made with the is-a graph {settings.graph[:12]}, this one is {taxonomy.graph_hash[:12]}: "
            "make the record again"
        )
    places = np.arange(len(record.images)) if rows is None else np.asarray(rows, dtype=np.int64)
    return evaluate_rankings(
        {name: _ranked(record, one, places) for name, one in record.scorers.items()},
        [record.images[row].truth for row in places.tolist()],
        record.candidates,
        record.trained,
        taxonomy,
        settings=settings,
        correct=correct,
    )


def generalised(record: Record, taxonomy: Taxonomy, correct: CorrectSets | None = None) -> Generalised | None:
    """Split into photos of trained classes and of others; None unless there are both."""
    trained = trained_images(record)
    if trained.all() or not trained.any():
        return None
    sides = [evaluate_record(record, taxonomy, np.flatnonzero(side).tolist(), correct) for side in (trained, ~trained)]
    return Generalised(*sides)


def settings_of(record: Record) -> EvaluationSettings:
    """Return the rules of a record; RecordError for unknown ones."""
    known = {field.name for field in fields(EvaluationSettings)}
    if set(record.settings) != known:
        raise RecordError(f"a record needs the settings {', '.join(sorted(known))}, got {', '.join(record.settings)}")
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in record.settings.items()
    }
    return EvaluationSettings(**values)


def _ranked(record: Record, one: ScorerRecord, rows: _Rows) -> RankedIds:
    """Rank the candidates; a scorer of trained labels ranks those among them, or all if there are none."""
    ids = record.candidates
    if one.labels != len(ids):
        trained = frozenset(record.trained)
        ids = tuple(label for label in record.candidates if label in trained) or record.trained
    where = {label: place for place, label in enumerate(ids)}
    columns = np.array([where.get(label, -1) for label in record.labels], dtype=np.int64)
    return RankedIds(ids, columns[one.top[rows]])


def _harmonic(seen: Means, unseen: Means) -> Means:
    means: Means = {}
    for measure, value in seen.items():
        other = unseen[measure]
        means[measure] = None if value is None or other is None else harmonic_mean(value, other)
    return means
