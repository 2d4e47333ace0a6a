"""Keep an index up to date with folders as they change: which photos wait, and what is new."""

import json
import os
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from devise.errors import PhotoIndexError
from devise.files import atomic_write, exact_name, read_json, reason_of, text_name
from devise.model.parts import ModelParts
from devise.search.photoindex import header_of
from devise.search.store import PhotoStore
from devise.vision.folders import Found, find_pictures, is_found

__all__ = ["Pending", "Unwritten", "changed_photos", "path_changes", "photo_of", "state_of"]

_State = tuple[int, int] | None
"""Size and time of change of a file; None if there is none."""


@dataclass(slots=True)
class Pending:
    """Paths that have changed, until they stop changing. seconds: for how long a file must stay as it is."""

    seconds: float
    _since: dict[str, tuple[_State, float]] = field(default_factory=dict)

    def add(self, paths: Iterable[str], now: float) -> None:
        """Take paths that have changed; each waits from now on."""
        for path in paths:
            self._since[path] = (state_of(path), now)

    def ready(self, now: float) -> list[str]:
        """Return and forget the paths whose files have stayed as they are; a file that grows waits again."""
        ready = []
        for path, (before, since) in list(self._since.items()):
            if (state := state_of(path)) != before:
                self._since[path] = (state, now)
            elif now - since >= self.seconds:
                ready.append(path)
                del self._since[path]
        return ready

    def __len__(self) -> int:
        return len(self._since)


@dataclass(slots=True)
class Unwritten:
    """Photos whose sidecars could not be written, also in a file, so that a process that is killed forgets none.

    seconds: until one of them is tried again.
    """

    file: Path
    seconds: float
    paths: dict[str, None]
    _since: float = 0.0

    @classmethod
    def opened(cls, file: Path, seconds: float) -> "Unwritten":
        """Read the file; a missing one is empty. PhotoIndexError if it is damaged."""
        return cls(file, seconds, _listed(file))

    def tried(self, photos: Collection[str], failed: Iterable[str], now: float) -> None:
        """Forget these photos, except those that failed, which come last. OSError if the file cannot be written."""
        failed = dict.fromkeys(failed)
        before = self.paths
        self.paths = {path: None for path in before if path not in photos} | failed
        self._since = now
        if self.paths.keys() != before.keys():
            kept = {path: None for path in _listed(self.file) if path not in photos} | failed
            with atomic_write(self.file) as out:
                json.dump([text_name(path) for path in kept], out)

    def due(self, now: float) -> str | None:
        """Return the photo to try again now, if any."""
        return next(iter(self.paths), None) if now - self._since >= self.seconds else None


def _listed(file: Path) -> dict[str, None]:
    try:
        names = read_json(file)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("it is not a list of paths")
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise PhotoIndexError(f"{file} is damaged ({reason_of(error)}): remove it") from None
    return dict.fromkeys(map(exact_name, names))


def state_of(path: str) -> _State:
    """Return size and time of a file or folder; None if it is absent."""
    try:
        state = os.stat(path)
    except (OSError, ValueError):
        return None
    return (0 if stat.S_ISDIR(state.st_mode) else state.st_size, state.st_mtime_ns)


def path_changes(paths: Iterable[str], roots: Sequence[Path], exclude: Sequence[str]) -> Iterator[str]:
    """Yield what changed paths mean for an index: photos, and files and folders that are gone.

    A sidecar means its photo; a folder, and a file of patterns, all photos of the folder. What `find_pictures` would
    not find in the roots is left out. A root that is missing means nothing: its drive may be absent.
    """
    for path in paths:
        root = next((one for one in roots if Path(path).is_relative_to(one)), None)
        if root is None or not os.path.isdir(root) or (not os.path.lexists(path) and path == str(root)):
            continue
        folder = os.path.dirname(path) if os.path.basename(path) == ".deviseignore" else path
        if not os.path.lexists(path) and folder == path:
            yield path
        if os.path.isdir(folder):
            inside = (found for found in find_pictures([root], exclude=exclude) if found.problem is None)
            yield from (str(found.path) for found in inside if found.path.is_relative_to(folder))
        else:
            yield from (one for one in photo_of(path) if is_found(Path(one), root, exclude))


def photo_of(path: str) -> list[str]:
    """Return the path itself or, of a sidecar, the photos that it can belong to.

    >>> photo_of("/p/a.jpg"), photo_of("/p/a.jpg.xmp")
    (['/p/a.jpg'], ['/p/a.jpg'])
    """
    stem, ending = os.path.splitext(path)
    if ending.lower() != ".xmp":
        return [path]
    if os.path.splitext(stem)[1]:
        return [stem]
    try:
        names = os.listdir(os.path.dirname(path))
    except OSError:
        return []
    return [
        os.path.join(os.path.dirname(path), name)
        for name in names
        if os.path.splitext(name)[0] == os.path.basename(stem)
    ]


def changed_photos(
    parts: ModelParts, index: Path, found: Iterable[Found], again: Collection[str] = ()
) -> Iterator[Path]:
    """Yield the photos that the index lacks, or has in another state, as `index_photos` sees it.

    again: absolute paths of photos to yield in any case.
    """
    store = PhotoStore.created(index, header_of(parts))
    known = store.known()
    for one in found:
        path = os.path.abspath(one.path)
        fact = known[path].fact if path in known else None
        state = state_of(path)
        if one.problem is None and (path in again or fact is None or state != (fact.size, fact.mtime_ns)):
            yield Path(path)
