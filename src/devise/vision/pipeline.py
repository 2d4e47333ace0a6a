"""Compute features of pictures on all cores: in order, in constant memory, past unreadable ones."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from devise.errors import PictureError
from devise.vision.backbone import Backbone, JoinedBackbones
from devise.vision.decoding import PictureSource, read_picture
from devise.vision.folders import Found

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
    source: PictureSource, backbone: Backbone | JoinedBackbones, on_note: Callable[[str], None] = lambda note: None
) -> Float32[np.ndarray, " features"]:
    """Return the features of one picture, those of several networks one after the other; it is decoded once.

    PictureError if it cannot be read. on_note: see `read_picture`.
    """
    members = backbone.members if isinstance(backbone, JoinedBackbones) else (backbone,)
    side = max(one.preprocessing.decode_side for one in members)
    pixels = read_picture(source, min_side=side, on_note=on_note)
    found = [one.features(one.preprocessing.apply(pixels)[None])[0] for one in members]
    features: Float32[np.ndarray, " features"] = found[0] if len(found) == 1 else np.concatenate(found)
    return features


def extract(
    sources: Iterable[PictureSource | Found],
    backbone: Backbone | JoinedBackbones,
    *,
    workers: int | None = None,
    ahead: int = 4,
) -> Iterator[Extracted]:
    """Yield one result per source, in order; an unreadable picture gives its problem and does not stop it.

    workers: threads, each of which takes a picture all the way from file to features; None means one more
        than there are cores, so that a core has a picture to decode while another waits for the network.
    ahead: pictures per worker that are read before the first result is fetched; memory holds no more, however many the
        sources. A higher number keeps the workers busy while the caller does other work.
    Stopping early (a break, Ctrl-C) waits for no further picture.
    """
    workers = workers or cores() + 1
    pool = ThreadPoolExecutor(workers, thread_name_prefix="devise-extract")
    pending: deque[Future[Extracted]] = deque()
    try:
        for source in sources:
            pending.append(pool.submit(_extracted, source, backbone))
            if len(pending) >= ahead * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _extracted(source: PictureSource | Found, backbone: Backbone | JoinedBackbones) -> Extracted:
    problem = None
    if isinstance(source, Found):
        problem = source.problem
        source = source.path
    if problem is None:
        try:
            notes: list[str] = []
            return Extracted(source, extract_one(source, backbone, notes.append), None, "; ".join(notes))
        except PictureError as error:
            problem = str(error)
        except MemoryError:
            problem = "too large for the memory: make it smaller"
    return Extracted(source, None, problem)
