"""Rows of a feature store for training: all in memory, or group by group from disk."""

from collections import OrderedDict
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64

from devise.vision.featurestore import FeatureStore

__all__ = ["FeatureRows", "block_and_group"]

_HELD = 1 << 29
"""Bytes of features that are read into memory at once; a larger store is streamed."""
_BLOCK = 64  # neighbours that are read together
_GROUP = 256  # blocks whose samples are shuffled together

_Rows = Int64[np.ndarray, "rows"]
_Features = Float32[np.ndarray, "rows features"]


class FeatureRows:
    """Features of the samples that have them, by their number among those.

    A small store is read into memory. Of a large one, blocks of neighbours are read as they are asked for, and the
    last two groups of blocks are kept: with `block_and_group`'s order every block is read once an epoch. It is
    read, not mapped, since pages of a map that were touched count as this process's memory.
    """

    def __init__(self, store: FeatureStore, held: int = _HELD) -> None:
        self.rows = store.rows
        self.dim = store.dim
        self.streamed = len(store.rows) * store.dim * 4 > held
        self._path: Path = store.path / "features.f32"
        self._all = None if self.streamed else np.ascontiguousarray(store.features[store.rows])
        self._blocks: OrderedDict[int, _Features] = OrderedDict()

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, numbers: _Rows) -> _Features:
        """Return the features of these samples, in the given order; the caller owns the array."""
        if self._all is not None:
            taken: _Features = self._all[numbers]
            return taken
        found = np.empty((len(numbers), self.dim), np.float32)
        blocks = numbers // _BLOCK
        for block in np.unique(blocks).tolist():
            mine = blocks == block
            first, rows = self._block(block)
            found[mine] = rows[self.rows[numbers[mine]] - first]
        return found

    def _block(self, block: int) -> tuple[int, _Features]:
        """The stored rows between the first and the last sample of a block, and the number of the first."""
        members = self.rows[block * _BLOCK : (block + 1) * _BLOCK]
        first, count = int(members[0]), int(members[-1] - members[0]) + 1
        if block not in self._blocks:
            offset = first * self.dim * 4
            read = np.fromfile(self._path, np.float32, count * self.dim, offset=offset).reshape(count, self.dim)
            self._blocks[block] = read
            while len(self._blocks) > 2 * _GROUP:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(block)
        return first, self._blocks[block]


def block_and_group(rows: FeatureRows) -> tuple[int, int]:
    """Return how a `Sampler` should shuffle these rows: one by one if they are in memory."""
    return (_BLOCK, _GROUP) if rows.streamed else (1, 1)
