"""From the record of an evaluation: every measure of every scorer, with its intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool

from devise.evaluation.hierarchy import common_ancestor_heights, hierarchical_precisions
from devise.evaluation.intervals import Bootstrap, Measured, measure, measure_class_means
from devise.evaluation.measures import ClassRows, PerImage, possible_ks
from devise.evaluation.record import Record, ScorerRecord
from devise.evaluation.reliability import Reliability, bins_of, reliability
from devise.evaluation.weighted import (
    Statistic,
    adaptive_calibration_error,
    calibration_error,
    false_positive_rate,
    harmonic_of,
    mean_of,
    median_of,
    roc_area,
    seen_unseen_area,
)
from devise.taxonomy.correct_sets import CorrectSets
from devise.taxonomy.wordnet import Taxonomy

__all__ = [
    "ImageValues",
    "Summary",
    "class_rows",
    "image_values",
    "of_one_class",
    "statistics_of",
    "summarise",
    "trained_images",
]

ImageValues = dict[str, PerImage]
"""By measure, one value an image; NaN where the measure does not speak of the image."""

_ImageMask = Bool[np.ndarray, "images"]


@dataclass(frozen=True)
class Summary:
    """All measures by scorer and name.

    measures: over the images. class_means: those that are means, as means over the classes' means.
    reliability: of the scorers that have probabilities. rules: how the intervals were made.
    """

    measures: dict[str, dict[str, Measured]]
    class_means: dict[str, dict[str, Measured]]
    reliability: dict[str, Reliability]
    rules: Bootstrap

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "measures": {name: {one: of.to_dict() for one, of in row.items()} for name, row in self.measures.items()},
            "class_means": {
                name: {one: of.to_dict() for one, of in row.items()} for name, row in self.class_means.items()
            },
            "reliability": {name: bins.to_dict() for name, bins in self.reliability.items()},
            "bootstrap": asdict(self.rules),
        }


def summarise(
    record: Record, taxonomy: Taxonomy, *, rules: Bootstrap | None = None, correct: CorrectSets | None = None
) -> Summary:
    """Every measure of every scorer in the record; two runs give the same numbers.

    correct: as in `evaluate_rankings`. The measures, in this order, each where it means something:
    hit@k, hp@k; "rank mean", "rank median" of the true label; "lca height", see `common_ancestor_heights`, mean over
    the errors of the first label; "branch hit@1"; with photos of trained and of other classes "seen ...",
    "unseen ..." and "harmonic ..." of hit@k and hp@k, and "seen-unseen area"; where there are probabilities "brier",
    "log loss", "ece", "adaptive ece", and "auroc" and "fpr95" of "right" (does the confidence tell right first labels
    from wrong ones) and of "trained" (does it tell photos of trained classes from others); "auroc trained gap": the same for
    the gap between the best trained label and the best other one. docs/evaluation.md has the formulas.
    """
    bootstrap = rules or Bootstrap()
    classes, trained = class_rows(record), trained_images(record)
    values = image_values(record, taxonomy, correct)
    measures, means = {}, {}
    for name, one in record.scorers.items():
        statistics = statistics_of(record, one, values[name], trained)
        measures[name] = of_one_class(measure(statistics, classes, bootstrap), values[name], classes)
        means[name] = {kind: measure_class_means(of, classes, bootstrap) for kind, of in values[name].items()}
    bins = {
        name: reliability(one.confidence.astype(np.float64), (one.rank == 1).astype(np.float64))
        for name, one in record.scorers.items()
        if one.confidence is not None
    }
    return Summary(measures, means, bins, bootstrap)


def image_values(record: Record, taxonomy: Taxonomy, correct: CorrectSets | None = None) -> dict[str, ImageValues]:
    """By scorer: hit@k, hp@k, "rank", "lca height", "branch hit@1", "brier" and "log loss" of each image."""
    hp_ks = tuple(record.settings["hp_ks"])
    names = sorted(set(record.truth_ids))
    grown = correct or taxonomy.correct_sets(names, hp_ks or (1,), record.labels)
    rows = np.array([grown.row(name) for name in record.truth_ids], dtype=np.int64)
    found: dict[str, ImageValues] = {}
    for name, one in record.scorers.items():
        labels = min(one.labels, len(record.candidates))
        values: ImageValues = {
            f"hit@{k}": ((one.rank > 0) & (one.rank <= k)).astype(np.float64)
            for k in possible_ks(record.settings["hit_ks"], labels)
        }
        ks = possible_ks(hp_ks, min(labels, one.top.shape[1]))
        precisions = hierarchical_precisions(one.top, rows, grown, len(record.labels), ks)
        values |= {f"hp@{k}": precision for k, precision in precisions.items()}
        values["rank"] = np.where(one.rank > 0, one.rank, np.nan)
        first = [record.labels[place] for place in one.top[:, 0].tolist()]
        values["lca height"] = common_ancestor_heights(taxonomy, record.truth_ids, first)
        if one.branch is not None:
            values["branch hit@1"] = _branch_hits(record, one)
        if one.log_truth is not None and one.squares is not None:
            log_truth = one.log_truth.astype(np.float64)
            values["brier"] = 1 + one.squares - 2 * np.exp(log_truth)
            values["log loss"] = np.where(one.rank > 0, -log_truth, np.nan)
        found[name] = values
    return found


def statistics_of(
    record: Record, one: ScorerRecord, values: Mapping[str, PerImage], trained: _ImageMask
) -> dict[str, Statistic]:
    """Every measure of one scorer as a statistic of weighted images."""
    found: dict[str, Statistic] = {}
    for name, of_images in values.items():
        if np.isnan(of_images).all():
            continue
        if name == "rank":
            found |= {"rank mean": mean_of(of_images), "rank median": median_of(of_images)}
        else:
            found[name] = mean_of(of_images)
    if 0 < trained.sum() < len(trained):
        rates = {name: of for name, of in values.items() if name.startswith(("hit@", "hp@"))}
        found |= {f"seen {name}": mean_of(np.where(trained, of, np.nan)) for name, of in rates.items()}
        found |= {f"unseen {name}": mean_of(np.where(trained, np.nan, of)) for name, of in rates.items()}
        found |= {f"harmonic {name}": harmonic_of(of, trained) for name, of in rates.items()}
        if one.trained is not None and one.other is not None:
            found["seen-unseen area"] = _area(record, one, trained)
            found["auroc trained gap"] = roc_area(_gap(one), trained)
    if one.confidence is not None:
        found |= _confidence(one, trained)
    return found


def class_rows(record: Record) -> ClassRows:
    """Which of the true classes, in the order of their ids, each image shows."""
    return np.asarray(np.unique(record.truth_ids, return_inverse=True)[1].reshape(-1), dtype=np.int64)


def trained_images(record: Record) -> _ImageMask:
    """Whether each image shows a trained class."""
    known = frozenset(record.trained)
    return np.array([one in known for one in record.truth_ids], dtype=bool)


def of_one_class(measured: dict[str, Measured], values: ImageValues, classes: ClassRows) -> dict[str, Measured]:
    """The same, without intervals over classes for means that speak of one class alone, such as of a branch."""
    return {
        name: replace(of, classes=None)
        if name in values and len(np.unique(classes[~np.isnan(values[name])])) < 2
        else of
        for name, of in measured.items()
    }


def _confidence(one: ScorerRecord, trained: _ImageMask) -> dict[str, Statistic]:
    assert one.confidence is not None
    confidence, right = one.confidence.astype(np.float64), one.rank == 1
    hits = right.astype(np.float64)
    found = {
        "ece": calibration_error(confidence, hits, bins_of(confidence)),
        "adaptive ece": adaptive_calibration_error(confidence, hits),
    }
    for name, positive in (("right", right), ("trained", trained)):
        if 0 < positive.sum() < len(positive):
            found[f"auroc {name}"] = roc_area(confidence, positive)
            found[f"fpr95 {name}"] = false_positive_rate(confidence, positive)
    return found


def _area(record: Record, one: ScorerRecord, trained: _ImageMask) -> Statistic:
    assert one.trained is not None
    assert one.other is not None
    right = [_is_true(record, best.labels.tolist()) for best in (one.trained, one.other)]
    return seen_unseen_area(_gap(one), right[0], right[1], trained)


def _gap(one: ScorerRecord) -> PerImage:
    """How far each image's best trained label stands above its best other one."""
    assert one.trained is not None
    assert one.other is not None
    return np.asarray(one.trained.scores.astype(np.float64) - one.other.scores.astype(np.float64))


def _branch_hits(record: Record, one: ScorerRecord) -> PerImage:
    """1 or 0 for images of the branch's classes, NaN for the others."""
    assert record.branch is not None
    assert one.branch is not None
    inside = frozenset(record.branch.labels)
    hits = _is_true(record, one.branch.tolist())
    return np.where([truth in inside for truth in record.truth_ids], hits, np.nan)


def _is_true(record: Record, places: Sequence[int]) -> _ImageMask:
    pairs = zip(places, record.truth_ids, strict=True)
    return np.array([place >= 0 and record.labels[place] == truth for place, truth in pairs], dtype=bool)
