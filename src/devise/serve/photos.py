"""The photo index of the service, and thumbnails of its photos."""

import asyncio
import copy
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from devise.errors import PictureError, UsageError
from devise.files import text_name
from devise.labels import Label
from devise.model.labeller import Model
from devise.model.rejection import Reject
from devise.search.expression import Expression
from devise.search.photofacts import FactColumns
from devise.search.query import PhotoSearch
from devise.search.results import Filters, Hits
from devise.serve.engine import Engine
from devise.serve.problems import late

__all__ = ["IndexedPhotos", "PhotoHit", "PhotosFound", "Thumbnails", "open_indexes", "open_photos"]

_LOG = logging.getLogger("devise.serve")
_SIDE = 320  # pixels of a thumbnail's longer side
_KEPT_BYTES = 256_000_000  # of thumbnails on the disk: some 15,000

_NO_FILTERS = Filters()

_State = tuple[Path, int, int, int]
"""Key of a thumbnail: path, bytes, time of change in nanoseconds, longer side in pixels."""


class PhotoHit(NamedTuple):
    """A photo that was found. photo: its number in the index. label: its top label among all, None if unknown."""

    photo: int
    score: float
    label: Label | None = None


class PhotosFound(NamedTuple):
    """Photos best first, notes on how the words were read, and the number of photos searched."""

    hits: Sequence[PhotoHit]
    notes: Sequence[str]
    searched: int


class IndexedPhotos:
    """A photo index open for reading; thread-safe. A photo's number is its position; only indexed paths are opened.

    root: the common folder of all photos.
    """

    def __init__(self, search: PhotoSearch) -> None:
        self._search = search
        self._numbers = {path: number for number, path in enumerate(FactColumns.made(search.rows.facts).paths())}
        folders = {os.path.dirname(path) for path in self._numbers}
        self.root = os.path.commonpath(folders) if folders else ""

    def __len__(self) -> int:
        return len(self._search)

    def in_language(self, model: Model) -> "IndexedPhotos":
        """Return the same index with the names of a model that differs in nothing else."""
        other = copy.copy(self)
        other._search = self._search.in_language(model)
        return other

    def find(
        self, asked: Expression, top: int, reject: Reject, check: Callable[[], None], filters: Filters = _NO_FILTERS
    ) -> PhotosFound:
        """Return at most `top` photos of any of these nouns or other words, or of these terms.

        check: called again and again; what it raises ends the search. DeviseError if the words are unknown.
        """
        return self._numbered(self._search.find(asked.wanted(reject=reject, filters=filters), top, check=check))

    def passing(self, filters: Filters) -> tuple[Sequence[int], Sequence[str]]:
        """Return the numbers of the photos that pass, in the order of their paths, and notes."""
        places, notes = self._search.passing(filters)
        return places.tolist(), notes

    def labels_of(self, photos: Sequence[int]) -> Sequence[Label | None]:
        """Return the top label of each of these photos, None if unknown. They must be in the index."""
        return self._search.labels_of(np.array(photos, dtype=np.int64))

    def like(self, photo: int, top: int) -> PhotosFound:
        """Return at most `top` other photos, most similar first. The photo must be in the index."""
        return self._numbered(self._search.like(photo, top))

    def _numbered(self, found: Hits) -> PhotosFound:
        hits = [PhotoHit(self._numbers[hit.path], hit.score, hit.label) for hit in found.hits]
        return PhotosFound(hits, found.notes, found.photos)

    def shown_path(self, photo: int) -> str:
        """Return the path below the common folder of all photos. The photo must be in the index."""
        return text_name(os.path.relpath(self._search.rows.facts[photo].path, self.root))

    def path(self, photo: int) -> Path | None:
        """Return the path of a photo; None if there is no such photo."""
        return Path(self._search.rows.facts[photo].path) if 0 <= photo < len(self) else None


def open_photos(index: Path, model: Model) -> IndexedPhotos:
    """Read the photo index in a directory; PhotoIndexError if absent or of another model."""
    from devise.search.query import open_search

    return IndexedPhotos(open_search(model, index, often=True))


def open_indexes(indexes: Sequence[Path], model: Model) -> dict[str, IndexedPhotos]:
    """Open indexes by the names of their folders, with those above until the names differ; see `open_photos`.

    UsageError for a duplicate.
    """
    places = [index.resolve() for index in indexes]
    if twice := next((index for index, place in zip(indexes, places, strict=True) if places.count(place) > 1), None):
        raise UsageError(f"duplicate index {twice}: give each once")
    names = ["/".join(place.parts[-depth:]) for place, depth in zip(places, _depths(places), strict=True)]
    return {text_name(name): open_photos(index, model) for name, index in zip(names, indexes, strict=True)}


def _depths(places: Sequence[Path]) -> list[int]:
    """Return how many of the last folders of each place no other one has."""
    return [
        next(
            n for n in range(1, len(one.parts) + 1) if [other.parts[-n:] for other in places].count(one.parts[-n:]) == 1
        )
        for one in places
    ]


class Thumbnails:
    """Cache of thumbnails on disk; simultaneous requests for one photo share one job of the engine.

    They are in an unnamed temporary file, which ends with the process and is emptied when full. Belongs to one event
    loop.
    """

    def __init__(self, engine: Engine, seconds: float, most: int = _KEPT_BYTES) -> None:
        self._engine = engine
        self._seconds = seconds
        self._most = most
        self._file: IO[bytes] | None = None
        self._end = 0
        self._places: dict[_State, tuple[int, int]] = {}
        self._making: dict[_State, asyncio.Future[bytes]] = {}

    async def of(self, path: Path, side: int = _SIDE) -> bytes | None:
        """Return a thumbnail; None if the photo is missing or unreadable. ServiceError 429 if the wait is too long.

        side: most pixels of the longer side.
        """
        try:
            about = path.stat()
        except (OSError, ValueError):
            return None
        state = (path, about.st_size, about.st_mtime_ns, side)
        if (kept := self._kept(state)) is not None:
            return kept
        making = self._making.get(state)
        if making is None:
            making = self._making[state] = asyncio.wrap_future(self._engine.thumbnail(path, side))
            making.add_done_callback(lambda made: self._made(state, made))
        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.shield(making)
        except PictureError:
            return None
        except TimeoutError:
            raise late() from None

    def _made(self, state: _State, made: "asyncio.Future[bytes]") -> None:
        self._making.pop(state, None)
        if not made.cancelled() and made.exception() is None:
            self._keep(state, made.result())

    def _kept(self, state: _State) -> bytes | None:
        if self._file is None or state not in self._places:
            return None
        begin, size = self._places[state]
        self._file.seek(begin)
        return self._file.read(size)

    def _keep(self, state: _State, small: bytes) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the process
            if self._end + len(small) > self._most:
                self._places.clear()
                self._file.truncate(0)
                self._end = 0
            self._file.seek(self._end)
            self._file.write(small)
            self._file.flush()
        except OSError as error:
            _LOG.warning("a thumbnail cannot be cached", extra={"facts": {"reason": os.strerror(error.errno or 0)}})
            return
        self._places[state] = (self._end, len(small))
        self._end += len(small)
