"""Answers in context: each picture moves towards the nearest of its run; two passes, features in a temporary file."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import TYPE_CHECKING

import numpy as np

from devise.arrays import Features, Float32, Queries
from devise.errors import DeviseError, UsageError
from devise.model.answers import Answer
from devise.space.labelspace import unit_rows
from devise.vision.pipeline import Extracted, one_thread

__all__ = [
    "NEIGHBOURS",
    "WEIGHT",
    "FeatureSpool",
    "answers_in_context",
    "in_context",
    "neighbours_of",
]

NEIGHBOURS = 10
"""Other pictures that help one; the rows `fused` and `context` of `devise evaluate --context` show what they add."""
WEIGHT = 1.0
"""The weight of their mean; that of the picture's own point is 1."""

_SCORES = 1 << 21  # cosines in memory at once, 8 MB: all pictures against all others would be 400 MB for 10,000 of them
_ROWS = 512  # pictures in a block at most


def in_context(queries: Queries, neighbours: int = NEIGHBOURS, weight: float = WEIGHT) -> Queries:
    """Move each picture toward its nearest others: q' = unit(q + weight * mean of their q).

    queries: unit length, one row per picture; two pictures at least, UsageError for fewer.
    neighbours: how many other pictures, by cosine; all others if there are fewer. A second copy of a picture counts.
    weight: of their mean, from 0; 0 leaves the pictures where they are.

    >>> in_context(np.array([[1, 0], [0, 1]], dtype=np.float32)).round(2).tolist()
    [[0.7099999785423279, 0.7099999785423279], [0.7099999785423279, 0.7099999785423279]]
    """
    found = neighbours_of(len(queries), neighbours)
    moved = np.empty_like(queries)
    for start, cosines in _blocks(queries):
        rows = np.arange(len(cosines))
        cosines[rows, start + rows] = -np.inf  # a picture does not help itself
        nearest = np.argpartition(cosines, -found, axis=1)[:, -found:]
        means = queries[nearest].mean(axis=1, dtype=np.float32)
        moved[start : start + len(rows)] = unit_rows(queries[start : start + len(rows)] + np.float32(weight) * means)
    return moved


def neighbours_of(pictures: int, neighbours: int = NEIGHBOURS) -> int:
    """Return the number of neighbours of each picture; UsageError if there are no others."""
    if pictures < 2:
        raise UsageError(f"context needs at least 2 photos that can be read, got {pictures}: leave it out")
    return min(neighbours, pictures - 1)


def _blocks(queries: Queries) -> Iterator[tuple[int, Float32[np.ndarray, "rows images"]]]:
    """The first picture of each block, and the cosines of the block's pictures with all of them."""
    rows = max(1, min(_ROWS, _SCORES // len(queries)))
    for start in range(0, len(queries), rows):
        yield start, queries[start : start + rows] @ queries.T


if TYPE_CHECKING:
    from devise.model.labeller import LabelRun


_BLOCK = 64  # pictures placed or scored at once


def answers_in_context(
    run: "LabelRun", extracted: Iterable[Extracted], on_picture: Callable[[], None] = lambda: None
) -> Iterator[Answer]:
    """Yield one answer per picture, helped by its nearest neighbours; reads all pictures first.

    run: of a method that places pictures. on_picture: called when a picture was taken.
    Memory contains the pictures' points alone, 1.2 kB per picture in 300 dimensions. UsageError if only one picture can
    be read: nothing helps it then.
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
                source = one.source if isinstance(one.source, Path) else b""  # the pixels are needed no more
                taken.append(replace(one, features=None, source=source))
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
