"""When a photo was taken and how it is rated: from its own metadata and its XMP sidecars, without decoding it."""

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from devise.files import read_file
from devise.sidecars import LARGEST_SIDECAR, SidecarName, sidecar_of
from devise.vision.decoding import quiet_pillow

__all__ = ["MOST_RATING", "PhotoMetadata", "read_metadata", "seconds_of", "sidecar_time"]

MOST_RATING = 5
"""Stars; 0 is a photo without a rating, -1 one that a person rejected."""

_EXIF, _ORIGINAL, _DIGITIZED, _RATING = 0x8769, 0x9003, 0x9004, 0x4746
_XMP_TAG = 700  # of TIFF
_DATE = re.compile(
    r"\s*(?P<year>\d{4})(?:[-:](?P<month>\d\d)(?:[-:](?P<day>\d\d)(?:[T ](?P<hour>\d\d):(?P<minute>\d\d)"
    r"(?::(?P<second>\d\d))?)?)?)?"
)
_XMP_DATES = re.compile(
    rb"(?:exif:DateTimeOriginal|photoshop:DateCreated|xmp:CreateDate)\s*(?:=\s*[\"']|>)\s*([\d:T .-]{4,32})"
)
_XMP_RATING = re.compile(rb"xmp:Rating\s*(?:=\s*[\"']|>)\s*(-?\d)")


@dataclass(frozen=True, slots=True)
class PhotoMetadata:
    """Facts about a photo that its pixels do not show.

    taken: seconds since 1970 by the clock of the camera, None if unknown. rating: stars, see MOST_RATING.
    """

    taken: int | None = None
    rating: int = 0


def sidecar_time(photo: Path) -> int:
    """Return the latest change of a photo's XMP sidecars, in nanoseconds since 1970; 0 without one."""
    return max((_changed(sidecar_of(photo, name)) for name in SidecarName), default=0)


def read_metadata(photo: Path) -> PhotoMetadata:
    """Read the date and the rating of a photo; what cannot be read is unknown.

    The date is that of EXIF (DateTimeOriginal), else of XMP in the photo, else of a sidecar. The rating is that of a
    sidecar if there is one, for programs change it there, else of XMP or EXIF in the photo.
    """
    exif: dict[int, Any] = {}
    rating: object = None
    packets: list[bytes] = []
    try:
        with quiet_pillow(), _opened(photo) as image:
            found = image.getexif()
            exif, rating = dict(found.get_ifd(_EXIF)), found.get(_RATING)
            packets = [one for one in (image.info.get("xmp"), found.get(_XMP_TAG)) if isinstance(one, bytes)]
    except Exception:  # of a decoder with hostile bytes: such a photo has no metadata
        pass
    beside = [packet for name in SidecarName if (packet := _packet(sidecar_of(photo, name)))]
    dates = [exif.get(_ORIGINAL), exif.get(_DIGITIZED)]
    dates += [date for packet in (*packets, *beside) for date in _XMP_DATES.findall(packet)]
    ratings = [match[1] for packet in (*beside, *packets) if (match := _XMP_RATING.search(packet))]
    return PhotoMetadata(
        next((seconds for date in dates if (seconds := _seconds(date)) is not None), None),
        next((stars for one in (*ratings, rating) if (stars := _stars(one)) is not None), 0),
    )


def seconds_of(date: str, *, end: bool = False) -> int | None:
    """Return a date as seconds since 1970; None if it is not a date. What is left out is the first, or the last.

    >>> seconds_of("1970-01-02"), seconds_of("1970", end=True), seconds_of("1970:01:01 00:00:09"), seconds_of("May")
    (86400, 31535999, 9, None)
    """
    found = _DATE.fullmatch(date.strip())
    return None if found is None else _instant(found, end=end)


def _instant(found: re.Match[str], *, end: bool) -> int | None:
    given = {name: int(value) for name, value in found.groupdict().items() if value}
    try:
        begin = datetime(**{"month": 1, "day": 1, **given}, tzinfo=UTC)
        if not end or "second" in given:
            return int(begin.timestamp())
        last = next((name for name in ("minute", "hour", "day", "month") if name in given), "year")
        return int(_following(begin, last).timestamp()) - 1
    except (ValueError, OverflowError):
        return None


def _following(begin: datetime, unit: str) -> datetime:
    if unit == "year":
        return begin.replace(year=begin.year + 1)
    if unit == "month":
        return begin.replace(year=begin.year + begin.month // 12, month=begin.month % 12 + 1)
    step = {"day": 86400, "hour": 3600, "minute": 60}[unit]
    return datetime.fromtimestamp(begin.timestamp() + step, UTC)


def _seconds(date: object) -> int | None:
    text = date.decode("ascii", "replace") if isinstance(date, bytes) else date
    found = _DATE.match(text) if isinstance(text, str) else None
    return None if found is None else _instant(found, end=False)


def _stars(value: object) -> int | None:
    try:
        stars = int(value)  # type: ignore[call-overload]  # bytes, or what EXIF has
    except (TypeError, ValueError, OverflowError):
        return None
    return stars if -1 <= stars <= MOST_RATING else None


def _opened(photo: Path) -> Image.Image:
    try:
        return Image.open(photo)
    except UnidentifiedImageError:
        import pillow_heif  # type: ignore[import-not-found, unused-ignore]  # optional, and without types

        opened: Image.Image = pillow_heif.open_heif(photo).to_pillow()
        return opened


def _packet(sidecar: Path) -> bytes:
    try:
        return read_file(sidecar, LARGEST_SIDECAR)
    except OSError:
        return b""


def _changed(path: Path) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0
