"""Pictures in a terminal: which protocol it has, a grid of photos, and its bytes as escape sequences."""

import math
import shutil
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from devise.cli.terminal import Stream
from devise.errors import PictureError, UsageError
from devise.vision.decoding import read_picture, video_thumbnail
from devise.vision.folders import is_video

__all__ = ["PictureProtocol", "grid_rows", "pictures_in", "protocol_of", "require_pictures", "sixel", "terminal_width"]

_CELL = 240  # pixels of a photo and its frame
_FRAME = 4
_PIXELS = 10  # of a column of letters, where the terminal does not say
_CHUNK = 4096  # letters of a piece, by kitty's protocol
_COLOURS = 255  # of a sixel picture; most terminals have 256
_BAND = 6  # rows of pixels in a row of sixels


class PictureProtocol(StrEnum):
    """Ways in which terminals take pictures."""

    kitty = "kitty"
    iterm = "iterm"
    sixel = "sixel"


def protocol_of(environment: Mapping[str, str]) -> PictureProtocol | None:
    """Return how the terminal of these environment variables takes pictures; None if it is not known to.

    >>> protocol_of({"TERM": "xterm-kitty"}), protocol_of({"TERM": "foot"}), protocol_of({"TERM": "xterm"})
    (<PictureProtocol.kitty: 'kitty'>, <PictureProtocol.sixel: 'sixel'>, None)
    """
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if "TMUX" in environment or term.startswith(("screen", "tmux")):
        return None  # which passes none of them on by itself
    if term in ("xterm-kitty", "xterm-ghostty") or {"KITTY_WINDOW_ID", "KONSOLE_VERSION"} & environment.keys():
        return PictureProtocol.kitty
    if program in ("iTerm.app", "WezTerm", "mintty") or environment.get("LC_TERMINAL") == "iTerm2":
        return PictureProtocol.iterm
    if "sixel" in term or term.startswith(("foot", "mlterm", "yaft", "contour")):
        return PictureProtocol.sixel
    return None


def require_pictures(stream: Stream, environment: Mapping[str, str]) -> PictureProtocol:
    """Return how this stream takes pictures; UsageError if it is not a terminal, or one without pictures."""
    if not stream.isatty():
        raise UsageError("--grid draws in a terminal, and the output is not one: take --sheet FILE for a page")
    protocol = protocol_of(environment)
    if protocol is None:
        raise UsageError(
            "--grid needs a terminal that shows pictures (kitty, iTerm2, WezTerm, Konsole, foot, mlterm; not within "
            "tmux or screen): take --sheet FILE or --open for a page"
        )
    return protocol


def grid_rows(paths: Sequence[str], width: int) -> Iterator[Image.Image]:
    """Yield the rows of a grid of photos, numbered from 1. width: pixels. A photo that cannot be read is grey."""
    columns = max(1, min(len(paths), width // _CELL))
    font = ImageFont.load_default(size=20)
    for start in range(0, len(paths), columns):
        row = Image.new("RGB", (columns * _CELL, _CELL), "black")
        draw = ImageDraw.Draw(row)
        for place, path in enumerate(paths[start : start + columns]):
            photo = _small(Path(path))
            left = place * _CELL + (_CELL - photo.width) // 2
            row.paste(photo, (left, (_CELL - photo.height) // 2))
            text, corner = str(start + place + 1), (place * _CELL + 2 * _FRAME, 2 * _FRAME)
            draw.text(corner, text, fill="white", font=font, stroke_width=2, stroke_fill="black")
        yield row


def pictures_in(paths: Sequence[str], protocol: PictureProtocol) -> Iterator[str]:
    """Yield a grid of photos, row by row, as the terminal takes it."""
    columns, pixels = terminal_width()
    for row in grid_rows(paths, pixels):
        if protocol == PictureProtocol.sixel:
            yield f"{sixel(row)}\n"
            continue
        buffer = BytesIO()
        row.save(buffer, "PNG")
        data = b64encode(buffer.getvalue()).decode("ascii")
        if protocol == PictureProtocol.iterm:
            size = f"size={len(buffer.getvalue())};width={_letters(row, columns, pixels)};preserveAspectRatio=1"
            yield f"\x1b]1337;File=inline=1;{size}:{data}\a\n"
        else:
            yield f"{_kitty(data, _letters(row, columns, pixels))}\n"


def _letters(row: Image.Image, columns: int, pixels: int) -> int:
    """Return how many letters are as wide as a picture."""
    return max(1, min(columns, round(row.width * columns / pixels)))


def _small(path: Path) -> Image.Image:
    try:
        if is_video(path):
            photo: Image.Image = Image.open(BytesIO(video_thumbnail(path, _CELL)))
        else:
            photo = Image.fromarray(read_picture(path, min_side=_CELL))
    except PictureError:
        return Image.new("RGB", (_CELL - 2 * _FRAME,) * 2, "grey")
    photo.thumbnail((_CELL - 2 * _FRAME,) * 2)
    return photo


def _kitty(data: str, columns: int) -> str:
    """Return a PNG in pieces; the first has its facts, all but the last say that more come."""
    pieces = [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]
    heads = [f"a=T,f=100,q=2,c={columns}," if number == 0 else "" for number in range(len(pieces))]
    more = [int(number < len(pieces) - 1) for number in range(len(pieces))]
    return "".join(f"\x1b_G{head}m={one};{piece}\x1b\\" for head, one, piece in zip(heads, more, pieces, strict=True))


def sixel(picture: Image.Image) -> str:
    """Return a picture as sixels: bands of six rows, drawn once for each of at most 255 colours."""
    few = picture.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    pixels = np.asarray(few)
    palette = few.getpalette() or []
    used = np.unique(pixels).tolist()
    shares = {
        colour: [math.floor(part * 100 / 255 + 0.5) for part in palette[3 * colour : 3 * colour + 3]] for colour in used
    }
    registers = "".join(f"#{colour};2;{red};{green};{blue}" for colour, (red, green, blue) in shares.items())
    bands = []
    for top in range(0, len(pixels), _BAND):
        band = pixels[top : top + _BAND]
        bits = 1 << np.arange(len(band))[:, None]
        colours = np.unique(band).tolist()
        bands.append("$".join(f"#{one}{_runs(((band == one) * bits).sum(axis=0) + 63)}" for one in colours))
    return f'\x1bP0;1q"1;1;{few.width};{few.height}{registers}{"-".join(bands)}\x1b\\'


def _runs(codes: np.ndarray) -> str:
    """Return letters of these codes; more than three of one are counted."""
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    lengths = np.diff(starts, append=len(codes))
    return "".join(
        f"!{length}{chr(code)}" if length > 3 else chr(code) * length
        for code, length in zip(codes[starts].tolist(), lengths.tolist(), strict=True)
    )


def terminal_width() -> tuple[int, int]:
    """Return the width of the terminal in columns of letters, and in pixels or a guess of them."""
    columns = shutil.get_terminal_size().columns
    try:
        import fcntl
        import struct
        import termios

        pixels = struct.unpack("HHHH", fcntl.ioctl(1, termios.TIOCGWINSZ, b"\0" * 8))[2]
    except (ImportError, OSError):
        pixels = 0
    return columns, pixels or columns * _PIXELS
