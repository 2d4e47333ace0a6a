"""Huffman codes: each word is a path of yes-no questions from the root; frequent words have short paths."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float32, Int32, Int64

__all__ = ["Paths", "huffman_paths"]


@dataclass(frozen=True, eq=False, slots=True)
class Paths:
    """For word w, entries starts[w] to starts[w + 1] - 1 of the other two, from the root down.

    nodes: the inner nodes passed; 0 is the root, and nodes that more of the text passes have lower numbers.
    labels: what the node has to say there: 1 for a code bit of 0, 0 for a code bit of 1 (as word2vec has it).
    """

    starts: Int64[np.ndarray, "starts"]
    nodes: Int32[np.ndarray, "entries"]
    labels: Float32[np.ndarray, "entries"]

    def code(self, word: int) -> tuple[int, ...]:
        """The bits of a word, from the root down."""
        return tuple(1 - int(label) for label in self.labels[self.starts[word] : self.starts[word + 1]])


def huffman_paths(counts: Sequence[int]) -> Paths:
    """The paths of words with these counts, most frequent first (Huffman 1952; Mikolov et al. 2013, section 2.1).

    Of equal counts a word comes before an inner node and the later word before the earlier, so that the same counts
    give the same tree. A single word gets a path of no nodes. ValueError if counts grow or one is below 1.

    >>> paths = huffman_paths([5, 2, 1])
    >>> [paths.code(word) for word in range(3)], paths.nodes.tolist()
    ([(1,), (0, 1), (0, 0)], [0, 0, 1, 0, 1])
    """
    words = len(counts)
    if any(later > earlier for earlier, later in pairwise(counts)) or (words and counts[-1] < 1):
        raise ValueError("counts must be at least 1, the greatest first")
    parent, bit = _merged(counts)
    root = 2 * words - 2
    starts = np.zeros(words + 1, dtype=np.int64)
    depth = _depths(parent, words)
    np.cumsum(depth[:words], out=starts[1:])
    nodes = np.zeros(int(starts[-1]), dtype=np.int32)
    labels = np.zeros(int(starts[-1]), dtype=np.float32)
    at = np.arange(words)
    write = starts[1:].copy()
    moving = np.flatnonzero(depth[:words])
    while len(moving):  # all words climb one step at a time
        write[moving] -= 1
        here = at[moving]
        labels[write[moving]] = 1 - bit[here]
        at[moving] = parent[here]
        nodes[write[moving]] = root - parent[here]  # the node made last is the root
        moving = moving[at[moving] != root]
    return Paths(starts, nodes, labels)


def _merged(counts: Sequence[int]) -> tuple[Int64[np.ndarray, "all"], Int64[np.ndarray, "all"]]:
    """Parent and code bit of each word (0 to W - 1) and inner node (W to 2 W - 2).

    The two rarest are joined W - 1 times. Words wait in order of their counts and inner nodes in the order they were
    made, which is that of theirs: so the rarest is always the first of one of the two rows.
    """
    words = len(counts)
    size = max(2 * words - 1, 0)
    total = [*counts, *[0] * (size - words)]
    parent, bit = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    word, inner = words - 1, words
    for made in range(words, size):
        pair = []
        for _ in range(2):
            if word >= 0 and (inner >= made or total[word] <= total[inner]):
                pair.append(word)
                word -= 1
            else:
                pair.append(inner)
                inner += 1
        total[made] = total[pair[0]] + total[pair[1]]
        parent[pair] = made
        bit[pair[1]] = 1
    return parent, bit


def _depths(parent: Int64[np.ndarray, "all"], words: int) -> Int64[np.ndarray, "all"]:
    """Steps from each node up to the root: parents have higher numbers than their children."""
    depth = [0] * len(parent)
    above = parent.tolist()
    for node in range(len(depth) - 2, -1, -1):
        depth[node] = depth[above[node]] + 1
    return np.asarray(depth, dtype=np.int64)
