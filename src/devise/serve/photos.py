"""What the service asks of a photo index."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from devise.errors import PictureError
from devise.labeller.hits import Wanted
from devise.labeller.model import Model
from devise.labeller.search import PhotoSearch as IndexSearch
from devise.labeller.typed import TypedLabel
from devise.vision.thumbnails import thumbnail

__all__ = ["PhotoHit", "PhotoSearch", "PhotosFound", "open_photos"]

_SIDE = 320  # pixels of a thumbnail's longer side


class PhotoHit(NamedTuple):
    """A photo that was found. photo: its number in the index. name: to show. score: up is better."""

    photo: int
    name: str
    score: float


class PhotosFound(NamedTuple):
    """Photos best first, and what the user should know of how the words were read."""

    hits: Sequence[PhotoHit]
    notes: Sequence[str] = ()


@runtime_checkable
class PhotoSearch(Protocol):
    """A photo index that is open for reading; safe to use from several threads."""

    def __len__(self) -> int:
        """Photos in it."""

    def find(self, label: TypedLabel, top: int) -> PhotosFound:
        """At most `top` photos of a noun, or of other words with or without a definition.

        DeviseError if nothing is known of the words.
        """

    def thumbnail(self, photo: int) -> bytes | None:
        """A small JPEG of a photo, a few hundred pixels wide; None if there is no such photo or it cannot be read."""


def open_photos(index: Path, model: Model) -> PhotoSearch:
    """The photo index in a directory, read into memory; PhotoIndexError if it was made by another model, or is none."""
    from devise.labeller.nearest_photos import open_search

    return _Indexed(open_search(model, index, often=True))


class _Indexed:
    """An index that `devise index` made. A photo's number is its place in it; only its paths are ever opened."""

    def __init__(self, search: IndexSearch) -> None:
        self._search = search
        self._numbers = {fact.path: number for number, fact in enumerate(search.rows.facts)}

    def __len__(self) -> int:
        return len(self._search)

    def find(self, label: TypedLabel, top: int) -> PhotosFound:
        found = self._search.find(Wanted(words=(label,)), top)
        return PhotosFound(
            [PhotoHit(self._numbers[hit.path], Path(hit.path).name, hit.score) for hit in found.hits], found.notes
        )

    def thumbnail(self, photo: int) -> bytes | None:
        if not 0 <= photo < len(self):
            return None
        try:
            return thumbnail(Path(self._search.rows.facts[photo].path), _SIDE)
        except PictureError:
            return None
