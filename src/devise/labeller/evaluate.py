"""Evaluates a model on class folders of photos: every scorer, the same photos, the same candidates."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from devise.arrays import Features, Ranking
from devise.errors import UsageError
from devise.evaluation.candidates import read_candidates
from devise.evaluation.folders import TestPhotos, find_test_photos
from devise.evaluation.measures import harmonic_mean
from devise.evaluation.protocol import (
    CHANCE,
    EvaluationResult,
    EvaluationSettings,
    Means,
    RankedIds,
    evaluate_rankings,
)
from devise.index.exact import TIE_RULE, top_k
from devise.labeller.candidates import synset_space
from devise.labeller.model import Model
from devise.labeller.scorers import ROWS, make_scorer
from devise.model.scorer import Scorer
from devise.model.space import LabelSpace

__all__ = ["MODEL_CANDIDATES", "Evaluation", "Generalised", "evaluate_folders"]

MODEL_CANDIDATES = ("all", "seen", "unseen", "test-classes")
"""Candidate lists known by name; anything else is a file of synset ids."""

_BLOCK = 64  # photos scored at once


@dataclass(frozen=True, slots=True)
class Generalised:
    """The same run split by whether the photo's class was trained on, and the harmonic means of the two."""

    seen: EvaluationResult
    unseen: EvaluationResult

    def harmonic(self) -> tuple[dict[str, Any], ...]:
        """One row a scorer: of every measure the harmonic mean of seen and unseen, per image; None where one is."""
        return tuple(
            {"scorer": seen.scorer, **_harmonic(seen.per_image, unseen.per_image)}
            for seen, unseen in zip(self.seen.rows, self.unseen.rows, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result, what was left out and why, and facts of the labels.

    skipped: how many files and folders were left out, by reason, unreadable photos among them.
    coverage: how many candidates got their vector in each way. generalised: None unless photos of trained and
        of other classes are both there.
    """

    result: EvaluationResult
    skipped: dict[str, int]
    coverage: dict[str, int]
    problems: tuple[str, ...]
    generalised: Generalised | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON; no times, no paths."""
        stored = self.result.to_dict() | {"skipped": self.skipped, "coverage": self.coverage}
        if self.generalised is not None:
            stored["generalised"] = {
                "seen": self.generalised.seen.to_dict(),
                "unseen": self.generalised.unseen.to_dict(),
                "harmonic": list(self.generalised.harmonic()),
            }
        return stored


def evaluate_folders(
    model: Model,
    folders: Sequence[Path],
    candidates: str = "unseen",
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Hit@k and hp@k of every scorer on the photos of class folders named by synset.

    candidates: "all", "seen", "unseen" (the model's own lists), "test-classes" (the folders' classes), or a file of
        synset ids, a JSON list as FILE.json#KEY: that list exactly, with vectors made for ids the model lacks.
    on_progress: called with photos done and photos in all.
    UsageError if there is no photo.
    """
    given = {folder.resolve(): folder for folder in reversed(folders)}  # a folder given twice counts once
    photos = [find_test_photos(folder, model.parts.taxonomy) for folder in reversed(given.values())]
    pairs = [pair for found in photos for pair in found.pairs]
    if not pairs:
        raise UsageError(
            f"no photo in class folders named by synset (n02084071) in {', '.join(map(str, folders))}: check the path"
        )
    space, duplicates = _space(model, candidates, tuple(dict.fromkeys(class_id for _, class_id in pairs)))
    features, kept, problems = _features(model, [path for path, _ in pairs], on_progress)
    if not kept:
        raise UsageError(f"none of {len(pairs)} photos could be read, the first: {problems[0]}")
    truth = [pairs[place][1] for place in kept]
    rankings: dict[str, RankedIds] = {
        row: _ranked(model, make_scorer(model.parts, row, space), features)
        for row in ROWS
        if row != CHANCE and (row != "random" or model.parts.random_surgery is not None)
    }
    skipped = _skipped(photos, len(problems), duplicates)
    ask = _Asked(model, space, rankings, truth)
    return Evaluation(ask.result(range(len(truth))), skipped, _coverage(space), tuple(problems), ask.generalised())


@dataclass(frozen=True, slots=True)
class _Asked:
    """Rankings of all photos, evaluated for some of them."""

    model: Model
    space: LabelSpace
    rankings: dict[str, RankedIds]
    truth: list[str]

    def result(self, rows: Sequence[int]) -> EvaluationResult:
        places = np.asarray(rows, dtype=np.int64)
        return evaluate_rankings(
            {name: RankedIds(one.ids, one.ranking[places]) for name, one in self.rankings.items()},
            [self.truth[row] for row in rows],
            self.space.labels.ids,
            self.model.parts.trained_ids,
            self.model.parts.taxonomy,
            settings=EvaluationSettings(ties=TIE_RULE, label_policy=self._policy()),
        )

    def generalised(self) -> Generalised | None:
        trained = frozenset(self.model.parts.trained_ids)
        seen = [row for row, class_id in enumerate(self.truth) if class_id in trained]
        unseen = [row for row, class_id in enumerate(self.truth) if class_id not in trained]
        return Generalised(self.result(seen), self.result(unseen)) if seen and unseen else None

    def _policy(self) -> str:
        return f"label vectors: {self.model.parts.label_policy}; a label without a vector is ranked last"


def _space(model: Model, candidates: str, classes: Sequence[str]) -> tuple[LabelSpace, int]:
    """The candidates, and how many ids stood twice in their file."""
    own = model.parts.space
    match candidates:
        case "all":
            return own, 0
        case "seen" | "unseen":
            return own.subset(np.flatnonzero(own.labels.seen == (candidates == "seen"))), 0
        case "test-classes":
            return synset_space(model.parts, classes), 0
    listed = read_candidates(candidates)
    return synset_space(model.parts, listed.ids), listed.duplicates


def _features(
    model: Model, paths: Sequence[Path], on_progress: Callable[[int, int], None] | None
) -> tuple[Features, list[int], list[str]]:
    """Features of the photos that can be read, their places among all, and the problems of the others."""
    rows, kept, problems = [], [], []
    for place, one in enumerate(model.features(paths)):
        if one.features is None:
            problems.append(f"{paths[place]}: {one.problem}")
        else:
            rows.append(one.features)
            kept.append(place)
        if on_progress is not None:
            on_progress(place + 1, len(paths))
    return np.stack(rows) if rows else np.empty((0, 0), np.float32), kept, problems


def _ranked(model: Model, scorer: Scorer, features: Features) -> RankedIds:
    deepest = min(20, len(scorer.labels))
    blocks = [
        top_k(scorer.scores(model.parts.classifier.evidence(block)), deepest).positions for block in _blocks(features)
    ]
    ranking: Ranking = np.concatenate(blocks)
    return RankedIds(scorer.labels.ids, ranking)


def _harmonic(seen: Means, unseen: Means) -> Means:
    means: Means = {}
    for measure, value in seen.items():
        other = unseen[measure]
        means[measure] = None if value is None or other is None else harmonic_mean(value, other)
    return means


def _blocks(features: Features) -> Iterator[Features]:
    for start in range(0, len(features), _BLOCK):
        yield features[start : start + _BLOCK]


def _skipped(photos: Sequence[TestPhotos], unreadable: int, duplicates: int) -> dict[str, int]:
    counts: dict[str, int] = {}
    for found in photos:
        for reason, count in found.skipped_counts.items():
            counts[reason] = counts.get(reason, 0) + count
    if unreadable:
        counts["a photo that cannot be read"] = unreadable
    if duplicates:
        counts["a candidate that stood twice in its file"] = duplicates
    return dict(sorted(counts.items()))


def _coverage(space: LabelSpace) -> dict[str, int]:
    sources = [label.source for label in space.labels]
    return {source: sources.count(source) for source in sorted(set(sources))}
