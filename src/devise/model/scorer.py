"""Scorer: the one interface of softmax, ConSE, DeViSE and all that comes after."""

from typing import Protocol, runtime_checkable

from devise.arrays import Scores
from devise.labels import LabelSet
from devise.model.evidence import Evidence

__all__ = ["Scorer"]


@runtime_checkable
class Scorer(Protocol):
    """Scores labels for pictures; up is better, and only the order within a row means anything."""

    @property
    def labels(self) -> LabelSet:
        """What it ranks, in the order of its scores' columns."""

    def scores(self, evidence: Evidence) -> Scores:
        """One row a picture, one column a label; the array is the caller's own to change."""
