"""Answers in context: two passes over a run's pictures, with features in a temporary file."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import TYPE_CHECKING

import numpy as np

from devise.arrays import Features, Queries
from devise.errors import DeviseError, UsageError
from devise.model.answers import Answer
from devise.model.threads import one_thread
from devise.space.neighbours import in_context, neighbours_of
from devise.vision.pipeline import Extracted

if TYPE_CHECKING:
    from devise.model.labeller import LabelRun

__all__ = ["FeatureSpool", "answers_in_context"]

_BLOCK = 64  # pictures placed or scored at once


def answers_in_context(
    run: "LabelRun", extracted: Iterable[Extracted], on_picture: Callable[[], None] = lambda: None
) -> Iterator[Answer]:
    """Yield one answer per picture, helped by its nearest neighbours; reads all pictures first.

    run: of a method that places pictures. on_picture: called when a picture was taken.
    Memory holds the pictures' points alone, 1.2 kB per picture in 300 dimensions. UsageError if only one picture can be
    read, for then nothing helps it.
    """
    with closing(FeatureSpool()) as spool:
        taken: list[Extracted] = []
        points: list[Queries] = []
        pictures = iter(extracted)
        while block := list(islice(pictures, _BLOCK)):
            good = [one.features for one in block if one.features is not None]
            if good:
                features = np.stack(good)
                spool.write(features)
                with one_thread():  # the other cores read pictures
                    points.append(run.queries(features))
            for one in block:
                taken.append(_without_content(one))
                on_picture()
        queries = _moved(np.concatenate(points) if points else np.zeros((0, 1), np.float32), taken)
        spool.rewind()
        done = 0
        for first in range(0, len(taken), _BLOCK):
            block = taken[first : first + _BLOCK]
            good_ones = sum(one.problem is None for one in block)
            rows = iter(spool.read(good_ones))
            full = [one if one.problem is not None else replace(one, features=next(rows)) for one in block]
            helped = neighbours_of(len(queries)) if good_ones else 0
            for answer in run.answers_of(full, first, queries[done : done + good_ones]):
                yield replace(answer, context=helped if answer.problem is None else 0)
            done += good_ones


def _moved(queries: Queries, taken: Sequence[Extracted]) -> Queries:
    """Move each point towards its neighbours; None if no picture can be read."""
    if len(queries) == 1:
        broken = [one.problem for one in taken if one.problem is not None]
        others = f" ({len(broken):,} cannot be read, the first: {broken[0]})" if broken else ""
        raise UsageError(f"context needs at least 2 photos that can be read, got 1{others}: leave it out")
    return in_context(queries) if len(queries) else queries


def _without_content(one: Extracted) -> Extracted:
    """Drop the features, and the pixels of a picture that has only a number as its name."""
    return replace(one, features=None, source=one.source if isinstance(one.source, Path) else b"")


class FeatureSpool:
    """Rows of features: written block by block, then, after `rewind`, read in the same order.

    The file has no name, so that nothing is left of it however the process ends. 10,000 pictures of 1,280 features take
    51 MB. DeviseError, which names the folder, if it cannot be written.
    """

    def __init__(self) -> None:
        self._features = 0
        with _named():
            self._file = TemporaryFile(prefix="devise-")  # noqa: SIM115 - `close` closes it

    def write(self, rows: Features) -> None:
        """Append rows."""
        self._features = rows.shape[1]
        with _named():
            self._file.write(np.ascontiguousarray(rows).tobytes())

    def rewind(self) -> None:
        """Go back to the first row."""
        with _named():
            self._file.seek(0)

    def read(self, rows: int) -> Features:
        """Return the next rows."""
        with _named():
            data = self._file.read(4 * rows * self._features)
        return np.frombuffer(data, dtype=np.float32).reshape(rows, self._features)

    def close(self) -> None:
        """Close and delete the file."""
        self._file.close()


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DeviseError(
            f"the temporary folder {gettempdir()} cannot be written: {error.strerror or error}: set TMPDIR to another"
        ) from error
