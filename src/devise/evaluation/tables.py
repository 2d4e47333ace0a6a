"""The table of an evaluation: its rules, the rankings of several scorers, and the means, as text and as Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from devise.arrays import Bool, Ranking, Truth
from devise.errors import LabelError, RecordError, UsageError, counted
from devise.evaluation import measures
from devise.evaluation.measures import ClassRows, PerImage, harmonic_mean
from devise.evaluation.record import Record, ScorerRecord
from devise.tabletext import markdown_table
from devise.taxonomy.correct_sets import CorrectSets
from devise.taxonomy.wordnet import Taxonomy

__all__ = [
    "CHANCE",
    "EvaluationResult",
    "EvaluationRow",
    "EvaluationSettings",
    "Generalised",
    "ImageRates",
    "Means",
    "RankedIds",
    "ScorerRates",
    "caption",
    "cells",
    "check_graph",
    "evaluate_record",
    "markdown",
    "measure_cell",
    "rate_rankings",
    "rate_record",
    "settings_of",
]

CHANCE = "chance"
"""The scorer name of the row that a uniformly random ranking of the candidates is expected to reach."""

Means = dict[str, float | None]
"""Means by measure, "hit@1" to "hp@20", in [0, 1]; None with fewer than k labels."""

_ImageMask = Bool[np.ndarray, "images"]


@dataclass(frozen=True)
class EvaluationSettings:
    """The rules of an evaluation, printed with its numbers: same settings and rankings, same numbers.

    hit_ks, hp_ks: the k of flat hit@k and of hierarchical precision@k.
    ties: how equal scores were ordered before the rankings came here.
    valid_labels: from which labels a correct set is taken.
    absent_truth: what becomes of an image whose true label is not among those ranked.
    label_policy: which candidates are ranked, and how those without a vector are treated.
    graph: SHA-256 of the is-a graph; `rate_rankings` fills it in.
    """

    hit_ks: tuple[int, ...] = (1, 2, 5, 10, 20)
    hp_ks: tuple[int, ...] = (2, 5, 10, 20)
    ties: str = "equal scores are ordered by the lower position in the label list"
    valid_labels: str = "correct sets are taken from the candidates and the trained labels"
    absent_truth: str = "an image whose true label a scorer does not rank is a miss"
    label_policy: str = "every candidate is ranked, with a vector or without"
    graph: str = ""

    def __post_init__(self) -> None:
        for name, ks in (("hit", self.hit_ks), ("hp", self.hp_ks)):
            if any(k < 1 for k in ks) or len(set(ks)) != len(ks):
                raise UsageError(f"the ks of {name}@k must be different and at least 1, got {ks}: correct them")

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures in the order of a table: "hit@1" and on, then "hp@2" and on."""
        return (*(f"hit@{k}" for k in self.hit_ks), *(f"hp@{k}" for k in self.hp_ks))


@dataclass(frozen=True)
class RankedIds:
    """A scorer's ranking: for each image positions in `ids`, best first.

    Raises LabelError for a duplicate id, if a position is outside `ids`, or an image ranks a label twice.
    """

    ids: tuple[str, ...]
    ranking: Ranking

    def __post_init__(self) -> None:
        if len(set(self.ids)) != len(self.ids):
            raise LabelError("duplicate label in a ranked label list: list each label once")
        if self.ranking.size and not 0 <= self.ranking.min() <= self.ranking.max() < len(self.ids):
            raise LabelError(f"a ranking of {len(self.ids)} labels needs positions from 0 to {len(self.ids) - 1}")
        if (np.diff(np.sort(self.ranking, axis=1), axis=1) == 0).any():
            raise LabelError("duplicate label in the ranking of an image: rank each label once")


@dataclass(frozen=True)
class EvaluationRow:
    """The results of one scorer.

    labels: how many labels it ranked.
    unranked: how many candidates are not among them (for a softmax over other labels: all of them).
    per_image: means over the images; per_class: means over the classes of the means over each class's images.
    """

    scorer: str
    labels: int
    unranked: int
    per_image: Means
    per_class: Means

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the per-image means are in the row itself."""
        counts = {"labels": self.labels, "unranked": self.unranked}
        return {"scorer": self.scorer, **self.per_image, "per_class": dict(self.per_class), **counts}


@dataclass(frozen=True)
class EvaluationResult:
    """The table: one row per scorer in the given order, then chance.

    images, classes, candidates, trained: how many there were.
    absent_images, absent_classes: how many images and test classes have no candidate that is right.
    """

    images: int
    classes: int
    candidates: int
    trained: int
    absent_images: int
    absent_classes: int
    settings: EvaluationSettings
    rows: tuple[EvaluationRow, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON: counts are integers, measures fractions or None; no times and no paths."""
        rows = [row.to_dict() for row in self.rows]
        return {**vars(self), "settings": _listed(asdict(self.settings)), "rows": rows}


@dataclass(frozen=True, eq=False, slots=True)
class ScorerRates:
    """hit@k and hp@k of one scorer for each image, by measure; those at a k that it cannot answer are absent.

    labels, unranked: as in `EvaluationRow`.
    """

    labels: int
    unranked: int
    values: dict[str, PerImage]


@dataclass(frozen=True, eq=False, slots=True)
class ImageRates:
    """hit@k and hp@k of every image, computed once: tables are their means over all images or some.

    rows: by scorer, `CHANCE` last. trained: how many labels.
    """

    truth_ids: Sequence[str]
    candidates: Sequence[str]
    trained: int
    settings: EvaluationSettings
    rows: dict[str, ScorerRates]

    def table(self, images: Sequence[int] | None = None) -> EvaluationResult:
        """Average over these images, None for all; without a value for a measure its mean is None."""
        chosen = np.arange(len(self.truth_ids)) if images is None else np.asarray(images, dtype=np.int64)
        truth = [self.truth_ids[image] for image in chosen.tolist()]
        names, classes = np.unique(truth, return_inverse=True)
        absent = set(names.tolist()) - set(self.candidates)
        rows = []
        for scorer, row in self.rows.items():
            values = {measure: of[chosen] for measure, of in row.values.items()}
            none: Means = dict.fromkeys(self.settings.measures)
            per_image = none | {name: measures.mean_per_image(of) for name, of in values.items()}
            per_class = none | {name: measures.mean_per_class(of, classes.reshape(-1)) for name, of in values.items()}
            rows.append(EvaluationRow(scorer, row.labels, row.unranked, per_image, per_class))
        return EvaluationResult(
            images=len(truth),
            classes=len(names),
            candidates=len(self.candidates),
            trained=self.trained,
            absent_images=sum(one in absent for one in truth),
            absent_classes=len(absent),
            settings=self.settings,
            rows=tuple(rows),
        )

    def generalised(self, trained: _ImageMask) -> "Generalised | None":
        """Split by which images show a trained class; None unless there are both."""
        if trained.all() or not trained.any():
            return None
        return Generalised(*(self.table(np.flatnonzero(side).tolist()) for side in (trained, ~trained)))


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


def rate_rankings(
    rankings: Mapping[str, RankedIds],
    truth_ids: Sequence[str],
    candidates: Sequence[str],
    trained: Sequence[str],
    taxonomy: Taxonomy,
    *,
    settings: EvaluationSettings | None = None,
    correct: CorrectSets | None = None,
) -> ImageRates:
    """Compute hit@k and hierarchical precision@k of every image for every scorer, and for chance.

    rankings: by scorer name. A scorer may rank other labels than the candidates (the softmax ranks the
        trained ones), but only candidates and trained labels.
    truth_ids: the true synset of each image, a candidate or not.
    candidates: the labels that the image could be called; trained: those the classifier was trained on.
    correct: the correct sets of at least these classes and the ks of hp@k, over the candidates and then the trained
        labels that are not candidates; None grows them.

    Correct sets are made once per class, over the candidates and the trained labels. Measures at a k above the
    number of candidates or of a scorer's labels are absent. Raises LabelError for duplicate ids and for ids that are
    neither candidate nor trained, TaxonomyError for ids it does not know, UsageError for rankings that are
    too short or not one row per image.
    """
    asked = replace(settings or EvaluationSettings(), graph=taxonomy.graph_hash)
    _check(rankings, truth_ids, candidates, trained)
    valid = {label: place for place, label in enumerate(dict.fromkeys([*candidates, *trained]))}
    grown = correct or taxonomy.correct_sets(sorted(set(truth_ids)), asked.hp_ks or (1,), tuple(valid))
    shared = _Shared(
        classes=np.array([grown.row(name) for name in truth_ids], dtype=np.int64),
        truth=np.array([valid.get(name, -1) for name in truth_ids], dtype=np.int64),
        correct=grown,
        candidates=len(candidates),
        settings=asked,
    )
    rows = {scorer: _rates(scorer, ranked, valid, shared) for scorer, ranked in rankings.items()}
    return ImageRates(truth_ids, candidates, len(trained), asked, {**rows, CHANCE: _chance_rates(shared)})


def rate_record(record: Record, taxonomy: Taxonomy, correct: CorrectSets | None = None) -> ImageRates:
    """Compute the rates of a record's images; arguments as for `rate_rankings`."""
    return rate_rankings(
        {name: _ranked(record, one) for name, one in record.scorers.items()},
        record.truth_ids,
        record.candidates,
        record.trained,
        taxonomy,
        settings=settings_of(record),
        correct=correct,
    )


def evaluate_record(record: Record, taxonomy: Taxonomy, correct: CorrectSets | None = None) -> EvaluationResult:
    """Make the table of a record; RecordError as from `check_graph`."""
    check_graph(record, taxonomy)
    return rate_record(record, taxonomy, correct).table()


def check_graph(record: Record, taxonomy: Taxonomy) -> None:
    """RecordError if the record was made with another is-a graph."""
    graph = settings_of(record).graph
    if graph != taxonomy.graph_hash:
        raise RecordError(
            f"the record was made with the is-a graph {graph[:12]}, this one is {taxonomy.graph_hash[:12]}: "
            "make the record again"
        )


def settings_of(record: Record) -> EvaluationSettings:
    """Return the rules of a record; RecordError for unknown ones."""
    known = {field.name for field in fields(EvaluationSettings)}
    if set(record.settings) != known:
        raise RecordError(f"a record needs the settings {', '.join(sorted(known))}, got {', '.join(record.settings)}")
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in record.settings.items()
    }
    return EvaluationSettings(**values)


@dataclass(frozen=True)
class _Shared:
    """The data that all rows share; labels are positions in the valid labels, candidates first.

    classes: the row of each image's class in `correct`. candidates: how many labels.
    """

    classes: ClassRows
    truth: Truth
    correct: CorrectSets
    candidates: int
    settings: EvaluationSettings


def _check(
    rankings: Mapping[str, RankedIds],
    truth_ids: Sequence[str],
    candidates: Sequence[str],
    trained: Sequence[str],
) -> None:
    if not truth_ids or not candidates:
        counts = f"{len(truth_ids)} and {len(candidates)}"
        raise UsageError(f"an evaluation needs images and candidate labels, got {counts}: add some")
    for kind, ids in (("candidate", candidates), ("trained", trained)):
        if len(set(ids)) != len(ids):
            raise LabelError(f"{counted(len(ids) - len(set(ids)), f'duplicate {kind} label')}: list each label once")
    if CHANCE in rankings:
        raise UsageError(f"the row {CHANCE!r} is computed, no scorer may have this name: rename the scorer")
    for scorer, ranked in rankings.items():
        if len(ranked.ranking) != len(truth_ids):
            raise UsageError(
                f"{scorer} ranks {counted(len(ranked.ranking), 'image')}, but there are "
                f"{counted(len(truth_ids), 'true label')}: "
                "give one of each an image"
            )


def _rates(scorer: str, ranked: RankedIds, valid: Mapping[str, int], shared: _Shared) -> ScorerRates:
    unknown = next((label for label in ranked.ids if label not in valid), None)
    if unknown is not None:
        raise LabelError(f"{scorer} ranks {unknown}, which is neither a candidate nor a trained label: leave it out")
    places = np.array([valid[label] for label in ranked.ids], dtype=np.int64)
    ranking = places[ranked.ranking]
    labels = min(len(places), shared.candidates)
    hit_ks, hp_ks = (measures.possible_ks(ks, labels) for ks in (shared.settings.hit_ks, shared.settings.hp_ks))
    deepest = max((*hit_ks, *hp_ks), default=0)
    if ranking.shape[1] < deepest:
        raise UsageError(
            f"{scorer} gives the first {ranking.shape[1]} labels of an image, expected {deepest}: "
            "rank further or lower k"
        )
    values = {f"hit@{k}": measures.hit_at_k(ranking, shared.truth, k) for k in hit_ks}
    precisions = measures.hierarchical_precisions(ranking, shared.classes, shared.correct, len(valid), hp_ks)
    values |= {f"hp@{k}": precision for k, precision in precisions.items()}
    return ScorerRates(len(places), shared.candidates - int(np.count_nonzero(places < shared.candidates)), values)


def _chance_rates(shared: _Shared) -> ScorerRates:
    candidates = shared.candidates
    hit_ks, hp_ks = (measures.possible_ks(ks, candidates) for ks in (shared.settings.hit_ks, shared.settings.hp_ks))
    present = (shared.truth >= 0) & (shared.truth < candidates)
    values = {f"hit@{k}": present * measures.chance_hit_at_k(k, candidates) for k in hit_ks}
    precisions = measures.chance_precisions(shared.classes, shared.correct, candidates, hp_ks)
    values |= {f"hp@{k}": precision for k, precision in precisions.items()}
    return ScorerRates(candidates, 0, values)


def _ranked(record: Record, one: ScorerRecord) -> RankedIds:
    """Rank the candidates; a scorer of trained labels ranks those among them, or all if there are none."""
    ids = record.candidates
    if one.labels != len(ids):
        trained = frozenset(record.trained)
        ids = tuple(label for label in record.candidates if label in trained) or record.trained
    where = {label: place for place, label in enumerate(ids)}
    columns = np.array([where.get(label, -1) for label in record.labels], dtype=np.int64)
    return RankedIds(ids, columns[one.top])


def _listed(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}


def _harmonic(seen: Means, unseen: Means) -> Means:
    means: Means = {}
    for measure, value in seen.items():
        other = unseen[measure]
        means[measure] = None if value is None or other is None else harmonic_mean(value, other)
    return means


def cells(result: EvaluationResult, *, per_class: bool = False) -> tuple[tuple[str, ...], ...]:
    """The table as text, its header first: hit@k in percent with one decimal, hp@k as ".289", "-" for none.

    per_class: means over classes instead of means over images.
    """
    names = result.settings.measures
    rows = [("scorer", *names)]
    for row in result.rows:
        means = row.per_class if per_class else row.per_image
        rows.append((row.scorer, *(measure_cell(name, means[name]) for name in names)))
    return tuple(rows)


def markdown(result: EvaluationResult, *, per_class: bool = False) -> str:
    """Format a Markdown table with the evaluation's rules below it; ends with a newline."""
    return f"{markdown_table(cells(result, per_class=per_class))}\n{caption(result, per_class=per_class)}\n"


def caption(result: EvaluationResult, *, per_class: bool = False) -> str:
    """Describe the rules that the numbers depend on: hit@k in percent, hp@k in [0, 1]."""
    settings = result.settings
    facts = [
        f"{counted(result.images, 'image')} of {counted(result.classes, 'class')}",
        f"{counted(result.candidates, 'candidate label')}, {counted(result.trained, 'trained label')}",
        f"hit@k in percent, hp@k from 0 to 1, means over the {'classes' if per_class else 'images'}",
        settings.ties,
        settings.valid_labels,
        settings.label_policy,
        f"is-a graph {settings.graph[:12]}",
    ]
    if result.absent_images:
        facts.append(f"{settings.absent_truth} ({counted(result.absent_images, 'image')} without a right candidate)")
    if any(value is None for row in result.rows for value in row.per_image.values()):
        facts.append("- if there are fewer than k labels")
    return "; ".join(facts) + "."


def measure_cell(name: str, value: float | None) -> str:
    """Percent with one decimal for hits, one decimal for ranks, heights and bits, ".289" for the rest, "-" for none.

    >>> measure_cell("unseen hit@5", 0.168), measure_cell("hp@20", 0.3), measure_cell("rank mean", 12.34)
    ('16.8', '.300', '12.3')
    """
    if value is None:
        return "-"
    if "hit@" in name or name.startswith("right@"):
        return f"{100 * value:.1f}"
    if name.startswith(("rank", "lca", "bits@")):
        return f"{value:.1f}"
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.3f}"
