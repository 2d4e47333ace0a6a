"""Limit a picture's pixels, memory and scans by its header, before decoding."""

import os
import re
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from devise.errors import PictureError, UsageError

__all__ = [
    "MAX_BYTES",
    "MAX_JPEG_PIXELS",
    "MAX_PIXELS",
    "JpegHeader",
    "PictureLimits",
    "check_head",
    "halvings",
    "read_jpeg_header",
]

MAX_PIXELS = 100_000_000
"""Most pixels to decode, unless $DEVISE_MAX_PIXELS says otherwise: the largest camera sensor on sale."""
MAX_JPEG_PIXELS = 4 * MAX_PIXELS
"""Most pixels of a baseline JPEG; at its decoding scale it must be under `MAX_PIXELS`."""
MAX_BYTES = 1 << 30
"""Most bytes to read from one file."""

_CURE = "make it smaller, or raise $DEVISE_MAX_PIXELS (label, search, index, evaluate: --max-pixels)"
_MEMORY = 10  # bytes per pixel of the limit: what a progressive JPEG of three full planes takes, measured
_WORK = 16  # scans of a picture as large as the limit; libjpeg writes 10
_SCANS = 256  # of a picture of any size
_STRAY = 1 << 16  # bytes between segments; Pillow takes them one by one, 4 us each
_SEGMENTS = 20_000  # of a JPEG before the first scan; a profile of 16 MB takes 255
_EXIF = 256  # segments of EXIF data, which Pillow joins one by one: 1,000 of 60 kB take 30 s; cameras write one
_CHUNKS = 50_000  # of a PNG, which Pillow takes at 10 us each; libpng writes one for 8 KiB
_GIF_IMAGE, _GIF_EXTENSION, _GIF_END = 0x2C, 0x21, 0x3B
_PPM = re.compile(rb"P[0-9Ffy]")
_PPM_COMMENT = re.compile(rb"#[^\r\n]*")

# Bytes per pixel at the peak, the decoder's own planes and Pillow's copy together: measured on 16 megapixels with
# Pillow 13 (grey JPEG 2000 6.2, colour 19.4; WebP 16.1; AVIF 9.4 of 8 bits with halved colour, which 10 bits and
# whole colour raise to 14). Every other format is decoded row by row into Pillow's 1 to 4 bytes.
_BYTES = {"WEBP": 17, "AVIF": 14, "HEIF": 14}
_JPEG2000 = {1: 7, 2: 14, 3: 20, 4: 24}
_ROWS = 4

_MARKER = re.compile(rb"\xff[^\x00\xff]")
_NEXT = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # in a scan, where restarts belong to the data
_ALONE = {0x01, 0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE)}  # markers that Pillow reads without a length
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """Limits of one picture.

    pixels: decoded at most. jpeg_pixels: of a baseline JPEG that is decoded at a smaller scale. bytes: of its file.
    cure: what the user can do about a picture over the limits.
    Memory is bounded by 10 bytes per pixel of `pixels`, whatever the format: a WebP, which takes 17, may have 10/17 of
    `pixels`.
    """

    pixels: int = MAX_PIXELS
    jpeg_pixels: int = MAX_JPEG_PIXELS
    bytes: int = MAX_BYTES
    cure: str = "make it smaller"

    @classmethod
    def of(cls, pixels: int) -> "PictureLimits":
        """Return the limits for this number of pixels."""
        return cls(pixels, pixels * (MAX_JPEG_PIXELS // MAX_PIXELS))

    @classmethod
    def usual(cls) -> "PictureLimits":
        """Return the limits by $DEVISE_MAX_PIXELS, shared with child processes; UsageError if it is not above 0."""
        given = os.environ.get("DEVISE_MAX_PIXELS")
        if given is None:
            return cls(cure=_CURE)
        if not given.isdecimal() or not 0 < int(given) < 1 << 40:
            raise UsageError(f"$DEVISE_MAX_PIXELS must be a whole number above 0, got {given[:40]!r}")
        return replace(cls.of(int(given)), cure=_CURE)

    @property
    def memory(self) -> int:
        """Return the peak bytes allowed for decoding, without the file's own."""
        return _MEMORY * self.pixels

    def check_size(self, size: tuple[int, int], limit: int | None = None) -> None:
        """Raise PictureError if a picture has no pixels, or more than the limit (default `pixels`)."""
        (width, height), limit = size, limit or self.pixels
        if width < 1 or height < 1:
            raise PictureError("no pixels")
        if width * height > limit:
            raise PictureError(f"{width} x {height} pixels, over the limit of {limit / 1e6:g} megapixels: {self.cure}")

    def check_image(self, image: Image.Image, scale: int = 1) -> None:
        """Raise PictureError if decoding an opened image costs too much. scale: divisor of each side."""
        width, height = image.size
        self.check_size((-(-width // scale), -(-height // scale)))
        self.check_memory(image.format or "", image.size, _cost(image) // scale**2)

    def check_jpeg(self, header: "JpegHeader") -> None:
        """Raise PictureError if a JPEG has too many pixels, at any scale, or too many scans for them."""
        size = (header.width, header.height)
        self.check_size(size, self.pixels if header.whole else self.jpeg_pixels)
        area = header.width * header.height
        most = min(_SCANS, max(1, _WORK * self.pixels // area))
        if header.whole:
            if header.scans > most:
                raise PictureError(f"{header.scans} scans, over the limit of {most}: save it again")
            self.check_memory("progressive JPEG", size, area * (2 * header.components + 4))

    def check_memory(self, kind: str, size: tuple[int, int], cost: int | None = None) -> None:
        """Raise PictureError if decoding takes more bytes than `memory`. cost: default by its kind."""
        cost = size[0] * size[1] * _BYTES.get(kind, _ROWS) if cost is None else cost
        if cost > self.memory:
            raise PictureError(
                f"{size[0]} x {size[1]} pixels of {kind} need {cost // 10**6:,} MB, over the limit of "
                f"{self.memory // 10**6:,} MB: {self.cure}"
            )


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """Facts that determine the cost of a JPEG. whole: all coefficients are in memory at once."""

    width: int
    height: int
    components: int
    scans: int
    whole: bool


def read_jpeg_header(data: bytes) -> JpegHeader | None:
    """Read the segments without decoding; None if there is no frame or no scan.

    PictureError for structures that only attacks have: more than 64 KiB of fill bytes or others between segments,
    which decoders read one by one, more than 20,000 segments, or more than 256 of EXIF data.
    """
    place, stray, segments, scans, exif = 2, 0, 0, 0, 0
    frame: tuple[int, int, int] | None = None
    whole = False
    while found := (_NEXT if scans else _MARKER).search(data, place):
        if not scans:
            stray += found.start() - place
        kind, place, segments = data[found.end() - 1], found.end(), segments + 1
        _check_before_scan(stray, segments - _SCANS * scans)
        if scans and kind == 0xD9:
            break
        if kind in _ALONE:
            continue
        body = data[place + 2 : place + max(2, int.from_bytes(data[place : place + 2], "big"))]
        if kind in _FRAMES and len(body) >= 6 and not scans:
            frame = (int.from_bytes(body[3:5], "big"), int.from_bytes(body[1:3], "big"), body[5])
            whole = kind in _PROGRESSIVE
        elif kind == 0xE1 and body.startswith(b"Exif\0\0"):
            exif += 1
            if exif > _EXIF:
                raise PictureError(f"not a photo: over {_EXIF} segments of EXIF data")
        elif kind == 0xDA:
            scans += 1
            whole = whole or (frame is not None and body[:1] < bytes([frame[2]]))
        place += 2 + len(body)
    if not scans:
        _check_before_scan(stray + len(data) - place, segments)  # no marker is left
    if frame is None or not scans:
        return None
    if data.find(b"\xff" * _STRAY, 0, place) >= 0:
        raise PictureError(f"not a photo: over {_STRAY:,} fill bytes")
    return JpegHeader(*frame, scans, whole)


def _check_before_scan(stray: int, segments: int) -> None:
    if stray > _STRAY or segments > _SEGMENTS:
        raise PictureError(f"not a photo: over {_STRAY:,} bytes or {_SEGMENTS:,} segments before the first scan")


def check_head(data: bytes) -> None:
    """Raise PictureError for headers that only attacks have; any other file passes.

    Of a PNG more than 50,000 chunks, of a GIF more than 50,000 blocks, of a PPM more than 64 KiB of text: decoders take
    them one by one.
    """
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        place = 8
        for _ in range(_CHUNKS):
            place += 12 + int.from_bytes(data[place : place + 4], "big")
            if place >= len(data):
                return
        raise PictureError(f"not a photo: over {_CHUNKS:,} chunks")
    if data.startswith((b"GIF87a", b"GIF89a")):
        _check_gif(data)
    if _PPM.match(data) and len(data) > _STRAY:
        numbers = 2 if data[1:2] in b"14" else 3  # width, height and, of all but bitmaps, the largest value
        if len(_PPM_COMMENT.sub(b"", data[2:_STRAY]).split(None, numbers)) >= numbers:
            return
        raise PictureError(f"not a photo: over {_STRAY:,} bytes before its size")


def _check_gif(data: bytes) -> None:
    place, inside = 13 + (3 << (data[10:11] or b"\0")[0] % 8 + 1) * (data[10:11] >= b"\x80"), False
    for _ in range(_CHUNKS):
        kind = data[place] if place < len(data) else _GIF_END
        if inside:
            place, inside = place + 1 + kind, kind > 0
        elif kind in (_GIF_IMAGE, _GIF_END):
            return
        else:
            place, inside = place + (2 if kind == _GIF_EXTENSION else 1), kind == _GIF_EXTENSION
    raise PictureError(f"not a photo: over {_CHUNKS:,} blocks")


def _cost(image: Image.Image) -> int:
    """Estimate an upper bound of the peak bytes of decoding an opened picture."""
    area, bands = image.size[0] * image.size[1], len(image.getbands())
    if image.format == "JPEG2000":
        return area * _JPEG2000[min(bands, 4)]
    if image.format == "TIFF":
        tags: Any = getattr(image, "tag_v2", {})
        return area * _ROWS * (1 if tags.get(274, 1) == 1 else 2) + _tiff_piece(tags, image.size)  # turned by a copy
    return area * _BYTES.get(image.format or "", _ROWS)


def _tiff_piece(tags: Any, size: tuple[int, int]) -> int:
    """Return the bytes of the largest strip or tile of a TIFF, which libtiff decodes at once."""
    depth: int = sum(tags.get(258, (1,))) * (tags.get(277, 1) if len(tags.get(258, (1,))) == 1 else 1)
    if 322 in tags or 323 in tags:
        pixels: int = int(tags.get(322, size[0])) * int(tags.get(323, size[1]))
    else:
        pixels = size[0] * min(int(tags.get(278, size[1])), size[1])
    return pixels * depth // 8


def halvings(image: Image.Image, factor: int) -> int:
    """Return how often decoding can halve a JPEG 2000 without dividing a side by more than `factor`.

    0 for any other picture, and where Pillow, which rounds to the nearest, expects another size than the standard,
    which rounds up.
    """
    steps = min(factor.bit_length() - 1, _levels(image))
    while steps and any((side + (1 << steps >> 1)) >> steps != -(-side >> steps) for side in image.size):
        steps -= 1
    return steps


def _levels(image: Image.Image) -> int:
    """Return the wavelet levels of a JPEG 2000 by its header; 0 if its grid has an offset."""
    file = getattr(image, "fp", None)
    if image.format != "JPEG2000" or file is None:
        return 0
    place = file.tell()
    file.seek(0)
    head: bytes = file.read(1 << 20)
    file.seek(place)
    at = head.find(b"\xff\x4f\xff\x51") + 2
    if at < 2 or any(head[at + 14 : at + 22]):
        return 0
    while head[at : at + 1] == b"\xff" and head[at + 1] not in (0x90, 0xD9):
        if head[at + 1] == 0x52:  # COD: length, style, progression, layers, mixing, then the levels
            return head[at + 9]
        at += 2 + max(2, int.from_bytes(head[at + 2 : at + 4], "big"))
    return 0
