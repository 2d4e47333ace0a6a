"""Correct sets: the labels that count as right in hierarchical precision (Frome et al. 2013, section 4)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from devise.arrays import Int64
from devise.errors import TaxonomyError
from devise.files import atomic_write
from devise.taxonomy.graph import Adjacency, Nodes

if TYPE_CHECKING:
    from devise.taxonomy.wordnet import Taxonomy

__all__ = [
    "CorrectSets",
    "cached_correct_sets",
    "grow_correct_sets",
]

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

    Returns what `CorrectSets` calls nearest and counts. If the whole connected part has fewer than k
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


_FORMAT = "correct sets 1"


def cached_correct_sets(
    taxonomy: "Taxonomy", ids: Sequence[str], ks: Sequence[int], valid: Sequence[str], folder: Path | None
) -> CorrectSets:
    """Return `Taxonomy.correct_sets`, from the cache folder if it is there; without a folder, grow them.

    The file is named by the hash of the graph, the classes, the ks and the valid labels, and contains a hash of itself.
    A file that is cut, altered or unreadable is made and written again. A folder that cannot be written to is
    not an error.
    """
    ks = tuple(ks) or (1,)
    if folder is None:
        return taxonomy.correct_sets(ids, ks, valid)
    asked = [_FORMAT, taxonomy.graph_hash, *map(str, ks), "classes", *ids, "valid", *valid]
    path = folder / f"{hashlib.sha256(chr(10).join(asked).encode()).hexdigest()}.bin"
    found = _read(path, tuple(ids), ks, len(valid))
    if found is None:
        found = taxonomy.correct_sets(ids, ks, valid)
        _write(path, found)
    return found


def _read(path: Path, ids: tuple[str, ...], ks: tuple[int, ...], valid: int) -> CorrectSets | None:
    """The sets in a file: a SHA-256, then little-endian 32-bit numbers: sizes, counts, members."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    body = data[32:]
    if hashlib.sha256(body).digest() != data[:32] or len(body) % 4:
        return None
    numbers = np.frombuffer(body, dtype="<i4").astype(np.int64)
    fixed = len(ids) * (1 + len(ks))
    sizes, counts, members = numbers[: len(ids)], numbers[len(ids) : fixed], numbers[fixed:]
    if len(numbers) < fixed or sizes.sum() != len(members) or (len(members) and members.max() >= valid):
        return None
    nearest = tuple(np.split(members, np.cumsum(sizes)[:-1])) if len(ids) else ()
    return CorrectSets(ids, ks, nearest, counts.reshape(len(ids), len(ks)))


def _write(path: Path, sets: CorrectSets) -> None:
    sizes = np.array([len(found) for found in sets.nearest], dtype=np.int64)
    body = np.concatenate([sizes, sets.counts.ravel(), *sets.nearest]).astype("<i4").tobytes()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, "wb") as file:
            file.write(hashlib.sha256(body).digest() + body)
    except OSError:  # full or read-only: the sets are grown each time
        return
