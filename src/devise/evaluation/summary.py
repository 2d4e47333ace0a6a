"""From the record of an evaluation: every measure of every scorer, with its intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from devise.arrays import Bool, Int64
from devise.evaluation.hedging import SHOWN, Hedged, HedgingCurve, hedged_answers, hedging_area, hedging_curve
from devise.evaluation.measures import (
    ClassRows,
    PerImage,
    ancestor_overlaps,
    common_ancestor_heights,
)
from devise.evaluation.record import Record, ScorerRecord
from devise.evaluation.statistics import (
    Bootstrap,
    Measured,
    Reliability,
    Statistic,
    adaptive_calibration_error,
    bins_of,
    calibration_error,
    false_positive_rate,
    harmonic_of,
    mean_of,
    measure,
    measure_class_means,
    median_of,
    ratio_of,
    reliability,
    roc_area,
    seen_unseen_area,
)
from devise.evaluation.tables import ImageRates, rate_record
from devise.taxonomy.wordnet import Taxonomy

__all__ = [
    "ImageValues",
    "Summary",
    "TreeView",
    "absent_measures",
    "image_values",
    "of_one_class",
    "statistics_of",
    "summarise",
    "tree_views",
]

ImageValues = dict[str, PerImage]
"""By measure, one value an image; NaN where the measure does not speak of the image."""

_ImageMask = Bool[np.ndarray, "images"]


@dataclass(frozen=True, eq=False, slots=True)
class TreeView:
    """One scorer's answers in the is-a graph.

    overlaps: of the first label of each image, see `ancestor_overlaps`. hedged: None where the record keeps none.
    """

    overlaps: Int64[np.ndarray, "images 3"]
    hedged: Hedged | None


@dataclass(frozen=True)
class Summary:
    """All measures by scorer and name.

    measures: over the images. class_means: those that are means, as means over the classes' means.
    reliability: of the scorers that have probabilities. rules: how the intervals were made. hedging: accuracy and
    information by threshold, of the scorers that have probabilities. values: of every image, by scorer.
    """

    measures: dict[str, dict[str, Measured]]
    class_means: dict[str, dict[str, Measured]]
    reliability: dict[str, Reliability]
    rules: Bootstrap
    hedging: dict[str, HedgingCurve] = field(default_factory=dict)
    values: dict[str, ImageValues] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "measures": {name: {one: asdict(of) for one, of in row.items()} for name, row in self.measures.items()},
            "class_means": {
                name: {one: asdict(of) for one, of in row.items()} for name, row in self.class_means.items()
            },
            "reliability": {name: bins.to_dict() for name, bins in self.reliability.items()},
            "hedging": {name: asdict(curve) for name, curve in self.hedging.items()},
            "bootstrap": asdict(self.rules),
        }


def summarise(
    record: Record, taxonomy: Taxonomy, *, rules: Bootstrap | None = None, rates: ImageRates | None = None
) -> Summary:
    """Every measure of every scorer in the record; two runs give the same numbers.

    rates: those of the record, if they are known. The measures, in this order, each where it means something:
    hit@k, hp@k; "rank mean", "rank median" of the true label; "lca height", see `common_ancestor_heights`, mean over
    the errors of the first label; "branch hit@1"; with probabilities "brier" and "log loss", and
    "right@t" and "bits@t" of answers that are as wide as is sure, t being the threshold; with photos of trained and of
    other classes "seen ...", "unseen ..." and "harmonic ..." of hit@k and hp@k, "seen-unseen area", and "auroc trained
    gap" (does the gap between the best trained label and the best other one separate photos of trained classes from
    others); "ancestor precision", "ancestor recall" and "ancestor f1" of the first label; with probabilities
    "hedging area", "ece", "adaptive ece", and "auroc" and "fpr95" of "right" (does the confidence separate right first
    labels from wrong ones) and of "trained" (photos of trained classes from others). docs/evaluation.md has formulas.
    """
    bootstrap = rules or Bootstrap()
    classes, trained = record.class_rows, record.trained_images
    views = tree_views(record, taxonomy)
    values = image_values(record, taxonomy, rates, views)
    measures, means = {}, {}
    for name, one in record.scorers.items():
        statistics = statistics_of(record, one, values[name], views[name], trained)
        measures[name] = of_one_class(measure(statistics, classes, bootstrap), values[name], classes)
        means[name] = {kind: measure_class_means(of, classes, bootstrap) for kind, of in values[name].items()}
    bins = {
        name: reliability(one.confidence.astype(np.float64), (one.rank == 1).astype(np.float64))
        for name, one in record.scorers.items()
        if one.confidence is not None
    }
    curves = {name: hedging_curve(view.hedged) for name, view in views.items() if view.hedged is not None}
    return Summary(measures, means, bins, bootstrap, curves, values)


def tree_views(record: Record, taxonomy: Taxonomy) -> dict[str, TreeView]:
    """By scorer."""
    hedged = hedged_answers(record, taxonomy)
    first = {name: [record.labels[place] for place in one.top[:, 0].tolist()] for name, one in record.scorers.items()}
    return {
        name: TreeView(ancestor_overlaps(taxonomy, record.truth_ids, guesses), hedged.get(name))
        for name, guesses in first.items()
    }


def image_values(
    record: Record,
    taxonomy: Taxonomy,
    rates: ImageRates | None = None,
    views: Mapping[str, TreeView] | None = None,
) -> dict[str, ImageValues]:
    """Return by scorer, per image, the measures of `summarise` that are means over images, and "rank"."""
    rated = rates or rate_record(record, taxonomy)
    seen = views or tree_views(record, taxonomy)
    found: dict[str, ImageValues] = {}
    for name, one in record.scorers.items():
        values: ImageValues = dict(rated.rows[name].values)
        values["rank"] = np.where(one.rank > 0, one.rank, np.nan)
        first = [record.labels[place] for place in one.top[:, 0].tolist()]
        values["lca height"] = common_ancestor_heights(taxonomy, record.truth_ids, first)
        if one.branch is not None:
            values["branch hit@1"] = _branch_hits(record, one)
        if one.log_truth is not None and one.squares is not None:
            log_truth = one.log_truth.astype(np.float64)
            values["brier"] = 1 + one.squares - 2 * np.exp(log_truth)
            values["log loss"] = np.where(one.rank > 0, -log_truth, np.nan)
        if (hedged := seen[name].hedged) is not None:
            shown = [(at, place) for place, at in enumerate(hedged.thresholds) if at in SHOWN]
            values |= {f"right@{at:g}": hedged.right[:, place].astype(np.float64) for at, place in shown}
            values |= {f"bits@{at:g}": hedged.bits[:, place] for at, place in shown}
        found[name] = values
    return found


def statistics_of(
    record: Record, one: ScorerRecord, values: Mapping[str, PerImage], view: TreeView, trained: _ImageMask
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
    shared, named, true = view.overlaps.T.astype(np.float64)
    found["ancestor precision"] = ratio_of(shared, named)
    found["ancestor recall"] = ratio_of(shared, true)
    found["ancestor f1"] = ratio_of(2 * shared, named + true)
    if view.hedged is not None:
        found["hedging area"] = hedging_area(view.hedged)
    if one.confidence is not None:
        found |= _confidence(one, trained)
    return found


def absent_measures(record: Record) -> str:
    """Describe the measures of probabilities that the record lacks data for; "" if none."""
    sure = {name: one for name, one in record.scorers.items() if one.confidence is not None}
    lacking = {
        "brier and log loss": [name for name, one in sure.items() if one.log_truth is None],
        "right@t, bits@t and hedging area": [name for name, one in sure.items() if one.answers is None],
    }
    parts = [f"{measures} of {', '.join(names)}" for measures, names in lacking.items() if names]
    return f"absent, as the record is of an older version: {'; '.join(parts)}: make it again" if parts else ""


def of_one_class(measured: dict[str, Measured], values: ImageValues, classes: ClassRows) -> dict[str, Measured]:
    """Drop intervals over classes from means over one class only, such as a branch."""
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
    """Return the score of each image's best trained label minus that of its best other one."""
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
