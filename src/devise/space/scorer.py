"""Scorer: the interface of all scorers, and of those that place pictures in a label space."""

from typing import Protocol, runtime_checkable

from devise.arrays import Queries, Scores
from devise.labels import LabelSet
from devise.space.evidence import Evidence

__all__ = ["PlacingScorer", "Scorer"]


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
