"""Run pictures of many requests through one model: bounded queue, two workers per core, blocks."""

import queue
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from devise.errors import counted
from devise.serve.limits import Limits
from devise.serve.problems import busy, late
from devise.vision.backbone import Backbone
from devise.vision.decoder_process import Decoder
from devise.vision.pipeline import Extracted, cores

if TYPE_CHECKING:
    from devise.vision.regions import FeatureMaps

__all__ = ["Computation", "Engine"]

_REGIONS_COST = 4  # pictures that one with regions counts for: its map takes up to four passes
_LINGER = 0.1  # seconds a block waits for more pictures while more are in the queue than it has


@runtime_checkable
class Computation(Hashable, Protocol):
    """A computation on features of pictures, one result per picture; equal tasks run together."""

    def __call__(self, block: Sequence[Extracted], /) -> Sequence[Any]:
        """Return one result per picture of the block, in order."""


@dataclass(slots=True, eq=False)
class _Job:
    """A picture to label, as bytes, or a photo to shrink, as path and longer side."""

    picture: bytes | tuple[Path, int]
    tasks: tuple[Computation, ...]
    deadline: float
    done: "Future[Any]"
    regions: bool = False
    extracted: Extracted | None = None
    results: list[Any] = field(default_factory=list)

    @property
    def weight(self) -> int:
        """Return the number of pictures that it counts for."""
        return _REGIONS_COST if self.regions else 1


class Engine:
    """Takes pictures one by one and returns a future for each.

    Two workers per core decode a picture with one of the `Decoder`s, one per core, and run the network
    on it: so a core has a picture to decode while another waits for the network. With one worker per core, cores
    were idle for a quarter of the time. One more thread scores finished features, with equal tasks in one block.
    Photos to shrink wait in the same queue. A single picture is scored at once; while more pictures are in the queue
    than in the block, the block waits up to a tenth of a second for them. A bad picture fails alone.
    """

    def __init__(
        self,
        backbone: Backbone,
        limits: Limits,
        *,
        workers: int | None = None,
        reader: Callable[[], Decoder] | None = None,
        maps: "Callable[[], FeatureMaps] | None" = None,
        on_block: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._backbone = backbone
        self._maps = maps
        self._limits = limits
        self._workers = workers or 2 * cores()
        self._queue: queue.Queue[_Job | None] = queue.Queue()
        self._admission = threading.Lock()
        self._waiting = 0
        self._ready: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._on_block = on_block
        self._pace = 0.05  # seconds that a worker needs for a picture, a moving mean
        self._closed = False
        make = reader or (lambda: Decoder(limits.picture, limits.decode_seconds))
        self._readers = [make() for _ in range(min(self._workers, cores()))]
        self._free: queue.SimpleQueue[Decoder] = queue.SimpleQueue()
        for one in self._readers:
            self._free.put(one)
        self._threads = [
            threading.Thread(target=self._work, name=f"devise-picture-{number}", daemon=True)
            for number in range(self._workers)
        ]
        self._scorer = threading.Thread(target=self._score, name="devise-scores", daemon=True)
        for thread in (*self._threads, self._scorer):
            thread.start()

    @property
    def waiting(self) -> int:
        """Number of pictures that no worker has started."""
        return self._waiting

    def refuse_if_full(self) -> None:
        """Raise ServiceError 429 if the queue is full, before a body is read."""
        if self._waiting >= self._limits.queue:
            seconds = ceil(self._waiting * self._pace / self._workers)
            raise busy(f"the queue is full ({counted(self._waiting, 'picture')}): try again", max(1, seconds))

    def submit(
        self, data: bytes, tasks: tuple[Computation, ...], *, regions: bool = False
    ) -> "Future[tuple[Any, ...]]":
        """Return a future of one result per task; it may raise PictureError or ServiceError 429.

        data: the bytes of a picture file. regions: the tasks need the parts of the picture too. ServiceError 429 at
        once if the queue is full, or later if the picture waited too long. A future that is cancelled before a worker
        starts it costs nothing more.
        """
        return self._put(data, tasks, regions)

    def thumbnail(self, path: Path, side: int) -> "Future[bytes]":
        """Shrink a photo to a JPEG with a longer side of at most `side` pixels; the errors of `submit`."""
        return self._put((path, side), ())

    def warm(self) -> None:
        """Start the decoders, so that the first pictures do not wait for them."""
        for one in self._readers:
            one.start()

    def _put(
        self, picture: bytes | tuple[Path, int], tasks: tuple[Computation, ...], regions: bool = False
    ) -> "Future[Any]":
        job = _Job(picture, tasks, monotonic() + self._limits.seconds, Future(), regions)
        with self._admission:
            assert not self._closed, "the engine is closed"
            self.refuse_if_full()
            self._waiting += job.weight
        self._queue.put(job)
        return job.done

    def close(self) -> None:
        """Finish accepted pictures, then end the threads."""
        with self._admission:
            if self._closed:
                return
            self._closed = True
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
        for one in self._readers:
            one.close()
        self._ready.put(None)
        self._scorer.join()

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            with self._admission:
                self._waiting -= job.weight
            if job.done.set_running_or_notify_cancel():
                begun = monotonic()
                self._take(job)
                self._pace += 0.1 * (monotonic() - begun - self._pace)
            job.picture = b""  # which this frame would keep until the next one comes

    @contextmanager
    def _reader(self) -> Iterator[Decoder]:
        reader = self._free.get()
        try:
            yield reader
        finally:
            self._free.put(reader)

    def _take(self, job: _Job) -> None:
        try:
            if monotonic() > job.deadline:
                raise late()
            if isinstance(job.picture, tuple):
                with self._reader() as reader:
                    job.done.set_result(reader.thumbnail(*job.picture))
                return
            job.extracted = self._extracted(job.picture, job.regions)
        except TimeoutError:
            job.done.set_exception(busy("the machine is too busy to decode the picture: try again", 5))
        except Exception as error:
            # Without its traceback, whose frames keep the picture: the future would keep it, and the frames the future.
            job.done.set_exception(error.with_traceback(None))
        else:
            self._ready.put(job)

    def _extracted(self, picture: bytes, regions: bool) -> Extracted:
        if not regions:
            with self._reader() as reader:
                crop = reader.crop(picture, self._backbone.preprocessing)
            return Extracted(b"", self._backbone.features(crop[None])[0], None)
        assert self._maps is not None, "an engine of a model"
        with self._reader() as reader:
            crop, whole, size = reader.parts(picture, self._backbone.preprocessing)
        windows, why = self._maps().windows_of(whole, size)
        return Extracted(b"", self._backbone.features(crop[None])[0], None, why, windows=windows)

    def _score(self) -> None:
        while (job := self._ready.get()) is not None:
            jobs = [job]
            until = monotonic() + _LINGER
            while len(jobs) < self._limits.block:
                try:
                    more = self._ready.get(timeout=max(0.0, until - monotonic()) if self._waiting > len(jobs) else 0)
                except queue.Empty:
                    break
                if more is None:
                    self._ready.put(None)
                    break
                jobs.append(more)
            self._on_block(len(jobs))
            self._finish(jobs)

    def _finish(self, jobs: list[_Job]) -> None:
        """Run all tasks; if a block fails, run each of its pictures alone, so that only bad ones fail."""
        try:
            outcomes: list[tuple[Any, ...] | Exception] = list(_results(jobs))
        except Exception:
            outcomes = [_alone(job) for job in jobs]
        for job, outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, Exception):
                job.done.set_exception(outcome)
            else:
                job.done.set_result(outcome)


def _alone(job: _Job) -> tuple[Any, ...] | Exception:
    try:
        return next(iter(_results([job])))
    except Exception as error:
        return error


def _results(jobs: Sequence[_Job]) -> list[tuple[Any, ...]]:
    wanting: dict[Computation, list[int]] = {}
    for number, job in enumerate(jobs):
        for task in dict.fromkeys(job.tasks):
            wanting.setdefault(task, []).append(number)
    found: dict[tuple[Computation, int], Any] = {}
    for task, numbers in wanting.items():
        block = [extracted for number in numbers if (extracted := jobs[number].extracted) is not None]
        found |= {(task, number): result for number, result in zip(numbers, task(block), strict=True)}
    return [tuple(found[task, number] for task in job.tasks) for number, job in enumerate(jobs)]
