"""Pictures of many requests through one model: a bounded queue, a worker a core, scores worked out in blocks."""

import queue
import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from io import BytesIO
from math import ceil
from time import monotonic
from typing import Any, Protocol, runtime_checkable

from PIL import Image, UnidentifiedImageError

from devise.errors import DeviseError, PictureError
from devise.serve.problems import busy
from devise.serve.settings import Limits
from devise.vision.backbone import Backbone
from devise.vision.pipeline import Extracted, cores, extract_one
from devise.vision.quiet import quiet_pillow

__all__ = ["Engine", "Task"]

_LINGER = 0.1  # seconds a block waits for more pictures while others stand in the queue


@runtime_checkable
class Task(Hashable, Protocol):
    """What is done with the features of pictures; one result a picture. Equal tasks are done together."""

    def __call__(self, block: Sequence[Extracted], /) -> Sequence[Any]:
        """One result for each of the block, in order."""


@dataclass(slots=True, eq=False)
class _Job:
    data: bytes
    tasks: tuple[Task, ...]
    deadline: float
    done: "Future[tuple[Any, ...]]"
    extracted: Extracted | None = None
    results: list[Any] = field(default_factory=list)


class Engine:
    """Takes pictures one by one and answers each by a future.

    A worker a core reads a picture and runs the network on it; one more thread scores what is ready, all equal tasks
    in one block. A picture alone is scored at once; while others stand in the queue a block waits up to a tenth of a
    second for them. One bad picture fails alone.
    """

    def __init__(
        self,
        backbone: Backbone,
        limits: Limits,
        *,
        workers: int | None = None,
        on_block: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._backbone = backbone
        self._limits = limits
        self._workers = workers or cores()
        self._queue: queue.Queue[_Job | None] = queue.Queue()
        self._admission = threading.Lock()
        self._waiting = 0
        self._ready: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._on_block = on_block
        self._pace = 0.05  # seconds a picture takes a worker, a moving mean
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"devise-picture-{number}", daemon=True)
            for number in range(self._workers)
        ]
        self._scorer = threading.Thread(target=self._score, name="devise-scores", daemon=True)
        for thread in (*self._threads, self._scorer):
            thread.start()

    @property
    def waiting(self) -> int:
        """Pictures that no worker has taken up."""
        return self._waiting

    def refuse_if_full(self) -> None:
        """ServiceError 429 at once when the queue is full, before a body is read."""
        if self._waiting >= self._limits.queue:
            seconds = ceil(self._waiting * self._pace / self._workers)
            raise busy(f"{self._waiting} pictures wait already: try again", max(1, seconds))

    def submit(self, data: bytes, tasks: tuple[Task, ...]) -> "Future[tuple[Any, ...]]":
        """One result a task, or PictureError, or ServiceError 429 when the picture waited too long for a core.

        data: the bytes of a picture file. ServiceError 429 at once when the queue is full. A future that is cancelled
        before a worker takes it up costs nothing more.
        """
        job = _Job(data, tasks, monotonic() + self._limits.seconds, Future())
        with self._admission:
            assert not self._closed, "no picture is submitted to a closed engine"
            self.refuse_if_full()
            self._waiting += 1
        self._queue.put(job)
        return job.done

    def close(self) -> None:
        """Finish what was taken, then end the threads."""
        with self._admission:
            if self._closed:
                return
            self._closed = True
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
        self._ready.put(None)
        self._scorer.join()

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            with self._admission:
                self._waiting -= 1
            if not job.done.set_running_or_notify_cancel():
                continue
            begun = monotonic()
            if begun > job.deadline:
                job.done.set_exception(busy("the picture waited too long for its turn: try again", 2))
                continue
            try:
                _check_pixels(job.data, self._limits.megapixels)
                job.extracted = Extracted(b"", extract_one(job.data, self._backbone), None)
            except Exception as error:
                job.done.set_exception(error)
                continue
            job.data = b""
            self._pace += 0.1 * (monotonic() - begun - self._pace)
            self._ready.put(job)

    def _score(self) -> None:
        while (job := self._ready.get()) is not None:
            jobs = [job]
            until = monotonic() + _LINGER
            while len(jobs) < self._limits.block:
                try:
                    more = self._ready.get(timeout=max(0.0, until - monotonic()) if self._waiting else 0)
                except queue.Empty:
                    break
                if more is None:
                    self._ready.put(None)
                    break
                jobs.append(more)
            self._on_block(len(jobs))
            self._finish(jobs)

    def _finish(self, jobs: list[_Job]) -> None:
        """All tasks of all jobs; if a block fails, each of its pictures alone, so that one cannot spoil another."""
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
    wanting: dict[Task, list[int]] = {}
    for number, job in enumerate(jobs):
        for task in dict.fromkeys(job.tasks):
            wanting.setdefault(task, []).append(number)
    found: dict[tuple[Task, int], Any] = {}
    for task, numbers in wanting.items():
        block = [extracted for number in numbers if (extracted := jobs[number].extracted) is not None]
        found |= {(task, number): result for number, result in zip(numbers, task(block), strict=True)}
    return [tuple(found[task, number] for task in job.tasks) for number, job in enumerate(jobs)]


def _check_pixels(data: bytes, megapixels: int) -> None:
    """PictureError from the header alone, before a pixel is decoded; what no header tells, the reader finds."""
    too_many = f"over the limit of {megapixels} megapixels: make it smaller"
    try:
        with quiet_pillow(), Image.open(BytesIO(data)) as image:
            width, height = image.size
    except Image.DecompressionBombError:
        raise PictureError(too_many) from None
    except (UnidentifiedImageError, DeviseError, OSError, ValueError, SyntaxError):
        return
    except Exception:  # whatever a decoder makes of a hostile header; the reader meets it again and says why
        return
    if width * height > megapixels * 1_000_000:
        raise PictureError(f"{width} x {height} pixels, {too_many}")
