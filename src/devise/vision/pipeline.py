"""Compute features of pictures and videos on all cores: in order, in constant memory, past unreadable ones."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import Float32

from devise.arrays import Features
from devise.errors import PictureError
from devise.vision.backbone import Backbone
from devise.vision.decoder_process import VIDEO_SECONDS, Decoder
from devise.vision.decoding import PictureSource, read_picture
from devise.vision.folders import Found
from devise.vision.limits import PictureLimits
from devise.vision.videos import require_av

__all__ = ["Extracted", "cores", "extract", "extract_one"]


@dataclass(frozen=True, slots=True, eq=False)
class Extracted:
    """The features of one picture, or its problem: exactly one of the two.

    note: a harmless fault of its file, or "".
    """

    source: PictureSource
    features: Float32[np.ndarray, " features"] | None
    problem: str | None
    note: str = ""


def cores() -> int:
    """Return the number of CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def extract_one(
    source: PictureSource, backbone: Backbone, on_note: Callable[[str], None] = lambda note: None
) -> Float32[np.ndarray, " features"]:
    """Return the features of one picture; PictureError if it cannot be read. on_note: see `read_picture`."""
    preprocessing = backbone.preprocessing
    pixels = read_picture(source, min_side=preprocessing.decode_side, on_note=on_note)
    features: Float32[np.ndarray, " features"] = backbone.features(preprocessing.apply(pixels)[None])[0]
    return features


Joined: TypeAlias = Callable[[Features], Float32[np.ndarray, " features"]]
"""Makes one row of the features of a video's frames."""


def _mean(features: Features) -> Float32[np.ndarray, " features"]:
    mean: Float32[np.ndarray, " features"] = features.mean(axis=0)
    return mean


class _VideoReaders:
    """Processes that read videos, each for one thread at a time; started when a video comes."""

    def __init__(self, joined: Joined) -> None:
        self._joined = joined
        self._all: list[Decoder] = []
        self._free: deque[Decoder] = deque()

    def features(self, path: Path, frames: int, backbone: Backbone) -> Float32[np.ndarray, " features"]:
        """Return the features of a video's frames, joined; PictureError if it cannot be read."""
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
    backbone: Backbone,
    *,
    workers: int | None = None,
    ahead: int = 4,
    joined: Joined = _mean,
) -> Iterator[Extracted]:
    """Yield one result per source, in order; an unreadable picture gives its problem and does not stop it.

    workers: threads, each of which takes a picture all the way from file to features; None means one more
        than there are cores, so that a core has a picture to decode while another waits for the network.
    ahead: pictures per worker that are read before the first result is fetched; memory holds no more, however many the
        sources. A higher number keeps the workers busy while the caller does other work.
    joined: makes one row of the features of a video's frames.
    Stopping early (a break, Ctrl-C) waits for no further picture.
    """
    workers = workers or cores() + 1
    pool = ThreadPoolExecutor(workers, thread_name_prefix="devise-extract")
    pending: deque[Future[Extracted]] = deque()
    videos = _VideoReaders(joined)
    try:
        for source in sources:
            pending.append(pool.submit(_extracted, source, backbone, videos))
            if len(pending) >= ahead * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        videos.close()


def _extracted(source: PictureSource | Found, backbone: Backbone, videos: _VideoReaders) -> Extracted:
    problem, frames = None, 0
    if isinstance(source, Found):
        problem, frames = source.problem, source.frames
        source = source.path
    if problem is None:
        try:
            if frames:
                assert isinstance(source, Path)
                return Extracted(source, videos.features(source, frames, backbone), None)
            notes: list[str] = []
            return Extracted(source, extract_one(source, backbone, notes.append), None, "; ".join(notes))
        except PictureError as error:
            problem = str(error)
        except MemoryError:
            problem = "too large for the memory: make it smaller"
    return Extracted(source, None, problem)
