"""Records a scorer's answers block by block, in the form of the evaluation record."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float32, Int64

from devise.arrays import LabelMask, Ranking, Scores
from devise.errors import LabelError, UsageError, counted
from devise.evaluation.hedging import THRESHOLDS
from devise.evaluation.record import DEPTH, LEAST_LOG, Best, Hedging, ScorerRecord
from devise.ranking import top_k
from devise.taxonomy.hedging import LabelTree, label_tree, sure_nodes
from devise.taxonomy.wordnet import Taxonomy

__all__ = ["SHARES", "Recorder", "Recording"]

SHARES = 0.0
"""In place of a temperature: the scores are probabilities, or a constant times them."""

_TINY = np.finfo(np.float32).tiny
_ROWS = 8  # images whose scores stay in the processor's cache

_Columns = Int64[np.ndarray, "images"]
_Numbers = Float32[np.ndarray, "images"]


@dataclass(frozen=True, eq=False)
class Recorder:
    """The task of all scorers of a run: the same labels, the same truth.

    labels: the valid labels, the candidates first. trained: those of them that were trained. truth: of each image.
    taxonomy: what is above the labels, for answers as wide as is sure; None takes none down.
    """

    labels: Sequence[str]
    trained: frozenset[str]
    truth: Sequence[str]
    taxonomy: Taxonomy | None = None

    @cached_property
    def hedging(self) -> Hedging | None:
        """The hedging data of the record in addition to the scorers' answers."""
        return None if self._hedge is None else Hedging(THRESHOLDS, self._hedge.above())

    @cached_property
    def _hedge(self) -> "_Hedge | None":
        return None if self.taxonomy is None else _Hedge.over(self.taxonomy, self.labels)

    def record(
        self,
        ranked: Sequence[str],
        blocks: Iterable[Scores],
        *,
        temperature: float | None = None,
        branch: _Columns | None = None,
    ) -> ScorerRecord:
        """Record a scorer from its scores of all images in blocks, one column for each of `ranked`.

        ranked: ids among `labels`; equal scores go by their order. temperature: exp(score / temperature) is
        proportional to a label's probability; `SHARES` for scores that are it themselves; None where there is none.
        LabelError for an id that is not among the labels, UsageError for scores of more or fewer images.
        """
        taken = self.begin(ranked, temperature=temperature)
        for block in blocks:
            taken.take(block)
        return taken.done(branch)

    def begin(self, ranked: Sequence[str], *, temperature: float | None = None) -> "Recording":
        """Start a recording whose blocks come at different times; arguments as for `record`."""
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
            hedge=None if temperature is None else self._hedge,
        )


@dataclass(eq=False)
class Recording:
    """The answers of one scorer so far; see `Recorder.begin`.

    places: of what it ranks, among the valid labels. truth: the column of each image's true label, or -1.
    kinds: which columns are trained labels. hedge: to answer with what is above the labels too.
    """

    places: Int64[np.ndarray, "labels"]
    truth: _Columns
    kinds: LabelMask
    temperature: float | None
    hedge: "_Hedge | None" = None
    _parts: list["_Part"] = field(default_factory=list)
    _images: int = 0

    def take(self, block: Scores) -> None:
        """Record the next images; UsageError if there are more than announced."""
        end = self._images + len(block)
        if end > len(self.truth):
            raise UsageError(
                f"scores of more than {counted(len(self.truth), 'image')} were given: give one row per image"
            )
        self._parts.append(self._part(block, self.truth[self._images : end]))
        self._images = end

    def done(self, branch: _Columns | None = None) -> ScorerRecord:
        """Return the complete recording; UsageError if images are missing."""
        if self._images != len(self.truth):
            images = len(self.truth)
            raise UsageError(
                f"scores of {counted(self._images, 'image')} were given, but there are {images}: give one row per image"
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
            answers=np.concatenate([part.answers for part in parts]) if self.hedge is not None else None,
        )

    def _part(self, scores: Scores, truth: _Columns) -> "_Part":
        best = top_k(scores, min(DEPTH, scores.shape[1]))
        sides = [_best(scores, best.positions, kinds) for kinds in (self.kinds, ~self.kinds)]
        rank = np.empty(len(scores), dtype=np.int64)
        shares = _Shares(*(np.zeros(len(scores), dtype=np.float32) for _ in range(3)))
        answers = np.empty((len(scores), len(THRESHOLDS)), dtype=np.int64)
        for start in range(0, len(scores), _ROWS):
            rows = slice(start, start + _ROWS)
            rank[rows] = _ranks(scores[rows], truth[rows])
            if self.temperature is not None:
                probabilities, log_total = _probabilities(scores[rows], best.scores[rows, 0], self.temperature)
                own = _own(scores[rows], truth[rows], best.scores[rows, 0], self.temperature)
                shares.best[rows] = probabilities.max(axis=1)
                shares.log_truth[rows] = np.where(truth[rows] < 0, -np.inf, np.maximum(own - log_total, LEAST_LOG))
                shares.squares[rows] = np.square(probabilities).sum(axis=1)
                if self.hedge is not None:
                    answers[rows] = self.hedge.answers(probabilities, self.places)
        return _Part(best.positions, best.scores, rank, shares, answers, *sides)


@dataclass(frozen=True, eq=False)
class _Hedge:
    """The nodes at or above the valid labels. places: each node's position in the record."""

    tree: LabelTree
    places: Int64[np.ndarray, "nodes"]

    @classmethod
    def over(cls, taxonomy: Taxonomy, labels: Sequence[str]) -> "_Hedge":
        tree = label_tree(taxonomy, labels)
        places = np.full(len(tree.ids), -1, dtype=np.int64)
        places[tree.own] = np.arange(len(labels))
        places[places < 0] = np.arange(len(labels), len(tree.ids))
        return cls(tree, places)

    def above(self) -> tuple[str, ...]:
        """The nodes that are not labels, in the record's order."""
        return tuple(self.tree.ids[node] for node in np.argsort(self.places)[len(self.tree.own) :].tolist())

    def answers(
        self, probabilities: Scores, ranked: Int64[np.ndarray, "labels"]
    ) -> Int64[np.ndarray, "images thresholds"]:
        """Return a position in the record per threshold, -1 if no node reaches it. ranked: position of each column."""
        full = probabilities
        if len(ranked) < len(self.tree.own) or (np.diff(ranked) != 1).any():
            full = np.zeros((len(probabilities), len(self.tree.own)), dtype=np.float32)
            full[:, ranked] = probabilities
        nodes = sure_nodes(self.tree, full, np.array(THRESHOLDS))
        return np.where(nodes < 0, -1, self.places[nodes])


@dataclass(frozen=True, eq=False, slots=True)
class _Part:
    """A record of one block of images, labels as columns of the scores."""

    top: Ranking
    scores: Float32[np.ndarray, "images k"]
    rank: _Columns
    shares: "_Shares"
    answers: Int64[np.ndarray, "images thresholds"]
    trained: Best
    other: Best


@dataclass(frozen=True, eq=False, slots=True)
class _Shares:
    """Each image's probabilities: of the best label, the log of the true one's, the sum of squares."""

    best: _Numbers
    log_truth: _Numbers
    squares: _Numbers


def _ranks(scores: Scores, truth: _Columns) -> _Columns:
    """Rank the true label: 1 plus the labels that score higher and the equal ones at lower columns."""
    own = np.take_along_axis(scores, np.maximum(truth, 0)[:, None], axis=1)
    before = np.count_nonzero(scores > own, axis=1)
    equal = np.count_nonzero((scores == own) & (np.arange(scores.shape[1]) < truth[:, None]), axis=1)
    return np.where(truth >= 0, before + equal + 1, 0)


def _probabilities(scores: Scores, highest: _Numbers, temperature: float) -> tuple[Scores, _Numbers]:
    """Return probabilities and the logarithm of their divisor."""
    masses = scores if temperature == SHARES else np.exp((scores - highest[:, None]) / np.float32(temperature))
    total = masses.sum(axis=1)
    return masses / total[:, None], np.log(total)


def _own(scores: Scores, truth: _Columns, highest: _Numbers, temperature: float) -> _Numbers:
    """Return the log of the true label's undivided probability, which is exact even if the probability is 0."""
    own = np.take_along_axis(scores, np.maximum(truth, 0)[:, None], axis=1)[:, 0]
    if temperature == SHARES:
        return np.asarray(np.log(np.maximum(own, _TINY)))
    return np.asarray((own - highest) / np.float32(temperature))


def _best(scores: Scores, top: Ranking, kind: LabelMask) -> Best:
    """Find the best column of a kind in each row, -1 for none: among the first columns, or else among all."""
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
