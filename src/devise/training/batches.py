"""The samples and the random numbers of each step, which depend only on the seed and the step.

So resuming needs no generator state, and any number of processes draws the same as one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from devise.arrays import Float32, Int64
from devise.errors import UsageError

__all__ = ["Batch", "Sampler"]

_ORDER, _DRAWS = 0, 1  # streams of random numbers that must not meet


@dataclass(frozen=True, eq=False, slots=True)
class Batch:
    """This process's samples of one step.

    rows: of the samples. epoch, step: from 0, the step inside the epoch. seed: of the run.
    total: samples of the step over all processes. rank, world: this process and how many there are.
    """

    rows: Int64[np.ndarray, "rows"]
    epoch: int
    step: int
    seed: int
    total: int
    rank: int = 0
    world: int = 1

    def uniform(self, columns: int, stream: int = 0) -> Float32[np.ndarray, "rows columns"]:
        """Draw uniform numbers in [0, 1) per sample, the same as a single process would.

        stream: another number gives other draws.
        """
        rng = np.random.default_rng((self.seed, _DRAWS, stream, self.epoch, self.step))
        drawn: Float32[np.ndarray, "rows columns"] = rng.random((self.total, columns), dtype=np.float32)
        return np.ascontiguousarray(drawn[self.rank :: self.world])

    @property
    def torch_seed(self) -> int:
        """Return the seed for draws inside the network (dropout), different in each process."""
        state = np.random.SeedSequence((self.seed, self.epoch, self.step, self.rank)).generate_state(1)
        return int(state[0])


@dataclass(frozen=True, slots=True)
class Sampler:
    """Shuffles all samples in every epoch, in batches of equal size; the remainder of an epoch is skipped.

    count: how many samples. batch: of all processes together; it is lowered to `count`, and to a multiple of `world`.
    block, group: where above 1, blocks of so many neighbours are shuffled, then the samples inside every so
        many blocks: what is read from the disk at once then is one group, not a row here and there.
    """

    count: int
    batch: int
    seed: int
    rank: int = 0
    world: int = 1
    block: int = 1
    group: int = 1

    def __post_init__(self) -> None:
        if min(self.batch, self.count) < self.world:
            raise UsageError(
                f"{self.world} processes need as many samples in a batch, got {min(self.batch, self.count)} "
                f"({self.count} samples, batch {self.batch}): raise the batch, add photos or use fewer processes"
            )

    @property
    def size(self) -> int:
        """Samples of a step over all processes."""
        size = min(self.batch, self.count)
        return max(size - size % self.world, 1)

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self.count // self.size

    def order(self, epoch: int) -> Int64[np.ndarray, "count"]:
        """Return all samples in the order of this epoch."""
        rng = np.random.default_rng((self.seed, _ORDER, epoch))
        if self.block == 1:
            return rng.permutation(self.count)
        starts = rng.permutation(-(-self.count // self.block)) * self.block
        groups = (starts[i : i + self.group] for i in range(0, len(starts), self.group))
        return np.concatenate([rng.permutation(self._neighbours(group.tolist())) for group in groups])

    def batches(self, epoch: int, start: int = 0) -> "Sequence[Batch]":
        """Yield the steps of an epoch from step `start` on."""
        order, size = self.order(epoch), self.size
        return [
            Batch(
                np.ascontiguousarray(order[step * size : (step + 1) * size][self.rank :: self.world]),
                epoch,
                step,
                self.seed,
                size,
                self.rank,
                self.world,
            )
            for step in range(start, self.steps)
        ]

    def _neighbours(self, starts: list[int]) -> Int64[np.ndarray, "some"]:
        return np.concatenate([np.arange(start, min(start + self.block, self.count)) for start in starts])
