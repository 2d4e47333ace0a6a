"""Photos as square byte arrays for training: decoded once and kept if they fit, otherwise decoded on demand."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from devise.arrays import Bool, Int64, UInt8
from devise.errors import PictureError
from devise.vision.decoding import read_picture
from devise.vision.pipeline import cores
from devise.vision.preprocessing import Preprocessing
from devise.vision.samples import Samples, check_broken

__all__ = ["PhotoArrays"]

_Squares = UInt8[np.ndarray, "rows side side 3"]


class PhotoArrays:
    """The middle square of each photo, its short side resized as the preprocessing says.

    held: bytes of pixels that are kept in memory at most; where all photos need more, none is kept.
    A broken photo is counted, told once and left out; TrainingError when more than 1 % are.
    """

    def __init__(
        self,
        samples: Samples,
        preprocessing: Preprocessing,
        held: int,
        on_problem: Callable[[str], None],
        on_progress: Callable[[int, int], None] | None = None,
    ) -> None:
        side = preprocessing.resize
        self.samples, self.side = samples, side
        self.broken: dict[int, str] = {}
        self._whole = replace(preprocessing, crop=side, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
        self._told = on_problem
        for line in samples.broken:
            on_problem(line)
        self._kept: _Squares | None = None
        if len(samples) * side * side * 3 <= held:
            self._kept = np.zeros((len(samples), side, side, 3), np.uint8)
            self._decode_all(on_progress)

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def kept(self) -> bool:
        """Whether the photos are in memory."""
        return self._kept is not None

    def good(self) -> Int64[np.ndarray, "good"]:
        """The photos that are not known to be broken."""
        return np.array([row for row in range(len(self)) if row not in self.broken], dtype=np.int64)

    def take(self, rows: Int64[np.ndarray, "rows"]) -> tuple[_Squares, Bool[np.ndarray, "rows"]]:
        """Return the squares of these photos, and which of them are readable; the others are black."""
        if self._kept is not None:
            return self._kept[rows], np.array([int(row) not in self.broken for row in rows], dtype=bool)
        squares = np.zeros((len(rows), self.side, self.side, 3), np.uint8)
        with ThreadPoolExecutor(cores()) as pool:
            read = list(pool.map(lambda pair: self._decode(int(pair[1]), squares[pair[0]]), enumerate(rows)))
        self._check()
        return squares, np.array(read, dtype=bool)

    def _decode_all(self, on_progress: Callable[[int, int], None] | None) -> None:
        assert self._kept is not None
        kept = self._kept
        with ThreadPoolExecutor(cores()) as pool:
            for row, _ in enumerate(pool.map(lambda row: self._decode(row, kept[row]), range(len(self)))):
                if on_progress is not None:
                    on_progress(row + 1, len(self))
        self._check()

    def _decode(self, row: int, square: UInt8[np.ndarray, "side side 3"]) -> bool:
        try:
            pixels = read_picture(self.samples.source(row), min_side=self._whole.decode_side)
        except PictureError as error:
            if row not in self.broken:
                self.broken[row] = f"{self.samples.names[row]}: {error}"
                self._told(self.broken[row])
            return False
        square[:] = self._whole.apply(pixels).transpose(1, 2, 0)
        return True

    def _check(self) -> None:
        lines = [*self.samples.broken, *self.broken.values()]
        check_broken(len(lines), len(self) + len(self.samples.broken), lines[0] if lines else "")
