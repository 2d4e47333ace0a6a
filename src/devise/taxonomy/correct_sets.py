"""Correct sets: the labels that count as right in hierarchical precision (Frome et al. 2013, section 4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int64

from devise.errors import TaxonomyError
from devise.taxonomy.graph import Adjacency, Nodes

__all__ = ["CorrectSets", "grow_correct_sets"]

Counts = Int64[np.ndarray, "classes ks"]
Sizes = Int64[np.ndarray, "classes"]
Grown = Int64[np.ndarray, "_members"]


@dataclass(frozen=True)
class CorrectSets:
    """The correct sets of some classes, as positions into the order of the valid labels.

    ids: the classes.
    ks: the values of k, as asked.
    nearest: for each class the valid labels found, nearest first, enough for the largest k.
    counts: how many of `nearest` make the correct set, for each class and k.
    """

    ids: tuple[str, ...]
    ks: tuple[int, ...]
    nearest: tuple[Grown, ...]
    counts: Counts

    def members(self, label: str, k: int) -> Grown:
        """Return the positions of the class's correct set at k, ascending; TaxonomyError for another class or k."""
        row = self.row(label)
        return np.sort(self.nearest[row][: self.counts[row, self._column(k)]])

    def row(self, label: str) -> int:
        """Return the position of the class in `ids`; TaxonomyError if it is not there."""
        row = self._rows.get(label)
        if row is None:
            raise TaxonomyError(f"there are no correct sets for {label}: add it to the ids")
        return row

    def sizes(self, k: int) -> Sizes:
        """Return the size of each class's correct set at k, in the order of `ids`."""
        return self.counts[:, self._column(k)]

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {label: row for row, label in enumerate(self.ids)}

    def _column(self, k: int) -> int:
        if k not in self.ks:
            raise TaxonomyError(f"there are no correct sets for k = {k}, only for {self.ks}: add it to ks")
        return self.ks.index(k)


def grow_correct_sets(around: Adjacency, classes: Nodes, ks: Sequence[int], valid: Nodes) -> tuple[list[Grown], Counts]:
    """Grow every class's ball edge by edge, through all nodes, until it contains max(ks) valid labels.

    Returns what `CorrectSets` calls nearest and counts. Where the whole connected part holds fewer than k
    valid labels, all of them make the set.
    """
    place = np.full(around.size, -1, dtype=np.int64)
    place[valid] = np.arange(len(valid))
    counts = np.empty((len(classes), len(ks)), dtype=np.int64)
    nearest = []
    for row, node in enumerate(classes):
        found, held = _grow(around, node, max(ks), place)
        stops = np.searchsorted(held, ks)
        counts[row] = held[np.minimum(stops, len(held) - 1)]
        nearest.append(found)
    return nearest, counts


def _grow(around: Adjacency, node: np.int64, most: int, place: Nodes) -> tuple[Grown, Grown]:
    """Return valid labels by growing radius, and the size of the ball at radius 0, 1, 2 and so on."""
    found: list[Grown] = []
    held: list[int] = []
    total = 0
    for wave in around.waves(np.array([node])):
        labels = place[wave]
        found.append(labels[labels >= 0])
        total += len(found[-1])
        held.append(total)
        if total >= most:
            break
    return np.concatenate(found), np.array(held, dtype=np.int64)
