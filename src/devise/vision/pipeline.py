"""Compute features of pictures and videos on all cores: in order, in constant memory, past unreadable ones."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from time import thread_time
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from threadpoolctl import ThreadpoolController

from devise.arrays import Features, Float32, Pixels
from devise.errors import PictureError
from devise.vision.backbone import Backbone, JoinedBackbones
from devise.vision.decoding import PictureSource, read_picture
from devise.vision.folders import Found
from devise.vision.preprocessing import Planes

if TYPE_CHECKING:
    from devise.vision.decoder_process import Decoder
    from devise.vision.regions import FeatureMaps

__all__ = ["Box", "Extracted", "Windows", "cores", "extract", "one_thread"]

_TOGETHER = 4  # pictures that a worker decodes before the network runs on them: 2 % less core time than one, 8 take 3 %
_ALONE = 64  # pictures before a worker takes one more at a time
_AHEAD = 12  # pictures per worker that are read before their results are fetched; no more are in memory
_TOO_LARGE = "too large for the memory: make it smaller"


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels of an upright picture: its left upper corner, width and height."""

    x: int
    y: int
    width: int
    height: int

    def overlaps(self, other: "Box") -> bool:
        """Return whether they have a pixel in common."""
        across = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        down = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        return across > 0 and down > 0

    def around(self, other: "Box") -> "Box":
        """Return the smallest box that contains both."""
        x, y = min(self.x, other.x), min(self.y, other.y)
        right = max(self.x + self.width, other.x + other.width)
        bottom = max(self.y + self.height, other.y + other.height)
        return Box(x, y, right - x, bottom - y)


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Parts of a picture and their features, one row per box. size: width and height of the upright picture."""

    size: tuple[int, int]
    boxes: tuple[Box, ...]
    features: Features


@dataclass(frozen=True, slots=True, eq=False)
class Extracted:
    """The features of one picture, or its problem: exactly one of the two.

    note: a harmless fault of its file, or "". decoding: core seconds from its file to the network's input. windows:
        parts of it, if requested.
    """

    source: PictureSource
    features: Float32[np.ndarray, " features"] | None
    problem: str | None
    note: str = ""
    decoding: float = 0.0
    windows: Windows | None = None


def cores() -> int:
    """Return the number of CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


Joined: TypeAlias = Callable[[Features], Float32[np.ndarray, " features"]]
"""Makes one row of the features of a video's frames."""


def _mean(features: Features) -> Float32[np.ndarray, " features"]:
    mean: Float32[np.ndarray, " features"] = features.mean(axis=0)
    return mean


class _VideoReaders:
    """Processes that read videos, each for one thread at a time; started when a video comes."""

    def __init__(self, joined: Joined) -> None:
        self._joined = joined
        self._all: list["Decoder"] = []
        self._free: deque["Decoder"] = deque()

    def features(self, path: Path, frames: int, backbone: Backbone) -> Float32[np.ndarray, " features"]:
        """Return the features of a video's frames, joined; PictureError if it cannot be read."""
        from devise.vision.decoder_process import VIDEO_SECONDS, Decoder
        from devise.vision.limits import PictureLimits
        from devise.vision.videos import require_av

        require_av()
        try:
            reader = self._free.pop()
        except IndexError:
            reader = Decoder(PictureLimits.usual(), VIDEO_SECONDS)
            self._all.append(reader)
        try:
            planes = reader.frames(path, frames, backbone.preprocessing)
        except TimeoutError:
            raise PictureError(f"takes over {VIDEO_SECONDS} seconds to decode") from None
        finally:
            self._free.append(reader)
        return self._joined(np.concatenate([backbone.features(plane[None]) for plane in planes]))

    def close(self) -> None:
        """End all processes, also those that another thread waits for."""
        for reader in self._all:
            reader.kill()


def extract(
    sources: Iterable[PictureSource | Found],
    backbone: Backbone | JoinedBackbones,
    *,
    regions: "FeatureMaps | None" = None,
    workers: int | None = None,
    joined: Joined = _mean,
) -> Iterator[Extracted]:
    """Yield one result per source, in order; an unreadable picture gives its problem and does not stop it.

    regions: reads parts of each picture too.
    workers: threads, each of which takes pictures all the way from files to features; None means one more
        than there are cores, so that a core has a picture to decode while another waits for the network.
    joined: makes one row of the features of a video's frames.
    Stopping early (a break, Ctrl-C) waits for no further pictures than those a worker has begun, `_TOGETHER` at most.
    """
    workers = workers or cores() + 1
    pool = ThreadPoolExecutor(workers, thread_name_prefix="devise-extract")
    pending: deque[Future[list[Extracted]]] = deque()
    videos = _VideoReaders(joined)
    held = 0
    try:
        for block in _blocks(sources):
            pending.append(pool.submit(_extracted, block, backbone, regions, videos))
            held += len(block)
            while held > _AHEAD * workers - _TOGETHER:
                found = pending.popleft().result()
                held -= len(found)
                yield from found
        while pending:
            yield from pending.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        videos.close()


def _blocks(sources: Iterable[PictureSource | Found]) -> Iterator[list[PictureSource | Found]]:
    """Group the sources: one at a time first, so that all workers share a short list, later `_TOGETHER`."""
    rest, given = iter(sources), 0
    while block := list(islice(rest, min(_TOGETHER, 1 + given // _ALONE))):
        yield block
        given += len(block)


@dataclass(frozen=True, slots=True, eq=False)
class _Decoded:
    """A picture before the network. planes: one per network. size: width and height before any reduction."""

    source: PictureSource
    pixels: Pixels | None
    planes: list[Planes]
    size: tuple[int, int]
    notes: list[str]
    seconds: float


def _extracted(
    block: Sequence[PictureSource | Found],
    backbone: Backbone | JoinedBackbones,
    regions: "FeatureMaps | None",
    videos: _VideoReaders,
) -> list[Extracted]:
    """Decode all, then run the network on all: each evicts the other's code and data from the core's cache."""
    members = backbone.members if isinstance(backbone, JoinedBackbones) else (backbone,)
    decoded = [_decoded(one, members, videos, keep=regions is not None) for one in block]
    return [one if isinstance(one, Extracted) else _through(one, members, regions) for one in decoded]


def _decoded(
    source: PictureSource | Found, members: Sequence[Backbone], videos: _VideoReaders, *, keep: bool
) -> _Decoded | Extracted:
    """Return a picture ready for the networks; of a video the features, of an unreadable one the problem.

    keep: its pixels, for its parts.
    """
    problem, frames = None, 0
    if isinstance(source, Found):
        problem, frames = source.problem, source.frames
        source = source.path
    if problem is not None:
        return Extracted(source, None, problem)
    notes, sizes = list[str](), list[tuple[int, int]]()
    try:
        if frames:
            assert isinstance(source, Path), "a video is a file"
            assert len(members) == 1, "videos take one model"
            return Extracted(source, videos.features(source, frames, members[0]), None)
        begun = thread_time()
        side = max(one.preprocessing.decode_side for one in members)
        pixels = read_picture(source, min_side=side, on_note=notes.append, on_size=lambda *size: sizes.append(size))
        planes = [one.preprocessing.apply(pixels)[None] for one in members]
        return _Decoded(source, pixels if keep else None, planes, sizes[0], notes, thread_time() - begun)
    except PictureError as error:
        problem = str(error)
    except MemoryError:
        problem = _TOO_LARGE
    return Extracted(source, None, problem)


def _through(picture: _Decoded, members: Sequence[Backbone], regions: "FeatureMaps | None") -> Extracted:
    windows, notes = None, picture.notes
    try:
        found = [one.features(plane)[0] for one, plane in zip(members, picture.planes, strict=True)]
        features = found[0] if len(found) == 1 else np.concatenate(found)
        if regions is not None:
            assert picture.pixels is not None
            windows, why = regions.windows(picture.pixels, picture.size)
            notes = [*notes, *[why] * bool(why)]
    except MemoryError:
        return Extracted(picture.source, None, _TOO_LARGE)
    return Extracted(picture.source, features, None, "; ".join(notes), picture.seconds, windows)


_one_at_a_time = threading.Lock()  # two that restore each other's limit would leave the lower one for ever


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit NumPy's products to one thread within the block.

    BLAS threads wait for their next product by spinning, and take that time from the threads that decode pictures
    and run the network.
    """
    with _one_at_a_time, _controller().limit(limits=1, user_api="blas"):
        yield


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
