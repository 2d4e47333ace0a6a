"""Takes down what a scorer says of photos, block by block, as the record of an evaluation keeps it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from devise.arrays import LabelMask, Ranking, Scores
from devise.errors import LabelError, UsageError
from devise.evaluation.record import DEPTH, Best, ScorerRecord
from devise.index.exact import top_k

__all__ = ["SHARES", "Recorder"]

SHARES = 0.0
"""In place of a temperature: the scores are probabilities, or a constant times them."""

_ROWS = 8  # images whose scores stay in the processor's cache

_Columns = Int64[np.ndarray, "images"]
_Numbers = Float32[np.ndarray, "images"]


@dataclass(frozen=True, eq=False)
class Recorder:
    """What all scorers of a run are asked: the same labels, the same truth.

    labels: the valid labels, the candidates first. trained: those of them that were trained. truth: of each image.
    """

    labels: Sequence[str]
    trained: frozenset[str]
    truth: Sequence[str]

    def record(
        self,
        ranked: Sequence[str],
        blocks: Iterable[Scores],
        *,
        temperature: float | None = None,
        branch: _Columns | None = None,
    ) -> ScorerRecord:
        """What a scorer says, from its scores of all images in blocks, one column for each of `ranked`.

        ranked: ids among `labels`; equal scores go by their order. temperature: exp(score / temperature) is
        proportional to a label's probability; `SHARES` for scores that are it themselves; None where there is none.
        LabelError for an id that is not among the labels, UsageError for scores of more or fewer images.
        """
        where = {one: place for place, one in enumerate(self.labels)}
        unknown = next((one for one in ranked if one not in where), None)
        if unknown is not None:
            raise LabelError(f"{unknown} is ranked, but is neither a candidate nor a trained label: leave it out")
        places = np.array([where[one] for one in ranked], dtype=np.int64)
        column = {one: i for i, one in enumerate(ranked)}
        truth = np.array([column.get(one, -1) for one in self.truth], dtype=np.int64)
        kinds = np.array([one in self.trained for one in ranked], dtype=bool)
        parts: list[_Part] = []
        start = 0
        for block in blocks:
            if start + len(block) > len(truth):
                raise UsageError(f"scores of more than {len(truth)} images were given: give one row an image")
            parts.append(_part(block, truth[start : start + len(block)], kinds, temperature))
            start += len(block)
        if start != len(truth):
            raise UsageError(f"scores of {start} images were given, but there are {len(truth)}: give one row an image")
        return ScorerRecord(
            labels=len(ranked),
            top=places[np.concatenate([part.top for part in parts])],
            scores=np.concatenate([part.scores for part in parts]),
            rank=np.concatenate([part.rank for part in parts]),
            confidence=None if temperature is None else np.concatenate([part.confidence for part in parts]),
            trained=_placed([part.trained for part in parts], places) if 0 < kinds.sum() < len(kinds) else None,
            other=_placed([part.other for part in parts], places) if 0 < kinds.sum() < len(kinds) else None,
            branch=branch,
        )


@dataclass(frozen=True, eq=False, slots=True)
class _Part:
    """A record of one block of images, labels as columns of the scores."""

    top: Ranking
    scores: Float32[np.ndarray, "images k"]
    rank: _Columns
    confidence: _Numbers
    trained: Best
    other: Best


def _part(scores: Scores, truth: _Columns, kinds: LabelMask, temperature: float | None) -> _Part:
    best = top_k(scores, min(DEPTH, scores.shape[1]))
    sides = [_best(scores, best.positions, kinds), _best(scores, best.positions, ~kinds)]
    rank = np.empty(len(scores), dtype=np.int64)
    confidence = np.zeros(len(scores), dtype=np.float32)
    for start in range(0, len(scores), _ROWS):
        rows = slice(start, start + _ROWS)
        rank[rows] = _ranks(scores[rows], truth[rows])
        if temperature is not None:
            confidence[rows] = _shares(scores[rows], best.scores[rows, 0], temperature)
    return _Part(best.positions, best.scores, rank, confidence, *sides)


def _ranks(scores: Scores, truth: _Columns) -> _Columns:
    """1 and the labels before the true one: those that score higher, and of the equal ones those at lower columns."""
    own = np.take_along_axis(scores, np.maximum(truth, 0)[:, None], axis=1)
    before = np.count_nonzero(scores > own, axis=1)
    equal = np.count_nonzero((scores == own) & (np.arange(scores.shape[1]) < truth[:, None]), axis=1)
    return np.where(truth >= 0, before + equal + 1, 0)


def _shares(scores: Scores, highest: _Numbers, temperature: float) -> _Numbers:
    """The probability of each row's best label."""
    if temperature == SHARES:
        return np.asarray(highest / scores.sum(axis=1))
    exponents = (scores - highest[:, None]) / np.float32(temperature)
    return np.asarray(1 / np.exp(exponents).sum(axis=1), dtype=np.float32)


def _best(scores: Scores, top: Ranking, kind: LabelMask) -> Best:
    """The best column of a kind in each row, -1 where there is none: among the first ones, or else among all."""
    marked = kind[top]
    rows = np.arange(len(top))
    columns = top[rows, marked.argmax(axis=1)]
    rest = np.flatnonzero(~marked.any(axis=1))
    every = np.flatnonzero(kind)
    if not len(every):
        return Best(np.full(len(top), -1), np.full(len(top), -np.inf, dtype=np.float32))
    for row in rest:
        columns[row] = every[scores[row, every].argmax()]
    return Best(columns, scores[rows, columns])


def _placed(parts: Sequence[Best], places: Int64[np.ndarray, "ranked"]) -> Best:
    columns = np.concatenate([part.labels for part in parts])
    return Best(places[columns], np.concatenate([part.scores for part in parts]))
