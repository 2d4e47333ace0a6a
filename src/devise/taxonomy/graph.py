"""The is-a graph over positions: neighbours, parents and children."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np

from devise.arrays import Bool, Int64, UInt8, UInt64
from devise.errors import TaxonomyError

__all__ = [
    "UNREACHED",
    "Adjacency",
    "DistanceRows",
    "IsaGraph",
    "Nodes",
    "distance_rows",
    "distinct",
]

Nodes = Int64[np.ndarray, "_nodes"]
"""Some positions of synsets."""
Numbers = Int64[np.ndarray, "size"]
"""One number for each synset."""
Ends = Int64[np.ndarray, "edges"]
Starts = Int64[np.ndarray, "size_and_one"]


@dataclass(frozen=True)
class Adjacency:
    """Successors in compressed rows: node i is followed by `targets[starts[i]:starts[i + 1]]`."""

    starts: Starts
    targets: Ends

    @classmethod
    def of_pairs(cls, size: int, sources: Ends, targets: Ends) -> "Adjacency":
        """Build rows from pairs; within a row the pairs keep their order."""
        starts = np.zeros(size + 1, dtype=np.int64)
        np.cumsum(np.bincount(sources, minlength=size), out=starts[1:])
        return cls(starts, targets[np.argsort(sources, kind="stable")])

    @property
    def size(self) -> int:
        """Number of nodes."""
        return len(self.starts) - 1

    def row(self, node: int) -> Nodes:
        """Return the successors of one node."""
        return self.targets[self.starts[node] : self.starts[node + 1]]

    def after(self, nodes: Nodes) -> Nodes:
        """Return the successors of the nodes, row after row, with duplicates."""
        first = self.starts[nodes]
        counts = self.starts[nodes + 1] - first
        ends = np.cumsum(counts)
        total = int(ends[-1]) if len(ends) else 0
        return self.targets[np.repeat(first - ends + counts, counts) + np.arange(total)]

    def waves(self, start: Nodes) -> Iterator[Nodes]:
        """Search breadth-first: yield the start nodes, then those 1 step away, then 2; each wave ascending."""
        seen = np.zeros(self.size, dtype=bool)
        wave = distinct(start)
        while len(wave):
            yield wave
            seen[wave] = True
            following = self.after(wave)
            wave = distinct(following[~seen[following]])

    def steps(self, start: Nodes) -> Numbers:
        """Return for each node the least number of steps from the start nodes, -1 if it is unreachable."""
        steps = np.full(self.size, -1, dtype=np.int64)
        for step, wave in enumerate(self.waves(start)):
            steps[wave] = step
        return steps


def distinct(numbers: Nodes) -> Nodes:
    """Sort numbers from 0 up, without duplicates; np.unique takes 50 times as long on multiples of one number."""
    ordered = np.sort(numbers)
    return ordered[np.diff(ordered, prepend=-1) > 0]


class IsaGraph:
    """Synsets and their is-a edges (instance edges too), by position."""

    def __init__(self, size: int, child: Ends, parent: Ends) -> None:
        self.size = size
        self.child = child
        self.parent = parent

    @cached_property
    def up(self) -> Adjacency:
        """From a node to its parents, in WordNet's order."""
        return Adjacency.of_pairs(self.size, self.child, self.parent)

    @cached_property
    def down(self) -> Adjacency:
        """From a node to its children, ascending."""
        return Adjacency.of_pairs(self.size, self.parent, self.child)

    @cached_property
    def around(self) -> Adjacency:
        """From a node to its parents and children: the undirected graph."""
        ends = np.concatenate([self.child, self.parent])
        return Adjacency.of_pairs(self.size, ends, np.concatenate([self.parent, self.child]))

    @cached_property
    def heights(self) -> Numbers:
        """The longest path down from each node to a leaf; TaxonomyError if the edges form a cycle."""
        heights = np.full(self.size, -1, dtype=np.int64)
        open_children = np.diff(self.down.starts)
        leaves = np.flatnonzero(open_children == 0)
        height = 0
        while len(leaves):
            heights[leaves] = height
            above = self.up.after(leaves)
            np.subtract.at(open_children, above, 1)
            leaves = np.unique(above[open_children[above] == 0])
            height += 1
        if (heights < 0).any():
            circle = int((heights < 0).sum())
            raise TaxonomyError(f"{circle} synsets are on or above a cycle of is-a edges: remove an edge of it")
        return heights

    @cached_property
    def depths(self) -> Numbers:
        """The shortest path from a root down to each node."""
        return self.down.steps(np.flatnonzero(np.diff(self.up.starts) == 0))

    def reach(self, adjacency: Adjacency, node: int) -> Nodes:
        """Return the node and all nodes reachable from it, nearest first."""
        return np.concatenate(list(adjacency.waves(np.array([node]))))

    def ball(self, node: int, radius: int) -> Nodes:
        """The nodes at most `radius` undirected edges away, nearest first, itself included."""
        return np.concatenate(list(islice(self.around.waves(np.array([node])), radius + 1)))

    def distance(self, one: int, other: int) -> int | None:
        """Return the fewest undirected edges between two nodes; None if they are not connected."""
        for step, wave in enumerate(self.around.waves(np.array([one]))):
            if other in wave:
                return step
        return None

    def lowest_common_ancestors(self, one: int, other: int) -> Nodes:
        """Find nodes above (or equal to) both without a child above both; closest first.

        Closeness is the sum of the two shortest ways up; ties go by position.
        """
        from_one, from_other = (self.up.steps(np.array([node])) for node in (one, other))
        common = (from_one >= 0) & (from_other >= 0)
        lowest = common.copy()
        lowest[self.up.after(np.flatnonzero(common))] = False
        nodes = np.flatnonzero(lowest)
        return nodes[np.argsort((from_one + from_other)[nodes], kind="stable")]


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

    around: of the nodes that are kept. place: where each node is among them, or for a leaf its neighbour. out: how
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
