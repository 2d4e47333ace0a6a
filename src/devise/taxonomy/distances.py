"""Distances between many synsets: breadth-first searches, 64 at once."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8, UInt64

from devise.errors import TaxonomyError
from devise.taxonomy.graph import Adjacency, Nodes

__all__ = ["UNREACHED", "DistanceRows", "distance_rows"]

DistanceRows = UInt8[np.ndarray, "sources targets"]
"""Fewest undirected is-a edges from each source to each target; `UNREACHED` where no way leads."""
UNREACHED = 255
"""The distance of two synsets that nothing joins."""

_Bits = UInt64[np.ndarray, "_"]
_Planes = UInt64[np.ndarray, "planes targets"]

_AT_ONCE = 64  # searches, one a bit of a word
_PLANES = 8  # bits of a distance


def distance_rows(around: Adjacency, sources: Nodes, targets: Nodes) -> Iterator[DistanceRows]:
    """Yield rows of at most 64 sources, in their order, against all targets; uses memory for one block.

    around: the undirected graph. TaxonomyError if two nodes are more than 254 edges apart.
    """
    core = _Core.of(around)
    for first in range(0, len(sources), _AT_ONCE):
        some = sources[first : first + _AT_ONCE]
        rows = _block(core.around, core.place[some], core.place[targets])
        yield _outward(rows, core.out[some], core.out[targets], some[:, None] == targets)


@dataclass(frozen=True, eq=False, slots=True)
class _Core:
    """The graph without its leaves: most nodes are leaves, and a path to one goes through its only neighbour.

    around: of the nodes that are kept. place: where each node stands among them, or for a leaf its neighbour. out: how
    many edges a node is away from that, 0 or 1.
    """

    around: Adjacency
    place: Nodes
    out: UInt8[np.ndarray, "size"]

    @classmethod
    def of(cls, around: Adjacency) -> "_Core":
        degrees = np.diff(around.starts)
        nodes = np.arange(around.size)
        leaf = degrees == 1
        inward = nodes.copy()
        inward[leaf] = around.targets[around.starts[:-1][leaf]]
        leaf &= degrees[inward] > 1  # of two nodes that have only each other, both stay
        inward[~leaf] = nodes[~leaf]
        kept = np.cumsum(~leaf) - 1
        sources = np.repeat(nodes, degrees)
        both = ~leaf[sources] & ~leaf[around.targets]
        size = int((~leaf).sum())
        core = Adjacency.of_pairs(size, kept[sources[both]], kept[around.targets[both]])
        return cls(core, kept[inward], leaf.astype(np.uint8))


def _outward(
    rows: DistanceRows,
    sources: UInt8[np.ndarray, "sources"],
    targets: UInt8[np.ndarray, "targets"],
    same: Bool[np.ndarray, "sources targets"],
) -> DistanceRows:
    """Compute the distances of nodes from those of the core, by adding the distances of both to the core."""
    unreached = rows == UNREACHED
    longest = int(rows.max(initial=0, where=~unreached))
    if longest + 2 >= UNREACHED:  # only then the slower sums
        longest = int((rows.astype(int) + sources[:, None] + targets).max(initial=0, where=~unreached))
    if longest >= UNREACHED:
        raise TaxonomyError(f"two synsets are more than {UNREACHED - 1} edges apart: the graph is too long")
    rows += sources[:, None]
    rows += targets
    rows[same] = 0
    rows[unreached] = UNREACHED
    return rows


def _block(around: Adjacency, sources: Nodes, targets: Nodes) -> DistanceRows:
    """One bit per search: a node has the bits of the searches that reached it.

    The distance is the number of steps after which a search has not yet come.
    """
    linked = np.flatnonzero(np.diff(around.starts))
    starts = around.starts[linked]
    bits = np.left_shift(np.uint64(1), np.arange(len(sources), dtype=np.uint64))
    reached = np.zeros(around.size, dtype=np.uint64)
    np.bitwise_or.at(reached, sources, bits)
    planes = np.zeros((_PLANES, len(targets)), dtype=np.uint64)
    for _ in range(UNREACHED + 1):
        wider = reached.copy()
        if len(linked):
            wider[linked] |= np.bitwise_or.reduceat(reached[around.targets], starts)
        if np.array_equal(wider, reached):
            return _counted(planes, reached[targets], len(sources))
        _count(planes, ~reached[targets])
        reached = wider
    raise TaxonomyError(f"two synsets are more than {UNREACHED - 1} edges apart: the graph is too long")


def _count(planes: _Planes, ones: _Bits) -> None:
    """Add 1 to the number at every bit that is set; plane i has bit i of all the numbers."""
    for place in range(len(planes)):
        carried = planes[place] & ones
        planes[place] ^= ones
        if not carried.any():
            return
        ones = carried


def _counted(planes: _Planes, reached: _Bits, count: int) -> DistanceRows:
    """Return the numbers of the lowest `count` bits, one row each; `UNREACHED` for nodes that no search reached."""
    numbers = np.zeros((reached.size, count), dtype=np.uint8)
    for place, plane in enumerate(planes):
        if plane.any():
            numbers |= _marked(plane, count) << place
    numbers[_marked(reached, count) == 0] = UNREACHED
    return np.ascontiguousarray(numbers.T)


def _marked(words: _Bits, count: int) -> UInt8[np.ndarray, "targets sources"]:
    """The lowest `count` bits of every word."""
    octets = words.astype("<u8").view(np.uint8).reshape(len(words), 8)
    return np.unpackbits(octets, axis=1, bitorder="little", count=count)
