"""The XMP packet inside a photo file: read it, replace it, remove it. All other bytes of the photo stay.

Formats: JPEG (segment APP1), PNG (chunk iTXt), WebP (chunk XMP) and TIFF (tag 700). A JPEG finds further pictures by
offsets from its MPF segment, and the video of a motion photo from its end: a new packet goes before that segment, right
after the EXIF data. A TIFF counts from its start: its first directory is written again after the picture, with a note
of where it was.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LARGEST_PACKET", "find_packet", "packet_in", "takes_packet", "with_packet"]

LARGEST_PACKET = 10_000_000
"""Bytes of a packet. Those of photos have a few thousand; programs for faces and edits write some 100,000."""

_CUT = "cut off or damaged"
_SEVERAL = "it has several XMP packets"

_XAP = b"http://ns.adobe.com/xap/1.0/\0"
_MOST_IN_JPEG = 65_502  # as the specification of XMP (part 3) says
_PNG = b"\x89PNG\r\n\x1a\n"
_ITXT = b"XML:com.adobe.xmp\0"
_RAW_PROFILE = b"Raw profile type xmp\0"
_VP8X_XMP, _VP8X_ALPHA = 0x04, 0x10
_TIFF_XMP = 700
_MOST_TAGS = 0xFFFF  # of a directory; the 16 bits of a TIFF count no more
_MARK = b"devise-xmp-1"
_NOTE = struct.Struct(f"<QQ{len(_MARK)}s")  # at the end of a TIFF: where its directory was, its length, the mark

_Span = tuple[int, int]
"""First byte, and the one after the last."""


def takes_packet(path: Path, head: bytes) -> bool:
    """Return whether a packet can be written into a photo. head: its first 16 bytes at least.

    A TIFF counts by its name too: raw files of cameras begin like one, and are never changed.
    """
    form = _form(head)
    return form is not None and (form is not _TIFF or path.suffix.lower() in (".tif", ".tiff"))


def packet_in(data: bytes) -> bytes | None:
    """Return the packet of a photo, or None. ValueError if the photo is damaged or in another format."""
    return _known(data).read(data)


def with_packet(data: bytes, packet: bytes | None) -> bytes:
    """Return the photo with this packet instead of its own; None removes it.

    ValueError as in `packet_in`, or if the packet has no room. Before the result is returned, the packet in it and the
    rest of the photo are compared with what they should be.
    """
    form = _known(data)
    if packet is not None and len(packet) > LARGEST_PACKET:
        raise ValueError(f"its XMP has {len(packet):,} bytes, at most {LARGEST_PACKET:,} are expected")
    changed = form.write(data, packet)
    if form.read(changed) != packet or form.write(changed, None) != form.write(data, None):
        raise ValueError("its XMP cannot be replaced without a change to the rest")
    return changed


def find_packet(data: bytes) -> bytes | None:
    """Return the packet of a photo in any format, to read only; None if there is none, or the photo is damaged."""
    if (form := _form(data)) is not None:
        try:
            return form.read(data)
        except ValueError:
            return None
    start = data.find(b"<x:xmpmeta")
    end = data.find(b"</x:xmpmeta>", start, start + LARGEST_PACKET)
    return data[start : end + len(b"</x:xmpmeta>")] if 0 <= start < end else None


@dataclass(frozen=True, slots=True)
class _Form:
    """A format: whether a file begins so, its packet, and the file with another one."""

    begins: Callable[[bytes], bool]
    read: Callable[[bytes], bytes | None]
    write: Callable[[bytes, bytes | None], bytes]


def _form(data: bytes) -> _Form | None:
    return next((form for form in _FORMS if form.begins(data)), None)


def _known(data: bytes) -> _Form:
    if (form := _form(data)) is None:
        raise ValueError("not a JPEG, PNG, WebP or TIFF")
    return form


def _replace(data: bytes, span: _Span, new: bytes) -> bytes:
    return b"".join((data[: span[0]], new, data[span[1] :]))


def _one(found: list[_Span]) -> _Span | None:
    if len(found) > 1:
        raise ValueError(_SEVERAL)
    return found[0] if found else None


# JPEG


def _segments(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield kind, start, end and first bytes of each segment before the first scan."""
    place = 2
    while True:
        start = place
        while data[place : place + 1] == b"\xff":
            place += 1
        kind = data[place] if start < place < len(data) else 0
        if kind in (0xD9, 0xDA):
            return
        end = place + 1 + int.from_bytes(data[place + 1 : place + 3], "big")
        if kind < 0xC0 or 0xD0 <= kind <= 0xD8 or not place + 3 <= end <= len(data):
            raise ValueError(_CUT)
        yield kind, start, end, data[place + 3 : min(end, place + 3 + len(_XAP))]
        place = end


def _jpeg_place(data: bytes) -> tuple[_Span | None, int, bool]:
    """Return the packet's segment, where a new one belongs, and whether picture offsets (MPF) come before it."""
    new, leading, offsets = 2, True, False
    found: list[_Span] = []
    behind = False
    for kind, start, end, head in _segments(data):
        leading = leading and (kind == 0xE0 or (kind == 0xE1 and head.startswith(b"Exif\0\0")))
        new = end if leading else new
        offsets |= kind == 0xE2 and head.startswith(b"MPF\0")
        if kind == 0xE1 and head == _XAP:
            found.append((start, end))
            behind = offsets
    return _one(found), new, behind


def _read_jpeg(data: bytes) -> bytes | None:
    span, _, _ = _jpeg_place(data)
    return None if span is None else data[data.index(_XAP, *span) + len(_XAP) : span[1]]


def _write_jpeg(data: bytes, packet: bytes | None) -> bytes:
    span, new, behind = _jpeg_place(data)
    segment = b""
    if packet is not None:
        if len(packet) > _MOST_IN_JPEG:
            raise ValueError(f"its XMP would have {len(packet):,} bytes, and a JPEG takes {_MOST_IN_JPEG:,}")
        segment = b"\xff\xe1" + (2 + len(_XAP) + len(packet)).to_bytes(2, "big") + _XAP + packet
    if behind and packet is not None and span is not None and len(segment) != span[1] - span[0]:
        raise ValueError("its XMP comes after the offsets of further pictures (MPF)")
    return _replace(data, span or (new, new), segment)


# PNG


def _png_place(data: bytes) -> tuple[_Span | None, int]:
    """Return the packet's chunk, and where a new one belongs: before the pixels."""
    place, pixels = len(_PNG), None
    found: list[_Span] = []
    while place < len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        kind = data[place + 4 : place + 8]
        if end > len(data):
            raise ValueError(_CUT)
        if kind == b"IDAT" and pixels is None:
            pixels = place
        if kind == b"iTXt" and data.startswith(_ITXT, place + 8):
            found.append((place, end))
        if kind in (b"tEXt", b"zTXt") and data.startswith(_RAW_PROFILE, place + 8):
            raise ValueError("its XMP is in the form of ImageMagick")
        if kind == b"IEND":
            break
        place = end
    if pixels is None:
        raise ValueError(_CUT)
    return _one(found), pixels


def _read_png(data: bytes) -> bytes | None:
    span, _ = _png_place(data)
    if span is None:
        return None
    body = data[span[0] + 8 + len(_ITXT) : span[1] - 4]
    words = body[2:].split(b"\0", 2)  # language, translated keyword, text
    if len(words) < 3:
        raise ValueError(_CUT)
    if not body[0]:
        return words[2]
    try:
        unpacked = zlib.decompressobj()
        text = unpacked.decompress(words[2], LARGEST_PACKET)
    except zlib.error:
        raise ValueError(_CUT) from None
    if not unpacked.eof:
        raise ValueError(_CUT)
    return text


def _write_png(data: bytes, packet: bytes | None) -> bytes:
    span, pixels = _png_place(data)
    chunk = b""
    if packet is not None:
        body = b"iTXt" + _ITXT + b"\0\0\0\0" + packet
        chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    return _replace(data, span or (pixels, pixels), chunk)


# WebP


def _chunks(data: bytes) -> dict[bytes, list[_Span]]:
    """Return the chunks by kind, in their order."""
    end = 8 + int.from_bytes(data[4:8], "little")
    place = 12
    found: dict[bytes, list[_Span]] = {}
    while place < end:
        behind = place + 8 + int.from_bytes(data[place + 4 : place + 8], "little")
        behind += behind % 2
        if behind > min(end + end % 2, len(data)) or place + 8 > len(data):
            raise ValueError(_CUT)
        found.setdefault(data[place : place + 4], []).append((place, behind))
        place = behind
    return found


def _chunk(kind: bytes, body: bytes) -> bytes:
    return kind + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) % 2)


def _read_webp(data: bytes) -> bytes | None:
    span = _one(_chunks(data).get(b"XMP ", []))
    return None if span is None else data[span[0] + 8 :][: int.from_bytes(data[span[0] + 4 : span[0] + 8], "little")]


def _write_webp(data: bytes, packet: bytes | None) -> bytes:
    chunks = _chunks(data)
    end = max(span[1] for spans in chunks.values() for span in spans) if chunks else 12
    span = _one(chunks.get(b"XMP ", [])) or (end, end)
    simple = _extended_head(data, chunks)
    body = _replace(data[:end], span, b"" if packet is None else _chunk(b"XMP ", packet))[12:]
    if b"VP8X" in chunks:
        if data[12:16] != b"VP8X" or len(data) < 30:
            raise ValueError(_CUT)
        flags = data[20] & ~_VP8X_XMP | (0 if packet is None else _VP8X_XMP)
        body = body[:8] + bytes([flags]) + body[9:]
        if packet is None and simple is not None and body[:18] == simple:  # as it was before a packet was written
            body = body[18:]
    elif packet is not None:
        if simple is None:
            raise ValueError(_CUT)
        body = simple[:8] + bytes([simple[8] | _VP8X_XMP]) + simple[9:] + body
    return b"RIFF" + (4 + len(body)).to_bytes(4, "little") + b"WEBP" + body + data[end:]


def _extended_head(data: bytes, chunks: dict[bytes, list[_Span]]) -> bytes | None:
    """Return the chunk VP8X that a photo of one picture alone gets; None if it has more than a picture and XMP."""
    kinds = {kind for kind in chunks if kind not in (b"VP8X", b"XMP ")}
    if kinds not in ({b"VP8 "}, {b"VP8L"}):
        return None
    start = chunks[next(iter(kinds))][0][0] + 8
    head = data[start : start + 10]
    if kinds == {b"VP8 "}:
        flags, width, high = 0, *(int.from_bytes(head[i : i + 2], "little") & 0x3FFF for i in (6, 8))
    else:
        bits = int.from_bytes(head[1:5], "little")
        flags, width, high = _VP8X_ALPHA * (bits >> 28 & 1), (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if not (width and high):
        return None
    sizes = (side.to_bytes(3, "little") for side in (width - 1, high - 1))
    return _chunk(b"VP8X", bytes([flags, 0, 0, 0]) + b"".join(sizes))


# TIFF


@dataclass(frozen=True, slots=True)
class _Layout:
    """Numbers of a TIFF: its head, the count of a directory, an entry, and an offset."""

    head: struct.Struct
    count: struct.Struct
    entry: struct.Struct
    offset: struct.Struct


def _layout(data: bytes) -> _Layout:
    order = "<" if data[:2] == b"II" else ">"
    large = data[2:4] in (b"+\0", b"\0+")  # BigTIFF
    forms = ("8xQ", "Q", "HHQQ", "Q") if large else ("4xI", "H", "HHII", "I")
    return _Layout(*(struct.Struct(order + form) for form in forms))


def _directory(data: bytes, of: _Layout) -> tuple[list[tuple[int, bytes]], bytes]:
    """Return tag and bytes of each entry of the first directory, and the bytes of the offset after them."""
    try:
        (start,) = of.head.unpack_from(data)
        (number,) = of.count.unpack_from(data, start)
        place = start + of.count.size
        starts = (place + i * of.entry.size for i in range(min(number, _MOST_TAGS)))
        spans = [data[at : at + of.entry.size] for at in starts]
        behind = data[place + number * of.entry.size :][: of.offset.size]
        entries = [(of.entry.unpack(one)[0], one) for one in spans]
    except (struct.error, OverflowError):
        raise ValueError(_CUT) from None
    if len(behind) < of.offset.size or len(entries) != number:
        raise ValueError(_CUT)
    return entries, behind


def _read_tiff(data: bytes) -> bytes | None:
    of = _layout(data)
    entries, _ = _directory(data, of)
    found = [one for tag, one in entries if tag == _TIFF_XMP]
    if not found:
        return None
    _, kind, count, place = of.entry.unpack(found[0])
    if len(found) > 1 or kind not in (1, 2, 7) or count > LARGEST_PACKET:
        raise ValueError("its XMP is not in the usual form")
    if count <= of.offset.size or place + count > len(data):
        raise ValueError(_CUT)
    return data[place : place + count]


def _without_block(data: bytes, of: _Layout) -> bytes:
    """Return a TIFF as it was before the block that this module added, if it still ends with that, unchanged.

    Other programs change tags in place: what they wrote into the block must not go with it.
    """
    if not data.endswith(_MARK) or len(data) < of.head.size + _NOTE.size:
        return data
    first, length, _ = _NOTE.unpack_from(data, len(data) - _NOTE.size)
    if not of.head.size <= length <= of.head.unpack_from(data)[0] or first >= length:
        return data
    base = _headed(data[:length], of, first)
    return base if _with_block(base, of, _read_tiff(data)) == data else data


def _headed(data: bytes, of: _Layout, first: int) -> bytes:
    offset = of.offset.pack(first)
    return data[: of.head.size - len(offset)] + offset + data[of.head.size :]


def _write_tiff(data: bytes, packet: bytes | None) -> bytes:
    of = _layout(data)
    base = _without_block(data, of)
    return base if _read_tiff(base) == packet else _with_block(base, of, packet)


def _with_block(base: bytes, of: _Layout, packet: bytes | None) -> bytes:
    """Return a TIFF with a block at its end: the packet, its first directory again, and the note."""
    entries, behind = _directory(base, of)
    (before,) = of.head.unpack_from(base)
    pieces = [base, b"\0" * (len(base) % 2)]
    at = sum(map(len, pieces))
    entries = [(tag, one) for tag, one in entries if tag != _TIFF_XMP]
    if packet is not None:
        if len(entries) == _MOST_TAGS:
            raise ValueError("its directory has no room for XMP")
        entries.append((_TIFF_XMP, of.entry.pack(_TIFF_XMP, 1, len(packet), at)))
        pieces += [packet, b"\0" * (len(packet) % 2)]
    at = sum(map(len, pieces))
    pieces += [of.count.pack(len(entries)), *(one for _, one in sorted(entries)), behind]
    return _headed(b"".join((*pieces, _NOTE.pack(before, len(base), _MARK))), of, at)


_TIFF = _Form(lambda data: data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _read_tiff, _write_tiff)
_FORMS = (
    _Form(lambda data: data.startswith(b"\xff\xd8\xff"), _read_jpeg, _write_jpeg),
    _Form(lambda data: data.startswith(_PNG), _read_png, _write_png),
    _Form(lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP", _read_webp, _write_webp),
    _TIFF,
)
