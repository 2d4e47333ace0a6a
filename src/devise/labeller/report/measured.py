"""From the record of an evaluation to what a report is built from."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from devise.errors import UsageError
from devise.evaluation.protocol import EvaluationResult, EvaluationSettings, RankedIds, evaluate_rankings
from devise.evaluation.record import Record, ScorerRecord
from devise.evaluation.report import cells
from devise.labeller.page import many
from devise.labeller.report.build import Measured
from devise.labeller.report.content import Competing, Table
from devise.taxonomy.wordnet import Taxonomy

__all__ = ["BEST", "finder", "measured_of"]

_RULES = ("label_policy", "valid_labels", "absent_truth", "ties")
BEST = "; the best of a column is bold"
"""How the note of a table ends: true of the page, not of a terminal."""

_NOTE = f"hit@k in percent, hp@k from 0 to 1{BEST}"


def measured_of(record: Record, taxonomy: Taxonomy) -> Measured:
    """The same evaluation with its tables worked out; photos of trained and of other classes get tables of their own.

    TaxonomyError if a label of the record is none of the taxonomy's.
    """
    everything = _result(record, taxonomy, np.arange(len(record.images)))
    tables = [_table("Means over the photos", everything), _table("Means over the classes", everything, per_class=True)]
    trained = frozenset(record.trained)
    seen = np.array([image.truth in trained for image in record.images])
    if seen.any() and not seen.all():
        for mask, name in ((seen, "Photos of trained classes"), (~seen, "Photos of other classes")):
            tables.append(_table(name, _result(record, taxonomy, np.flatnonzero(mask))))
    named = np.array(record.labels, dtype=object)
    return Measured(
        photos=tuple(image.id for image in record.images),
        truth=record.truth_ids,
        trained=trained,
        guesses={name: named[one.top].tolist() for name, one in record.scorers.items()},
        candidates=len(record.candidates),
        tables=tuple(tables),
        curves=tuple((row.scorer, row.per_image) for row in everything.rows),
        confidences={
            name: one.confidence.tolist() for name, one in record.scorers.items() if one.confidence is not None
        },
        ranks={name: [rank or None for rank in one.rank.tolist()] for name, one in record.scorers.items()},
        rules=tuple(_rules(record, everything)),
        competing=_competing(record.candidates, trained),
    )


def finder(folders: Sequence[Path]) -> Callable[[str], Path | None]:
    """What finds a photo of a record in these folders: by its path, or by that without the folder's own name.

    UsageError for a folder that is not there. A path that leads out of its folder is not followed.
    """
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"no folder of photos at {folder}: check the path")

    def find(name: str) -> Path | None:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            return None
        for folder in folders:
            inside = PurePosixPath(*path.parts[1:]) if path.parts[:1] == (folder.resolve().name,) else path
            for found in (folder / path, folder / inside):
                if found.is_file():
                    return found
        return None

    return find


def _competing(candidates: Sequence[str], trained: frozenset[str]) -> Competing:
    count = sum(one in trained for one in candidates)
    return "other" if count == 0 else "trained" if count == len(candidates) else "both"


def _result(record: Record, taxonomy: Taxonomy, places: np.ndarray) -> EvaluationResult:
    return evaluate_rankings(
        {name: _ranked(one, record.labels, places) for name, one in record.scorers.items()},
        [record.images[place].truth for place in places],
        record.candidates,
        record.trained,
        taxonomy,
        settings=_settings(record),
    )


def _ranked(one: ScorerRecord, labels: Sequence[str], places: np.ndarray) -> RankedIds:
    """The scorer's first labels. It ranked more than these; they are filled up in the order of the labels."""
    known, positions = np.unique(one.top, return_inverse=True)
    others = np.setdiff1d(np.arange(len(labels)), known)[: max(one.labels - len(known), 0)]
    ids = tuple(labels[place] for place in (*known.tolist(), *others.tolist()))
    return RankedIds(ids, positions.reshape(one.top.shape)[places].astype(np.int64))


def _settings(record: Record) -> EvaluationSettings:
    told = record.settings
    ks = {name: tuple(told[name]) for name in ("hit_ks", "hp_ks") if name in told}
    texts = {name: str(told[name]) for name in _RULES if name in told}
    return replace(EvaluationSettings(), **ks, **texts)  # type: ignore[arg-type]


def _table(title: str, result: EvaluationResult, *, per_class: bool = False) -> Table:
    header, *rows = cells(result, per_class=per_class)
    note = f"{many(result.images, 'photo')} of {many(result.classes, 'class')}; {_NOTE}"
    return Table(title, note, header, tuple(rows))


def _rules(record: Record, result: EvaluationResult) -> Iterator[str]:
    settings, facts = result.settings, record.facts
    for key in ("protocol", "model", "names given to other scorers"):
        if facts.get(key):
            yield f"{key}: {facts[key]}"
    if isinstance(facts.get("folders"), list):
        yield f"folders: {', '.join(map(str, facts['folders']))}"
    yield f"{result.candidates:,} candidate labels, {result.trained:,} trained labels"
    yield from (str(getattr(settings, name)) for name in _RULES)
    if result.absent_images:
        yield (
            f"{many(result.absent_images, 'photo')} of {many(result.absent_classes, 'class')} "
            "have no right candidate: misses"
        )
    for key, title in (("coverage", "vectors of the candidates by source"), ("skipped", "left out")):
        if isinstance(facts.get(key), dict):
            yield f"{title}: {', '.join(f'{name} {count:,}' for name, count in facts[key].items()) or 'nothing'}"
    yield f"is-a graph {settings.graph[:12]}"
