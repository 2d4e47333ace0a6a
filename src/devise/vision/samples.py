"""Photos with class names: class folders and `.tar` shards, listed once and then read in any order.

A shard is listed by its headers alone, so that a photo in it is one read at a known place: shuffling, splitting
over processes and resuming after a stop are then the same for shards and for folders.
"""

import hashlib
import tarfile
from collections.abc import Container, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np

from devise.archives import Tar
from devise.arrays import Int64
from devise.errors import PictureError, TrainingError, UsageError, counted
from devise.files import real_path, text_of
from devise.vision.folders import EXTENSIONS, Found, find_pictures, is_hidden, is_packed, is_shard

__all__ = ["BROKEN_SHARE", "Samples", "check_broken", "find_samples", "list_samples", "whole_files"]

BROKEN_SHARE = 0.01
"""Share of broken samples above which a run stops."""

_Column = Int64[np.ndarray, "samples"]
_WHOLE = -1  # the offset of a sample that is a file of its own
_LONGEST_CLASS = 200  # bytes of a `.cls` member
_NAMED = 20  # class folders without a photo that are named
_LOOKED_AT, _END = 2048, 1024  # photos whose ends are hashed, and bytes of an end


@dataclass(frozen=True, eq=False, slots=True)
class Samples:
    """Photos that were listed but not opened, one entry per photo in every column.

    files: containing the photos. file: which of `files`. offset, size: position in it, in bytes; offset -1 is the whole
    file. names: of the photos, for people. truth: which of the sorted `class_names` each shows.
    broken: photos that are missing or have no class, one line each: broken samples without an entry.
    skipped: number of files left out as not pictures by their names. stray: of files next to the class folders.
    empty: class folders without a photo.
    """

    files: tuple[Path, ...]
    file: _Column
    offset: _Column
    size: _Column
    names: tuple[str, ...]
    truth: _Column
    class_names: tuple[str, ...]
    broken: tuple[str, ...] = ()
    skipped: int = 0
    stray: int = 0
    empty: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def left_out(self) -> Iterator[str]:
        """Yield lines for people on files that are not samples."""
        if self.skipped + self.stray:
            files = counted(self.skipped + self.stray, "file")
            yield f"left out {files}: not pictures by their names, or in no class folder"
        if self.empty:
            more = ", ..." if len(self.empty) > _NAMED else ""
            names = ", ".join(self.empty[:_NAMED])
            yield f"class folders without a photo, left out: {len(self.empty)} ({names}{more})"

    def place(self, row: int) -> str:
        """Return where the photo is, for people: a path, or its name in a shard."""
        whole = int(self.offset[row]) == _WHOLE
        return str(self.files[int(self.file[row])]) if whole else self.names[row]

    def source(self, row: int) -> Path | bytes:
        """Return the photo for `read_picture`; PictureError if its shard ends too early."""
        path: Path = self.files[int(self.file[row])]
        offset, size = int(self.offset[row]), int(self.size[row])
        if offset == _WHOLE:
            return path
        try:
            with path.open("rb") as shard:
                shard.seek(offset)
                data: bytes = shard.read(size)
        except OSError as error:
            raise PictureError(f"its shard cannot be read ({error.strerror})") from None
        if len(data) != size:
            raise PictureError(f"its shard ends {size - len(data)} bytes too early")
        return data

    def sources(self, rows: Iterable[int]) -> Iterator[Path | bytes | Found]:
        """Yield these photos for `extract`, read one by one from shards."""
        for row in rows:
            try:
                yield self.source(row)
            except PictureError as error:
                yield Found(Path(self.names[row]), str(error))

    def subset(self, rows: Sequence[int] | np.ndarray) -> "Samples":
        """Return the samples of these rows, in order, with all classes and the list of broken ones."""
        places = np.asarray(rows, dtype=np.int64)
        names = tuple(self.names[row] for row in places.tolist())
        file, offset, size, truth = (one[places] for one in (self.file, self.offset, self.size, self.truth))
        return replace(self, file=file, offset=offset, size=size, names=names, truth=truth)

    def fingerprint(self) -> str:
        """Return a SHA-256 of names, positions, sizes and classes, and the ends of up to 2,048 photos.

        It changes if a file is added, renamed or resized, and for other photos with the same names and sizes. A single
        photo changed in place is noticed if its size changed, or if it is among those.
        """
        digest = hashlib.sha256("\n".join((*self.class_names, "", *self.names)).encode("utf-8", "surrogateescape"))
        for column in (self.offset, self.size, self.truth):
            digest.update(column.tobytes())
        for row in range(0, len(self), -(-len(self) // _LOOKED_AT)):
            digest.update(self._ends(row))
        return digest.hexdigest()

    def _ends(self, row: int) -> bytes:
        """Return the first and the last bytes of a photo, or nothing if it cannot be read."""
        start, size = max(int(self.offset[row]), 0), int(self.size[row])
        try:
            with self.files[int(self.file[row])].open("rb") as file:
                file.seek(start)
                first = file.read(min(size, _END))
                file.seek(start + max(size - _END, 0))
                return first + file.read(min(size, _END))
        except OSError:
            return b""


def find_samples(sources: Sequence[Path]) -> Samples:
    """List all photos in folders of class folders and `.tar` shards; as `list_samples`, but UsageError for none."""
    found = list_samples(sources)
    if not len(found):
        first = f" ({counted(len(found.broken), 'broken one')}, the first: {found.broken[0]})" if found.broken else ""
        raise UsageError(
            f"no photo in {', '.join(map(str, sources))}{first}: expected CLASS/photo.jpg; in shards also KEY.jpg and "
            "KEY.cls"
        )
    return found


def list_samples(sources: Sequence[Path], heads: Sequence[str] = ()) -> Samples:
    """List all photos in folders of class folders and `.tar` shards, in order, sorted per folder.

    In a shard the class of `key.jpg` is the text of `key.cls` if there is one (the WebDataset form), else its
    folder. A duplicate source counts once. UsageError if a source does not exist or is neither form;
    TrainingError for a shard that is cut off (lost photos cannot be counted), or in which two
    members share a name, or two photos share a key with a class (their classes are then ambiguous).

    heads: what the names of photos begin with, per source; none is nothing for a folder and a shard's own name.
    """
    found = _Found()
    for number, source in _once(sources):
        head = heads[number] if heads else ""
        if source.is_dir():
            _list_folder(source, f"{head}/" if head else "", found)
        elif is_shard(source.name) and source.is_file():
            _list_shard(source, head or source.name, found)
        else:
            problem = "is neither a .tar file nor a folder" if source.exists() else "does not exist"
            if is_packed(source.name) and source.exists():
                problem = "is a compressed archive: unpack it first"
            raise UsageError(f"{source} {problem}: give a folder of class folders, or .tar shards")
    return found.samples()


def whole_files(paths: Sequence[Path], names: Sequence[str], classes: Sequence[str]) -> Samples:
    """Return the samples of photos whose classes are known, each a file of its own."""
    found = _Found(list(paths), [(place, _WHOLE, path.stat().st_size) for place, path in enumerate(paths)])
    found.names, found.classes = list(names), list(classes)
    return found.samples()


def _once(sources: Sequence[Path]) -> Iterator[tuple[int, Path]]:
    seen: set[Path] = set()
    for number, source in enumerate(sources):
        if (place := real_path(source)) not in seen:
            seen.add(place)
            yield number, source


def check_broken(broken: int, total: int, first: str, most: float = BROKEN_SHARE) -> None:
    """Raise TrainingError if a higher share of all samples is broken. first: the first one and its fault."""
    if broken > most * total:
        raise TrainingError(
            f"{broken} of {total} samples are broken, more than {most:.0%}; the first: {first}: repair or remove them"
        )


@dataclass
class _Found:
    """Growing columns of samples."""

    files: list[Path] = field(default_factory=list)
    places: list[tuple[int, int, int]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    skipped: int = 0
    stray: int = 0
    empty: list[str] = field(default_factory=list)

    def add(self, name: str, class_name: str, offset: int, size: int) -> None:
        self.places.append((len(self.files) - 1, offset, size))
        self.names.append(name)
        self.classes.append(class_name)

    def skip(self, _path: Path) -> None:
        self.skipped += 1

    def samples(self) -> Samples:
        names = tuple(sorted(set(self.classes)))
        rows = {name: row for row, name in enumerate(names)}
        places = np.array(self.places, dtype=np.int64).reshape(-1, 3)
        truth = np.array([rows[name] for name in self.classes], dtype=np.int64)
        file, offset, size = (np.ascontiguousarray(places[:, i]) for i in range(3))
        files, known_as, broken = tuple(self.files), tuple(self.names), tuple(self.broken)
        empty = tuple(self.empty)
        return Samples(files, file, offset, size, known_as, truth, names, broken, self.skipped, self.stray, empty)


def _list_folder(root: Path, head: str, found: _Found) -> None:
    for folder in sorted(path for path in root.iterdir() if not path.name.startswith(".")):
        if not folder.is_dir():
            found.stray += 1
            continue
        before = len(found.names) + len(found.broken)
        for one in find_pictures([folder], on_skip=found.skip):
            if one.problem is not None:
                found.broken.append(f"{one.path}: {one.problem}")
                continue
            found.files.append(one.path)
            found.add(head + one.path.relative_to(root).as_posix(), folder.name, _WHOLE, one.path.stat().st_size)
        if len(found.names) + len(found.broken) == before:
            found.empty.append(folder.name)


def _list_shard(path: Path, head: str, found: _Found) -> None:
    found.files.append(path)
    photos: list[tuple[PurePosixPath, int, int]] = []
    classes: dict[str, str] = {}
    folders: set[PurePosixPath] = set()
    given: set[str] = set()  # without regard to the ending's letters, as the class of a.jpg and a.JPG is one
    for member in _members(path):
        name = PurePosixPath(member.name)
        folders.add(name if member.isdir() else name.parent)
        if member.isdir():
            continue
        is_class = name.suffix.lower() == ".cls" and member.isfile()
        member_key = f"{name.with_suffix('')}{name.suffix.lower()}"
        if member_key in given:
            raise TrainingError(f"duplicate member {name} in {path}: give each photo and its class a unique key")
        if is_class or name.suffix.lower() in EXTENSIONS:
            given.add(member_key)
        if is_class:
            classes[str(name.with_suffix(""))] = _class_text(path, member)
        elif is_hidden(name) or name.suffix.lower() not in EXTENSIONS or not member.isfile():
            found.skipped += 1
        else:
            photos.append((name, member.offset_data, member.size))
    _refuse_twins(path, [name for name, _, _ in photos], classes)
    found.empty += _without_photo(folders, {name.parent for name, _, _ in photos})
    for name, offset, size in photos:
        key = str(name.with_suffix(""))
        if class_name := classes.get(key) or name.parent.name:
            found.add(f"{head}/{name}", class_name, offset, size)
        else:
            found.broken.append(f"{head}/{name}: no class, because it has neither a folder nor {key}.cls")


def _without_photo(folders: Set[PurePosixPath], full: Set[PurePosixPath]) -> Iterator[str]:
    """Yield the names of the innermost folders without a photo, unless a folder above them has one."""
    outer = {above for folder in folders | full for above in folder.parents}
    for folder in sorted(folders - full - outer):
        if folder.name and not is_hidden(folder) and full.isdisjoint(folder.parents[:-1]):
            yield folder.name


def _refuse_twins(path: Path, photos: Sequence[PurePosixPath], classes: Container[str]) -> None:
    """Raise TrainingError for two photos with the same key and a class: one may be a mask."""
    first: dict[str, PurePosixPath] = {}
    for name in photos:
        key = str(name.with_suffix(""))
        if key in classes and (other := first.setdefault(key, name)) != name:
            raise TrainingError(
                f"two photos with the key {key} in {path}, {other.name} and {name.name}, so its class is ambiguous: "
                "leave one out, or give each a unique key"
            )


def _members(path: Path) -> Iterator[tarfile.TarInfo]:
    """Yield the members of a shard by its headers; TrainingError if truncated, UsageError if not an archive."""
    end = 0
    try:
        with Tar.open(path, "r:") as shard:
            while (member := shard.next()) is not None:
                shard.members = []  # type: ignore[attr-defined]  # or it keeps them all
                end = member.offset_data + member.size
                yield member
            if _block(path, shard.offset) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError("it has no end mark")
            if _goes_on(path, shard.offset):
                raise tarfile.ReadError("data follows its end mark, as in archives joined by cat")
    except tarfile.TarError as error:
        if not end and _block(path, 0).startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"PK", b"\x28\xb5\x2f\xfd")):
            raise UsageError(f"{path} is a compressed archive, whatever its name says: unpack it first") from None
        if not end:
            raise UsageError(f"{path} is not a .tar archive ({error}): none of its photos can be read") from None
        raise TrainingError(f"{path} is cut off or damaged ({error}): get it again, or leave it out") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}): check its permissions") from None


def _block(path: Path, offset: int) -> bytes:
    with path.open("rb") as shard:
        shard.seek(offset)
        return shard.read(tarfile.BLOCKSIZE)


def _goes_on(path: Path, offset: int) -> bool:
    with path.open("rb") as shard:
        shard.seek(offset)
        return any(any(block) for block in iter(lambda: shard.read(1 << 20), b""))


def _class_text(path: Path, member: tarfile.TarInfo) -> str:
    name = f"{path.name}/{member.name}"
    if member.size > _LONGEST_CLASS:
        raise TrainingError(f"{name} has {member.size} bytes: expected a class name of at most {_LONGEST_CLASS}")
    with path.open("rb") as shard:
        shard.seek(member.offset_data)
        return text_of(shard.read(member.size), name, TrainingError).strip()
