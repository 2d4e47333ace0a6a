"""Small copies of pictures to embed in a page."""

from base64 import b64encode
from io import BytesIO
from pathlib import Path

from PIL import Image

from devise.vision.limits import PictureLimits
from devise.vision.pictures import read_picture

__all__ = ["data_uri", "thumbnail"]


def data_uri(path: Path, side: int, quality: int = 82) -> str:
    """Return the `thumbnail` as a data URI."""
    return f"data:image/jpeg;base64,{b64encode(thumbnail(path, side, quality)).decode('ascii')}"


def thumbnail(path: Path, side: int, quality: int = 82, *, limits: PictureLimits | None = None) -> bytes:
    """Return the picture as a JPEG without metadata, its longer side at most `side` pixels.

    limits: see `read_picture`. PictureError if it cannot be read.
    """
    image = Image.fromarray(read_picture(path, min_side=side, limits=limits))
    image.thumbnail((side, side))
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()
