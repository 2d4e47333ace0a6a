"""Build the scorer of a method for the candidates."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from devise.arrays import Int64, Queries, Scores
from devise.errors import BundleError, UsageError
from devise.labels import LabelSet
from devise.model.candidates import Kinds
from devise.model.parts import ModelParts
from devise.space.evidence import Evidence
from devise.space.kernel import placed_by_label
from devise.space.labelspace import LabelSpace
from devise.space.prior import LabelPrior, standing_of
from devise.space.scorers import (
    BranchScorer,
    ChanceScorer,
    ConseScorer,
    DeviseScorer,
    FusedScorer,
    KernelScorer,
    PlacingScorer,
    Scorer,
    SoftmaxScorer,
    random_space,
)

__all__ = [
    "METHODS",
    "ROWS",
    "KindScorer",
    "Method",
    "Row",
    "label_prior",
    "make_scorer",
    "photo_space",
    "rows_of",
    "temperature_of",
]

Method = Literal["fused", "kernel", "branch", "devise", "conse", "softmax"]
"""Methods to label a picture with."""
METHODS: tuple[Method, ...] = get_args(Method)

Row = Literal["fused", "kernel", "branch", "devise", "conse", "softmax", "random", "chance"]
"""Rows of a table of results."""
ROWS: tuple[Row, ...] = get_args(Row)

_OF_KERNEL: tuple[Method, ...] = ("kernel", "branch")  # need kernel surgery


def make_scorer(parts: ModelParts, row: Row, space: LabelSpace) -> Scorer:
    """Return the scorer of a name for the labels of `space`.

    The softmax ranks those of the labels it was trained on; if none of them is asked, all it was trained on,
    as in the paper's zero-shot tables. UsageError for an unknown name, BundleError for the random embeddings and for
    kernel and branch if the model keeps no map for them.
    """
    if space is parts.answerable and space is not parts.space:
        whole = make_scorer(parts, row, parts.space)
        if row == "softmax":
            return whole  # no trained label is withheld
        if isinstance(whole, PlacingScorer):
            return _PlacingNarrowed(whole, space.labels, parts.answerable_places)
        return _Narrowed(whole, space.labels, parts.answerable_places)
    makers: dict[Row, Callable[[], Scorer]] = {
        "softmax": lambda: _softmax(parts, space.labels),
        "devise": lambda: DeviseScorer(space, parts.surgery.map),
        "conse": lambda: _conse(parts, space),
        "kernel": lambda: _kernel(parts, space),
        "branch": lambda: _branch(parts, space),
        "fused": lambda: _fused(parts, space),
        "random": lambda: _random(parts, space),
        "chance": lambda: ChanceScorer(space.labels, np.random.default_rng(0)),
    }
    if row not in makers:
        raise UsageError(f"the method must be one of {', '.join(ROWS)}, got {row!r}")
    if row not in rows_of(parts) and parts.has_tower:
        raise UsageError(f"the model has a text tower and no trained labels, so there is no {row}: use fused")
    return makers[row]()


def rows_of(parts: ModelParts) -> tuple[Row, ...]:
    """Return the rows that this model has."""
    if parts.has_tower:
        return ("fused", "chance")
    return tuple(row for row in ROWS if row not in _OF_KERNEL or parts.kernel is not None)


def temperature_of(parts: ModelParts, row: Row) -> float:
    """Return T of exp(score / T), a probability up to a factor; softmax and random have none."""
    return parts.setting("kernel" if row == "branch" else row, "temperature")


def _softmax(parts: ModelParts, labels: LabelSet) -> Scorer:
    columns = [column for column, label_id in enumerate(parts.trained_ids) if label_id in labels]
    kept = np.array(columns or range(len(parts.trained_ids)), dtype=np.int64)
    return SoftmaxScorer(parts.space.labels.subset(parts.trained[kept].tolist()), kept)


def _conse(parts: ModelParts, space: LabelSpace) -> ConseScorer:
    return ConseScorer(space, parts.space.rows(parts.trained), int(parts.setting("conse", "top")))


def _kernel(parts: ModelParts, space: LabelSpace) -> KernelScorer:
    if parts.kernel is None:
        raise BundleError("the model has no kernel surgery: use fused, or build the bundle again")
    return KernelScorer(photo_space(parts, space), parts.kernel.axes)


def _branch(parts: ModelParts, space: LabelSpace) -> BranchScorer:
    from devise.model.hedges import Hedger

    tree = Hedger(parts, space.labels, space.labels).tree
    return BranchScorer(_kernel(parts, space), tree, _trained_among(parts, space), temperature_of(parts, "branch"))


def _trained_among(parts: ModelParts, space: LabelSpace) -> Int64[np.ndarray, "trained"]:
    """For each trained label its position among the labels of `space`, or -1."""
    return space.labels.places(parts.trained_ids)


def photo_space(parts: ModelParts, space: LabelSpace) -> LabelSpace:
    """Return the labels of `space` at their positions among photos, by kernel surgery if the model has it.

    A label that the model lacks is placed by its label vector alone.
    """
    kernel, own = parts.kernel, parts.space.labels
    if space.labels is own:
        return parts.placed
    if kernel is None:
        return space
    known = own.places(space.labels.ids)
    places = kernel.places[known]  # -1 takes the last row, which is overwritten below
    new = known < 0
    if new.any():
        places[new] = placed_by_label(space.rows(np.flatnonzero(new)), parts.space.rows(parts.trained), kernel)
    return LabelSpace(space.labels, places)


def _fused(parts: ModelParts, space: LabelSpace) -> FusedScorer:
    trained = _trained_among(parts, space)
    prior = label_prior(parts, space.labels)
    if parts.has_tower:
        return FusedScorer(DeviseScorer(space, None), None, trained, None, prior)
    rule = parts.bundle.stacking()
    whole = None
    if rule.first is not None and space.labels is not parts.space.labels and (trained >= 0).any():
        whole = _fused(parts, parts.space)
    kernel = parts.kernel
    if kernel is None:
        devise = DeviseScorer(space, parts.surgery.map)
        return FusedScorer(devise, _conse(parts, space), trained, rule, prior, whole=whole)
    placed = photo_space(parts, space)
    conse = ConseScorer(placed, kernel.places[parts.trained], int(parts.setting("conse", "top")))
    share = parts.setting("fused", "conse")
    return FusedScorer(KernelScorer(placed, kernel.axes), conse, trained, rule, prior, share, whole)


def _random(parts: ModelParts, space: LabelSpace) -> Scorer:
    """DeViSE with random label vectors, drawn for the trained labels first, then for the others."""
    if parts.random_surgery is None:
        raise BundleError("the model has no map for random label vectors: build the bundle again")
    trained = parts.space.labels.subset(parts.trained.tolist())
    others = [label for label in space.labels if label.id not in trained]
    rng = np.random.default_rng(int(parts.setting("random", "seed")))
    full = random_space(LabelSet([*trained, *others]), space.vectors.shape[1], rng)
    return DeviseScorer(full.subset(full.labels.places(space.labels.ids)), parts.random_surgery)


def label_prior(parts: ModelParts, labels: LabelSet) -> LabelPrior | None:
    """Return the prior per label; None if the model has none, or if it is switched off."""
    known = parts.standing if parts.with_prior else None
    if known is None:
        return None
    typed = parts.setting("fused", "typed") if parts.has_tower else None
    weight = np.float32(parts.bundle.prior_weight())
    return weight * standing_of(labels, parts.space.labels, known, parts.trained, typed)


@dataclass(frozen=True, eq=False)
class _Narrowed:
    """Scores some labels like `whole`: selecting columns is cheaper than copying most vectors."""

    whole: Scorer
    labels: LabelSet
    columns: Int64[np.ndarray, "labels"]

    def scores(self, evidence: Evidence) -> Scores:
        """Return the scores of `whole`."""
        return np.take(self.whole.scores(evidence), self.columns, axis=1)


@dataclass(frozen=True, eq=False)
class _PlacingNarrowed(_Narrowed):
    """The same for a scorer whose pictures may be moved."""

    whole: PlacingScorer

    def queries(self, evidence: Evidence) -> Queries:
        """Return the pictures in the label space."""
        return self.whole.queries(evidence)

    def scores_of(self, queries: Queries, evidence: Evidence) -> Scores:
        """Return the scores of pictures at the positions `queries`."""
        return np.take(self.whole.scores_of(queries, evidence), self.columns, axis=1)


class KindScorer:
    """Scores the labels of a list by their kinds: a noun's probability is the sum over its kinds.

    inner: ranks the kinds. temperature: turns its scores into log probabilities; None if they are probabilities.
    """

    def __init__(self, inner: Scorer, kinds: Kinds, labels: LabelSet, temperature: float | None) -> None:
        owner = dict(zip(kinds.space.labels.ids, kinds.owner.tolist(), strict=True))
        owners = np.array([owner[one] for one in inner.labels.ids], dtype=np.int64)
        self._order = np.argsort(owners, kind="stable")  # kinds of one label side by side: one reduceat sums them
        ranked, self._begins = np.unique(owners[self._order], return_index=True)
        self._inner = inner
        self._temperature = temperature
        self.labels = labels.subset(ranked.tolist())

    def scores(self, evidence: Evidence) -> Scores:
        """Return the sum in the unit of the inner scores, or temperature x log-sum-exp."""
        inner = self._inner.scores(evidence)[:, self._order]
        if self._temperature is None:
            added: Scores = np.add.reduceat(inner, self._begins, axis=1)
            return added
        highest = np.maximum(inner.max(axis=1, keepdims=True), np.finfo(np.float32).min)  # -inf: no kind has a vector
        shares = np.add.reduceat(np.exp((inner - highest).astype(np.float64) / self._temperature), self._begins, axis=1)
        with np.errstate(divide="ignore"):  # a label without a vector has no share
            total: Scores = (highest + self._temperature * np.log(shares)).astype(np.float32)
        return total
