"""The two trained matrices: one input row per word, one output row per tree node or noise word."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from devise.text.engine.config import SkipGramConfig

__all__ = ["Rows", "fresh_rows", "output_rows", "padded"]

_LINE = 16  # float32 in a cache line
_AT_ONCE = 4096

RowMatrix = Float32[np.ndarray, "_ padded"]


@dataclass(frozen=True, eq=False, slots=True)
class Rows:
    """inputs: row w is the vector of word w. outputs: first the tree's nodes, then one per noise word.

    Rows begin at multiples of 64 bytes, and behind the numbers of a vector stand zeros.
    """

    inputs: RowMatrix
    outputs: RowMatrix
    dim: int


def padded(dim: int) -> int:
    """Return the length of a vector, padded to whole cache lines.

    >>> padded(500), padded(16)
    (512, 16)
    """
    return -(-dim // _LINE) * _LINE


def output_rows(words: int, config: SkipGramConfig) -> int:
    """Return the number of output rows."""
    return (words - 1) * config.hierarchical_softmax + words * (config.negative > 0)


def fresh_rows(words: int, config: SkipGramConfig) -> Rows:
    """Make initial rows as word2vec: inputs uniform from -1 / (2 dim) to 1 / (2 dim), outputs 0."""
    rows = Rows(_zeros(words, config.dim), _zeros(output_rows(words, config), config.dim), config.dim)
    rng = np.random.default_rng(config.seed)
    for start in range(0, words, _AT_ONCE):
        part = rows.inputs[start : start + _AT_ONCE, : config.dim]
        part[:] = (rng.random(part.shape, dtype=np.float32) - np.float32(0.5)) / np.float32(config.dim)
    return rows


def _zeros(rows: int, dim: int) -> RowMatrix:
    """Allocate an odd number of cache lines per row, or rows would compete for the same cache sets."""
    stride = padded(dim)
    stride += _LINE * (stride // _LINE % 2 == 0)
    flat = np.zeros(rows * stride + _LINE, dtype=np.float32)
    skip = -flat.ctypes.data % 64 // 4
    return flat[skip : skip + rows * stride].reshape(rows, stride)
