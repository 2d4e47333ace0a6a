"""Find pictures and videos in files and folders, one by one in a fixed order."""

import os
import re
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from operator import not_
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeAlias

from devise.errors import UsageError
from devise.files import read_file, text_of

if TYPE_CHECKING:
    import pathspec

__all__ = [
    "EXTENSIONS",
    "IGNORE_FILE",
    "SYSTEM_FOLDERS",
    "VIDEOS",
    "Found",
    "absent",
    "find_pictures",
    "folder_filter",
    "is_found",
    "is_hidden",
    "is_packed",
    "is_picture",
    "is_shard",
    "is_video",
]

EXTENSIONS = frozenset(
    {".apng", ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".j2k", ".jfif", ".jp2", ".jpe"}
    | {".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
    | {".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2"}
)
"""Suffixes of picture files in folders, in any letter case."""

VIDEOS = frozenset({".3g2", ".3gp", ".avi", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".webm"})
"""Suffixes of videos, in any letter case."""

_LIVE = frozenset({".mov", ".mp4"})  # of the video that a phone puts next to each live photo

SYSTEM_FOLDERS = frozenset(
    {"@eadir", "@tmp", "@recycle", "#recycle", "#snapshot", "$recycle.bin", "system volume information", "lost+found"}
    | {"trash"}
)
"""Folders of file servers and wastebaskets, in lower case: no photo in them is one of the collection."""

IGNORE_FILE = ".deviseignore"
"""A file of patterns like .gitignore: what to leave out below its folder."""

_MOST_RULES = 1 << 20  # bytes of a file of patterns
_UNSURE = "\0"  # in no name, and before all letters: the order of the names stays
_NONE: frozenset[str] = frozenset()
_Rules: TypeAlias = "tuple[tuple[Path, pathspec.GitIgnoreSpec], ...]"
"""Folders and the patterns that apply below them, the outermost first."""

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
    """A picture to read, or a path without one; then `problem` says why.

    frames: of a video, how many to read; 0 for a picture.
    """

    path: Path
    problem: str | None = None
    frames: int = 0


def find_pictures(
    paths: Iterable[Path],
    on_skip: Callable[[Path], None] | None = None,
    on_empty: Callable[[Path], None] | None = None,
    *,
    exclude: Sequence[str] = (),
    on_exclude: Callable[[Path], None] | None = None,
    frames: int = 0,
    last: Callable[[str], bool] | None = None,
) -> Iterator[Found]:
    """Yield given files, and pictures in folders and subfolders, sorted by name per folder.

    A file given by name is yielded whatever it is called. In folders, hidden files and folders are passed
    over, and so is every file that does not end as a picture does: `on_skip` is called with each of those,
    so that the caller can count them. `on_empty` is called with each folder of `paths` that led to nothing.
    Links are followed, but no folder is entered twice. Dead links and folders that cannot be read are yielded
    with their problem. Only the listings of the current folders are in memory, and the names that `last` puts off.

    exclude: patterns like those of .gitignore, relative to each folder of `paths`. What they match is left out, what
    a `.deviseignore` in a folder matches, and SYSTEM_FOLDERS. `on_exclude` is called with each file and folder that
    is left out for one of these reasons; without it, `on_skip` is. UsageError for a malformed pattern.

    frames: yield videos too, with so many frames to read; 0 passes them over. A video in a folder that has the name of
    a photo there belongs to a live photo: it is passed over too.

    last: whether a path in a folder comes after all others of the folder of `paths`; it is looked at only then. So an
    update begins with what is new.
    """
    entered: set[tuple[int, int]] = set()
    patterns = _compiled(exclude, "--exclude") if exclude else None
    on_exclude = on_exclude or on_skip
    for path in paths:
        if os.path.isdir(path):
            fresh, empty = len(entered), True
            rules = () if patterns is None else ((path, patterns),)
            for found in _walk(path, entered, on_skip, rules, on_exclude, frames, last):
                empty = False
                yield found
            if empty and len(entered) > fresh and on_empty is not None:
                on_empty(path)
        else:
            yield _file(path, _look(path)[1], frames if is_video(path) else 0)


def is_found(path: Path, root: Path, exclude: Sequence[str] = ()) -> bool:
    """Return whether `find_pictures` would find this photo in the folder `root`, without listing any folder.

    UsageError for a malformed pattern in `exclude`; False below a folder whose own patterns cannot be read.
    """
    if path.suffix.lower() not in EXTENSIONS or not path.is_relative_to(root):
        return False
    rules: _Rules = ((root, _compiled(exclude, "--exclude")),) if exclude else ()
    inside = path.relative_to(root).parts
    if any(part.startswith(".") for part in inside):
        return False
    try:
        for depth in range(len(inside)):
            folder = root.joinpath(*inside[:depth])
            if depth and _is_excluded(folder, rules, is_folder=True):
                return False
            rules = (*rules, *_own_rules(folder))
    except (OSError, UsageError):
        return False
    return not _is_excluded(path, rules, is_folder=False)


def folder_filter(patterns: Sequence[str], below: str | None = None) -> Callable[[str], bool]:
    """Return a function that says whether an absolute path is in a folder, or has a name, that a pattern describes.

    Patterns are those of .gitignore: "2024" is a folder or file of that name anywhere, "2024/rome" such a folder in
    such a folder. A pattern that is the path of a folder, absolute or from the current one, means that folder.
    below: a folder; patterns are then of paths below it, and no folder is looked at, for patterns from outside must not
    learn which there are. UsageError for a malformed pattern.

    >>> folder_filter(["rome"])("/photos/rome/a.jpg"), folder_filter(["2024/*"])("/photos/2023/a.jpg")
    (True, False)
    >>> folder_filter(["photos"], "/photos")("/photos/rome/a.jpg")
    False
    """
    anywhere = []
    for pattern in patterns:
        if below is None and os.path.isdir(pattern) and ("/" in pattern.rstrip("/") or pattern in (".", "..")):
            anywhere.append(re.sub(r"([\\*?\[!#])", r"\\\1", os.path.abspath(pattern)) + "/")
        else:
            anywhere.append(pattern if pattern.startswith(("/", "!", "**/")) else f"**/{pattern}")
    matched = _compiled(anywhere, "the pattern")

    def inside(path: str) -> bool:
        return bool(matched.match_file(path.lstrip("/") if below is None else os.path.relpath(path, below)))

    return inside


def is_hidden(member: PurePosixPath) -> bool:
    """Return whether a member of an archive is hidden, like a Mac's metadata files, or in a hidden folder."""
    return any(part.startswith(".") for part in member.parts)


def is_picture(path: str | Path) -> bool:
    """Return whether the name is that of a picture."""
    return os.path.splitext(path)[1].lower() in EXTENSIONS


def is_video(path: str | Path) -> bool:
    """Return whether the name is that of a video."""
    return os.path.splitext(path)[1].lower() in VIDEOS


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


def _walk(
    root: Path,
    entered: set[tuple[int, int]],
    on_skip: Callable[[Path], None] | None,
    rules: _Rules,
    on_exclude: Callable[[Path], None] | None,
    frames: int,
    last: Callable[[str], bool] | None,
) -> Iterator[Found]:
    """Walk depth first, with an explicit stack: a tree may be deeper than Python's recursion."""
    waiting: deque[tuple[Path, Iterator[str], _Rules, frozenset[str]]] = deque([(root, iter([_UNSURE]), rules, _NONE)])
    while waiting:
        folder, names, rules, photos = waiting[-1]
        name = next(names, None)
        if name is None:
            waiting.pop()
            continue
        path = folder / name.removesuffix(_UNSURE)
        is_folder, fault = _look(path) if name.endswith(_UNSURE) else (False, None)
        if name != _UNSURE and _is_excluded(path, rules, is_folder=is_folder):
            if on_exclude is not None:
                on_exclude(path)
        elif is_folder:
            try:
                inside = _listing(path, entered)
                own = (*rules, *_own_rules(path))
            except OSError as error:
                yield Found(path, f"the folder cannot be read ({error.strerror})")
                continue
            except UsageError as error:
                yield Found(path, f"left out: {error}")
                continue
            named = frozenset(os.path.splitext(one)[0] for one in inside if frames and is_picture(one.strip(_UNSURE)))
            if last is not None:
                start = os.path.join(path, "")
                late = [last(start + one.removesuffix(_UNSURE)) for one in inside]
                waiting.appendleft((path, iter(list(compress(inside, late))), own, named))
                inside = list(compress(inside, map(not_, late)))
            waiting.append((path, iter(inside), own, named))
        elif is_picture(path):
            yield _file(path, fault)
        elif frames and is_video(path) and not (path.suffix.lower() in _LIVE and path.stem in photos):
            yield _file(path, fault, frames)
        elif on_skip is not None and path.suffix.lower() != ".xmp":  # a sidecar belongs to a photo
            on_skip(path)


def _listing(folder: Path, entered: set[tuple[int, int]]) -> list[str]:
    """Return the sorted names in a folder: as paths, a million would take 400 MB.

    `_UNSURE` follows the name of what may be a folder; the system lists plain files as such, without a look at each.
    """
    state = folder.stat()
    if (state.st_dev, state.st_ino) in entered:
        return []
    entered.add((state.st_dev, state.st_ino))
    with os.scandir(folder) as entries:
        return sorted(
            one.name if one.is_file(follow_symlinks=False) else one.name + _UNSURE
            for one in entries
            if not one.name.startswith(".")
        )


def _own_rules(folder: Path) -> _Rules:
    """Return the rules of a folder's own file; OSError or UsageError if they cannot be read."""
    file = folder / IGNORE_FILE
    if not file.is_file():
        return ()
    return ((folder, _compiled(text_of(read_file(file, _MOST_RULES), str(file), UsageError).splitlines(), str(file))),)


def _compiled(patterns: Sequence[str], source: str) -> "pathspec.GitIgnoreSpec":
    import pathspec  # few folders have rules

    try:
        return pathspec.GitIgnoreSpec.from_lines(patterns)
    except ValueError as error:
        raise UsageError(f"{source} has a malformed pattern ({error}): write patterns as in .gitignore") from None


def _is_excluded(path: Path, rules: _Rules, *, is_folder: bool) -> bool:
    """Return whether a path is a system folder, or the innermost rule that matches it leaves it out."""
    if is_folder and path.name.lower() in SYSTEM_FOLDERS:
        return True
    for folder, patterns in reversed(rules):
        inside = path.relative_to(folder).as_posix() + "/" * is_folder
        if (matched := patterns.check_file(inside).include) is not None:
            return matched
    return False


def _look(path: Path) -> tuple[bool, OSError | ValueError | None]:
    """Return whether the path is a folder, and the error if there is one: one call of the system per photo."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode), None
    except (OSError, ValueError) as error:
        return False, error


def _file(path: Path, fault: OSError | ValueError | None, frames: int = 0) -> Found:
    if fault is not None:
        if os.path.islink(path):
            return Found(path, "a broken link")
        missing = isinstance(fault, FileNotFoundError)
        return Found(path, absent(path) if missing else f"cannot be read ({getattr(fault, 'strerror', fault)})")
    if is_shard(path.name) or is_packed(path.name):
        return Found(path, "an archive, not a picture: unpack it, or let label --format parquet read a .tar")
    return Found(path, frames=frames)
