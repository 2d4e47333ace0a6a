"""Photos as phones and cameras make them: HEIC, AVIF, a raw file with a preview, a motion photo."""

import struct
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

__all__ = ["MOTION", "dng", "encoded", "heic"]

MOTION = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\0\0\2\0mdat" + bytes(range(256)) * 2
"""The video at the end of a motion photo."""

_FORMS = {1: "B", 2: "c", 3: "H", 4: "I", 10: "ii"}
_MATRIX = [(1, 1), (0, 1), (0, 1), (0, 1), (1, 1), (0, 1), (0, 1), (0, 1), (1, 1)]


def encoded(image: Image.Image, form: str, **how: Any) -> bytes:
    """The file of an image."""
    file = BytesIO()
    image.save(file, form, **how)
    return file.getvalue()


def heic(image: Image.Image, **how: Any) -> bytes:
    """A HEIC; needs pillow_heif."""
    import pillow_heif

    file = BytesIO()
    pillow_heif.from_pillow(image).save(file, quality=90, **how)
    return file.getvalue()


def dng(preview: bytes | None, orientation: int = 1) -> bytes:
    """A DNG of 64 x 48 sensor pixels, written by hand; its preview is a JPEG."""
    out = bytearray(b"II*\0\0\0\0\0")

    def put(data: bytes) -> int:
        out.extend(b"\0" * (len(out) % 2))
        out.extend(data)
        return len(out) - len(data)

    def directory(tags: dict[int, tuple[int, Any]]) -> int:
        entries = b""
        for tag, (kind, values) in sorted(tags.items()):
            rows = [one if isinstance(one, tuple) else (one,) for one in values]
            raw = values if kind == 2 else b"".join(struct.pack(f"<{_FORMS[kind]}", *row) for row in rows)
            place = raw.ljust(4, b"\0") if len(raw) <= 4 else struct.pack("<I", put(raw))
            entries += struct.pack("<HHI", tag, kind, len(values)) + place
        return put(struct.pack("<H", len(tags)) + entries + bytes(4))

    pixels = np.arange(64 * 48, dtype="<u2").tobytes()
    sensor = {
        **{254: (4, [0]), 256: (4, [64]), 257: (4, [48]), 258: (3, [16]), 259: (3, [1]), 262: (3, [32803])},
        **{273: (4, [put(pixels)]), 277: (3, [1]), 278: (4, [48]), 279: (4, [len(pixels)])},
        **{33421: (3, [2, 2]), 33422: (1, [0, 1, 1, 2])},
    }
    camera = {
        **{271: (2, b"Devise\0"), 272: (2, b"Camera\0"), 274: (3, [orientation]), 50706: (1, [1, 4, 0, 0])},
        **{50708: (2, b"Devise Camera\0"), 50721: (10, _MATRIX), 50778: (3, [21])},
    }
    if preview is None:
        first = directory(sensor | camera)
    else:
        with Image.open(BytesIO(preview)) as image:
            width, high = image.size
        shown = {
            **{254: (4, [1]), 256: (4, [width]), 257: (4, [high]), 258: (3, [8, 8, 8]), 259: (3, [7]), 262: (3, [6])},
            **{277: (3, [3]), 278: (4, [high]), 279: (4, [len(preview)])},
        }
        shown |= {330: (4, [directory(sensor)]), 273: (4, [put(preview)])}
        first = directory(shown | camera)
    out[4:8] = struct.pack("<I", first)
    return bytes(out)
