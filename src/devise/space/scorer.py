"""Scorer: the one interface of softmax, ConSE, DeViSE and all that comes after; and of those that place pictures."""

from typing import Protocol, runtime_checkable

from devise.arrays import Queries, Scores
from devise.labels import LabelSet
from devise.space.evidence import Evidence

__all__ = ["PlacingScorer", "Scorer"]


@runtime_checkable
class Scorer(Protocol):
    """Scores labels for pictures; up is better, and only the order within a row means anything."""

    @property
    def labels(self) -> LabelSet:
        """What it ranks, in the order of its scores' columns."""

    def scores(self, evidence: Evidence) -> Scores:
        """One row a picture, one column a label; the array is the caller's own to change."""


@runtime_checkable
class PlacingScorer(Scorer, Protocol):
    """A scorer whose pictures may be moved before labels are scored, such as nearer to others of their folder."""

    def queries(self, evidence: Evidence) -> Queries:
        """The pictures in the label space."""

    def scores_of(self, queries: Queries, evidence: Evidence) -> Scores:
        """The scores of pictures that stand at `queries`."""
