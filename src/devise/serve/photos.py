"""What the service asks of a photo index."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from devise.errors import UsageError
from devise.labeller.model import Model

__all__ = ["PhotoHit", "PhotoSearch", "open_photos"]


class PhotoHit(NamedTuple):
    """A photo near what was asked. photo: its number in the index. name: to show. score: cosine, up is better."""

    photo: int
    name: str
    score: float


@runtime_checkable
class PhotoSearch(Protocol):
    """A photo index that is open for reading; safe to use from several threads."""

    def __len__(self) -> int:
        """Photos in it."""

    def nearest(self, vector: Float32[np.ndarray, " dim"], top: int) -> Sequence[PhotoHit]:
        """At most `top` photos, best first. vector: of a label or a picture, in the label space, unit length."""

    def thumbnail(self, photo: int) -> bytes | None:
        """A small JPEG of a photo, a few hundred pixels wide; None if there is no such photo or it cannot be read."""


def open_photos(index: Path, model: Model) -> PhotoSearch:
    """The photo index in a directory; UsageError if it was made by another model, or is none."""
    raise UsageError(
        f"--index: this version has no reader of photo indexes, so {index} cannot be searched: leave it out"
    )
