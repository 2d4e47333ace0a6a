"""Files that are whole or absent: written under a temporary name beside the target, then renamed."""

import os
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any, Literal, cast, overload

__all__ = ["atomic_write"]

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
