"""Compute the input of a report from the record of an evaluation."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from devise.errors import UsageError, counted
from devise.evaluation import statistics
from devise.evaluation.record import Record
from devise.evaluation.statistics import Reliability
from devise.evaluation.summary import absent_measures, summarise
from devise.evaluation.tables import CHANCE, EvaluationResult, check_graph, rate_record
from devise.files import real_path
from devise.pages.report.build import ReportInput
from devise.pages.report.content import (
    Calibration,
    Competing,
    HedgingResult,
    ReliabilityBin,
    Results,
    measure_tables,
    measures_csv,
)
from devise.taxonomy.wordnet import Taxonomy

__all__ = ["finder", "measured_of"]

_INTERVALS = "95 % bootstrap percentiles with a fixed seed, over photos, and over classes with all their photos"
_RULES = ("label_policy", "valid_labels", "absent_truth", "ties")


def measured_of(record: Record, taxonomy: Taxonomy) -> ReportInput:
    """Compute the metrics of an evaluation, as `devise evaluate` and `devise compare` do.

    RecordError if the record was made by other rules or with another is-a graph, TaxonomyError if the taxonomy lacks a
    label of the record.
    """
    check_graph(record, taxonomy)
    rated = rate_record(record, taxonomy)
    table, summary = rated.table(), summarise(record, taxonomy, rates=rated)
    results = Results(table, summary, rated.generalised(record.trained_images))
    rates = table.settings.measures
    curves = {name: {rate: row[rate] for rate in rates if rate in row} for name, row in summary.measures.items()}
    named = np.array(record.labels, dtype=object)
    trained = frozenset(record.trained)
    return ReportInput(
        photos=tuple(image.id for image in record.images),
        truth=record.truth_ids,
        trained=trained,
        guesses={name: named[one.top].tolist() for name, one in record.scorers.items()},
        candidates=len(record.candidates),
        tables=tuple(measure_tables(results)),
        numbers=measures_csv(results),
        curves=(*curves.items(), (CHANCE, {rate: results.chance()[rate] for rate in rates})),
        values=summary.values,
        calibrations={
            name: Calibration(tuple(_bins(bins)), summary.measures[name].get("ece", statistics.Measured(None)))
            for name, bins in summary.reliability.items()
        },
        confidences={
            name: one.confidence.tolist() for name, one in record.scorers.items() if one.confidence is not None
        },
        ranks={name: [rank or None for rank in one.rank.tolist()] for name, one in record.scorers.items()},
        rules=tuple(_rules(record, table)),
        competing=_competing(record.candidates, trained),
        hedging=tuple(
            (name, HedgingResult(curve, summary.measures[name].get("hedging area", statistics.Measured(None))))
            for name, curve in summary.hedging.items()
        ),
        trails=_trails(record),
    )


def finder(folders: Sequence[Path]) -> Callable[[str], Path | None]:
    """Return a function that finds a photo of a record in these folders by its path.

    The path may start with the folder's name. UsageError for a missing folder. Paths out of it are not followed.
    """
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"no folder {folder}: check the path of the photos")

    def find(name: str) -> Path | None:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            return None
        for folder in folders:
            inside = PurePosixPath(*path.parts[1:]) if path.parts[:1] == (real_path(folder).name,) else path
            for found in (folder / path, folder / inside):
                if found.is_file():
                    return found
        return None

    return find


def _trails(record: Record) -> dict[str, list[list[tuple[str, float]]]]:
    """Read each photo's answers from the highest threshold down to one half, below which they may contradict."""
    if record.hedging is None:
        return {}
    nodes = (*record.labels, *record.hedging.above)
    columns = [(place, sure) for place, sure in enumerate(record.hedging.thresholds) if sure >= 0.5][::-1]

    def trail(answers: list[int]) -> list[tuple[str, float]]:
        reached: dict[str, float] = {}
        for place, sure in columns:
            if answers[place] >= 0:
                reached.setdefault(nodes[answers[place]], sure)
        return list(reached.items())

    return {
        name: [trail(answers) for answers in one.answers.tolist()]
        for name, one in record.scorers.items()
        if one.answers is not None
    }


def _competing(candidates: Sequence[str], trained: frozenset[str]) -> Competing:
    if not trained:
        return "none"
    count = sum(one in trained for one in candidates)
    return "other" if count == 0 else "trained" if count == len(candidates) else "both"


def _bins(found: Reliability) -> Iterator[ReliabilityBin]:
    count = len(found.counts)
    for place, (photos, sure, right) in enumerate(zip(found.counts, found.confidence, found.right, strict=True)):
        means = (float(sure), float(right)) if photos else (0.0, 0.0)
        yield ReliabilityBin(round(place / count, 6), round((place + 1) / count, 6), int(photos), *means)


def _rules(record: Record, result: EvaluationResult) -> Iterator[str]:
    settings, facts = result.settings, record.facts
    for key in ("protocol", "model", "names given to other scorers"):
        if facts.get(key):
            yield f"{key}: {facts[key]}"
    if isinstance(facts.get("folders"), list):
        yield f"folders: {', '.join(map(str, facts['folders']))}"
    trained = f", {counted(result.trained, 'trained label')}" if result.trained else ""
    yield counted(result.candidates, "candidate label") + trained
    if isinstance(facts.get("transductive"), dict):
        yield from (f"{row} is transductive: {what}" for row, what in facts["transductive"].items())
    yield from (str(getattr(settings, name)) for name in _RULES)
    if result.absent_images:
        yield (
            f"{counted(result.absent_images, 'photo')} of {counted(result.absent_classes, 'class')} "
            "without a right candidate, which count as misses"
        )
    for key, title in (("coverage", "vectors of the candidates by source"), ("skipped", "left out")):
        if isinstance(facts.get(key), dict):
            yield f"{title}: {', '.join(f'{name} {count:,}' for name, count in facts[key].items()) or 'nothing'}"
    yield f"is-a graph {settings.graph[:12]}"
    if absent := absent_measures(record):
        yield absent
    yield f"intervals: {_INTERVALS}"
