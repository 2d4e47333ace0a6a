"""Model: pictures in, ranked labels out."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from devise.arrays import Features, Float32, LabelVectors, Queries, Ranking, Scores
from devise.errors import DeviseError, LabelError, PictureError, UsageError, counted, with_addresses
from devise.labels import Label, LabelSet
from devise.model.answers import Answer, Explanation, Guess, Hedge, Regions, Standing, TrainedShare
from devise.model.candidates import Candidates, choose_candidates
from devise.model.context import answers_in_context
from devise.model.methods import METHODS, KindScorer, Method, make_scorer, temperature_of
from devise.model.parts import ModelParts
from devise.model.rejection import JoinedRejection, Reject, Rejection
from devise.model.typed import TypedLabel, parse_labels
from devise.ranking import ranks, rows_in_cache, top_k
from devise.space.evidence import Evidence, Probabilities
from devise.space.kernel import kernel_queries, leans
from devise.space.labelspace import unit_rows
from devise.space.scorers import PlacingScorer, Scorer
from devise.vision.backbone import Backbone
from devise.vision.decoding import PictureSource, is_one_picture
from devise.vision.folders import Found
from devise.vision.pipeline import Extracted, Windows, cores, extract, one_thread
from devise.vision.runtime import Device, Placement, Precision

if TYPE_CHECKING:
    from devise.model.hedges import Hedger
    from devise.vision.regions import FeatureMaps

__all__ = ["Explainer", "LabelRequest", "LabelRun", "Model", "Picture", "load", "surest_frame"]

Picture: TypeAlias = str | PictureSource | Found
_Result: TypeAlias = tuple[tuple[Guess, ...], tuple[Standing, ...], Hedge | None] | None
"""A picture's guesses, the ranks of the typed labels and the hedge; None if it shows none of the candidates."""

_NONE_TRAINED = "the softmax can name only trained labels, but no candidate is trained: use another method"
_TOP = 5
_NARROWER = 3  # narrower names of a hedge, where `top` is not given
_BLOCK = 128  # pictures scored at once
_IN_CONTEXT: tuple[Method, ...] = ("fused", "kernel")  # the methods measured with context
_REGION_SURE = 0.7  # probability that the name of a region needs, if `sure` is not given


@dataclass(frozen=True, slots=True)
class LabelRequest:
    """Options for every picture of a run.

    top: guesses per picture, or all labels if there are fewer; None is 5. method: which scorer.
    candidates, under: see `choose_candidates`.
    typed: labels typed by the user. reject: a best score below this, in [0, 1], is "none of these"; "auto", for the
        method fused, is as `Rejection` says; None is "auto" where `sure` is given to that method, else 0.
    explain: whether guesses carry an explanation.
    sure: each answer also has a hedge: the most exact name, a label or a hypernym, that has at least this probability,
        in (0, 1].
    in_doubt: as `sure`, but only pictures whose best guess is less probable than this get a hedge.
    context: each picture is helped by those of the run that are nearest to it; see `devise.model.context`.
    regions: the parts of each picture are named too; see `devise.model.regions`.
    """

    top: int | None = None
    method: Method = "fused"
    candidates: str = "all"
    under: str | None = None
    typed: tuple[TypedLabel, ...] = ()
    reject: Reject | None = None
    explain: bool = False
    sure: float | None = None
    in_doubt: float | None = None
    context: bool = False
    regions: bool = False

    def __post_init__(self) -> None:
        if self.top is not None and not isinstance(self.top, Integral):
            raise UsageError(f"top must be a whole number, got {self.top!r}")
        if self.top is not None and self.top < 1:
            raise UsageError(f"top must be at least 1, got {self.top}")
        if not isinstance(self.candidates, str):
            raise UsageError(
                f"candidates must be the name of a list or of a file, got {self.candidates!r}: give words as labels"
            )
        if self.method not in METHODS:
            raise UsageError(f"the method must be one of {', '.join(METHODS)}, got {self.method!r}")
        if self.reject == "auto":
            if self.method != "fused":
                raise UsageError(f"reject auto needs the method fused, got {self.method}: give a probability instead")
        elif self.reject is not None and not (isinstance(self.reject, int | float) and 0 <= self.reject <= 1):
            raise UsageError(f"reject must be auto or a probability from 0 to 1, got {self.reject!r}")
        for name, share in (("sure", self.sure), ("in_doubt", self.in_doubt)):
            if share is not None and not (isinstance(share, Real) and 0 < share <= 1):
                raise UsageError(f"{name} must be a probability above 0 and at most 1, got {share!r}")
        if self.context and self.method not in _IN_CONTEXT:
            raise UsageError(f"context needs the method {' or '.join(_IN_CONTEXT)}, got {self.method}: change one")
        if self.regions and self.method != "fused":
            raise UsageError(f"regions need the method fused, got {self.method}: change one")
        if self.regions and self.context:
            raise UsageError("regions are parts of one photo, but context uses the other photos: leave out one of them")

    @property
    def rejects(self) -> Reject:
        """Return the effective value of `reject`."""
        if self.reject is not None:
            return self.reject
        return "auto" if self.sure is not None and self.method == "fused" else 0.0


class Model:
    """A loaded model. Thread-safe.

    >>> import devise
    >>> model = devise.load()
    >>> len(model.labels)
    39990
    """

    def __init__(self, parts: ModelParts) -> None:
        self.parts = parts
        self._backbone: Backbone | None = None
        self._feature_maps: FeatureMaps | None = None
        self._lock = threading.Lock()

    def in_language(self, language: str | None) -> "Model":
        """Return this model with names in another language, or in English for None; see `load`.

        The two models share the network and the label vectors.
        """
        other = Model(self.parts.in_language(language))
        other._backbone = self.backbone()
        return other

    @property
    def labels(self) -> LabelSet:
        """Return all labels of the model; their glosses are empty, `labelled` adds them."""
        return self.parts.space.labels

    @property
    def name(self) -> str:
        """Return the name with the options that change scores."""
        return self.parts.name

    @property
    def dim(self) -> int:
        """Return the number of features per picture."""
        return self.parts.bundle.manifest.backbone.features

    def label(
        self,
        picture: Picture,
        *,
        top: int | None = None,
        method: Method = "fused",
        candidates: str = "all",
        under: str | None = None,
        labels: str | None = None,
        reject: Reject | None = None,
        explain: bool = False,
        sure: float | None = None,
        regions: bool = False,
    ) -> Answer:
        """Name what is in a picture.

        picture: a path, the bytes of a file, a PIL image or an array (see `read_picture`).
        labels: labels to add, as text: "kick scooter, zedonk: offspring of a zebra and a donkey".
        For the rest see `LabelRequest`. PictureError if the picture cannot be read.
        """
        if isinstance(picture, list | tuple):
            raise UsageError("label expects one picture, got a list: use label_many")
        request = LabelRequest(top, method, candidates, under, _typed(labels), reject, explain, sure, regions=regions)
        answer = next(self.run(request).answers([picture]))
        if answer.problem is not None:
            raise PictureError(f"{answer.source}: {answer.problem}")
        return answer

    def label_many(
        self,
        pictures: Iterable[Picture],
        *,
        top: int | None = None,
        method: Method = "fused",
        candidates: str = "all",
        under: str | None = None,
        labels: str | None = None,
        reject: Reject | None = None,
        explain: bool = False,
        sure: float | None = None,
        context: bool = False,
        regions: bool = False,
    ) -> Iterator[Answer]:
        """Name what is in each of many pictures, in order, in flat memory.

        The arguments are those of `label`. A picture that cannot be read gets an answer with a problem.
        context: names depend on the other pictures too, see `LabelRequest`: all are read before the first answer, and
        UsageError comes instead of it if only one can be read.
        """
        if is_one_picture(pictures):
            raise UsageError("label_many expects several pictures, got one: use label, or put it in a list")
        if not isinstance(pictures, Iterable):
            raise UsageError(f"label_many expects a list of pictures, got {type(pictures).__name__}")
        typed = _typed(labels)
        request = LabelRequest(
            top, method, candidates, under, typed, reject, explain, sure, context=context, regions=regions
        )
        return self.run(request).answers(pictures)

    def run(self, request: LabelRequest) -> "LabelRun":
        """Prepare a request: choose candidates and build the scorer once for any number of pictures."""
        chosen = choose_candidates(self.parts, request.candidates, under=request.under, typed=request.typed)
        return LabelRun(self, request, chosen)

    @property
    def label_vectors(self) -> LabelVectors:
        """Return the positions of labels among pictures: one unit vector per label of `labels`, in order."""
        return self.parts.placed.vectors

    def embed(self, picture: Picture) -> Float32[np.ndarray, " dim"]:
        """Return the picture as a unit vector among `label_vectors`: unit(placing + share * ConSE)."""
        found = next(self.features([picture]))
        if found.problem is not None:
            raise PictureError(found.problem)
        return self.embedded([found])[0]

    def embedded(self, block: Sequence[Extracted]) -> list[Float32[np.ndarray, " dim"]]:
        """Return readable pictures of known features as `embed` does."""
        features = np.stack([picture.features for picture in block if picture.features is not None])
        return list(self._placing.queries(self.parts.classifier.evidence(features)))

    @cached_property
    def _placing(self) -> PlacingScorer:
        scorer = make_scorer(self.parts, "fused", self.parts.space.subset([0]))
        assert isinstance(scorer, PlacingScorer)
        return scorer

    def features(self, pictures: Iterable[Picture], *, regions: bool = False) -> Iterator[Extracted]:
        """Yield the features of each picture, in order; see `extract`. regions: those of its parts too."""
        sources = (Path(picture) if isinstance(picture, str | os.PathLike) else picture for picture in pictures)
        maps = self.feature_maps() if regions else None
        return extract(sources, self.backbone(), regions=maps, joined=self._joined)

    def feature_maps(self) -> "FeatureMaps":
        """Return the network for parts of pictures, compiled at first use; UsageError if it has no feature map."""
        with self._lock:
            if self._feature_maps is None:
                self._feature_maps = self.parts.feature_maps(streams=cores())
            return self._feature_maps

    def _joined(self, frames: Features) -> Float32[np.ndarray, " features"]:
        """Return the features of one frame, as those of the whole video.

        With a text tower it is the frame nearest to the mean of all frames, else see `surest_frame`.
        """
        if self.parts.has_tower:
            placed = unit_rows(frames)
            row: Float32[np.ndarray, " features"] = frames[int((placed @ placed.mean(axis=0)).argmax())]
            return row
        row = frames[surest_frame(self.parts.classifier.evidence(frames).probabilities)]
        return row

    def backbone(self) -> Backbone:
        """Return the network, compiled at first use for one picture per core, and cached."""
        with self._lock:
            if self._backbone is None:
                self._backbone = self.parts.backbone(streams=cores())
            return self._backbone

    def prepare(self) -> None:
        """Compile the network in the background; an error is raised at first use."""
        threading.Thread(target=self.compile_quietly, name="devise-compile", daemon=True).start()

    def compile_quietly(self) -> None:
        """Compile the network; an error is raised at first use."""
        with suppress(DeviseError):
            self.backbone()

    def evidence(self, features: Features) -> Evidence:
        """Return what scorers take, from the features of pictures."""
        return self.parts.classifier.evidence(features)


_MOST_LEANS = 3


class Explainer:
    """Explains guesses for the pictures of some evidence."""

    def __init__(self, parts: ModelParts, evidence: Evidence) -> None:
        self._parts = parts
        self._evidence = evidence
        self._trained = parts.space.rows(parts.trained)

    def explanation(self, image: int, label: Label, vector: Float32[np.ndarray, " dim"]) -> Explanation:
        """Explain one guess for the image at this row. vector: of the label, unit length."""
        return Explanation(self._path(label), self._leans_on(image, vector))

    def _path(self, label: Label) -> tuple[str, ...]:
        taxonomy = self._parts.taxonomy
        if label.id not in taxonomy:
            return ()
        return tuple(taxonomy.synset(synset_id).name for synset_id in taxonomy.hypernym_paths(label.id)[0])

    def _leans_on(self, image: int, vector: Float32[np.ndarray, " dim"]) -> tuple[TrainedShare, ...]:
        """Return each trained label's share in the kernel score of the guess, or in the sum of probability x cosine if
        the model has no kernel; negative contributions are left out.
        """
        kernel = self._parts.kernel
        if kernel is None:
            lean = np.maximum(self._evidence.probabilities[image] * (self._trained @ vector), 0)
        else:
            query = kernel_queries(self._evidence.features[image : image + 1], kernel.axes)
            lean = np.maximum(leans(vector, self._trained, kernel, query)[0], 0)
        total = float(lean.sum())
        if total <= 0:
            return ()
        best = np.argsort(-lean, kind="stable")[:_MOST_LEANS]
        ids = self._parts.trained_ids
        return tuple(
            TrainedShare(self._parts.space.labels[self._parts.space.labels.position(ids[i])], float(lean[i]) / total)
            for i in best.tolist()
            if lean[i] > 0
        )


class LabelRun:
    """A prepared request for any number of pictures; see `Model.run`.

    candidates: the labels to rank. notes: for the user, about the labels.
    """

    def __init__(self, model: Model, request: LabelRequest, candidates: Candidates) -> None:
        self.request = request
        self.candidates = candidates.space.labels
        self.notes = candidates.notes
        self._model = model
        self._space = candidates.space
        self._chosen = candidates
        self._scorer: Scorer = _scorer(model.parts, request.method, candidates)
        self.ranked = self._scorer.labels
        self._labelled = dict[int, Label]()  # those that were guesses, by position
        self._typed = [self.ranked.position(label_id) for label_id in candidates.typed if label_id in self.ranked]
        if request.regions:
            model.feature_maps()  # a network without one is refused before the first picture
        if request.method == "softmax":
            self.notes = (*self.notes, *_softmax_notes(request, self.candidates, self.ranked))
        self._top = min(request.top or _TOP, len(self.ranked))
        auto = request.rejects == "auto"
        self._rejection: Rejection | JoinedRejection | None = None
        if auto:
            self._rejection = Rejection(model.parts, candidates, self.ranked.ids)
        self._temperature = np.float32(
            temperature_of(model.parts, request.method) if request.method != "softmax" else 1.0
        )

    def prepare(self) -> None:
        """Load everything that scoring needs now, by scoring a blank.

        Data that only a picture in doubt needs is not loaded: there may be none.
        """
        self._results(np.zeros((1, self._model.dim), np.float32), blank=True)

    def answers(self, pictures: Iterable[Picture], on_picture: Callable[[], None] = lambda: None) -> Iterator[Answer]:
        """Yield one answer per picture, in order, at most two blocks late; broken pictures do not stop it.

        In context all pictures are read first, with a call of `on_picture` each; see `answers_in_context`.
        """
        extracted = self._model.features(pictures, regions=self.request.regions)
        if self.request.context:
            yield from answers_in_context(self, extracted, on_picture)
            return
        number = 0
        while block := list(islice(extracted, _BLOCK)):
            with one_thread() if len(block) > 1 else nullcontext():
                answers = self.answers_of(block, first=number)
            yield from answers
            number += len(block)

    def queries(self, features: Features) -> Queries:
        """Return positions of pictures in the label space, by a method that places them."""
        assert isinstance(self._scorer, PlacingScorer), f"the method {self.request.method} does not place pictures"
        return self._scorer.queries(self._model.evidence(features))

    def answers_of(self, block: Sequence[Extracted], first: int = 0, queries: Queries | None = None) -> list[Answer]:
        """Return answers for pictures of known features. first: the number of the first in its batch.

        queries: positions of readable pictures in the label space; None computes them from the features.
        """
        readable = [picture.features for picture in block if picture.features is not None]
        results = iter(self._results(np.stack(readable), queries) if readable else ())
        return [self._answer(picture, number, results) for number, picture in enumerate(block, start=first)]

    def _answer(self, picture: Extracted, number: int, results: Iterator[_Result]) -> Answer:
        """Return the answer for a picture. results: of the readable pictures from this one on; it takes its own."""
        source = str(picture.source) if isinstance(picture.source, Path) else f"#{number}"
        if picture.problem is not None:
            return Answer(with_addresses(source), problem=picture.problem)
        result = next(results)
        regions = None if picture.windows is None or not self.request.regions else self.regions_of(picture.windows)
        if result is None:
            return Answer(source, rejected=True, note=picture.note, regions=regions)
        guesses, standings, hedge = result
        return Answer(source, guesses, standings=standings, note=picture.note, hedge=hedge, regions=regions)

    def regions_of(self, windows: Windows) -> Regions:
        """Name the parts of a picture: each gets the most exact name that is probable enough, or none.

        The probability is `sure`, 0.7 if that is not given. A part that shows none of the candidates gets no name; that
        is decided as for a whole picture, by "auto" if `reject` is not given.
        """
        from devise.model.regions import sure_regions

        if not windows.boxes:
            return Regions(*windows.size, ())
        evidence = self._model.parts.classifier.evidence(windows.features)
        scores = self._scorer.scores(evidence)
        reject = self.request.reject
        auto = reject is None or isinstance(reject, str)
        none = self._part_rejection.shows_none(scores, evidence, None) if auto else np.zeros(len(scores), dtype=bool)
        shares, weights = self._shares_and_weights(scores, top_k(scores, 1).scores)
        if not isinstance(reject, str) and reject is not None:
            none = shares[:, 0] < reject
        hedges = self._hedged(weights, ~none, _REGION_SURE if self.request.sure is None else self.request.sure, 0)
        return Regions(*windows.size, sure_regions(windows.boxes, hedges, self._hedger.related))

    @cached_property
    def _part_rejection(self) -> Rejection:
        if isinstance(self._rejection, Rejection):
            return self._rejection
        return Rejection(self._model.parts, self._chosen, self.ranked.ids)

    def _results(self, features: Features, queries: Queries | None = None, blank: bool = False) -> list[_Result]:
        """Rank the labels for pictures of these features. queries: see `answers_of`. blank: none is in doubt."""
        evidence = self._model.evidence(features)
        if queries is None:
            scores = self._scorer.scores(evidence)
        else:
            assert isinstance(self._scorer, PlacingScorer)
            scores = self._scorer.scores_of(queries, evidence)
        standings = self._standings(scores)
        none = None if self._rejection is None else self._rejection.shows_none(scores, evidence, queries)
        matches = top_k(scores, self._top)
        shares, weights = self._shares_and_weights(scores, matches.scores)
        del scores  # their memory has the weights now
        best: np.ndarray = np.ones(len(shares)) if blank else shares[:, 0].astype(np.float64)
        if none is None:
            none = best < self.request.rejects
        guesses = self._guesses(evidence, matches.positions, shares)
        results = zip(guesses, standings, self._hedges(best, weights), strict=True)
        return [None if rejected else result for rejected, result in zip(none, results, strict=True)]

    @cached_property
    def _hedger(self) -> "Hedger":
        from devise.model.hedges import Hedger

        return Hedger(self._model.parts, self.candidates, self.ranked)

    def _hedges(self, best: np.ndarray, weights: Scores) -> list[Hedge | None]:
        """Return the hedge of each picture, None if the request asks for none.

        best: probability of each picture's first guess. weights: see `_shares_and_weights`.
        """
        most = _NARROWER if self.request.top is None else self._top
        if self.request.sure is not None:
            return self._hedged(weights, np.ones(len(weights), dtype=bool), self.request.sure, most)
        threshold = self.request.in_doubt
        return [None] * len(weights) if threshold is None else self._hedged(weights, best < threshold, threshold, most)

    def _hedged(self, weights: Scores, hedging: np.ndarray, threshold: float, most: int) -> list[Hedge | None]:
        """Return the hedges of some rows of `weights`, None for the others.

        hedging: whether each row gets one. threshold: the probability its name needs. most: narrower names in each.
        """
        hedges: list[Hedge | None] = [None] * len(weights)
        rows = np.flatnonzero(hedging)
        if len(rows):
            probabilities = weights[rows] / weights[rows].sum(axis=1, keepdims=True, dtype=np.float64)
            for row, hedge in zip(rows.tolist(), self._hedger.hedges(probabilities, threshold, most), strict=True):
                hedges[row] = hedge
        return hedges

    def _standings(self, scores: Scores) -> list[tuple[Standing, ...]]:
        if not self._typed:
            return [()] * len(scores)
        labels = [self._model.parts.labelled(self.ranked[position]) for position in self._typed]
        return [
            tuple(sorted(map(Standing, labels, row), key=lambda standing: standing.rank))
            for row in ranks(scores, self._typed).tolist()
        ]

    def _guesses(self, evidence: Evidence, best: Ranking, shares: np.ndarray) -> list[tuple[Guess, ...]]:
        """Return the guesses of each picture. best: positions of its labels. shares: their probabilities."""
        explainer = Explainer(self._model.parts, evidence) if self.request.explain else None
        return [
            tuple(
                self._guess(position, share, image, explainer) for position, share in zip(positions, row, strict=True)
            )
            for image, (positions, row) in enumerate(zip(best.tolist(), shares.tolist(), strict=True))
        ]

    def _guess(self, position: int, share: float, image: int, explainer: Explainer | None) -> Guess:
        label = self._labelled.get(position) or self._labelled.setdefault(
            position, self._model.parts.labelled(self.ranked[position])
        )
        if explainer is None:
            return Guess(label, share)
        return Guess(label, share, explainer.explanation(image, label, self._vector(label)))

    def _vector(self, label: Label) -> Float32[np.ndarray, " dim"]:
        space = self._model.parts.space if label.id in self._model.labels else self._space
        vector: Float32[np.ndarray, " dim"] = space.rows(np.array([space.labels.position(label.id)]))[0]
        return vector

    def _shares_and_weights(self, scores: np.ndarray, best: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the probabilities of the best labels, and a weight of every label, proportional to its probability.

        scores: of all ranked labels; overwritten, because the weights take the memory. best: the highest of each row,
        in descending order. LabelError if no label has a score.
        """
        if self.request.method == "softmax":
            return best / scores.sum(axis=1, keepdims=True), scores
        highest = best[:, :1]
        if np.isneginf(highest).any():
            raise LabelError("no candidate has a vector in the model: use others, or build the model again")
        totals = np.empty_like(highest)
        for rows in rows_in_cache(scores):
            weights = scores[rows]
            weights -= highest[rows]
            weights /= self._temperature
            np.exp(weights, out=weights)
            totals[rows] = weights.sum(axis=1, keepdims=True)
        return np.exp((best - highest) / self._temperature) / totals, scores


def _scorer(parts: ModelParts, method: Method, candidates: Candidates) -> Scorer:
    if candidates.kinds is None:
        return make_scorer(parts, method, candidates.space)
    kinds = candidates.kinds
    if method == "softmax":
        if not kinds.space.labels.seen.any():
            raise UsageError(_NONE_TRAINED)
        return KindScorer(make_scorer(parts, method, kinds.space), kinds, candidates.space.labels, None)
    temperature = temperature_of(parts, method)
    return KindScorer(make_scorer(parts, method, kinds.space), kinds, candidates.space.labels, temperature)


def _softmax_notes(request: LabelRequest, candidates: LabelSet, ranked: LabelSet) -> tuple[str, ...]:
    """Return notes for the user; UsageError if the softmax can name none of the candidates."""
    others = sum(label_id not in ranked for label_id in candidates.ids)
    if others == len(candidates):
        raise UsageError(_NONE_TRAINED)
    narrowed = request.typed or request.under is not None or request.candidates not in ("all", "seen", "all-nouns")
    return (f"the softmax can name only trained labels: left out {counted(others, 'candidate')}",) * bool(
        narrowed and others
    )


def _typed(labels: str | None) -> tuple[TypedLabel, ...]:
    if labels is not None and not isinstance(labels, str):
        raise UsageError(f"labels must be one text, as in 'kick scooter; zedonk: part zebra', got {labels!r}")
    return parse_labels(labels) if labels is not None else ()


def surest_frame(probabilities: Probabilities) -> int:
    """Return the frame of a video that shows best what its frames show: the first class of their mean.

    probabilities: of the classes, a row per frame. On videos made of photos this is right as often as the mean of the
    probabilities of all labels (tools/video_trials.py), and an index can keep it.

    >>> surest_frame(np.array([[0.5, 0.5, 0], [0.1, 0.9, 0], [0, 0, 1]], dtype=np.float32))
    1
    """
    return int(probabilities[:, probabilities.mean(axis=0).argmax()].argmax())


def load(
    path: str | Path | None = None,
    *,
    fast: bool = False,
    prior: bool = True,
    language: str | None = None,
    device: Device = "cpu",
    precision: Precision = "f32",
) -> Model:
    """Load the model in a bundle directory; None is the one in the package.

    fast: run its network in 8-bit integers, slightly less accurate; BundleError if the bundle has no part for that.
    prior: False ranks by similarity alone, without preference for nouns that people photograph.
    language: show and understand nouns in it: "fr" and the like, or a file, see `devise.taxonomy.languages`.
    device: auto, cpu, gpu, npu or cuda; precision: auto, f32 or bf16. See `devise.vision.runtime`; UsageError for what
    is not here.
    """
    place = Placement(device, precision)
    bundle = None if path is None else Path(path)
    return Model(ModelParts.open(bundle, fast=fast, prior=prior, language=language, place=place))
