"""How far many synsets are from many others: breadth-first searches, 64 of them at once."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import UInt8, UInt64

from devise.errors import TaxonomyError
from devise.taxonomy.graph import Adjacency, Nodes

__all__ = ["UNREACHED", "DistanceRows", "distance_rows"]

DistanceRows = UInt8[np.ndarray, "sources targets"]
"""Fewest undirected is-a edges from each source to each target; `UNREACHED` where no way leads."""
UNREACHED = 255
"""The distance of two synsets that nothing joins."""

_Bits = UInt64[np.ndarray, "_"]

_AT_ONCE = 64  # searches, one a bit of a word


def distance_rows(around: Adjacency, sources: Nodes, targets: Nodes) -> Iterator[DistanceRows]:
    """Rows of at most 64 sources, in their order, against all targets; memory for one such block only.

    around: the undirected graph. TaxonomyError if two nodes are more than 254 edges apart.
    """
    linked = np.flatnonzero(np.diff(around.starts))
    starts = around.starts[linked]
    for first in range(0, len(sources), _AT_ONCE):
        yield _block(around, linked, starts, sources[first : first + _AT_ONCE], targets)


def _block(around: Adjacency, linked: Nodes, starts: Nodes, sources: Nodes, targets: Nodes) -> DistanceRows:
    """One bit a search: a node has the bits of the searches that have come to it."""
    bits = np.left_shift(np.uint64(1), np.arange(len(sources), dtype=np.uint64))
    reached = np.zeros(around.size, dtype=np.uint64)
    np.bitwise_or.at(reached, sources, bits)
    distances = np.full((len(targets), len(sources)), UNREACHED, dtype=np.uint8)
    fresh = reached
    step = 0
    while fresh.any():
        if step == UNREACHED:
            raise TaxonomyError(f"two synsets are more than {UNREACHED - 1} edges apart: the graph is too long")
        distances[_marked(fresh[targets], len(sources))] = step
        wider = reached.copy()
        if len(linked):
            wider[linked] |= np.bitwise_or.reduceat(reached[around.targets], starts)
        fresh = wider & ~reached
        reached = wider
        step += 1
    return np.ascontiguousarray(distances.T)


def _marked(words: _Bits, count: int) -> np.ndarray:
    """The lowest `count` bits of every word, as booleans."""
    octets = words.astype("<u8").view(np.uint8).reshape(len(words), 8)
    return np.unpackbits(octets, axis=1, bitorder="little", count=count).astype(bool)
