"""Keep an index up to date with folders as they change: which photos wait, and what is new."""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from devise.model.parts import ModelParts
from devise.search.photoindex import header_of
from devise.search.store import PhotoStore
from devise.vision.folders import Found, find_pictures, is_found

__all__ = ["Pending", "changed_photos", "path_changes", "photo_of"]

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
            self._since[path] = (_state_of(path), now)

    def ready(self, now: float) -> list[str]:
        """Return and forget the paths whose files have stayed as they are; a file that grows waits again."""
        ready = []
        for path, (before, since) in list(self._since.items()):
            if (state := _state_of(path)) != before:
                self._since[path] = (state, now)
            elif now - since >= self.seconds:
                ready.append(path)
                del self._since[path]
        return ready

    def __len__(self) -> int:
        return len(self._since)


def _state_of(path: str) -> _State:
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


def changed_photos(parts: ModelParts, index: Path, found: Iterable[Found]) -> Iterator[Path]:
    """Yield the photos that the index lacks, or has in another state, as `index_photos` sees it."""
    store = PhotoStore.created(index, header_of(parts))
    known = store.known()
    for one in found:
        path = os.path.abspath(one.path)
        fact = known[path].fact if path in known else None
        state = _state_of(path)
        if one.problem is None and (fact is None or state != (fact.size, fact.mtime_ns)):
            yield Path(path)
