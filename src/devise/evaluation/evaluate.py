"""Evaluates a model on class folders of photos: every scorer, the same photos, the same candidates."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from devise.arrays import Features, Int64, Queries, Scores
from devise.errors import UsageError
from devise.evaluation.photos import Gathered, gather, list_photos, list_tagged_photos
from devise.evaluation.record import SHARES, Branch, Record, Recorder, ScorerRecord
from devise.evaluation.summary import Summary, summarise
from devise.evaluation.tables import CHANCE, EvaluationResult, EvaluationSettings, Generalised, rate_record
from devise.evaluation.testsets import Protocol, ProtocolFiles, choose_protocol
from devise.model.candidatefile import read_candidates
from devise.model.candidates import synset_space
from devise.model.context import in_context, neighbours_of
from devise.model.ensemble import Ensemble
from devise.model.labeller import Model
from devise.model.methods import Row, make_scorer, rows_of, temperature_of
from devise.ranking import TIE_RULE, top_k
from devise.space.labelspace import LabelSpace
from devise.space.scorers import PlacingScorer, Scorer
from devise.taxonomy.correct_sets import cached_correct_sets

__all__ = [
    "CONTEXT",
    "ENSEMBLE",
    "KEYWORDS",
    "Evaluation",
    "EvaluationRequest",
    "evaluate_folders",
    "record_gathered",
]

KEYWORDS = "keywords in XMP that devise did not write"
"""How a record describes a truth that is not the names of class folders."""

CONTEXT = "context"
"""The name of the transductive row."""

ENSEMBLE = "ensemble"
"""The name of the row of several models together."""

_HELPED: Row = "fused"  # the method of these rows
_BLOCK = 64  # photos scored at once


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    """The settings of an evaluation.

    candidates: "all", "seen", "unseen" (the model's own lists), "test-classes" (the folders' classes), or a file of
        synset ids, a JSON list as FILE.json#KEY: that list exactly, with vectors made for ids the model lacks.
    protocol: instead of candidates, candidates and test classes by name, see `choose_protocol`; files: what it reads.
    branch: a name or id; the trained classes at or under it are also ranked among themselves.
    cache: a folder to keep correct sets and features of photos in; None computes both again.
    context: a row more, `CONTEXT`: fused, each photo helped by the nearest of this run.
    keywords: the truth is what people wrote as keywords, not the names of class folders; see `list_tagged_photos`.
    """

    candidates: str = "unseen"
    protocol: str | None = None
    files: ProtocolFiles = field(default_factory=ProtocolFiles)
    branch: str | None = None
    cache: Path | None = None
    context: bool = False
    keywords: bool = False


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result, the skipped input with reasons, and facts about the labels.

    skipped: how many files and folders were left out, by reason, unreadable photos among them.
    coverage: how many candidates got their vector in each way. generalised: None unless photos of trained and
        of other classes are both there. record: what every scorer said. summary: all measures with intervals.
    protocol: what the candidates and test classes are, in words. notes: what was wrong with the files of photos.
    """

    result: EvaluationResult
    skipped: dict[str, int]
    coverage: dict[str, int]
    problems: tuple[str, ...]
    record: Record
    summary: Summary
    protocol: str
    generalised: Generalised | None = None
    notes: tuple[str, ...] = ()

    @property
    def transductive(self) -> dict[str, str]:
        """The rows whose answers depend on the other photos, and how; other rows take each photo alone."""
        return dict(self.record.facts.get("transductive", {}))

    def to_dict(self) -> dict[str, Any]:
        """For JSON; no times, no paths."""
        stored = self.result.to_dict() | {"skipped": self.skipped, "coverage": self.coverage}
        if self.transductive:
            stored["transductive"] = self.transductive
        if self.generalised is not None:
            stored["generalised"] = {
                "seen": self.generalised.seen.to_dict(),
                "unseen": self.generalised.unseen.to_dict(),
                "harmonic": list(self.generalised.harmonic()),
            }
        return stored | {"protocol": self.protocol} | self.summary.to_dict()


def evaluate_folders(
    model: Model,
    folders: Sequence[Path],
    candidates: str = "unseen",
    *,
    request: EvaluationRequest | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Evaluate every scorer on photos in class folders named by synset.

    candidates: see `EvaluationRequest`, which may be given in its place.
    on_progress: called with photos done and photos in all.
    UsageError if there is no photo.
    """
    asked = request or EvaluationRequest(candidates)
    listing, problems = list_tagged_photos(model, folders) if asked.keywords else (list_photos(model, folders), ())
    chosen = _chosen(model, asked, listing.classes)
    if chosen.classes is not None:
        listing = listing.of_classes(chosen.classes, f"photos of a class outside {chosen.words}")
    photos = gather(model, listing, on_progress, asked.cache and asked.cache / "features")
    return _evaluated(model, replace(photos, problems=(*problems, *photos.problems)), chosen, asked)


def record_gathered(model: Model, photos: Gathered, request: EvaluationRequest) -> Record:
    """Record every scorer's answers for photos with known features."""
    chosen = _chosen(model, request, photos.listing.classes)
    if chosen.classes is not None:
        photos = photos.of_classes(chosen.classes, f"photos of a class outside {chosen.words}")
    return _record(model, photos, chosen, request)


@dataclass(frozen=True, eq=False, slots=True)
class _Chosen:
    """The candidates, the test classes (None: all), what the lists left out, and a description."""

    space: LabelSpace
    words: str
    classes: frozenset[str] | None = None
    left_out: dict[str, int] | None = None


def _chosen(model: Model, asked: EvaluationRequest, photographed: Sequence[str]) -> _Chosen:
    parts, own = model.parts, model.parts.space
    if asked.protocol is not None:
        found = choose_protocol(asked.protocol, parts.trained_ids, parts.taxonomy, photographed, asked.files)
        return _Chosen(synset_space(parts, found.candidates), _words(found), found.classes, found.left_out)
    match asked.candidates:
        case "all":
            return _Chosen(own, "all labels of the model")
        case "seen" | "unseen":
            if asked.candidates == "unseen" and not parts.trained_ids:
                return _Chosen(own, "all labels of the model")
            rows = np.flatnonzero(own.labels.seen == (asked.candidates == "seen"))
            return _Chosen(own.subset(rows), f"the {asked.candidates} labels of the model")
        case "test-classes":
            return _Chosen(synset_space(parts, photographed), "the classes of the photos")
    listed = read_candidates(asked.candidates, parts.taxonomy)
    twice = {"a duplicate candidate in its file": listed.duplicates} if listed.duplicates else {}
    return _Chosen(synset_space(parts, listed.ids), listed.source, left_out=twice)


def _words(protocol: Protocol) -> str:
    return f"{protocol.name} ({protocol.source})"


def _evaluated(model: Model, photos: Gathered, chosen: _Chosen, asked: EvaluationRequest) -> Evaluation:
    record = _record(model, photos, chosen, asked)
    names = sorted(set(record.truth_ids))
    ks = tuple(record.settings["hp_ks"])
    cache = asked.cache and asked.cache / "correct-sets"
    correct = cached_correct_sets(model.parts.taxonomy, names, ks, record.labels, cache)
    rates = rate_record(record, model.parts.taxonomy, correct)
    return Evaluation(
        result=rates.table(),
        skipped=record.facts["skipped"],
        coverage=record.facts["coverage"],
        problems=photos.problems,
        record=record,
        summary=summarise(record, model.parts.taxonomy, rates=rates),
        protocol=chosen.words,
        generalised=rates.generalised(record.trained_images),
        notes=photos.notes,
    )


@dataclass(frozen=True, eq=False, slots=True)
class _Row:
    """A row of the tables. moved: the photos' places in the label space, instead of those from their features."""

    model: Model
    row: Row
    features: Features
    moved: Queries | None = None

    @property
    def models(self) -> tuple[Model, ...]:
        """The models whose scores it needs."""
        return self.model.models if isinstance(self.model, Ensemble) else (self.model,)

    @property
    def temperature(self) -> float | None:
        """The temperature of the method, as in `LabelRun`; None for rows without probabilities."""
        if isinstance(self.model, Ensemble):
            return 1.0
        if self.row == "softmax":
            return SHARES
        return None if self.row == "random" else temperature_of(self.model.parts, self.row)

    def scorer(self, space: Callable[[Model], LabelSpace]) -> Scorer:
        """Return the scorer. space: the labels to rank, of each model."""
        scorers = [make_scorer(one.parts, self.row, space(one)) for one in self.models]
        return self.model.joined(scorers) if isinstance(self.model, Ensemble) else scorers[0]

    def scores(self, scorer: Scorer) -> Iterator[Scores]:
        """Score all photos, in blocks."""
        for start in range(0, len(self.features), _BLOCK):
            evidence = self.model.evidence(self.features[start : start + _BLOCK])
            if self.moved is None:
                yield scorer.scores(evidence)
            else:
                assert isinstance(scorer, PlacingScorer)
                yield scorer.scores_of(self.moved[start : start + _BLOCK], evidence)


def _rows(model: Model, features: Features, asked: EvaluationRequest) -> dict[str, _Row]:
    """All rows of a model. Of an ensemble: those of the first model, `fused` of the others, and `ENSEMBLE`."""
    if isinstance(model, Ensemble):
        first, *others = zip(model.models, model.split(features), strict=True)
        rows = _rows(*first, asked)
        rows |= {f"{_HELPED} {number}": _Row(one, _HELPED, part) for number, (one, part) in enumerate(others, start=2)}
        return rows | {ENSEMBLE: _Row(model, _HELPED, features)}
    left_out = (CHANCE,) if model.parts.random_surgery is not None else (CHANCE, "random")
    rows = {row: _Row(model, row, features) for row in rows_of(model.parts) if row not in left_out}
    return rows | {CONTEXT: _Row(model, _HELPED, features, _moved(model, features))} if asked.context else rows


def _record(model: Model, photos: Gathered, chosen: _Chosen, asked: EvaluationRequest) -> Record:
    parts, space = model.parts, chosen.space
    labels = tuple(dict.fromkeys([*space.labels.ids, *parts.trained_ids]))
    truth = [image.truth for image in photos.listing.images]
    recorder = Recorder(labels, frozenset(parts.trained_ids), truth, parts.taxonomy)
    branch = None if asked.branch is None else _branch(model, asked.branch)
    scorers: dict[str, ScorerRecord] = {}
    spaces = {id(parts): space}
    for name, one in _rows(model, photos.features, asked).items():
        for each in one.models:
            if id(each.parts) not in spaces:
                spaces[id(each.parts)] = _chosen(each, asked, photos.listing.classes).space
        scorer = one.scorer(lambda each: spaces[id(each.parts)])
        scorers[name] = recorder.record(
            scorer.labels.ids,
            one.scores(scorer),
            temperature=one.temperature,
            branch=None if branch is None else _in_branch(one, branch, labels),
        )
    policy = f"label vectors: {parts.label_policy}; a label without a vector is ranked last"
    settings = EvaluationSettings(ties=TIE_RULE, label_policy=policy, graph=parts.taxonomy.graph_hash)
    return Record(
        settings={key: list(of) if isinstance(of, tuple) else of for key, of in asdict(settings).items()},
        candidates=space.labels.ids,
        trained=parts.trained_ids,
        images=photos.listing.images,
        scorers=scorers,
        facts={
            "model": model.name,
            "protocol": chosen.words,
            "folders": list(photos.listing.folders),
            **({"truth": KEYWORDS} if asked.keywords else {}),
            "skipped": dict(sorted((photos.listing.skipped | (chosen.left_out or {})).items())),
            "coverage": _coverage(space),
            **({"transductive": {CONTEXT: _context_in_words(len(photos.features))}} if asked.context else {}),
        },
        branch=branch,
        hedging=recorder.hedging,
    )


def _branch(model: Model, name: str) -> Branch:
    """Find the trained labels at or under the sense of a name with the most; UsageError for fewer than 2."""
    taxonomy = model.parts.taxonomy
    under = [
        Branch(sense.id, tuple(one for one in model.parts.trained_ids if one in below))
        for sense in taxonomy.find(name)
        for below in [taxonomy.subtree(sense.id)]
    ]
    found = max(under, key=lambda branch: len(branch.labels), default=None)
    if found is None or len(found.labels) < 2:
        raise UsageError(
            f"a branch needs at least 2 trained labels under it, {name!r} has "
            f"{0 if found is None else len(found.labels)}: use a more general name, such as dog"
        )
    return found


def _in_branch(row: _Row, branch: Branch, labels: Sequence[str]) -> Int64[np.ndarray, "images"]:
    """Return the best label of each photo among the branch's labels only."""
    scorer = row.scorer(lambda one: synset_space(one.parts, branch.labels))
    best = np.concatenate([top_k(block, 1).positions[:, 0] for block in row.scores(scorer)])
    where = {label: place for place, label in enumerate(labels)}
    places = np.array([where[label] for label in scorer.labels.ids], dtype=np.int64)
    return np.asarray(places[best])


def _moved(model: Model, features: Features) -> Queries:
    """Move each photo in the label space towards its nearest photos; the requested labels do not matter."""
    scorer = make_scorer(model.parts, _HELPED, model.parts.space)
    assert isinstance(scorer, PlacingScorer)
    evidence = model.parts.classifier.evidence
    starts = range(0, len(features), _BLOCK)
    return in_context(np.concatenate([scorer.queries(evidence(features[i : i + _BLOCK])) for i in starts]))


def _context_in_words(photos: int) -> str:
    return f"{_HELPED}, each photo helped by the {neighbours_of(photos)} nearest others of this run"


def _coverage(space: LabelSpace) -> dict[str, int]:
    sources = [label.source for label in space.labels]
    return {source: sources.count(source) for source in sorted(set(sources))}
