"""Reject pictures that make none of the candidates more probable than before."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np

from devise.arrays import Bool, Float, Float64, Int64, Queries, Scores
from devise.labels import LabelSet
from devise.model.candidates import Candidates
from devise.model.methods import label_prior, make_scorer
from devise.model.parts import ModelParts
from devise.space.evidence import Evidence, JoinedEvidence, log_sum_exp
from devise.space.labelspace import LabelSpace
from devise.space.scorers import PlacingScorer, Scorer

__all__ = ["JoinedRejection", "Reject", "Rejection", "log_expected", "why_none"]

Reject: TypeAlias = float | Literal["auto"]
"""Threshold of the best score, in [0, 1], below which the answer is "none of these"; or "auto", see `Rejection`."""


def why_none(rejects: Reject) -> str:
    """Explain why a picture was rejected.

    >>> why_none(0.2)
    'no candidate has 20 % or more'
    """
    if rejects == "auto":
        return "the photo makes no candidate more probable than before"
    return f"no candidate has {100 * rejects:g} % or more"


def log_expected(parts: ModelParts, space: LabelSpace, among: LabelSet | None = None) -> Float64[np.ndarray, "labels"]:
    """Return the log probability of each label before seeing the picture, by the prior alone.

    among: candidates in addition to the labels of `space`; None is all labels of the model.
    """
    own, temperature = among or parts.space.labels, parts.setting("fused", "temperature")
    prior = label_prior(parts, own)
    if prior is None:
        return np.full(len(space.labels), -np.log(len(own)))
    asked = label_prior(parts, space.labels)
    assert asked is not None
    total = log_sum_exp(prior / temperature)
    foreign = [one not in own for one in space.labels.ids]
    if any(foreign):  # labels that compete but are not the model's own count in the sum too
        total = np.logaddexp(total, log_sum_exp(asked[foreign] / temperature))
    expected: Float64[np.ndarray, "labels"] = asked / temperature - total
    return expected


class Rejection:
    """Decides which pictures show none of the candidates, however few these are; for the fused scorer.

    A picture shows none of them if the best of them has no higher probability, among all labels of the model, than
    before the picture was seen. No number is fitted: the rule is the same for one label and for thousands.
    Of photos that show one of 1 to 10 labels, 5 to 8 % are rejected. Of photos that show none of them, 91 to 99 % are
    rejected if the labels were trained on, 45 to 87 % if not (tools/rejection_trials.py, decision 26).
    """

    def __init__(self, parts: ModelParts, candidates: Candidates, ranked: Sequence[str]) -> None:
        self._temperature = parts.setting("fused", "temperature")
        space, kinds = candidates.space, candidates.kinds
        alone = any(space.labels is every.labels for every in (parts.space, parts.answerable))
        self._whole = None if alone else make_scorer(parts, "fused", parts.space)
        scored = (space if kinds is None else kinds.space).labels
        new = {one for one in scored.ids if one not in parts.space.labels}
        self._foreign = [place for place, one in enumerate(ranked) if one in new]
        if kinds is None:
            self._expected = log_expected(parts, space, space.labels if alone else None)
        else:
            of_kinds, owners = log_expected(parts, kinds.space), kinds.owner
            ids = space.labels
            by_label = [of_kinds[owners == ids.position(one)] for one in ranked]
            self._expected = np.array([log_sum_exp(one) for one in by_label])

    def shows_none(self, scores: Scores, evidence: Evidence, queries: Queries | None) -> Bool[np.ndarray, "images"]:
        """Return whether each picture is rejected. scores: of the candidates. queries: positions, if moved."""
        none: Bool[np.ndarray, "images"] = self.gains(scores, evidence, queries, scores.argmax(axis=1)) <= 0
        return none

    def gains(
        self, scores: Scores, evidence: Evidence, queries: Queries | None, chosen: Int64[np.ndarray, "images"]
    ) -> Float[np.ndarray, "images"]:
        """Return how much more probable each picture makes a candidate, as a logarithm. chosen: one per picture."""
        logs = scores / self._temperature
        total = log_sum_exp(logs) if self._whole is None else log_sum_exp(self._of_all(evidence, queries))
        if self._foreign:
            total = np.logaddexp(total, log_sum_exp(logs[:, self._foreign]))
        gained: Float[np.ndarray, "images"] = logs[np.arange(len(chosen)), chosen] - total - self._expected[chosen]
        return gained

    def _of_all(self, evidence: Evidence, queries: Queries | None) -> Scores:
        assert isinstance(self._whole, PlacingScorer)
        scores = self._whole.scores(evidence) if queries is None else self._whole.scores_of(queries, evidence)
        return scores / self._temperature


class JoinedRejection:
    """The same for an ensemble: the gains of its models, weighted as their scores are.

    members, scorers, weights: one per model.
    """

    def __init__(self, members: Sequence[Rejection], scorers: Sequence[Scorer], weights: Sequence[float]) -> None:
        self._members = tuple(zip(members, scorers, weights, strict=True))

    def shows_none(self, scores: Scores, evidence: Evidence, queries: Queries | None) -> Bool[np.ndarray, "images"]:
        """Return whether each picture is rejected. scores: of the candidates, joined. queries: None."""
        assert queries is None
        assert isinstance(evidence, JoinedEvidence)
        chosen, total = scores.argmax(axis=1), np.zeros(len(scores))
        for (one, scorer, weight), seen in zip(self._members, evidence.members, strict=True):
            if weight:
                total += weight * one.gains(scorer.scores(seen), seen, None, chosen)
        none: Bool[np.ndarray, "images"] = total <= 0
        return none
