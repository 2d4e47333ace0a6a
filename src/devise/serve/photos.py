"""What the service asks of a photo index."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from devise.errors import UsageError
from devise.labeller.model import Model
from devise.labeller.typed import TypedLabel

__all__ = ["PhotoHit", "PhotoSearch", "PhotosFound", "open_photos"]


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
    """The photo index in a directory; UsageError if it was made by another model, or is none."""
    raise UsageError(
        f"--index: this version has no reader of photo indexes, so {index} cannot be searched: leave it out"
    )
