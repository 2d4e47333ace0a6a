"""Files that may be compressed, read as a stream; what is broken in them is named by file and line."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devise.errors import DeviseError

__all__ = ["COMPRESSIONS", "decoded", "inner_suffix", "numbered_lines", "open_bytes"]

COMPRESSIONS = (".bz2", ".dz", ".gz", ".xz")
"""Name endings of compressed files that can be read; `.dz` is dictd's gzip."""

_BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError)


def inner_suffix(path: Path) -> str:
    """The name's ending in lower case, less that of the compression: ".jsonl" of "a.jsonl.xz"."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix in COMPRESSIONS else suffix


@contextmanager
def open_bytes(path: Path, error: type[DeviseError]) -> Iterator[io.BufferedIOBase]:
    """The file's bytes, decompressed as its name says; `error` names the file if it cannot be read."""
    suffix = path.suffix.lower()
    try:
        with _open(path, suffix) as file:
            yield file
    except FileNotFoundError:
        raise error(f"{path} does not exist: give the path of a file") from None
    except _BROKEN as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise error(f"{path} cannot be read: {reason}") from problem


def numbered_lines(path: Path, error: type[DeviseError]) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers from 1, line ends kept; `error` names the line where reading broke off."""
    number = 0
    with open_bytes(path, error) as file:
        try:
            for number, line in enumerate(file, start=1):
                yield number, line
        except _BROKEN as problem:
            raise error(
                f"{path} breaks off after line {number}: {problem}; the file is damaged, get it again"
            ) from problem


def decoded(raw: bytes, path: Path, number: int, error: type[DeviseError]) -> str:
    """A line as text; `error` names the line if it is not UTF-8."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise error(
            f"{path} line {number} is not UTF-8 at its byte {problem.start + 1}: convert the file to UTF-8"
        ) from None


def _open(path: Path, suffix: str) -> io.BufferedIOBase:
    if suffix in (".gz", ".dz"):
        return gzip.GzipFile(path, "rb")
    if suffix == ".xz":
        return lzma.LZMAFile(path, "rb")
    if suffix == ".bz2":
        return bz2.BZ2File(path, "rb")
    return path.open("rb")
