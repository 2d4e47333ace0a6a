"""Files: written whole or not at all, read only if they are regular, with names that any text can contain.

The readers of our own files raise nothing but OSError, whose `strerror` says what is wrong, and ValueError for content;
those of lists that come from outside raise OSError and the error that they are given.
"""

import errno
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal, NoReturn, cast, overload

__all__ = [
    "DEEPEST_JSON",
    "LARGEST",
    "atomic_write",
    "cache_folder",
    "check_encoding",
    "decode_line",
    "exact_name",
    "new_folder",
    "open_tensors",
    "parse_json",
    "read_file",
    "read_json",
    "read_text",
    "real_path",
    "reason_of",
    "remove_unfinished",
    "require_regular",
    "sole_writer",
    "text_name",
    "text_of",
    "write_json",
]

DEEPEST_JSON = 64
"""Lists and objects inside each other; our own files have at most 8, and Python breaks at about 300."""

LARGEST = 1 << 31
"""Bytes of the largest file that is read into memory as one piece."""

_BOM = b"\xef\xbb\xbf"
_WIDE = (b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")
_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
_TRIES = 100
_FEW_NULS = 4  # a list that NUL bytes separate may have fewer
_ESCAPED = re.compile(r"\\u(d[89a-f][0-9a-f]{2})")
_NO_TEXT = re.compile(r"[\ud800-\udfff]|\\(?=ud[89a-f][0-9a-f]{2})")
_BACKSLASH = "\udc5c"

_TEMPORARY = re.compile(r"\..*\.[0-9a-f]{16}\.part", re.DOTALL)
_CONTAINERS = frozenset((dict, list, tuple))
_KEPT = 40  # letters of the name in the temporary one, which must not be too long for the system


@overload
def atomic_write(path: Path, mode: Literal["w"] = "w") -> AbstractContextManager[IO[str]]: ...


@overload
def atomic_write(
    path: Path, mode: Literal["wb"], finish: Callable[[Path], None] | None = None
) -> AbstractContextManager[IO[bytes]]: ...


def atomic_write(
    path: Path, mode: Literal["w", "wb"] = "w", finish: Callable[[Path], None] | None = None
) -> AbstractContextManager[IO[Any]]:
    """Open a temporary file next to `path`; rename it over `path` only if the block ends without an error.

    `mode` is "w" (UTF-8, no newline translation) or "wb". On any error, a full disk too, the temporary
    file is removed and what was at `path` before is untouched; the error of a full disk names `path`. A link is
    followed; a device or a pipe, which a rename would replace by a file, is written as it is: OSError, without
    waiting, if nobody reads the pipe.
    finish: called with the complete temporary file before it is renamed; an error in it leaves `path` as it was.
    """
    path = real_path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        return _streamed(path, mode)
    return _written(path, mode, finish)


def remove_unfinished(folder: Path) -> None:
    """Remove what `atomic_write` left in a folder when its process was killed; files in use stay."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _TEMPORARY.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(OSError), open(entry.path, "rb") as file:
                    if _is_free(file.fileno()):
                        os.unlink(entry.path)


def real_path(path: Path) -> Path:
    """The path without links; a link to itself stays, for `open` to refuse, where `resolve` raises RuntimeError."""
    return Path(os.path.realpath(path))


@contextmanager
def sole_writer(folder: Path, error: type[Exception], name: str = ".lock") -> Iterator[None]:
    """Hold the lock of a folder within the block; `error`, in one line, if another process has it.

    The folder is made where it is absent. The lock is the file `name`, which goes with the block; so do the folders
    that were made here, if nothing else was put into them. What `atomic_write` left there when its process was killed
    is removed. OSError if a folder cannot be made.
    """
    made: dict[Path, None] = {}
    handle, free = _lock_of(folder, name, made)
    try:
        if not free:
            raise error(f"{folder}: another process is writing to it: wait until it ends")
        remove_unfinished(folder)
        try:
            yield
        finally:
            with suppress(OSError):
                os.unlink(folder / name)
            with suppress(OSError):
                for one in made:
                    one.rmdir()
    finally:
        os.close(handle)


@contextmanager
def new_folder(out: Path, error: type[Exception]) -> Iterator[Path]:
    """Make a folder whole or not at all: yield an empty one next to `out`, which becomes `out` if the block ends well.

    `error`, in one line, if `out` is there and not an empty folder, if its parent is missing, or if another process
    makes it. What a killed process left is removed.
    """
    if out.is_symlink() or out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise error(f"{out} exists already: give a folder that is new or empty")
    parent = out.absolute().parent
    if not parent.is_dir():
        raise error(f"{out} needs a folder that exists: create {out.parent} first")
    with sole_writer(parent, error, f".{out.name}.lock"):
        stage = parent / f".{out.name}.part"
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir()
        try:
            yield stage
            if out.is_dir():
                out.rmdir()
            stage.rename(out)
        finally:
            shutil.rmtree(stage, ignore_errors=True)


def _lock_of(folder: Path, name: str, made: dict[Path, None]) -> tuple[int, bool]:
    """Open the lock file and try to lock it; return both. Missing folders are created and added to `made`.

    The previous owner removes it while it is locked: so it counts only if it is still in its place, and is opened again
    if not.
    """
    for _ in range(_TRIES):
        made |= dict.fromkeys(one for one in (folder, *folder.parents) if not one.exists())
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder / name, os.O_RDWR | os.O_CREAT | getattr(os, "O_NONBLOCK", 0), 0o666)
        except (FileExistsError, FileNotFoundError):
            if os.path.lexists(folder) and not folder.is_dir():
                raise
            continue  # the folder went while it was made, or was made while it went
        try:
            _size(folder / name, os.fstat(handle), None)
            if not _is_free(handle):
                return handle, False
            if os.path.samestat(os.fstat(handle), os.stat(folder / name)):
                return handle, True
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
    raise OSError(errno.ENOENT, "it goes as often as it is made", str(folder / name))


def require_regular(path: Path) -> int:
    """Return a file's size in bytes; OSError if it is missing or not regular (a pipe would wait)."""
    return _size(path, os.stat(path), None)


def read_file(path: Path, most: int | None = LARGEST, first: int = -1) -> bytes:
    """Read a regular file of at most `most` bytes; OSError for anything else. Never waits for a pipe.

    first: read no more than the first bytes.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _size(path, os.fstat(handle), most)
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read(first)
    finally:
        os.close(handle)


def read_json(path: Path, most: int = LARGEST, **hooks: Any) -> Any:
    """The value in a JSON file: OSError as `read_file` raises it, ValueError as `parse_json` does."""
    return parse_json(read_file(path, most), **hooks)


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, whole or not at all; equal values give equal bytes."""
    with atomic_write(path) as file:
        file.write(json.dumps(value, indent=1, sort_keys=True) + "\n")


def parse_json(data: bytes | str, **hooks: Any) -> Any:
    """The value in JSON text, which may begin with a byte order mark.

    hooks: as `json.loads` takes them. ValueError if it is not UTF-8, not JSON, has NaN or infinity, or is nested more
    than `DEEPEST_JSON` deep.
    """
    text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
    try:
        value = json.loads(text, **{"parse_constant": _no_constant, **hooks})
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if text.count("[") + text.count("{") > DEEPEST_JSON:  # only then can it be deep, and is worth a walk
        _require_shallow(value)
    return value


@contextmanager
def open_tensors(path: Path, framework: Literal["numpy", "pt"] = "numpy") -> Iterator[Any]:
    """A safetensors file as `safetensors.safe_open` gives it.

    OSError if it is absent or no regular file. ValueError, one line, if it is damaged, or if what is asked of it within
    the block is not there or not of a type that the framework has.
    """
    from safetensors import SafetensorError, safe_open

    require_regular(path)
    try:
        with safe_open(path, framework) as file:
            yield file
    except (SafetensorError, LookupError, TypeError, OverflowError, MemoryError) as error:
        raise ValueError(reason_of(error)) from None


def reason_of(error: BaseException) -> str:
    """Return the reason for an error in one line of at most 120 characters."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (text.strip().splitlines() or [type(error).__name__])[0][:120]


@contextmanager
def _streamed(path: Path, mode: str) -> Iterator[IO[Any]]:
    try:
        handle = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise OSError(errno.ENXIO, "it is a pipe that nobody reads", str(path)) from None
    os.set_blocking(handle, True)
    with os.fdopen(handle, mode, **_text(mode)) as file:
        yield file


def _text(mode: str) -> dict[str, Any]:
    return {} if "b" in mode else {"encoding": "utf-8", "newline": ""}


@contextmanager
def _written(path: Path, mode: str, finish: Callable[[Path], None] | None) -> Iterator[IO[Any]]:
    temporary = path.parent / f".{path.name[:_KEPT]}.{secrets.token_hex(8)}.part"
    try:
        with temporary.open(mode.replace("w", "x"), **_text(mode)) as file:
            with suppress(OSError):  # a system without locks
                _is_free(file.fileno())  # for `remove_unfinished`
            yield file
            file.flush()
            if finish is not None:
                finish(temporary)
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _FULL and error.filename is None:
            error.filename = str(path)  # so that the message says which disk is full
        raise


def check_encoding(start: bytes, name: str, error: type[Exception]) -> int:
    """Bytes of the UTF-8 byte order mark that a text begins with: 3 or 0.

    start: the text, or at least its first lines. `error` names a text in UTF-16 or UTF-32, as PowerShell's `>` writes
    it, with or without a mark: where every second byte is NUL, it is not UTF-8.
    """
    nuls = start.count(0)
    odd = start[1::2].count(0)
    pairs = nuls * 3 >= len(start) and min(odd, nuls - odd) * 10 <= nuls
    short = nuls * 2 == len(start) and odd in (0, nuls) and re.search(rb"[\r\n]", start)
    if start.startswith(_WIDE) or short or (nuls >= _FEW_NULS and (pairs or nuls * 3 >= 2 * len(start))):
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
    """Decode a list from outside: no byte order mark, and every line end (CR LF, CR) is "\\n".

    `error`, which names `name` and the line and says what to do, for another encoding than UTF-8 and for a NUL byte.
    """
    lines = data[check_encoding(data, name, error) :].replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return "\n".join(decode_line(line, name, number, error) for number, line in enumerate(lines, start=1))


def read_text(path: Path, error: type[Exception], name: str = "", *, cure: str = "") -> str:
    """The text of a file as `text_of` reads it. name: what errors call it.

    OSError as `read_file` raises it; with a `cure`, which says what to give, `error` for that too.
    """
    try:
        return text_of(read_file(path), name or str(path), error)
    except OSError as problem:
        if not cure:
            raise
        raise error(f"{name or path} cannot be read ({reason_of(problem)}): {cure}") from None


def text_name(name: str) -> str:
    """Return a file's name as valid text: a byte that is not UTF-8 is written \\udcXX.

    No two names have one form: if a name contains such letters itself, its backslash is written \\udc5c.

    >>> text_name("a\\udcff.jpg"), exact_name(text_name("a\\udcff.jpg")) == "a\\udcff.jpg"
    ('a\\\\udcff.jpg', True)
    """
    if name.isascii() and "\\" not in name:
        return name
    return _NO_TEXT.sub(lambda found: f"\\u{ord(_BACKSLASH if found[0] == chr(92) else found[0]):04x}", name)


def exact_name(text: str) -> str:
    """The name that `text_name` made this of, as `os.fsencode` takes it."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text).replace(_BACKSLASH, "\\")


def _size(path: Path, state: os.stat_result, most: int | None) -> int:
    if stat.S_ISDIR(state.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder, not a file", str(path))
    if not stat.S_ISREG(state.st_mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a regular file", str(path))
    if most is not None and state.st_size > most:
        raise OSError(errno.EFBIG, f"it has {state.st_size:,} bytes, at most {most:,} are expected", str(path))
    return state.st_size


def _is_free(handle: int) -> bool:
    try:
        import fcntl
    except ModuleNotFoundError:  # pragma: no cover - not POSIX
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _require_shallow(value: object) -> None:
    level = [value]
    for _ in range(DEEPEST_JSON + 1):
        inner: list[object] = []
        for container in level:
            items = container.values() if isinstance(container, dict) else cast("list[object]", container)
            if not _CONTAINERS.isdisjoint(map(type, items)):
                inner += [item for item in items if type(item) in _CONTAINERS]
        if not inner:
            return
        level = inner
    raise ValueError(f"nested more than {DEEPEST_JSON} deep")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def cache_folder() -> Path:
    """Return $XDG_CACHE_HOME/devise, by default ~/.cache/devise: for what can be computed again."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(given) if Path(given).is_absolute() else Path.home() / ".cache") / "devise"
