"""The record of an evaluation: every scorer's answers for every photo, so that no photo is run again.

Tables, intervals, comparisons and reports are computed from it. It is one JSON file of format 2:

    {"format": 2,
     "settings": {...},                      the rules, as in `devise evaluate --json`
     "facts": {...},                         what was run: protocol, folders, model, what was left out
     "candidates": [id...], "trained": [id...],
     "branch": {"synset": id, "labels": [id...]} or null,
     "hedging": {"thresholds": [number...], "above": [id...]} or null,
     "images": [{"id": path in its folder, "truth": id}...],
     "scorers": {name: {"labels": how many it ranked,
                        "top": [[label...]...], "scores": [[number or null...]...],
                        "rank": [number or null...],
                        "confidence": [number...] or null,
                        "log_truth": [number or null...] or null,
                        "squares": [number...] or null,
                        "answers": [[node or null...]...] or null,
                        "trained": [[label or null, score]...] or null,
                        "other": [[label or null, score]...] or null,
                        "branch": [label or null...] or null}}}

A label is its position in the candidates followed by the other trained labels. A score of null is
minus infinity (a label without a vector). A node is a label, or after the labels a position in "above".

Format 1 has no log_truth, squares, answers and hedging. It can be read, without the measures that need them.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from devise.arrays import Bool, Float32, Int64, LabelMask, Ranking, Scores
from devise.errors import LabelError, RecordError, UsageError, counted
from devise.evaluation.measures import ClassRows
from devise.files import atomic_write, parse_json, read_text, reason_of
from devise.ranking import top_k
from devise.taxonomy.hedging import LabelTree, label_tree, sure_nodes
from devise.taxonomy.wordnet import Taxonomy

__all__ = [
    "DEPTH",
    "FORMAT",
    "LEAST_LOG",
    "SHARES",
    "THRESHOLDS",
    "Best",
    "Branch",
    "Hedging",
    "ImageRecord",
    "Record",
    "Recorder",
    "Recording",
    "ScorerRecord",
    "read_record",
    "write_record",
]

FORMAT = 2
"""The format this code writes; it reads those before it too."""

LEAST_LOG = float(np.log(np.finfo(np.float32).tiny))
"""The logarithm of the least probability that differs from 0, 1.2e-38: one error costs at most 87.3 nats."""

DEPTH = 20
"""How many of a scorer's first labels are kept; fewer where it ranks fewer."""

_LARGEST = float(np.finfo(np.float32).max)
THRESHOLDS = (*(round(0.05 * number, 2) for number in range(1, 20)), 0.99)
"""The shares that an answer has to reach, ascending: 0.05, 0.1 and on to 0.95, then 0.99."""

_BROKEN = re.compile(r"[\ud800-\udfff]")  # bytes of a file's name that are not UTF-8, which JSON escapes as \udcXX

_PerImage = Int64[np.ndarray, "images"]
_Numbers = Float32[np.ndarray, "images"]


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One photo. id: its path under the folder that was given, with "/"; truth: the synset it shows."""

    id: str
    truth: str


@dataclass(frozen=True, slots=True)
class Branch:
    """A subtree to rank within: the trained labels at or under a synset, in their order."""

    synset: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hedging:
    """Answers as wide as is sure: the shares of the probability they had to reach, ascending, and the synsets that may
    be answered as well as the labels: those above them.
    """

    thresholds: tuple[float, ...]
    above: tuple[str, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Best:
    """The best label of a kind for each image. labels: positions in `Record.labels`, -1 for none."""

    labels: _PerImage
    scores: _Numbers


@dataclass(frozen=True, eq=False, slots=True)
class ScorerRecord:
    """One scorer's answers for each image; labels are positions in `Record.labels`.

    labels: how many labels it ranked. top, scores: its first labels, best first (up to `DEPTH`).
    rank: how many labels are before the true one, plus 1, equal scores ordered by the lower place; 0 where it
        does not rank the true label.
    confidence: its probability for its first label, in [0, 1]; None for a scorer without probabilities.
    trained, other: its best label among the trained candidates and among the others, for sweeping a penalty on the
        trained ones; None where it ranks only one of the two kinds.
    branch: its best label when asked about the branch's labels alone; None without a branch.
    log_truth: the natural logarithm of its probability for the true label, at least `LEAST_LOG`, minus infinity where
        it does not rank that label. squares: the sum of the squares of its probabilities. None as for confidence, and
        in a record of format 1.
    answers: for each threshold of `Record.hedging` the most informative node that has so much of the probability at or
        below it, as a place in `Record.labels` or after them in `Hedging.above`; -1 where none has. None likewise.
    """

    labels: int
    top: Ranking
    scores: Float32[np.ndarray, "images k"]
    rank: _PerImage
    confidence: _Numbers | None = None
    trained: Best | None = None
    other: Best | None = None
    branch: _PerImage | None = None
    log_truth: _Numbers | None = None
    squares: _Numbers | None = None
    answers: Int64[np.ndarray, "images thresholds"] | None = None


@dataclass(frozen=True, eq=False)
class Record:
    """One run over some photos; the module docstring describes the file.

    settings: the rules as plain values; facts: what was run, as plain values, no times and no absolute paths.
    """

    settings: dict[str, Any]
    candidates: tuple[str, ...]
    trained: tuple[str, ...]
    images: tuple[ImageRecord, ...]
    scorers: Mapping[str, ScorerRecord]
    facts: dict[str, Any] = field(default_factory=dict)
    branch: Branch | None = None
    hedging: Hedging | None = None

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The valid labels: the candidates, then the other trained labels."""
        return tuple(dict.fromkeys([*self.candidates, *self.trained]))

    @property
    def truth_ids(self) -> tuple[str, ...]:
        """The true synset of each image."""
        return tuple(image.truth for image in self.images)

    @cached_property
    def class_rows(self) -> ClassRows:
        """The true class of each image, as a row in the order of ids."""
        return np.asarray(np.unique(self.truth_ids, return_inverse=True)[1].reshape(-1), dtype=np.int64)

    @cached_property
    def trained_images(self) -> Bool[np.ndarray, "images"]:
        """Whether each image shows a trained class."""
        known = frozenset(self.trained)
        return np.array([one in known for one in self.truth_ids], dtype=bool)


def write_record(record: Record, path: Path) -> None:
    """Write the record as JSON, one scorer per line; the same record gives the same bytes."""
    scorers = [f"{json.dumps(name)}: {_dumped(_stored(one))}" for name, one in record.scorers.items()]
    images = [_dumped({"id": image.id, "truth": image.truth}) for image in record.images]
    branch = None if record.branch is None else {"synset": record.branch.synset, "labels": list(record.branch.labels)}
    hedging = None if record.hedging is None else {key: list(of) for key, of in asdict(record.hedging).items()}
    parts = {
        "format": _dumped(FORMAT),
        "settings": _dumped(record.settings),
        "facts": _dumped(record.facts),
        "candidates": _dumped(list(record.candidates)),
        "trained": _dumped(list(record.trained)),
        "branch": _dumped(branch),
        "hedging": _dumped(hedging),
        "images": "[\n" + ",\n".join(images) + "\n]",
        "scorers": "{\n" + ",\n".join(scorers) + "\n}",
    }
    with atomic_write(path) as file:
        file.write("{\n" + ",\n".join(f"{json.dumps(key)}: {text}" for key, text in parts.items()) + "\n}\n")


def read_record(path: Path) -> Record:
    """Read a record; RecordError if it is missing, not a record, damaged or in another format."""
    try:
        stored = parse_json(read_text(path, RecordError))
    except OSError as error:
        raise RecordError(f"no record at {path}: {reason_of(error)}") from None
    except ValueError as error:
        raise RecordError(
            f"{path} is not JSON ({reason_of(error)}): expected a record that devise evaluate --images wrote"
        ) from None
    if not isinstance(stored, dict) or "format" not in stored or "scorers" not in stored:
        raise RecordError(f"{path} is not a record: expected one that devise evaluate --images wrote")
    if stored["format"] not in range(1, FORMAT + 1):
        raise RecordError(f"{path} has format {stored['format']!r}, expected 1 to {FORMAT}: write it again")
    try:
        record = _loaded(stored)
        _check(record)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, MemoryError) as error:
        raise RecordError(f"{path} is a broken record ({reason_of(error)}): write it again") from None
    return record


def _stored(one: ScorerRecord) -> dict[str, Any]:
    return {
        "labels": one.labels,
        "top": one.top.tolist(),
        "scores": [_numbers(row) for row in one.scores],
        "rank": [rank or None for rank in one.rank.tolist()],
        "confidence": None if one.confidence is None else _numbers(one.confidence),
        "log_truth": None if one.log_truth is None else _numbers(one.log_truth),
        "squares": None if one.squares is None else _numbers(one.squares),
        "answers": None if one.answers is None else [[_place(node) for node in row] for row in one.answers.tolist()],
        "trained": _pairs(one.trained),
        "other": _pairs(one.other),
        "branch": None if one.branch is None else [_place(label) for label in one.branch.tolist()],
    }


def _pairs(best: Best | None) -> list[list[Any]] | None:
    if best is None:
        return None
    return [[_place(label), score] for label, score in zip(best.labels.tolist(), _numbers(best.scores), strict=True)]


def _place(label: int) -> int | None:
    return None if label < 0 else label


def _numbers(values: Float32[np.ndarray, "_"]) -> list[float | None]:
    """Return the shortest decimals that give the same 32-bit numbers; None for minus infinity."""
    return [float(str(value)) if np.isfinite(value) else None for value in values]


def _dumped(content: Any) -> str:
    text = json.dumps(content, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    if _BROKEN.search(text) is None:
        return text
    return json.dumps(content, separators=(",", ":"), allow_nan=False)


def _loaded(stored: Mapping[str, Any]) -> Record:
    branch, hedging = stored["branch"], stored.get("hedging")
    return Record(
        settings=dict(stored["settings"]),
        candidates=tuple(stored["candidates"]),
        trained=tuple(stored["trained"]),
        images=tuple(ImageRecord(str(one["id"]), str(one["truth"])) for one in stored["images"]),
        scorers={name: _scorer(name, one, len(stored["images"])) for name, one in stored["scorers"].items()},
        facts=dict(stored["facts"]),
        branch=None if branch is None else Branch(branch["synset"], tuple(branch["labels"])),
        hedging=None if hedging is None else Hedging(tuple(hedging["thresholds"]), tuple(hedging["above"])),
    )


def _scorer(name: str, stored: Mapping[str, Any], images: int) -> ScorerRecord:
    columns = [stored[key] for key in ("top", "scores", "rank", "confidence", "trained", "other", "branch")]
    columns += [stored.get(key) for key in ("log_truth", "squares", "answers")]
    if any(column is not None and len(column) != images for column in columns):
        raise ValueError(f"{name} does not have {images} images")
    if [len(row) for row in stored["top"]] != [len(row) for row in stored["scores"]]:
        raise ValueError(f"{name} does not have one score per label")
    return ScorerRecord(
        labels=int(stored["labels"]),
        top=np.array(stored["top"], dtype=np.int64),
        scores=np.array([[_finite(value) for value in row] for row in stored["scores"]], dtype=np.float32),
        rank=np.array([rank or 0 for rank in stored["rank"]], dtype=np.int64),
        confidence=_optional(stored["confidence"], _floats),
        log_truth=_optional(stored.get("log_truth"), _floats),
        squares=_optional(stored.get("squares"), _floats),
        answers=_optional(stored.get("answers"), lambda rows: np.stack([_labels(row) for row in rows])),
        trained=_optional(stored["trained"], _best),
        other=_optional(stored["other"], _best),
        branch=_optional(stored["branch"], _labels),
    )


def _optional(value: Any, read: Callable[[Any], Any]) -> Any:
    return None if value is None else read(value)


def _finite(value: Any) -> Any:
    if value is None:
        return -np.inf
    if not -_LARGEST <= value <= _LARGEST:
        raise ValueError(f"a number of {value:.3g}")
    return value


def _floats(values: Sequence[float | None]) -> _Numbers:
    return np.array([_finite(value) for value in values], dtype=np.float32)


def _labels(values: Sequence[int | None]) -> _PerImage:
    return np.array([-1 if label is None else label for label in values], dtype=np.int64)


def _best(pairs: Sequence[Sequence[Any]]) -> Best:
    scores = np.array([_finite(score) for _, score in pairs], dtype=np.float32)
    return Best(_labels([label for label, _ in pairs]), scores)


def _check(record: Record) -> None:
    """Raise ValueError if the record is empty or a label is out of range."""
    if not record.images or not record.candidates:
        raise ValueError("it contains no images or no candidates")
    for name, one in record.scorers.items():
        places = [one.top, *(best.labels for best in (one.trained, one.other) if best is not None)]
        if one.branch is not None:
            places.append(one.branch)
        if any(place.size and not -1 <= place.min() <= place.max() < len(record.labels) for place in places):
            raise ValueError(f"{name} names an unknown label")
        if one.answers is not None and not _fits(one.answers, record):
            raise ValueError(f"{name} answers with an unknown node")


def _fits(answers: Int64[np.ndarray, "images thresholds"], record: Record) -> bool:
    hedging = record.hedging
    if hedging is None or answers.shape[1] != len(hedging.thresholds):
        return False
    return bool(-1 <= answers.min(initial=-1) <= answers.max(initial=-1) < len(record.labels) + len(hedging.above))


SHARES = 0.0
"""Instead of a temperature: the scores are probabilities, or a constant times them."""

_TINY = np.finfo(np.float32).tiny
_ROWS = 8  # images whose scores stay in the processor's cache


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
        branch: _PerImage | None = None,
    ) -> ScorerRecord:
        """Record a scorer from its scores of all images in blocks, one column for each of `ranked`.

        ranked: ids among `labels`; equal scores go by their order. temperature: exp(score / temperature) is
        proportional to a label's probability; `SHARES` for scores that are it themselves; None if there is none.
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
    truth: _PerImage
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

    def done(self, branch: _PerImage | None = None) -> ScorerRecord:
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

    def _part(self, scores: Scores, truth: _PerImage) -> "_Part":
        best = top_k(scores, min(DEPTH, scores.shape[1]))
        sides = [_best_of(scores, best.positions, kinds) for kinds in (self.kinds, ~self.kinds)]
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
    rank: _PerImage
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


def _ranks(scores: Scores, truth: _PerImage) -> _PerImage:
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


def _own(scores: Scores, truth: _PerImage, highest: _Numbers, temperature: float) -> _Numbers:
    """Return the log of the true label's undivided probability, which is exact even if the probability is 0."""
    own = np.take_along_axis(scores, np.maximum(truth, 0)[:, None], axis=1)[:, 0]
    if temperature == SHARES:
        return np.asarray(np.log(np.maximum(own, _TINY)))
    return np.asarray((own - highest) / np.float32(temperature))


def _best_of(scores: Scores, top: Ranking, kind: LabelMask) -> Best:
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
