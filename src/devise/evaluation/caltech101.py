"""Caltech-101 as class folders: the photos of the results, from the archive of its makers.

Li, Andreeto, Ranzato and Perona 2022, Caltech 101 (1.0), https://doi.org/10.22002/D1.20086, CC BY 4.0.
"""

import lzma
import re
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import IO

from devise.archives import Tar
from devise.errors import DeviseError, UsageError
from devise.files import new_folder, reason_of

__all__ = ["CaltechClass", "caltech_classes", "write_caltech101"]

_PHOTO = re.compile(r"(?:\./)?(?:caltech-?101/)?101_ObjectCategories/(\w+)/image_(\d{4})\.jpg", re.ASCII)
_PACKED = re.compile(r"(?:caltech-?101/)?101_ObjectCategories\.tar\.gz", re.ASCII)
_LARGEST = 4 << 20  # bytes of a photo; the largest has under 0.2 MB
_JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True, slots=True)
class CaltechClass:
    """A folder of Caltech-101 and the set for its first photos.

    folder: its name there. id, name: the synset that its photos show. set: seen, unseen or related to the 1000 trained
    classes. photos: how many, from the first. why: it is in that set.
    """

    folder: str
    id: str
    name: str
    set: str
    photos: int
    why: str


def caltech_classes() -> tuple[CaltechClass, ...]:
    """Return the classes used in the results, as `caltech101.tsv` lists them."""
    lines = (files("devise.evaluation") / "caltech101.tsv").read_text(encoding="utf-8").splitlines()[1:]
    rows = (line.split("\t") for line in lines)
    return tuple(
        CaltechClass(folder, label, name, kind, int(photos), why) for folder, label, name, kind, photos, why in rows
    )


def write_caltech101(archive: Path, out: Path, classes: Sequence[CaltechClass] | None = None) -> dict[str, int]:
    """Write SET/ID/FOLDER_image_NNNN.jpg for the first photos of each class; return the photos per set.

    archive: `caltech-101.zip`, or the `101_ObjectCategories.tar.gz` in it. out: a folder that is not there yet or is
    empty; it appears when it is whole. Nothing is written anywhere else, whatever the archive's members are called.
    UsageError for paths that cannot be, or if another process writes the same folder; DeviseError if the archive is
    another, is damaged, or lacks photos.
    """
    classes = caltech_classes() if classes is None else classes
    wanted = {one.folder: one for one in classes}
    if not archive.is_file():
        problem = "is a folder: give the archive itself" if archive.is_dir() else "is not a file"
        raise UsageError(f"{archive} {problem}, caltech-101.zip or 101_ObjectCategories.tar.gz")
    found: Counter[str] = Counter()
    with new_folder(out, UsageError) as stage:
        for folder, number, data in _photos(archive, wanted):
            one = wanted[folder]
            place = stage / one.set / one.id / f"{folder}_image_{number:04}.jpg"
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.exists():
                raise DeviseError(f"{archive} has two photos called {place.name}: get it again")
            place.write_bytes(data)
            found[folder] += 1
        _check_whole(archive, classes, found)
    counts: Counter[str] = Counter()
    for one in classes:
        counts[one.set] += found[one.folder]
    return dict(counts)


def _check_whole(archive: Path, classes: Sequence[CaltechClass], found: Counter[str]) -> None:
    if not found:
        raise DeviseError(f"{archive} is not Caltech-101: it has no 101_ObjectCategories/CLASS/image_0001.jpg")
    short = [one for one in classes if found[one.folder] < one.photos]
    if short:
        first = short[0]
        raise DeviseError(
            f"{archive} is not the complete Caltech-101: {found[first.folder]} of the first {first.photos} photos of "
            f"{first.folder}, and {len(short)} classes lack some: get it again"
        )


@contextmanager
def _damage_named(archive: Path) -> Iterator[None]:
    """Report damage of any kind of archive in one line."""
    try:
        yield
    except (OSError, EOFError, RuntimeError, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, zlib.error) as error:
        raise DeviseError(f"{archive} is cut off or damaged ({reason_of(error)}): get it again") from None


def _photos(archive: Path, wanted: dict[str, CaltechClass]) -> Iterator[tuple[str, int, bytes]]:
    """Folder, number and bytes of each photo that is wanted, in the archive's order."""
    with _damage_named(archive), archive.open("rb") as file:
        if not zipfile.is_zipfile(file):
            file.seek(0)
            yield from _of_tar(file, wanted)
            return
        with zipfile.ZipFile(file) as packed:
            for member in packed.infolist():
                if _PACKED.fullmatch(member.filename):
                    with packed.open(member) as inner:
                        yield from _of_tar(inner, wanted)


def _of_tar(file: IO[bytes], wanted: dict[str, CaltechClass]) -> Iterator[tuple[str, int, bytes]]:
    with Tar.open(fileobj=file, mode="r|*") as packed:
        for member in packed:
            packed.members = []  # type: ignore[attr-defined]  # or it keeps them all
            match = _PHOTO.fullmatch(member.name)
            if match is None or not member.isfile() or match[1] not in wanted:
                continue
            number = int(match[2])
            if not 1 <= number <= wanted[match[1]].photos:
                continue
            content = packed.extractfile(member) if member.size <= _LARGEST else None
            data = content.read() if content is not None else b""
            if len(data) != member.size or not data.startswith(_JPEG):
                raise tarfile.ReadError(f"{match[1]}/image_{match[2]}.jpg is not a photo")
            yield match[1], number, data
