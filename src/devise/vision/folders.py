"""Find pictures in files and folders, one by one in a fixed order."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

__all__ = ["EXTENSIONS", "Found", "absent", "find_pictures", "is_hidden", "is_packed", "is_shard"]

EXTENSIONS = frozenset(
    {".apng", ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".j2k", ".jfif", ".jp2", ".jpe"}
    | {".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
)
"""Suffixes of picture files in folders, in any letter case."""

_PACKED = (
    ".tgz",
    ".tbz",
    ".tbz2",
    ".txz",
    ".tzst",
    ".tar.gz",
    ".tar.bz2",
    ".tar.xz",
    ".tar.zst",
    ".zip",
    ".7z",
    ".rar",
)
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:/")


@dataclass(frozen=True, slots=True)
class Found:
    """A picture to read, or a path without one; then `problem` says why."""

    path: Path
    problem: str | None = None


def find_pictures(
    paths: Iterable[Path],
    on_skip: Callable[[Path], None] | None = None,
    on_empty: Callable[[Path], None] | None = None,
) -> Iterator[Found]:
    """Yield given files, and pictures in folders and subfolders, sorted by name per folder.

    A file given by name is yielded whatever it is called. In folders, hidden files and folders are passed
    over, and so is every file that does not end as a picture does: `on_skip` is called with each of those,
    so that the caller can count them. `on_empty` is called with each folder of `paths` that led to nothing.
    Links are followed, but no folder is entered twice. Dead links and folders that cannot be read are yielded
    with their problem. Only the listings of the current folders are in memory.
    """
    entered: set[tuple[int, int]] = set()
    for path in paths:
        if os.path.isdir(path):
            fresh, empty = len(entered), True
            for found in _walk(path, entered, on_skip):
                empty = False
                yield found
            if empty and len(entered) > fresh and on_empty is not None:
                on_empty(path)
        else:
            yield _file(path)


def is_hidden(member: PurePosixPath) -> bool:
    """Return whether a member of an archive is hidden, like a Mac's metadata files, or in a hidden folder."""
    return any(part.startswith(".") for part in member.parts)


def is_shard(name: str) -> bool:
    """Return whether the name is that of a shard, whose photos can be read one by one."""
    return name.lower().endswith(".tar")


def is_packed(name: str) -> bool:
    """Return whether the name is that of a compressed archive, of which no photo can be read alone."""
    return name.lower().endswith(_PACKED)


def absent(path: Path) -> str:
    """Explain why a path has no file."""
    if str(path).startswith("file:/"):
        return "a file's address, not its path: leave file:// out"
    if _URL.match(str(path)):
        return "a URL, not a file: download it, or let label --format parquet read it"
    if os.sep == "/" and "\\" in str(path):
        return "no such file: folders are separated by / on this system"
    return "no such file"


def _walk(root: Path, entered: set[tuple[int, int]], on_skip: Callable[[Path], None] | None) -> Iterator[Found]:
    """Walk depth first, with an explicit stack: a tree may be deeper than Python's recursion."""
    waiting = [iter([root])]
    while waiting:
        path = next(waiting[-1], None)
        if path is None:
            waiting.pop()
        elif os.path.isdir(path):  # unlike Path.is_dir, False where there is no permission
            try:
                waiting.append(iter(_listing(path, entered)))
            except OSError as error:
                yield Found(path, f"the folder cannot be read ({error.strerror})")
        elif path.suffix.lower() in EXTENSIONS:
            yield _file(path)
        elif on_skip is not None and path.suffix.lower() != ".xmp":  # a sidecar belongs to a photo
            on_skip(path)


def _listing(folder: Path, entered: set[tuple[int, int]]) -> list[Path]:
    state = folder.stat()
    if (state.st_dev, state.st_ino) in entered:
        return []
    entered.add((state.st_dev, state.st_ino))
    return [folder / name for name in sorted(os.listdir(folder)) if not name.startswith(".")]


def _file(path: Path) -> Found:
    try:
        path.stat()
    except (OSError, ValueError) as error:
        if os.path.islink(path):
            return Found(path, "a broken link")
        missing = isinstance(error, FileNotFoundError)
        return Found(path, absent(path) if missing else f"cannot be read ({getattr(error, 'strerror', error)})")
    if is_shard(path.name) or is_packed(path.name):
        return Found(path, "an archive, not a picture: unpack it, or let label --format parquet read a .tar")
    return Found(path)
