"""Near-duplicates in an index: photos whose vectors are near and whose small pictures agree; and moving them away."""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
from PIL import Image

from devise.arrays import Bool, Float32, Int64, UInt8
from devise.errors import PictureError, UsageError
from devise.files import atomic_write, reason_of, remove_unfinished
from devise.search.photofacts import PhotoFact
from devise.search.photoindex import Problem
from devise.search.rows import Rows
from devise.search.store import PhotoStore
from devise.sidecars import SidecarName, shares_stem, sidecar_of
from devise.vision.decoding import read_picture
from devise.vision.folders import is_video
from devise.vision.pipeline import cores

__all__ = [
    "LEAST_COSINE",
    "LEAST_SIMILAR",
    "Copy",
    "Duplicates",
    "Group",
    "Moved",
    "correlations",
    "find_duplicates",
    "forget_moved",
    "move_copies",
    "small_views",
]

LEAST_COSINE = 0.75
"""Cosine from which two photos are compared by their pixels. Of copies that are half as large, recompressed, cropped or
brighter, 99 % have it (tools/duplicate_trials.py)."""

LEAST_SIMILAR = 0.95
"""Correlation of two small pictures from which they are near-duplicates."""

_SIDE = 32  # of a small picture
_READ_SIDE = 96  # of what it is made from
_CROPS = (0.0, 0.05, 0.1)  # of each edge: the whole, and what a crop of 10 or 20 % leaves
_FLAT = 2.0  # standard deviation of grey levels; a photo of one colour correlates with anything
_ROWS, _COLUMNS = 256, 16384  # of a block of cosines
_COMPARED = 1024  # small pictures compared at once

_Views = UInt8[np.ndarray, "photos views pixels"]


@dataclass(frozen=True, slots=True)
class Copy:
    """A photo that another one of its group replaces. similar: correlation with the kept one; 1 for the same bytes."""

    fact: PhotoFact
    similar: float
    same_bytes: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Near-duplicates. kept: the largest file, to which every copy is similar; of equal sizes, the first by path."""

    kept: PhotoFact
    copies: tuple[Copy, ...]


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Groups, the one with the largest kept file first. problems: photos that could not be compared, with reasons.

    left_out: number of photos in the folder that was left out.
    """

    groups: tuple[Group, ...]
    photos: int
    problems: tuple[Problem, ...] = ()
    left_out: int = 0


def find_duplicates(
    index: Path,
    *,
    similar: float = LEAST_SIMILAR,
    same_bytes: bool = False,
    outside: Path | None = None,
    on_photo: Callable[[], None] = lambda: None,
) -> Duplicates:
    """Group the near-duplicates of an index.

    Photos are taken by size, the largest first. Each that is in no group yet is kept, and all smaller ones that are
    near to it, and in no group yet, are its copies: so a chain of similar photos cannot join what is not similar.
    Compared are the vectors of the index and, if their cosine is at least LEAST_COSINE, small pictures of both: the
    correlation of their grey levels, also after a crop of either. Memory does not grow with the number of pairs.

    similar: least correlation, in (0, 1]. same_bytes: only group photos with the same content. outside: leave out
    photos below this folder. on_photo: called for each photo that was compared with all others.
    Of videos only those with the same bytes are grouped.
    PhotoIndexError if there is no index; UsageError for a threshold out of range. A photo that is missing, changed
    since it was indexed, or unreadable is a problem and in no group.
    """
    if not 0 < similar <= 1:
        raise UsageError(f"the least similarity must be above 0 and at most 1, got {similar}")
    rows = PhotoStore.opened(index).rows()
    every = len(rows)
    if outside is not None:
        below = os.path.join(os.path.abspath(outside), "")
        rows = rows.taken(np.flatnonzero([not fact.path.startswith(below) for fact in rows.facts]))
    order = sorted(range(len(rows)), key=lambda place: (-rows.facts[place].size, rows.facts[place].path))
    work = _Grouping(rows.taken(np.array(order, dtype=np.int64)))
    if not same_bytes:
        work.compare(similar, on_photo)
    return Duplicates(tuple(work.groups()), len(rows), tuple(work.problems), every - len(rows))


class _Grouping:
    """The photos, the largest first, and which of them is the copy of which."""

    def __init__(self, rows: Rows) -> None:
        self._facts = rows.facts
        self.problems: list[Problem] = []
        self._copies: dict[int, list[tuple[int, float, bool]]] = {}
        same: dict[bytes, list[int]] = {}
        for place, fact in enumerate(rows.facts):
            same.setdefault(fact.sha256, []).append(place)
        self._first = np.array([self._join(places) for places in same.values()], dtype=np.int64)
        self._first = np.array(
            [one for one in self._first.tolist() if one >= 0 and not is_video(rows.facts[one].path)], dtype=np.int64
        )
        self._vectors = rows.vectors[self._first]

    def _join(self, places: list[int]) -> int:
        """Make the first of photos with the same bytes stand for all; -1 if none of them is there."""
        if len(places) == 1:
            return places[0]
        inodes: set[tuple[int, int]] = set()
        there = []
        for place in places:
            try:
                state = _unchanged(self._facts[place])
            except PictureError as error:
                self.problems.append(Problem(self._facts[place].path, str(error)))
                continue
            if (state.st_dev, state.st_ino) not in inodes:  # else one file under two names
                inodes.add((state.st_dev, state.st_ino))
                there.append(place)
        if len(there) > 1:
            self._copies[there[0]] = [(place, 1.0, True) for place in there[1:]]
        return there[0] if there else -1

    def compare(self, similar: float, on_photo: Callable[[], None]) -> None:
        """Compare each photo with all smaller ones that are in no group."""
        total = len(self._first)
        free = np.ones(total, dtype=bool)
        with TemporaryFile() as file:
            pictures = _Pictures([self._facts[place] for place in self._first.tolist()], file.fileno(), self.problems)
            for start in range(0, total, _ROWS):
                stop = min(start + _ROWS, total)
                near = self._near(start, stop)
                for row in range(start, stop):
                    others = row + 1 + np.flatnonzero(near[row - start, row + 1 - start :] & free[row + 1 :])
                    if free[row] and len(others):
                        self._take(row, others, pictures, similar, free)
                    on_photo()

    def _near(self, start: int, stop: int) -> Bool[np.ndarray, "rows later"]:
        """Return which photos from `start` on have a cosine that is high enough, for each of these."""
        near = np.zeros((stop - start, len(self._first) - start), dtype=bool)
        block = _units(self._vectors[start:stop])
        for begin in range(start, len(self._first), _COLUMNS):
            end = min(begin + _COLUMNS, len(self._first))
            near[:, begin - start : end - start] = block @ _units(self._vectors[begin:end]).T >= LEAST_COSINE
        return near

    def _take(
        self,
        row: int,
        others: Int64[np.ndarray, "some"],
        pictures: "_Pictures",
        similar: float,
        free: Bool[np.ndarray, "all"],
    ) -> None:
        kept = int(self._first[row])
        for place, value in pictures.similar_to(row, others):
            if value < similar:
                continue
            free[place] = False
            copy = int(self._first[place])
            mine = self._copies.setdefault(kept, [])
            mine.append((copy, value, False))
            mine += [(one, value, False) for one, _, _ in self._copies.pop(copy, [])]

    def groups(self) -> Iterator[Group]:
        """Yield the groups, copies by size."""
        for kept in sorted(self._copies):
            copies = sorted(self._copies[kept])
            yield Group(self._facts[kept], tuple(Copy(self._facts[one], value, same) for one, value, same in copies))


def _units(vectors: np.ndarray) -> Float32[np.ndarray, "rows dim"]:
    units = vectors.astype(np.float32)
    units /= np.maximum(np.linalg.norm(units, axis=1, keepdims=True), 1e-6)
    return units


class _Pictures:
    """Small grey pictures of photos, read at first need into a file: 3 kB per photo, and only of some."""

    def __init__(self, facts: Sequence[PhotoFact], handle: int, problems: list[Problem]) -> None:
        self._facts = facts
        self._problems = problems
        self._read = np.zeros(len(facts), dtype=np.int8)  # 1 read, -1 cannot be read
        self._inodes: dict[int, tuple[int, int]] = {}
        os.ftruncate(handle, max(1, len(facts)) * len(_CROPS) * _SIDE**2)
        self._views: _Views = np.memmap(
            os.fdopen(os.dup(handle), "r+b"), np.uint8, "r+", shape=(max(1, len(facts)), len(_CROPS), _SIDE**2)
        )

    def similar_to(self, one: int, others: Int64[np.ndarray, "some"]) -> Iterator[tuple[int, float]]:
        """Yield the others that are another file and can be read, with their correlations."""
        with ThreadPoolExecutor(cores()) as pool:
            for start in range(0, len(others), _COMPARED):
                some = others[start : start + _COMPARED]
                wanted = [place for place in [one, *some.tolist()] if not self._read[place]]
                for place, found in zip(wanted, pool.map(self._picture, wanted), strict=True):
                    self._keep(place, found)
                if self._read[one] < 0:
                    return
                some = some[self._read[some] > 0]
                for place, value in zip(some.tolist(), correlations(self._views[one], self._views[some]), strict=True):
                    if self._inodes[place] != self._inodes[one]:
                        yield place, float(value)

    def _picture(self, place: int) -> "tuple[tuple[int, int], np.ndarray] | str":
        fact = self._facts[place]
        try:
            state = _unchanged(fact)
            return (state.st_dev, state.st_ino), small_views(Path(fact.path))
        except PictureError as error:
            return str(error)

    def _keep(self, place: int, found: "tuple[tuple[int, int], np.ndarray] | str") -> None:
        if isinstance(found, str):
            self._read[place] = -1
            self._problems.append(Problem(self._facts[place].path, found))
            return
        self._read[place] = 1
        self._inodes[place], self._views[place] = found


def _unchanged(fact: PhotoFact) -> os.stat_result:
    """Return the state of a photo's file; PictureError if it is another one than the index has."""
    try:
        state = os.stat(fact.path)
    except OSError as error:
        raise PictureError(f"not compared ({reason_of(error)}): run devise index again") from None
    if (state.st_size, state.st_mtime_ns) != (fact.size, fact.mtime_ns):
        raise PictureError("not compared (changed since it was indexed): run devise index again")
    return state


def small_views(path: Path) -> UInt8[np.ndarray, "views pixels"]:
    """Return a photo in grey, small: the whole and two crops of it. PictureError if it cannot be read."""
    grey = Image.fromarray(read_picture(path, min_side=_READ_SIDE)).convert("L")
    width, height = grey.size
    boxes = ((width * edge, height * edge, width * (1 - edge), height * (1 - edge)) for edge in _CROPS)
    return np.stack([np.asarray(grey.resize((_SIDE, _SIDE), Image.Resampling.BOX, box=box)).ravel() for box in boxes])


def correlations(
    one: UInt8[np.ndarray, "views pixels"], others: UInt8[np.ndarray, "photos views pixels"]
) -> Float32[np.ndarray, "photos"]:
    """Return how alike small pictures are: the highest correlation of a whole one with a view of the other.

    0 for a picture of one colour.
    """
    mine, theirs = _standard(one[None])[0], _standard(others)
    found: Float32[np.ndarray, "photos"] = np.maximum(
        (theirs @ mine[0]).max(axis=1), (theirs[:, 0] @ mine.T).max(axis=1)
    )
    return found


def _standard(views: _Views) -> Float32[np.ndarray, "photos views pixels"]:
    """Return views of mean 0 and length 1, or all 0 if they are flat."""
    grey = views.astype(np.float32)
    grey -= grey.mean(axis=2, keepdims=True)
    lengths = np.linalg.norm(grey, axis=2, keepdims=True)
    grey /= np.where(lengths < _FLAT * _SIDE, np.inf, lengths)
    return grey


@dataclass(slots=True)
class Moved:
    """Outcome of `move_copies`. photos, sidecars: moved. problems: what stayed where it is, with the reason."""

    photos: int = 0
    sidecars: int = 0
    problems: list[Problem] = field(default_factory=list)


def move_copies(index: Path, found: Duplicates, folder: Path) -> Moved:
    """Move all copies of the groups with their sidecars below `folder`, and remove them from the index.

    A photo keeps its path below the common folder of all of them; a name that is taken gets a number. Nothing is
    overwritten, and nothing deleted that is not in `folder` by then: killed at any moment, every photo is in one of
    the two places, and the next call does the rest. A copy stays if the kept photo has changed or is missing.
    PhotoIndexError if another process writes to the index.
    """
    store = PhotoStore.opened(index)
    done, gone = Moved(), []
    cleared: set[Path] = set()
    folders = [os.path.dirname(one.path) for group in found.groups for one in _facts_of(group)]
    root = os.path.commonpath(folders) if folders else ""
    with store.writing():
        try:
            for group in found.groups:
                for copy in group.copies:
                    try:
                        _unchanged(group.kept)
                        _unchanged(copy.fact)
                        target = folder / os.path.relpath(copy.fact.path, root)
                        if target.parent not in cleared:
                            remove_unfinished(target.parent)
                            cleared.add(target.parent)
                        _move(copy.fact, target, done)
                    except (PictureError, OSError) as error:
                        reason = str(error) if isinstance(error, PictureError) else reason_of(error)
                        done.problems.append(Problem(copy.fact.path, f"stays where it is: {reason}"))
                    else:
                        gone.append(copy.fact.path)
        finally:
            if gone:
                store.append(Rows.gone(gone, store.header.dim, store.header.best))
    return done


def forget_moved(index: Path, folder: Path) -> int:
    """Remove from the index what a `move_copies` that was killed has moved below `folder`; return how many photos.

    A photo counts as moved if it is missing, unlike its folder, and a file below `folder` has its bytes.
    PhotoIndexError if another process writes to the index.
    """
    store = PhotoStore.opened(index)
    missing = [
        known.fact
        for path, known in store.known().items()
        if not os.path.lexists(path) and os.path.isdir(os.path.dirname(path))
    ]
    sizes = {fact.size for fact in missing}
    files = (path for path in folder.rglob("*") if missing and path.is_file() and not path.is_symlink())
    there = {_sha256(path) for path in files if path.stat().st_size in sizes}
    gone = [fact.path for fact in missing if fact.sha256 in there]
    if gone:
        with store.writing():
            store.append(Rows.gone(gone, store.header.dim, store.header.best))
    return len(gone)


def _facts_of(group: Group) -> tuple[PhotoFact, ...]:
    return (group.kept, *(copy.fact for copy in group.copies))


def _move(fact: PhotoFact, target: Path, done: Moved) -> None:
    """Move a photo, its sidecars first: a sidecar without its photo is found again by the next run."""
    source = Path(fact.path)
    if os.path.islink(source):
        raise PictureError("a link")
    target = _free(source, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    if os.path.samefile(source.parent, target.parent):  # by a link: it would be taken for a finished move, and deleted
        raise PictureError("it is in this folder already")
    for name in SidecarName:
        sidecar = sidecar_of(source, name)
        alone = name == SidecarName.full or not shares_stem(source)
        if alone and sidecar.is_file() and not sidecar.is_symlink():
            _moved(sidecar, _free(sidecar, sidecar_of(target, name)))
            done.sidecars += 1
    _moved(source, target)
    done.photos += 1


def _free(source: Path, target: Path) -> Path:
    """Return the target, with a number if a file of other content has its name."""
    for number in count(2):
        if not os.path.lexists(target) or _is_same(source, target):
            return target
        stem = target.stem if number == 2 else target.stem.rpartition(" ")[0]
        target = target.with_name(f"{stem} ({number}){target.suffix}")
    raise AssertionError("some number is free")


def _is_same(one: Path, other: Path) -> bool:
    """Return whether both are regular files with the same bytes."""
    if other.is_symlink() or not other.is_file() or one.stat().st_size != other.stat().st_size:
        return False
    return os.path.samefile(one, other) or _sha256(one) == _sha256(other)


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _moved(source: Path, target: Path) -> None:
    """Move a file to a name that is free, or that already has its bytes; never over another file."""
    if not os.path.lexists(target):
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS):
                raise
            with source.open("rb") as file, atomic_write(target, "wb") as copy:
                shutil.copyfileobj(file, copy, 1 << 20)
    if not os.path.samefile(source, target):  # a copy, of this run or of one that was killed
        shutil.copystat(source, target)
    source.unlink()
