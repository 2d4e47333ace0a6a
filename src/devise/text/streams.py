"""Possibly compressed files, read as a stream; errors name file and line."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from devise.errors import DeviseError
from devise.files import check_encoding, decode_line

__all__ = ["COMPRESSIONS", "READ_ERRORS", "Watch", "decoded", "inner_suffix", "numbered_lines", "open_bytes"]

COMPRESSIONS = (".bz2", ".gz", ".xz")
"""Name endings of compressed files that can be read."""

Watch = Callable[[int], None]
"""Called with how many more bytes of the file, as it is on the disk, were read."""

_MARKS = {b"\x1f\x8b\x08": ".gz", b"\xfd7zXZ\0": ".xz"} | {b"BZh%d1AY&SY" % size: ".bz2" for size in range(1, 10)}
_LONGEST_MARK = 10

_LOOKED_AT = 1 << 16  # bytes by which the encoding is recognised

READ_ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError)
"""What reading a damaged file raises."""


def inner_suffix(path: Path) -> str:
    """The name's ending in lower case, less that of the compression: ".jsonl" of "a.jsonl.xz"."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix in COMPRESSIONS else suffix


@contextmanager
def open_bytes(path: Path, error: type[DeviseError], watch: Watch | None = None) -> Iterator[io.BufferedIOBase]:
    """Open the file's bytes, decompressed by its name or its first bytes; `error` names an unreadable file.

    A `.bz2` may be of many streams, as dumps of Wikipedia are.
    """
    try:
        with path.open("rb", buffering=0) as raw, _opened(raw, path, watch) as file:
            yield file
    except FileNotFoundError:
        raise error(f"{path} does not exist: give the path of a file") from None
    except READ_ERRORS as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise error(f"{path} cannot be read: {reason}") from problem


def numbered_lines(
    path: Path, error: type[DeviseError], watch: Watch | None = None, *, own: bool = False
) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers from 1, line ends kept; `error` names the line where reading broke off.

    A byte order mark is left out, and a text whose lines end in CR alone is read too; `error` for one in UTF-16.
    own: the file is one we wrote, and all of it is text.
    """
    number = 0
    with open_bytes(path, error, watch) as file:
        try:
            for number, line in enumerate(file if own else _lines(file, path, error), start=1):
                yield number, line
        except READ_ERRORS as problem:
            raise error(
                f"{path} breaks off after line {number}: {problem}; the file is damaged, get it again"
            ) from problem


def decoded(raw: bytes, path: Path, number: int, error: type[DeviseError], *, own: bool = False) -> str:
    """A line as text; `error` names the line if it is not UTF-8 or, in a file that is not our own, has a NUL byte."""
    return decode_line(raw, str(path), number, error, nul=own)


def _lines(file: Any, path: Path, error: type[DeviseError]) -> Iterator[bytes]:
    start = file.peek(_LOOKED_AT)[:_LOOKED_AT]
    file.read(check_encoding(start, str(path), error))
    if b"\r" not in start or b"\n" in start:
        yield from file
        return
    text = io.TextIOWrapper(file, "latin-1", newline=None)  # each byte is a character, and CR a line end
    for line in text:
        yield line.encode("latin-1")
    text.detach()


class _Watched(io.RawIOBase):
    """A file that counts the bytes read."""

    def __init__(self, file: io.FileIO, watch: Watch) -> None:
        self._file = file
        self._watch = watch

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._file.readinto(buffer) or 0
        self._watch(count)
        return count


def _opened(file: io.FileIO, path: Path, watch: Watch | None) -> io.BufferedIOBase:
    buffered = io.BufferedReader(file if watch is None else _Watched(file, watch), 1 << 16)
    ending = path.suffix.lower()
    if ending not in COMPRESSIONS:
        start = buffered.peek(_LONGEST_MARK)
        ending = next((of for mark, of in _MARKS.items() if start.startswith(mark)), "")
    match ending:
        case ".gz":
            return gzip.GzipFile(fileobj=buffered, mode="rb")
        case ".xz":
            return lzma.LZMAFile(buffered, "rb")
        case ".bz2":
            return bz2.BZ2File(buffered, "rb")
    return buffered
