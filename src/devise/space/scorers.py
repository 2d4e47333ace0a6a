"""Scorers: those that place a picture in a label space (DeViSE, kernel, branch, ConSE, fused), softmax and chance."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np

from devise.arrays import Bool, Float32, Float64, Int64, LabelVectors, Logits, Queries, Scores, Surgery
from devise.errors import UsageError
from devise.labels import LabelSet
from devise.ranking import rows_in_cache
from devise.space.evidence import Evidence, JoinedEvidence, Probabilities, log_sum_exp
from devise.space.kernel import kernel_queries
from devise.space.labelspace import LabelSpace, unit_rows
from devise.space.prior import LabelPrior
from devise.taxonomy.graph import Adjacency
from devise.taxonomy.hedging import LabelTree, labels_below, sure_nodes

__all__ = [
    "BRANCH_SURE",
    "BranchScorer",
    "ChanceScorer",
    "ConseScorer",
    "DeviseScorer",
    "FirstChoice",
    "FusedScorer",
    "JoinedScorer",
    "KernelScorer",
    "PlacingScorer",
    "Scorer",
    "SoftmaxScorer",
    "StackingRule",
    "conse_queries",
    "log_odds",
    "random_space",
]


@runtime_checkable
class Scorer(Protocol):
    """Scores labels for pictures; higher is better, and only the order within a row has a meaning."""

    @property
    def labels(self) -> LabelSet:
        """What it ranks, in the order of its scores' columns."""

    def scores(self, evidence: Evidence) -> Scores:
        """Return one row per picture and one column per label; the caller may change the array."""


@runtime_checkable
class PlacingScorer(Scorer, Protocol):
    """A scorer whose pictures may be moved before scoring, for example towards others of their folder."""

    def queries(self, evidence: Evidence) -> Queries:
        """The pictures in the label space."""

    def scores_of(self, queries: Queries, evidence: Evidence) -> Scores:
        """Return the scores of pictures at the places `queries`."""


@dataclass(frozen=True, eq=False)
class SoftmaxScorer:
    """The classifier as it was trained: it can only name trained labels.

    labels: those to rank. columns: for each, its column among the logits.
    """

    labels: LabelSet
    columns: np.ndarray

    def scores(self, evidence: Evidence) -> Scores:
        """Probabilities of the softmax over all trained labels."""
        return evidence.probabilities[:, self.columns]


@dataclass(frozen=True, eq=False)
class ChanceScorer:
    """A uniformly random ranking; the same generator state gives the same one."""

    labels: LabelSet
    rng: np.random.Generator

    def scores(self, evidence: Evidence) -> Scores:
        """Independent uniform numbers."""
        return self.rng.random((len(evidence), len(self.labels)), dtype=np.float32)


def conse_queries(evidence: Evidence, trained_vectors: LabelVectors, top: int) -> Queries:
    """ConSE (Norouzi et al. 2014): f(x) = (1/Z) * sum over the T most probable trained labels of p(y|x) s(y).

    trained_vectors: one row a column of the logits. top: T, from 1; more than the trained labels means all of them.
    Returned at unit length, which no cosine notices.
    """
    if top < 1:
        raise UsageError(f"ConSE needs T of 1 or more, got {top}: raise it")
    probabilities = evidence.probabilities
    top = min(top, probabilities.shape[1])
    # A sum needs no order: a partition finds the T largest in linear time, where a sort orders all labels.
    leading = np.argpartition(probabilities, -top, axis=1)[:, -top:]
    shares = np.take_along_axis(probabilities, leading, axis=1)
    shares = shares / shares.sum(axis=1, keepdims=True)
    return unit_rows(np.einsum("it,itd->id", shares, trained_vectors[leading]))


@dataclass(frozen=True, eq=False)
class DeviseScorer:
    """DeViSE (Frome et al. 2013): the picture at M f, labels by cosine.

    space: the labels to rank. surgery: M; None: features are in the label space already, as those of CLIP.
    """

    space: LabelSpace
    surgery: Surgery | None

    @property
    def labels(self) -> LabelSet:
        """What it ranks."""
        return self.space.labels

    def queries(self, evidence: Evidence) -> Queries:
        """The pictures in the label space."""
        return unit_rows(evidence.features if self.surgery is None else evidence.features @ self.surgery.T)

    def scores(self, evidence: Evidence) -> Scores:
        """Cosines."""
        return self.space.cosines(self.queries(evidence))


@dataclass(frozen=True, eq=False)
class KernelScorer:
    """Kernel surgery: labels where their predicted classifier rows are, the picture along the same axes.

    space: the labels to rank, at their places among the axes. axes: see `devise.space.kernel.principal_axes`.
    """

    space: LabelSpace
    axes: Surgery

    @property
    def labels(self) -> LabelSet:
        """What it ranks."""
        return self.space.labels

    def queries(self, evidence: Evidence) -> Queries:
        """The pictures in the space of the axes."""
        return kernel_queries(evidence.features, self.axes)

    def scores(self, evidence: Evidence) -> Scores:
        """Cosines."""
        return self.scores_of(self.queries(evidence), evidence)

    def scores_of(self, queries: Queries, evidence: Evidence) -> Scores:
        """The same for pictures placed elsewhere; `evidence` is not needed."""
        return self.space.cosines(queries)


BRANCH_SURE = 0.9
"""The kernel overrules the classifier only where it is so sure, because of the two the classifier is right more often
about the classes it knows: 84.1 against 79.5 % of 1,750 photos of trained classes, with the 1000 as candidates."""


@dataclass(frozen=True, eq=False)
class BranchScorer:
    """The kernel picks the branch, the softmax the breed.

    The branch of a picture is the narrowest subtree that has `BRANCH_SURE` of the kernel's probability. The trained
    labels in it keep their scores as a set: the one most probable by the softmax takes the highest of them, and so on
    down. All other labels score as with the kernel, and every label that was not trained on keeps its rank.

    tree: of the labels to rank. temperature: exp(score / temperature) is the kernel's probability, up to a factor.
    trained: for each trained label, in the order of the logits, its position among the labels to rank, or -1.
    """

    kernel: KernelScorer
    tree: LabelTree
    trained: Int64[np.ndarray, "trained"]
    temperature: float

    @property
    def labels(self) -> LabelSet:
        """What it ranks."""
        return self.kernel.labels

    @cached_property
    def _below(self) -> Adjacency:
        """From each node of the tree to the trained labels at or below it, by their columns among those asked."""
        return labels_below(self.tree, self.trained[self.trained >= 0])

    def branches(self, scores: Scores) -> Int64[np.ndarray, "images"]:
        """The branch of each picture by the kernel's scores, a node of the tree; -1 if no label has a score."""
        highest = np.maximum(scores.max(axis=1, keepdims=True), np.finfo(np.float32).min)  # -inf: none has a vector
        shares = np.exp((scores - highest).astype(np.float64) / self.temperature)
        shares /= np.maximum(shares.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
        return sure_nodes(self.tree, shares, np.array([BRANCH_SURE]))[:, 0]

    def scores(self, evidence: Evidence) -> Scores:
        """Cosines; those of trained labels in the branch change places."""
        scores = self.kernel.scores(evidence)
        asked = np.flatnonzero(self.trained >= 0)
        if len(asked) < 2:
            return scores
        for row, probabilities, node in zip(
            scores, evidence.probabilities, self.branches(scores).tolist(), strict=True
        ):
            # The scores inside the branch are dealt out again, so their set, and every label outside, stays as it was.
            inside = asked[self._below.row(node)] if node >= 0 else asked[:0]
            inside = inside[np.isfinite(row[self.trained[inside]])]  # a label without a vector stays last
            places = self.trained[inside]
            order = np.lexsort((places, -probabilities[inside]))
            row[places[order]] = np.sort(row[places])[::-1]
        return scores


@dataclass(frozen=True, eq=False)
class ConseScorer:
    """ConSE (Norouzi et al. 2014): the picture at the mean of its most probable trained labels, labels by cosine.

    trained_vectors: one row a column of the logits. top: the paper's T.
    """

    space: LabelSpace
    trained_vectors: LabelVectors
    top: int = 10

    @property
    def labels(self) -> LabelSet:
        """What it ranks."""
        return self.space.labels

    def queries(self, evidence: Evidence) -> Queries:
        """The pictures in the label space."""
        return conse_queries(evidence, self.trained_vectors, self.top)

    def scores(self, evidence: Evidence) -> Scores:
        """Cosines."""
        return self.space.cosines(self.queries(evidence))


@dataclass(frozen=True, slots=True)
class FirstChoice:
    """How sure it is that the classifier's first choice is right: 1 / (1 + exp(-(slope * log odds + offset))).

    Platt's scaling (1999) of the log odds of the classifier's highest probability. A classifier knows of nothing but
    its own classes, so that its probability says too much of a picture that may show anything. slope, offset: chosen
    on pictures half of which are of classes left out.
    temperature: exp(score / temperature) is what other labels have of the rest.
    """

    slope: float
    offset: float
    temperature: float

    def log_odds(self, highest: Float32[np.ndarray, "images"]) -> Float64[np.ndarray, "images"]:
        """That the first choice is right. highest: its probability, by the classifier."""
        return self.slope * log_odds(highest) + self.offset


def log_odds(highest: Float32[np.ndarray, "images"]) -> Float64[np.ndarray, "images"]:
    """log(p / (1 - p)), finite also where p is 1 in 32 bits.

    >>> log_odds(np.array([0.5, 1.0], np.float32)).round(2).tolist()
    [0.0, 13.82]
    """
    shares = highest.astype(np.float64)  # 1 - p in 32 bits has few digits left where p is near 1
    odds: Float64[np.ndarray, "images"] = np.log(shares) - np.log(np.maximum(1 - shares, 1e-6))
    return odds


@dataclass(frozen=True, slots=True)
class StackingRule:
    """How trained labels compete with labels that no photo taught (calibrated stacking, Chao et al. 2016).

    A trained label's cosine gets confidence * p(label | picture) added and penalty taken off. The penalty keeps the
    trained labels from crowding out all others; the confidence gives them back what the classifier is sure of, and
    with it the fine differences (a Chihuahua from a Papillon) that words do not carry.
    first: what the most probable trained label gets instead; None treats it as the others.
    """

    penalty: float
    confidence: float
    first: FirstChoice | None = None

    def stacked(self, cosines: Logits, probabilities: Probabilities) -> Logits:
        """Return the scores of trained labels except `first`: one column each, as in `probabilities`."""
        scores: Logits = cosines + (np.float32(self.confidence) * probabilities - np.float32(self.penalty))
        return scores


@dataclass(frozen=True, eq=False)
class FusedScorer:
    """The picture at unit(placing + share * ConSE), labels by cosine, the trained ones under a stacking rule.

    placing: DeViSE or kernel surgery; conse: in the same space, with `share` of its point; None: without.
    trained: for each trained label, in the order of the logits, its position among the labels to rank, or -1.
    prior: what each label expects beforehand; None ranks by cosine alone. stacking: None treats all labels alike.
    whole: the same scorer of all labels that the model has; None where they are the labels to rank. The first choice
    is so much surer than all of them, whichever are asked.
    """

    placing: DeviseScorer | KernelScorer
    conse: ConseScorer | None
    trained: np.ndarray
    stacking: StackingRule | None = None
    prior: LabelPrior | None = None
    share: float = 1.0
    whole: "FusedScorer | None" = None

    @property
    def labels(self) -> LabelSet:
        """What it ranks."""
        return self.placing.space.labels

    def queries(self, evidence: Evidence) -> Queries:
        """The pictures in the label space."""
        if self.conse is None:
            return self.placing.queries(evidence)
        return unit_rows(self.placing.queries(evidence) + np.float32(self.share) * self.conse.queries(evidence))

    def scores(self, evidence: Evidence) -> Scores:
        """Cosines and the prior, those of trained labels under the stacking rule."""
        return self.scores_of(self.queries(evidence), evidence)

    def scores_of(self, queries: Queries, evidence: Evidence) -> Scores:
        """The same for pictures placed elsewhere, such as nearer to others of their folder."""
        scores = self.placing.space.cosines(queries)
        whole, theirs = self, scores
        if self.whole is not None and self._has_first(evidence.probabilities).any():
            whole, theirs = self.whole, self.whole.placing.space.cosines(queries)
        for rows in rows_in_cache(theirs):
            probabilities = evidence.probabilities[rows]
            self._stack(scores[rows], probabilities)
            if whole is not self:
                whole._stack(theirs[rows], probabilities)
            self._score_first(scores[rows], theirs[rows], whole.trained, probabilities)
        return scores

    def _stack(self, scores: Scores, probabilities: Probabilities) -> None:
        """Change cosines into scores as if there were no first choice."""
        if self.prior is not None:
            scores += self.prior
        if self.stacking is not None:
            ranked = self.trained >= 0
            columns = self.trained[ranked]
            scores[:, columns] = self.stacking.stacked(scores[:, columns], probabilities[:, ranked])

    def _has_first(self, probabilities: Probabilities) -> Bool[np.ndarray, "images"]:
        """Return whether each picture's first choice is among the labels to rank, and has a score of its own."""
        if self.stacking is None or self.stacking.first is None:
            return np.zeros(len(probabilities), dtype=bool)
        asked: Bool[np.ndarray, "images"] = self.trained[probabilities.argmax(axis=1)] >= 0
        return asked

    def _score_first(
        self,
        scores: Scores,
        theirs: Float32[np.ndarray, "images every"],
        trained: Int64[np.ndarray, "trained"],
        probabilities: Probabilities,
    ) -> None:
        """Set the score of each picture's first choice. theirs, trained: of all labels that the model has."""
        asked = np.flatnonzero(self._has_first(probabilities))
        if not len(asked):
            return
        assert self.stacking is not None
        assert self.stacking.first is not None
        first, choice = self.stacking.first, probabilities[asked].argmax(axis=1)
        # With score = temperature * (log odds of the first choice + log of the sum over all other labels), the
        # softmax over all labels gives the first choice exactly that probability.
        others = theirs[asked] / np.float32(first.temperature)
        np.put_along_axis(others, trained[choice][:, None], -np.inf, axis=1)
        rest = log_sum_exp(others, overwrite=True)
        odds = first.log_odds(probabilities[asked, choice])
        scores[asked, self.trained[choice]] = first.temperature * (odds + rest)


@dataclass(frozen=True, eq=False)
class JoinedScorer:
    """The weighted sum of the scores of several models, which rank the same labels.

    members: one per evidence of a `JoinedEvidence`. weights: one per member, 0 or more. With a model's weight divided
    by its temperature, scores are log probabilities up to a constant per picture: a product of experts.
    """

    members: tuple[Scorer, ...]
    weights: tuple[float, ...]

    @property
    def labels(self) -> LabelSet:
        """What it ranks."""
        return self.members[0].labels

    def scores(self, evidence: Evidence) -> Scores:
        """The sum; a member of weight 0 is left out."""
        assert isinstance(evidence, JoinedEvidence)
        total: Scores | None = None
        for member, weight, seen in zip(self.members, self.weights, evidence.members, strict=True):
            if not weight:
                continue
            scores = member.scores(seen)
            scores *= np.float32(weight)
            total = scores if total is None else np.add(total, scores, out=total)
        assert total is not None
        return total


def random_space(labels: LabelSet, dim: int, rng: np.random.Generator) -> LabelSpace:
    """Random unit vectors instead of the label vectors: the paper's "random embeddings" row.

    A label's vector depends on the generator and on its position.
    """
    return LabelSpace(labels, unit_rows(rng.standard_normal((len(labels), dim), dtype=np.float32)))
