"""Read pictures: decode a file, bytes or array to RGB, and make thumbnails, with the libraries kept quiet."""

import ctypes
import io
import logging
import os
import re
import stat
import threading
import warnings
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from devise.arrays import Pixels
from devise.errors import PHOTOS_EXTRA, PictureError
from devise.vision.colours import bytes_of_unit, has_orientation, on_white, orientation_of, to_srgb, upright
from devise.vision.folders import absent, is_video
from devise.vision.limits import (
    MAX_BYTES,
    MAX_JPEG_PIXELS,
    MAX_PIXELS,
    PictureLimits,
    check_head,
    halvings,
    read_jpeg_header,
)
from devise.vision.rawfiles import is_raw, preview_of
from devise.vision.videos import read_frames

__all__ = [
    "MAX_BYTES",
    "MAX_JPEG_PIXELS",
    "MAX_PIXELS",
    "ArrayLike",
    "PictureSource",
    "Readable",
    "data_uri",
    "is_one_picture",
    "picture_bytes",
    "quiet_pillow",
    "read_picture",
    "thumbnail",
    "video_thumbnail",
]


@dataclass
class _State:
    readers: int = 0
    undo: ExitStack = field(default_factory=ExitStack)
    lock: threading.Lock = field(default_factory=threading.Lock)


_state = _State()


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Keep Pillow's warnings and log lines off stderr, in any number of threads.

    Python's warning filters and Pillow's limit of pixels belong to the whole process. The first thread that enters
    changes them, and the last one that leaves restores them. Only warnings from inside Pillow are silenced.
    """
    with _state.lock:
        _state.readers += 1
        if _state.readers == 1:
            _silence(_state.undo)
    try:
        yield
    finally:
        with _state.lock:
            _state.readers -= 1
            if _state.readers == 0:
                _state.undo.close()


def _silence(undo: ExitStack) -> None:
    _silence_libtiff()
    undo.enter_context(warnings.catch_warnings())
    warnings.filterwarnings("ignore", module=r"PIL\b")
    logger, handler = logging.getLogger("PIL"), logging.NullHandler()
    logger.addHandler(handler)
    undo.callback(logger.removeHandler, handler)
    undo.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    # `PictureLimits`, which users can change, replaces Pillow's limit. A huge number and not None: another thread may
    # be between Pillow's test for None and its comparison, which would then raise a TypeError.
    Image.MAX_IMAGE_PIXELS = 2**62


@cache
def _silence_libtiff() -> None:
    """Remove libtiff's handlers, which write a line to standard error for every unknown tag.

    They are global in the loaded library, so one call is enough for all threads.
    """
    maps = Path("/proc/self/maps")
    loaded = {line.split(maxsplit=5)[-1] for line in _lines(maps) if "libtiff" in line}
    for path in loaded or map(str, Path(PIL.__file__).parent.glob(".dylibs/libtiff*")):
        try:
            library = ctypes.CDLL(path)
            for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
                handler = getattr(library, name)
                handler.argtypes, handler.restype = [ctypes.c_void_p], ctypes.c_void_p
                handler(None)
        except (OSError, AttributeError):  # another library; if libtiff still prints lines, they do no harm
            continue


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


@runtime_checkable
class Readable(Protocol):
    """An open file, or any object that reads like one."""

    def read(self) -> Any:
        """Return all remaining bytes."""


@runtime_checkable
class ArrayLike(Protocol):
    """Anything that numpy accepts as an array, such as a tensor of torch, TensorFlow or JAX."""

    def __array__(self) -> Any: ...


PictureSource = (
    str | Path | os.PathLike[str] | bytes | bytearray | memoryview | Readable | Image.Image | NDArray[Any] | ArrayLike
)
"""A path, the bytes of a file, an open file, or a decoded picture."""

_Sizes: TypeAlias = list[tuple[int, int]]
"""Width and height as stored, that of the file first."""

_FORMATS = ("PNG", "GIF", "BMP", "DIB", "PPM", "WEBP", "TIFF", "AVIF", "JPEG2000")
_LARGE = 16_000_000  # pixels; larger pictures are reduced in every format, not only JPEG, to save memory
_DAMAGE = ("premature end of data segment", "bad Huffman code")  # libjpeg's messages if pixels are lost
_END = b"\xff\xd9"  # end marker of a JPEG
_NO_END = "its end marker is missing, but all its pixels are present"
_MARKER = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd7])")  # of a JPEG segment; excludes bytes inside scan data
_SPOILT = ("truncated", "premature", "end of file", "broken data stream", "could not create decoder object")
_CONVERT = ", which is not read: convert it to JPEG or PNG"
_OTHERS = (
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"<svg", "a drawing in SVG"),
    (b"<?xml", "XML"),
    (b"%pdf", "a PDF"),
    (b"\x1f\x8b", "packed by gzip"),
    (b"pk\x03\x04", "a ZIP archive"),
    (b"8bps", "a file of Photoshop"),
    (b"\x1aE\xdf\xa3".lower(), "a video"),
    (b"rar!", "a RAR archive"),
    (b"%!ps", "PostScript"),
    (b"{", "JSON"),
    (b"\xff\x0a", f"JPEG XL{_CONVERT}"),
    (b"\0\0\0\x0cjxl ", f"JPEG XL{_CONVERT}"),
    (b"qoif", f"QOI{_CONVERT}"),
    (b"dds ", f"a texture in DDS{_CONVERT}"),
    (b"icns", f"an icon{_CONVERT}"),
    (b"\0\0\1\0", f"an icon{_CONVERT}"),
    (b"\x01\xda\0\1", f"SGI{_CONVERT}"),
    (b"\x01\xda\1\1", f"SGI{_CONVERT}"),
    (b"p7\n", f"PAM{_CONVERT}"),
    (b"v/1\1", f"OpenEXR{_CONVERT}"),
    (b"#?radiance", f"Radiance HDR{_CONVERT}"),
    (b"simple  =", f"FITS{_CONVERT}"),
    (b"gimp xcf", "a file of GIMP"),
    (b"version https://git-lfs", "a pointer of Git LFS (git lfs pull gets the picture)"),
)
"""First bytes, in lower case, of files that people mistake for pictures."""
_LONGEST_REASON = 60  # characters; a decoder's longer message is not shown
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}


def read_picture(
    source: PictureSource,
    *,
    min_side: int | None,
    limits: PictureLimits | None = None,
    on_note: Callable[[str], None] = lambda note: None,
    on_size: Callable[[int, int], None] = lambda width, height: None,
) -> Pixels:
    """Read the picture, upright, in sRGB; of an animation, the first frame.

    min_side: a JPEG may be decoded at 1/2 of its size or less (in eighths), and any picture of more than 16 megapixels
        be reduced by a whole number, as long as its short side keeps this many pixels; None keeps every pixel.
    limits: of the picture; None means `PictureLimits.usual`.
    on_note: called with a harmless fault of the file: a JPEG or PNG without its end marker.
    on_size: called with the width and height that the upright picture has without reduction.

    Arrays are [h, w], [h, w, 1], [h, w, 3] or [h, w, 4] (straight transparency), of uint8 or of floats in
    [0, 1]. Raises PictureError, whose line says why and not which file: empty, cut off, damaged, no picture,
    over a limit, not a regular file, not readable. Never blocks on a pipe, never returns half a picture.
    """
    limits = limits or PictureLimits.usual()
    stored: list[tuple[int, int]] = []
    try:
        with quiet_pillow():
            if isinstance(source, Image.Image):
                pixels = _from_image(source, min_side, limits, stored)
            elif isinstance(source, ArrayLike):
                pixels = _from_array(_array_of(source), limits, stored)
            else:
                pixels = _from_bytes(_bytes_of(source, limits), min_side, limits, on_note, stored)
        on_size(*_turned(stored[0], pixels.shape[:2]))
        return pixels
    except PictureError as error:
        problem = str(error)
    except MemoryError:
        problem = "too large for the memory: make it smaller"
    except Exception as error:  # hostile bytes can make a decoder raise anything; a batch must not stop
        problem = _reason(error)
    # A new error, raised outside the handlers: the traceback of the caught one keeps the decoders' frames, and with
    # them the pixels, in memory.
    del source
    raise PictureError(problem)


def _turned(stored: tuple[int, int], shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the stored width and height, exchanged if the picture was turned by 90 degrees."""
    width, height = stored
    return (height, width) if (width - height) * (shape[1] - shape[0]) < 0 else (width, height)


def is_one_picture(pictures: object) -> bool:
    """Return whether this is one picture: an array of [h, w, 3] is not a list of its rows."""
    if isinstance(pictures, str | bytes | bytearray | memoryview | os.PathLike | Readable | Image.Image):
        return True
    return isinstance(pictures, ArrayLike) and getattr(pictures, "ndim", 4) < 4


def _bytes_of(source: Any, limits: PictureLimits) -> bytes:
    if isinstance(source, str | os.PathLike):
        return picture_bytes(Path(source), limits.bytes)
    if isinstance(source, io.TextIOBase):
        raise PictureError("the file is open as text: open it in mode 'rb'")
    data = source.read() if isinstance(source, Readable) else source
    if not isinstance(data, bytes | bytearray | memoryview):
        wanted = (
            "open files in mode 'rb'" if isinstance(source, Readable) else "give a path, bytes, an image or an array"
        )
        raise PictureError(f"{type(data).__name__} is not a picture: {wanted}")
    if not data and isinstance(source, Readable) and getattr(source, "tell", lambda: 0)():
        raise PictureError("the open file is at its end: go back to its start with seek(0)")
    return bytes(data)


def _array_of(source: NDArray[Any] | ArrayLike) -> NDArray[Any]:
    try:
        return np.asarray(source)
    except Exception as error:  # each library has its own error for a tensor on a GPU or of a type that numpy lacks
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        kind = type(source).__name__
        raise PictureError(
            f"this {kind} cannot be converted to an array ({reason}): for torch, use .detach().cpu().float()"
        ) from None


def picture_bytes(path: Path, most: int = MAX_BYTES) -> bytes:
    """Read a regular file; PictureError if there is none, or if it has more than `most` bytes.

    Opening does not wait, so that a pipe without a writer cannot block. OSError if reading fails half-way.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise PictureError("a broken link" if os.path.islink(path) else absent(path)) from None
    except PermissionError:
        raise PictureError("no permission to read it") from None
    try:
        state = os.fstat(handle)
        if stat.S_ISDIR(state.st_mode):
            raise PictureError("a folder, not a picture")
        if not stat.S_ISREG(state.st_mode):
            raise PictureError("a pipe or a device, not a regular file")
        if state.st_size > most:
            raise PictureError(f"{state.st_size >> 20} MiB, over the limit of {most >> 20} MiB")
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(handle)


def _from_bytes(
    data: bytes, min_side: int | None, limits: PictureLimits, on_note: Callable[[str], None], stored: _Sizes
) -> Pixels:
    """Read a file. stored: gets its width and height first, as the file has them."""
    if not data:
        raise PictureError("empty")
    if data.startswith(b"\xff\xd8\xff"):
        try:
            return _from_jpeg(data, min_side, limits, stored)
        except OSError as error:
            if "truncated" not in str(error) or not _lacks_its_end_only(data):
                raise
        on_note(_NO_END)
        return _from_jpeg(data + _END, min_side, limits, stored)
    check_head(data)
    if is_raw(data):
        return _from_raw(data, min_side, limits, stored)
    formats = [name for name in _FORMATS if name != "AVIF" or find_spec("PIL.AvifImagePlugin")]
    try:
        image = Image.open(BytesIO(data), formats=formats)
    except UnidentifiedImageError:
        if _is_heic(data):
            return _from_heic(data, min_side, limits, stored)
        raise PictureError(_unidentified(data, formats)) from None
    with image:
        pixels = _from_image(image, min_side, limits, stored)
    if data.startswith(b"\x89PNG") and b"IEND" not in data:
        on_note(_NO_END)
    return pixels


def _unidentified(data: bytes, formats: Sequence[str]) -> str:
    """Explain why Pillow found no picture in the bytes, by the format of their start."""
    for name in formats:
        factory, begins = Image.OPEN[name]
        try:
            if begins is None or begins(data[:16]) is not True:
                continue
        except Exception:  # too few bytes for this format
            continue
        try:
            factory(BytesIO(data), "").close()
        except Exception as error:  # hostile bytes can make a decoder raise anything
            reason = (str(error).splitlines() or [""])[0]
            known = "not identified" not in reason
            if known or name in ("PNG", "GIF"):  # no other file starts like these by chance
                is_readable = known and isinstance(error, SyntaxError) and len(reason) <= _LONGEST_REASON
                return f"cut off or damaged ({reason if is_readable else name})"
    begins_as = data[:64].lstrip(b"\xef\xbb\xbf\r\n\t ").lower()
    other = next((name for begin, name in _OTHERS if begins_as.startswith(begin)), None)
    if data[4:8] == b"ftyp":  # MP4, MOV and their family
        other = "a video"
    if other and other.endswith(_CONVERT):
        return other
    return f"{other}, not a picture" if other else "not a picture of a known format"


def _from_image(image: Image.Image, min_side: int | None, limits: PictureLimits, stored: _Sizes) -> Pixels:
    stored.append(image.size)
    factor = _factor(image.size, min_side)
    steps = halvings(image, factor) if factor > 1 else 0
    limits.check_image(image, 1 << steps)
    if steps:  # a JPEG 2000 contains smaller copies of itself
        image.reduce = steps  # type: ignore[method-assign, assignment]
    image.load()
    return upright(to_srgb(image, factor >> steps), orientation_of(image))


def _factor(size: tuple[int, int], min_side: int | None) -> int:
    """Return the divisor of each side; 1 for a picture that is not large."""
    if min_side is None or size[0] * size[1] <= _LARGE:
        return 1
    return max(1, min(size) // min_side)


def _from_jpeg(data: bytes, min_side: int | None, limits: PictureLimits, stored: _Sizes) -> Pixels:
    """Decode by simplejpeg; by Pillow if simplejpeg cannot (CMYK) or finds a possibly harmless fault."""
    from PIL.JpegImagePlugin import JpegImageFile

    header = read_jpeg_header(data)
    if header is not None:
        limits.check_jpeg(header)
    try:
        image = JpegImageFile(BytesIO(data))  # Image.open would apply its limit to the full size, not the reduced
    except SyntaxError:
        raise PictureError("cut off or damaged (JPEG)") from None
    with image:
        if header is None:
            raise PictureError("cut off or damaged (no scan of a picture in it)")
        stored.append(image.size)
        pixels = _fast_jpeg(data, image, min_side or 0, limits)
        if pixels is not None:
            return upright(pixels, orientation_of(image))
        if min_side:
            image.draft(None, (min_side, min_side))
        return _from_image(image, min_side, limits, stored)


def _fast_jpeg(data: bytes, header: Image.Image, min_side: int, limits: PictureLimits) -> Pixels | None:
    """Return the pixels as stored, not yet upright; None if simplejpeg cannot decode them."""
    import simplejpeg

    profile = header.info.get("icc_profile")
    if header.mode != "RGB" and not (header.mode == "L" and profile is None):
        return None
    scale = {
        "min_height": min_side,
        "min_width": min_side,
        "min_factor": 2,
    }  # scales between 1/2 and 1 are slower than 1
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data, **scale)
        limits.check_size((int(width), int(height)))
        pixels: Pixels = simplejpeg.decode_jpeg(data, "RGB", **scale)
    except ValueError as error:
        if any(fault in str(error) for fault in _DAMAGE):  # Pillow would fill the lost pixels with grey
            raise PictureError(f"cut off or damaged ({error})") from None
        return None  # any other fault: Pillow reads the file if the fault is harmless
    if profile is None:
        return pixels
    image = Image.fromarray(pixels)
    image.info["icc_profile"] = profile
    return to_srgb(image)


def _lacks_its_end_only(data: bytes) -> bool:
    """Return whether a truncated JPEG has all its rows: libjpeg accepts it with an end marker added."""
    import simplejpeg

    try:
        simplejpeg.decode_jpeg(data + _END, "GRAY", min_height=1, min_width=1, min_factor=8)
    except ValueError:
        return False
    return _has_all_scans(data)


def _has_all_scans(data: bytes) -> bool:
    """Return whether the scans contain every bit of all coefficients, which libjpeg does not check.

    A progressive JPEG has many scans. Each refines the coefficients `first` to `last` of its components down to bit
    `low`. The picture is complete when all 64 coefficients of each component have reached bit 0. A baseline JPEG does
    so in its one scan per component.
    """
    lowest_bit: dict[tuple[int, int], int] = {}  # by component and coefficient: the lowest bit that a scan contains
    position = 2
    while found := _MARKER.search(data, position):
        kind, start = found[1][0], found.end() + 2
        position = found.end() + int.from_bytes(data[found.end() : start], "big")
        segment = data[start:position]
        if (
            kind in (0xC0, 0xC1, 0xC2) and len(segment) > 5
        ):  # frame header: from byte 6, 3 bytes per component, id first
            components = segment[6::3][: segment[5]]
            lowest_bit = {(component, k): 1 for component in components for k in range(64)}  # 1: no scan yet
        if kind == 0xDA and len(segment) >= 4 + 2 * segment[0]:  # scan header: count, 2 bytes per component, id first
            first, last, bits = segment[1 + 2 * segment[0] :][:3]
            components, low = segment[1 : 1 + 2 * segment[0] : 2], bits & 15  # the upper 4 bits: of the scan before
            lowest_bit |= {(component, k): low for component in components for k in range(first, last + 1)}
    return bool(lowest_bit) and not any(lowest_bit.values())


def _is_heic(data: bytes) -> bool:
    """Return whether the `ftyp` box at the start has a HEIC brand; AVIF is another format."""
    if data[4:8] != b"ftyp":
        return False
    box = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
    brands = {box[i : i + 4] for i in range(0, len(box), 4)}
    return bool(brands & _HEIC_BRANDS) and not brands & {b"avif", b"avis"}


def _from_heic(data: bytes, min_side: int | None, limits: PictureLimits, stored: _Sizes) -> Pixels:
    try:
        import pillow_heif
    except ModuleNotFoundError:
        raise PictureError(f"HEIC needs {PHOTOS_EXTRA}") from None
    try:
        opened = pillow_heif.open_heif(BytesIO(data))
        limits.check_size(opened.size)
        limits.check_memory("HEIF", opened.size)
        image = opened.to_pillow()  # upright
    except (EOFError, LookupError, OSError, RuntimeError, SyntaxError, ValueError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise PictureError(f"cut off or damaged ({reason if 0 < len(reason) <= _LONGEST_REASON else 'HEIC'})") from None
    return _from_image(image, min_side, limits, stored)


def _from_raw(data: bytes, min_side: int | None, limits: PictureLimits, stored: _Sizes) -> Pixels:
    """Read the preview in a raw file. The orientation in the preview's own EXIF data overrides that of the raw file."""
    preview, orientation = preview_of(data)
    if not isinstance(preview, bytes):
        return upright(_from_array(preview, limits, stored), orientation)
    pixels = _from_jpeg(preview, min_side, limits, stored)
    with Image.open(BytesIO(preview), formats=["JPEG"]) as image:
        return pixels if has_orientation(image) else upright(pixels, orientation)


def _from_array(array: NDArray[Any], limits: PictureLimits, stored: _Sizes) -> Pixels:
    grey = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1)
    if not grey and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        raise PictureError(f"an array must be [h, w], [h, w, 3] or [h, w, 4], got {list(array.shape)}{_cure(array)}")
    stored.append((array.shape[1], array.shape[0]))
    limits.check_size(stored[0])
    if array.dtype.kind == "f":
        array = bytes_of_unit(array)
    if array.dtype != np.uint8:
        raise PictureError(f"an array must be of uint8, or of floats in [0, 1], got {array.dtype}: convert it first")
    if grey:
        return np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2)
    return on_white(array) if array.shape[2] == 4 else np.ascontiguousarray(array)


def _cure(array: NDArray[Any]) -> str:
    if array.ndim == 3 and array.shape[0] in (1, 3, 4):
        return ": move its channels last, array.transpose(1, 2, 0)"
    return ": give each picture of the batch separately" if array.ndim == 4 else ""


def _reason(error: Exception) -> str:
    """Describe a decoder's error in one line."""
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read ({error.strerror})"
    text = (str(error).strip().splitlines() or [""])[0]
    if not text:
        return "cut off or damaged"
    if isinstance(error, EOFError) or any(word in text.lower() for word in _SPOILT):
        return f"cut off or damaged ({text})"
    return f"cannot be decoded ({text})"


def data_uri(path: Path, side: int, quality: int = 82) -> str:
    """Return the `thumbnail` as a data URI; another process makes those of videos."""
    small = video_thumbnail(path, side) if is_video(path) else thumbnail(path, side, quality)
    return f"data:image/jpeg;base64,{b64encode(small).decode('ascii')}"


def video_thumbnail(path: Path, side: int) -> bytes:
    """Return the `thumbnail` of a video, made by another process; PictureError if it cannot be read."""
    reader, lock = _video_reader()
    with lock:
        try:
            small: bytes = reader.thumbnail(path, side)
        except TimeoutError:
            raise PictureError("takes too long to decode") from None
    return small


@cache
def _video_reader() -> tuple[Any, threading.Lock]:
    """Return a process that reads videos, and its lock; it ends with this process."""
    from devise.vision.decoder_process import VIDEO_SECONDS, Decoder  # here, because it imports this module

    return Decoder(PictureLimits.usual(), VIDEO_SECONDS), threading.Lock()


def thumbnail(path: Path, side: int, quality: int = 82, *, limits: PictureLimits | None = None) -> bytes:
    """Return the picture, or the middle frame of a video, as a JPEG without metadata.

    side: pixels of its longer side at most. limits: see `read_picture`. PictureError if it cannot be read.
    """
    if is_video(path):
        (pixels,) = read_frames(path, 1, min_side=side, limits=limits or PictureLimits.usual())
    else:
        pixels = read_picture(path, min_side=side, limits=limits)
    image = Image.fromarray(pixels)
    image.thumbnail((side, side))
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()
