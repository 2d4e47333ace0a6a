"""Compute features of pictures and videos on all cores: in order, in constant memory, past unreadable ones."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
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
from devise.vision.preprocessing import Crop

if TYPE_CHECKING:
    from devise.vision.decoder_process import Decoder
    from devise.vision.regions import FeatureMaps

__all__ = ["Box", "Extracted", "Windows", "cores", "extract", "one_thread"]

_TOGETHER = 8  # pictures at most that a worker decodes before the network runs on them; fewer near the end
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
            crops = reader.frames(path, frames, backbone.preprocessing)
        except TimeoutError:
            raise PictureError(f"takes over {VIDEO_SECONDS} seconds to decode") from None
        finally:
            self._free.append(reader)
        return self._joined(backbone.features(crops))

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
    workers: threads, each of which takes pictures all the way from files to features; None means two more
        than there are cores, so that no core waits: two more take 3 % less time than one more.
    joined: makes one row of the features of a video's frames.
    Stopping early (a break, Ctrl-C) waits for no further pictures than those a worker has begun, `_TOGETHER` at most.
    """
    workers = workers or cores() + 2
    waiting, lock = deque[_Awaited](), threading.Lock()
    videos = _VideoReaders(joined)

    def work() -> None:
        with lock:
            count = min(max(1, len(waiting) // workers), _TOGETHER, len(waiting))
            block = [waiting.popleft() for _ in range(count)]
        try:
            found = _extracted([one.source for one in block], backbone, regions, videos)
        except BaseException as error:
            for one in block:
                one.result.set_exception(error)
        else:
            for one, extracted in zip(block, found, strict=True):
                one.result.set_result(extracted)

    pool = ThreadPoolExecutor(workers, thread_name_prefix="devise-extract")
    held = deque[_Awaited]()
    try:
        for source in sources:
            held.append(_Awaited(source, Future()))
            waiting.append(held[-1])
            pool.submit(work)  # a worker that takes several leaves nothing for some later calls
            if len(held) >= _AHEAD * workers:
                yield held.popleft().result.result()
        while held:
            yield held.popleft().result.result()
    finally:
        waiting.clear()
        pool.shutdown(wait=False, cancel_futures=True)
        videos.close()


@dataclass(frozen=True, slots=True, eq=False)
class _Awaited:
    """A picture that a worker takes, or has taken."""

    source: PictureSource | Found
    result: Future[Extracted]


@dataclass(frozen=True, slots=True, eq=False)
class _Decoded:
    """A picture before the network. pixels: None if not needed. size: width and height before any reduction."""

    source: PictureSource
    pixels: Pixels | None
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
    sides = [one.preprocessing.crop for one in members]
    crops = [np.empty((len(block), side, side, 3), np.uint8) for side in sides]
    found: list[_Decoded | Extracted] = []
    count = 0
    for source in block:
        found.append(_decoded(source, members, [one[count] for one in crops], videos, keep=regions is not None))
        count += isinstance(found[-1], _Decoded)
    if not count:
        return [one for one in found if isinstance(one, Extracted)]
    try:
        rows = [member.features(one[:count]) for member, one in zip(members, crops, strict=True)]
    except MemoryError:
        return [one if isinstance(one, Extracted) else Extracted(one.source, None, _TOO_LARGE) for one in found]
    features = iter(rows[0] if len(rows) == 1 else np.concatenate(rows, axis=1))
    return [one if isinstance(one, Extracted) else _with_parts(one, next(features), regions) for one in found]


def _decoded(
    source: PictureSource | Found,
    members: Sequence[Backbone],
    crops: Sequence[Crop],
    videos: _VideoReaders,
    *,
    keep: bool,
) -> _Decoded | Extracted:
    """Make a picture ready for the networks; of a video return the features, of an unreadable one the problem.

    crops: filled with the picture, one per network. keep: its pixels, for its parts.
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
        for member, crop in zip(members, crops, strict=True):
            crop[:] = member.preprocessing.apply(pixels)
        return _Decoded(source, pixels if keep else None, sizes[0], notes, thread_time() - begun)
    except PictureError as error:
        problem = str(error)
    except MemoryError:
        problem = _TOO_LARGE
    return Extracted(source, None, problem)


def _with_parts(
    picture: _Decoded, features: Float32[np.ndarray, " features"], regions: "FeatureMaps | None"
) -> Extracted:
    windows, notes = None, picture.notes
    if regions is not None:
        assert picture.pixels is not None
        try:
            windows, why = regions.windows(picture.pixels, picture.size)
        except MemoryError:
            return Extracted(picture.source, None, _TOO_LARGE)
        notes = [*notes, *[why] * bool(why)]
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
