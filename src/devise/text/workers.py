"""Work on many cores, with results in order and a bounded number of pending tasks."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from devise.errors import DeviseError

__all__ = ["ordered_map"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_AHEAD = 4  # tasks on the way a worker


def ordered_map(
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    workers: int,
    prepare: Callable[..., None],
    given: tuple[Any, ...] = (),
) -> Iterator[_Result]:
    """Map function over the items, in order, in `workers` processes; 1 is only this process.

    prepare: called as prepare(*given) once in each process before the first item. At most four items a worker are
    read ahead, so memory does not grow with them. If `items` raises, the results of the items before come first.
    function, items and prepare must be such that they can be pickled. DeviseError if a worker dies.
    """
    if workers == 1:
        prepare(*given)
        yield from map(function, items)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _begin, (prepare, given))
    waiting: deque[Future[_Result]] = deque()
    problem: DeviseError | None = None
    source = iter(items)
    try:
        while problem is None:
            try:
                item = next(source)
            except StopIteration:
                break
            except DeviseError as error:
                problem = error
                break
            with _deaf_children():
                waiting.append(pool.submit(function, item))
            if len(waiting) >= _AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise DeviseError("a worker process died, perhaps because memory ran out: use fewer --workers") from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    if problem is not None:
        raise problem


def _begin(prepare: Callable[..., None], given: tuple[Any, ...]) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    prepare(*given)


def _end_with(parent: Any) -> None:
    """End a worker with its parent process, even if that was killed."""
    parent.join()
    os._exit(1)


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Make processes started in the block ignore Ctrl-C; this process handles it after the block.

    A blocked signal is blocked in the children too, and is not lost as an ignored one would be.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
