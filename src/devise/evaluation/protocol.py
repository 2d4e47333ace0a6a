"""One evaluation: its rules, the rankings of several scorers, and the resulting table."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool

from devise.arrays import Ranking, Truth
from devise.errors import LabelError, UsageError, counted
from devise.evaluation import measures
from devise.evaluation.hierarchy import chance_precisions, hierarchical_precisions
from devise.evaluation.measures import ClassRows, PerImage
from devise.taxonomy.correct_sets import CorrectSets
from devise.taxonomy.wordnet import Taxonomy

__all__ = [
    "CHANCE",
    "EvaluationResult",
    "EvaluationRow",
    "EvaluationSettings",
    "Means",
    "RankedIds",
    "evaluate_rankings",
]

CHANCE = "chance"
"""The scorer name of the row that a uniformly random ranking of the candidates is expected to reach."""

Means = dict[str, float | None]
"""Means by measure, "hit@1" to "hp@20", in [0, 1]; None where there are fewer than k labels."""

_ImageMask = Bool[np.ndarray, "images"]


@dataclass(frozen=True)
class EvaluationSettings:
    """The rules of an evaluation, printed with its numbers: same settings and rankings, same numbers.

    hit_ks, hp_ks: the k of flat hit@k and of hierarchical precision@k.
    ties: how equal scores were ordered before the rankings came here.
    valid_labels: from which labels a correct set is taken.
    absent_truth: what becomes of an image whose true label is not among those ranked.
    label_policy: which candidates are ranked, and how those without a vector are treated.
    graph: SHA-256 of the is-a graph; `evaluate_rankings` fills it in.
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

    Raises LabelError if an id stands twice, a position is outside `ids`, or an image ranks a label twice.
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


def evaluate_rankings(
    rankings: Mapping[str, RankedIds],
    truth_ids: Sequence[str],
    candidates: Sequence[str],
    trained: Sequence[str],
    taxonomy: Taxonomy,
    *,
    settings: EvaluationSettings | None = None,
    correct: CorrectSets | None = None,
) -> EvaluationResult:
    """Hit@k and hierarchical precision@k of every scorer, and of chance.

    rankings: by scorer name. A scorer may rank other labels than the candidates (the softmax ranks the
        trained ones), but only candidates and trained labels.
    truth_ids: the true synset of each image, a candidate or not.
    candidates: the labels that the image could be called; trained: those the classifier was trained on.
    correct: the correct sets of at least these classes and the ks of hp@k, over the candidates and then the trained
        labels that are no candidates; None grows them.

    Correct sets are grown once a class, over the candidates and the trained labels. Measures at a k above the
    number of candidates or of a scorer's labels are None. Raises LabelError for ids that stand twice or are
    neither candidate nor trained, TaxonomyError for ids it does not know, UsageError for rankings that are
    too short or not one row an image.
    """
    asked = replace(settings or EvaluationSettings(), graph=taxonomy.graph_hash)
    _check(rankings, truth_ids, candidates, trained)
    names = tuple(sorted(set(truth_ids)))
    row_of = {name: row for row, name in enumerate(names)}
    valid = {label: place for place, label in enumerate(dict.fromkeys([*candidates, *trained]))}
    grown = correct or taxonomy.correct_sets(names, asked.hp_ks or (1,), tuple(valid))
    shared = _Shared(
        classes=np.array([row_of[name] for name in truth_ids], dtype=np.int64),
        grown=np.array([grown.row(name) for name in truth_ids], dtype=np.int64),
        truth=np.array([valid.get(name, -1) for name in truth_ids], dtype=np.int64),
        correct=grown,
        candidates=len(candidates),
        valid=len(valid),
        settings=asked,
    )
    rows = [_row(scorer, ranked, valid, shared) for scorer, ranked in rankings.items()]
    return EvaluationResult(
        images=len(truth_ids),
        classes=len(names),
        candidates=len(candidates),
        trained=len(trained),
        absent_images=int(np.count_nonzero(~shared.is_candidate)),
        absent_classes=len(set(names) - set(candidates)),
        settings=asked,
        rows=(*rows, _chance_row(shared)),
    )


@dataclass(frozen=True)
class _Shared:
    """The data that all rows share; labels are positions in the valid labels, candidates first.

    grown: the row of each image's class in `correct`. candidates, valid: how many labels.
    """

    classes: ClassRows
    grown: ClassRows
    truth: Truth
    correct: CorrectSets
    candidates: int
    valid: int
    settings: EvaluationSettings

    @property
    def is_candidate(self) -> _ImageMask:
        """Whether the true label of each image is a candidate."""
        return np.asarray((self.truth >= 0) & (self.truth < self.candidates))

    def means(self, values: Mapping[str, PerImage]) -> tuple[Means, Means]:
        """Per image and per class, with None for the measures that are not in `values`."""
        per_image: Means = dict.fromkeys(self.settings.measures)
        per_class: Means = dict.fromkeys(self.settings.measures)
        for measure, of_images in values.items():
            per_image[measure] = measures.mean_per_image(of_images)
            per_class[measure] = measures.mean_per_class(of_images, self.classes)
        return per_image, per_class


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


def _row(scorer: str, ranked: RankedIds, valid: Mapping[str, int], shared: _Shared) -> EvaluationRow:
    unknown = next((label for label in ranked.ids if label not in valid), None)
    if unknown is not None:
        raise LabelError(f"{scorer} ranks {unknown}, which is neither a candidate nor a trained label: leave it out")
    places = np.array([valid[label] for label in ranked.ids], dtype=np.int64)
    ranking = places[ranked.ranking]
    candidates = shared.candidates
    labels = min(len(places), candidates)
    settings = shared.settings
    deepest = max(measures.possible_ks((*settings.hit_ks, *settings.hp_ks), labels), default=0)
    if ranking.shape[1] < deepest:
        raise UsageError(
            f"{scorer} gives the first {ranking.shape[1]} labels of an image, expected {deepest}: "
            "rank further or lower k"
        )
    values = {
        f"hit@{k}": measures.hit_at_k(ranking, shared.truth, k) for k in measures.possible_ks(settings.hit_ks, labels)
    }
    ks = measures.possible_ks(settings.hp_ks, labels)
    precisions = hierarchical_precisions(ranking, shared.grown, shared.correct, shared.valid, ks)
    values |= {f"hp@{k}": precision for k, precision in precisions.items()}
    per_image, per_class = shared.means(values)
    unranked = candidates - int(np.count_nonzero(places < candidates))
    return EvaluationRow(scorer, len(places), unranked, per_image, per_class)


def _chance_row(shared: _Shared) -> EvaluationRow:
    candidates = shared.candidates
    settings = shared.settings
    values = {
        f"hit@{k}": shared.is_candidate * measures.chance_hit_at_k(k, candidates)
        for k in measures.possible_ks(settings.hit_ks, candidates)
    }
    ks = measures.possible_ks(settings.hp_ks, candidates)
    precisions = chance_precisions(shared.grown, shared.correct, candidates, ks)
    values |= {f"hp@{k}": precision for k, precision in precisions.items()}
    return EvaluationRow(CHANCE, candidates, 0, *shared.means(values))


def _listed(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}
