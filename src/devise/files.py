"""Files: written whole or not at all, read as text wherever they come from, named in a form that text can hold."""

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any, Literal, cast, overload

__all__ = ["atomic_write", "check_encoding", "decode_line", "exact_name", "read_text", "text_name", "text_of"]

_BOM = b"\xef\xbb\xbf"
_WIDE = (b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")
_FEW_NULS = 4  # fewer do not tell UTF-16 from a list that NUL bytes separate
_ESCAPED = re.compile(r"\\u(d[89a-f][0-9a-f]{2})")
_NO_TEXT = re.compile(r"[\ud800-\udfff]|\\(?=ud[89a-f][0-9a-f]{2})")
_BACKSLASH = "\udc5c"

_KEPT = 40  # letters of the name in the temporary one, which must not be too long for the system


@overload
def atomic_write(path: Path, mode: Literal["w"] = "w") -> AbstractContextManager[IO[str]]: ...


@overload
def atomic_write(path: Path, mode: Literal["wb"]) -> AbstractContextManager[IO[bytes]]: ...


def atomic_write(path: Path, mode: Literal["w", "wb"] = "w") -> AbstractContextManager[IO[Any]]:
    """Open a temporary file beside `path`; rename it over `path` only if the block ends without an error.

    `mode` is "w" (UTF-8, no newline translation) or "wb". On any error, a full disk too, the temporary
    file is removed and what stood at `path` before is untouched. A link is followed; a device or a pipe, which
    a rename would replace by a file, is written as it is.
    """
    path = path.resolve()
    if path.exists() and not path.is_file() and not path.is_dir():
        return cast("AbstractContextManager[IO[Any]]", path.open(mode))
    return _written(path, mode)


@contextmanager
def _written(path: Path, mode: str) -> Iterator[IO[Any]]:
    temporary = path.parent / f".{path.name[:_KEPT]}.{secrets.token_hex(8)}.part"
    encoding, newline = (None, None) if "b" in mode else ("utf-8", "")
    try:
        with temporary.open(mode.replace("w", "x"), encoding=encoding, newline=newline) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def check_encoding(start: bytes, name: str, error: type[Exception]) -> int:
    """Bytes of the UTF-8 byte order mark that a text begins with: 3 or 0.

    start: the text, or at least its first lines. `error` names a text in UTF-16 or UTF-32, as PowerShell's `>` writes
    it, with or without a mark: where every second byte is NUL, it is no text in UTF-8.
    """
    nuls = start.count(0)
    odd = start[1::2].count(0)
    pairs = nuls * 3 >= len(start) and min(odd, nuls - odd) * 10 <= nuls
    if start.startswith(_WIDE) or (nuls >= _FEW_NULS and (pairs or nuls * 3 >= 2 * len(start))):
        raise error(f"{name} is text in UTF-16, not in UTF-8: save it as UTF-8 (PowerShell: Out-File -Encoding utf8)")
    return len(_BOM) if start.startswith(_BOM) else 0


def decode_line(raw: bytes, name: str, number: int, error: type[Exception], *, nul: bool = False) -> str:
    """A line as text; `error` names the line if it is not UTF-8 or, unless `nul` allows it, contains a NUL byte."""
    if b"\0" in raw and not nul:
        raise error(f"{name} line {number} contains a NUL byte: expected text in UTF-8")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise error(
            f"{name} line {number} is not UTF-8 at its byte {problem.start + 1}: save it as UTF-8 "
            "(iconv -f CP1252 -t UTF-8 if Windows wrote it)"
        ) from None


def text_of(data: bytes, name: str, error: type[Exception]) -> str:
    """A list that comes from outside as text: no byte order mark, and every line end (CR LF, CR) is "\\n".

    `error`, which names `name` and the line and says what to do, for another encoding than UTF-8 and for a NUL byte.
    """
    lines = data[check_encoding(data, name, error) :].replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return "\n".join(decode_line(line, name, number, error) for number, line in enumerate(lines, start=1))


def read_text(path: Path, error: type[Exception], name: str = "") -> str:
    """The text of a file as `text_of` reads it. OSError if it cannot be opened. name: what errors call it."""
    return text_of(path.read_bytes(), name or str(path), error)


def text_name(name: str) -> str:
    """A file's name in a form that every text can hold: a byte that is not UTF-8 is written \\udcXX.

    No two names have one form: where a name holds such letters itself, its backslash is written \\udc5c.

    >>> text_name("a\\udcff.jpg"), exact_name(text_name("a\\udcff.jpg")) == "a\\udcff.jpg"
    ('a\\\\udcff.jpg', True)
    """
    return _NO_TEXT.sub(lambda found: f"\\u{ord(_BACKSLASH if found[0] == chr(92) else found[0]):04x}", name)


def exact_name(text: str) -> str:
    """The name that `text_name` made this of, as `os.fsencode` takes it."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text).replace(_BACKSLASH, "\\")
