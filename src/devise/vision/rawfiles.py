"""Raw files of cameras: recognise them by their first bytes, and take out the preview that the camera made."""

import struct
from io import BytesIO
from typing import TYPE_CHECKING, Any

from devise.errors import PHOTOS_EXTRA, PictureError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["is_raw", "preview_of"]

_BEGINNINGS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0")  # RAF, ORF, RW2
_REDUCED, _SUBDIRECTORIES, _DNG = 254, 330, 50706
_MOST_TAGS = 1000
_TURNED = {3: 3, 5: 8, 6: 6}  # LibRaw's number for a half turn, left and right: the EXIF orientation


def is_raw(data: bytes) -> bool:
    """Return whether a file is a camera's raw file: CR2, CR3, DNG, NEF, ARW, ORF, RAF, RW2 or one of their family.

    Many begin like a TIFF. One is raw if it has the tag of a DNG, or if its first directory is a reduced picture and
    names further directories: so are NEF and ARW.
    """
    if data.startswith(_BEGINNINGS) or (data[4:8] == b"ftyp" and data[8:11] == b"crx"):
        return True
    if data[:4] not in (b"II*\0", b"MM\0*"):
        return False
    if data[8:10] == b"CR":
        return True
    tags = _first_directory(data)
    return _DNG in tags or (bool(tags.get(_REDUCED, 0) & 1) and _SUBDIRECTORIES in tags)


def _first_directory(data: bytes) -> dict[int, int]:
    """Return the tags of the first directory of a TIFF with their value or offset; empty if it is damaged."""
    order = "<" if data[:2] == b"II" else ">"
    try:
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, start)
        entries = (struct.unpack_from(f"{order}HHII", data, start + 2 + 12 * i) for i in range(min(count, _MOST_TAGS)))
        return {tag: value for tag, _, _, value in entries}
    except struct.error:
        return {}


def preview_of(data: bytes) -> "tuple[bytes | NDArray[Any], int]":
    """Return the largest preview of a raw file, a JPEG or an array [h, w, 3], and the EXIF orientation of the raw file.

    LibRaw gives a JPEG without EXIF data some of its own, with this orientation.

    PictureError if there is none, the file is damaged or LibRaw does not know it, or rawpy is not installed.
    """
    try:
        import rawpy
    except ModuleNotFoundError:
        raise PictureError(f"raw files need {PHOTOS_EXTRA}") from None
    try:
        with rawpy.imread(BytesIO(data)) as opened:
            return opened.extract_thumb().data, _TURNED.get(opened.sizes.flip, 1)
    except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
        raise PictureError("a raw file without a preview: convert it to JPEG") from None
    except rawpy.LibRawError as error:
        reason = error.args[0] if error.args else ""
        reason = reason.decode("ascii", "replace") if isinstance(reason, bytes) else str(reason)
        raise PictureError(f"a raw file that is cut off, damaged or of an unknown camera ({reason})") from None
