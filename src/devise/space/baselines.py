"""Scorers without a label space: the classifier's softmax, and chance."""

from dataclasses import dataclass

import numpy as np

from devise.arrays import Scores
from devise.labels import LabelSet
from devise.space.evidence import Evidence

__all__ = ["ChanceScorer", "SoftmaxScorer"]


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
