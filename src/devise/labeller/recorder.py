"""Takes down what a scorer says of photos, block by block, as the record of an evaluation keeps it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, Int64

from devise.arrays import LabelMask, Ranking, Scores
from devise.errors import LabelError, UsageError
from devise.evaluation.record import DEPTH, LEAST_LOG, Best, ScorerRecord
from devise.index.exact import top_k

__all__ = ["SHARES", "Recorder", "Recording"]

SHARES = 0.0
"""In place of a temperature: the scores are probabilities, or a constant times them."""

_TINY = np.finfo(np.float32).tiny
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
        taken = self.begin(ranked, temperature=temperature)
        for block in blocks:
            taken.take(block)
        return taken.done(branch)

    def begin(self, ranked: Sequence[str], *, temperature: float | None = None) -> "Recording":
        """The same for one who has the blocks at different times; the arguments are those of `record`."""
        where = {one: place for place, one in enumerate(self.labels)}
        unknown = next((one for one in ranked if one not in where), None)
        if unknown is not None:
            raise LabelError(f"{unknown} is ranked, but is neither a candidate nor a trained label: leave it out")
        column = {one: i for i, one in enumerate(ranked)}
        return Recording(
            places=np.array([where[one] for one in ranked], dtype=np.int64),
            truth=np.array([column.get(one, -1) for one in self.truth], dtype=np.int64),
            kinds=np.array([one in self.trained for one in ranked], dtype=bool),
            temperature=temperature,
        )


@dataclass(eq=False)
class Recording:
    """What one scorer has said so far; see `Recorder.begin`.

    places: of what it ranks, among the valid labels. truth: the column of each image's true label, or -1.
    kinds: which columns are trained labels.
    """

    places: Int64[np.ndarray, "labels"]
    truth: _Columns
    kinds: LabelMask
    temperature: float | None
    _parts: list["_Part"] = field(default_factory=list)
    _images: int = 0

    def take(self, block: Scores) -> None:
        """Take down the next images; UsageError if there are more than were announced."""
        end = self._images + len(block)
        if end > len(self.truth):
            raise UsageError(f"scores of more than {len(self.truth)} images were given: give one row an image")
        self._parts.append(_part(block, self.truth[self._images : end], self.kinds, self.temperature))
        self._images = end

    def done(self, branch: _Columns | None = None) -> ScorerRecord:
        """All of it; UsageError if images are missing."""
        if self._images != len(self.truth):
            images = len(self.truth)
            raise UsageError(
                f"scores of {self._images} images were given, but there are {images}: give one row an image"
            )
        parts, known, both = self._parts, self.temperature is not None, 0 < self.kinds.sum() < len(self.kinds)
        return ScorerRecord(
            labels=len(self.places),
            top=self.places[np.concatenate([part.top for part in parts])],
            scores=np.concatenate([part.scores for part in parts]),
            rank=np.concatenate([part.rank for part in parts]),
            confidence=np.concatenate([part.shares.best for part in parts]) if known else None,
            trained=_placed([part.trained for part in parts], self.places) if both else None,
            other=_placed([part.other for part in parts], self.places) if both else None,
            branch=branch,
            log_truth=np.concatenate([part.shares.log_truth for part in parts]) if known else None,
            squares=np.concatenate([part.shares.squares for part in parts]) if known else None,
        )


@dataclass(frozen=True, eq=False, slots=True)
class _Part:
    """A record of one block of images, labels as columns of the scores."""

    top: Ranking
    scores: Float32[np.ndarray, "images k"]
    rank: _Columns
    shares: "_Shares"
    trained: Best
    other: Best


@dataclass(frozen=True, eq=False, slots=True)
class _Shares:
    """Of each image's probabilities: the best label's, the logarithm of the true one's, the sum of their squares."""

    best: _Numbers
    log_truth: _Numbers
    squares: _Numbers


def _part(scores: Scores, truth: _Columns, kinds: LabelMask, temperature: float | None) -> _Part:
    best = top_k(scores, min(DEPTH, scores.shape[1]))
    sides = [_best(scores, best.positions, kinds), _best(scores, best.positions, ~kinds)]
    rank = np.empty(len(scores), dtype=np.int64)
    shares = _Shares(*(np.zeros(len(scores), dtype=np.float32) for _ in range(3)))
    for start in range(0, len(scores), _ROWS):
        rows = slice(start, start + _ROWS)
        rank[rows] = _ranks(scores[rows], truth[rows])
        if temperature is not None:
            some = _shares(scores[rows], truth[rows], best.scores[rows, 0], temperature)
            shares.best[rows], shares.log_truth[rows], shares.squares[rows] = some.best, some.log_truth, some.squares
    return _Part(best.positions, best.scores, rank, shares, *sides)


def _ranks(scores: Scores, truth: _Columns) -> _Columns:
    """1 and the labels before the true one: those that score higher, and of the equal ones those at lower columns."""
    own = np.take_along_axis(scores, np.maximum(truth, 0)[:, None], axis=1)
    before = np.count_nonzero(scores > own, axis=1)
    equal = np.count_nonzero((scores == own) & (np.arange(scores.shape[1]) < truth[:, None]), axis=1)
    return np.where(truth >= 0, before + equal + 1, 0)


def _shares(scores: Scores, truth: _Columns, highest: _Numbers, temperature: float) -> _Shares:
    """What is kept of each row's probabilities; -inf for the true label where it is not ranked."""
    own = np.take_along_axis(scores, np.maximum(truth, 0)[:, None], axis=1)[:, 0]
    if temperature == SHARES:
        masses, own_log = scores, np.log(np.maximum(own, _TINY))
    else:
        own_log = (own - highest) / np.float32(temperature)
        masses = np.exp((scores - highest[:, None]) / np.float32(temperature))
    total = masses.sum(axis=1)
    log_truth = np.maximum(own_log - np.log(total), LEAST_LOG)
    return _Shares(
        best=np.asarray(masses.max(axis=1) / total),
        log_truth=np.where(truth >= 0, log_truth, -np.inf).astype(np.float32),
        squares=np.square(masses / total[:, None]).sum(axis=1),
    )


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
