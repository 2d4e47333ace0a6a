"""Small copies of pictures that a page can hold in itself."""

from base64 import b64encode
from io import BytesIO
from pathlib import Path

from PIL import Image

from devise.vision.limits import PictureLimits
from devise.vision.pictures import read_picture

__all__ = ["data_uri", "thumbnail"]


def data_uri(path: Path, side: int, quality: int = 82) -> str:
    """The `thumbnail` as a data URI."""
    return f"data:image/jpeg;base64,{b64encode(thumbnail(path, side, quality)).decode('ascii')}"


def thumbnail(path: Path, side: int, quality: int = 82, *, limits: PictureLimits | None = None) -> bytes:
    """The picture as a JPEG, its longer side at most `side` pixels; nothing of its metadata is kept.

    limits: what it may cost, see `read_picture`. PictureError if it cannot be read.
    """
    image = Image.fromarray(read_picture(path, min_side=side, limits=limits))
    image.thumbnail((side, side))
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()
