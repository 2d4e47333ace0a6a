"""Keywords of photos in XMP sidecars or in the photos: which file, read and changed whole or not at all.

`devise.xmp` has what a packet says.
"""

import os
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from devise.containers import LARGEST_PACKET, find_packet, packet_in, takes_packet, with_packet
from devise.files import atomic_write, read_file, real_path, reason_of
from devise.xmp import (
    EMPTY_INSIDE,
    Correction,
    Keyword,
    SidecarError,
    Verdict,
    clear,
    correct,
    corrections_in,
    has_records,
    names_in,
    names_of_person,
    tag,
)

__all__ = [
    "LARGEST_SIDECAR",
    "SidecarName",
    "clear_photo",
    "clear_sidecar",
    "correct_sidecar",
    "corrections_of",
    "keywords_of_person",
    "names_in_sidecar",
    "not_rejected",
    "shares_stem",
    "sidecar_in_use",
    "sidecar_of",
    "tag_photo",
    "tag_sidecar",
    "takes_keywords",
]

LARGEST_SIDECAR = LARGEST_PACKET
"""Bytes."""

_LARGEST_PHOTO = 1 << 30  # bytes; also the most that is read to name one

_TRIES = 5
_RESTLESS = "another program keeps changing it: run again when it has ended"


class SidecarName(StrEnum):
    """How a sidecar is named: photo.jpg.xmp (digiKam, darktable, Immich) or photo.xmp (Lightroom, Capture One)."""

    full = "full"
    stem = "stem"


def sidecar_of(photo: Path, name: SidecarName = SidecarName.full) -> Path:
    """Return where the sidecar of a photo is.

    >>> sidecar_of(Path("a/cat.jpg")).as_posix(), sidecar_of(Path("a/cat.jpg"), SidecarName.stem).as_posix()
    ('a/cat.jpg.xmp', 'a/cat.xmp')
    """
    return photo.with_name(f"{photo.name if name == SidecarName.full else photo.stem}.xmp")


def sidecar_in_use(photo: Path) -> Path:
    """Return the sidecar that the photo has: photo.jpg.xmp, or photo.xmp if there is only that and it is not shared."""
    full, stem = (sidecar_of(photo, name) for name in (SidecarName.full, SidecarName.stem))
    return stem if not full.exists() and stem.exists() and not shares_stem(photo) else full


def shares_stem(photo: Path) -> bool:
    """Return whether another file has the same name with another ending, and so the same photo.xmp."""
    return any(
        one.stem == photo.stem and one.suffix.lower() != ".xmp" and one.name != photo.name
        for one in photo.parent.iterdir()
    )


def correct_sidecar(path: Path, corrections: Sequence[Correction], undone: Collection[str] = ()) -> bool:
    """Record corrections in a sidecar, whole or not at all; whether its file changed. See `correct`.

    SidecarError as in `tag_sidecar`.
    """

    def change(packet: bytes | None) -> _Outcome:
        left, changed = correct(packet, corrections, undone)
        return _Outcome(left if changed else None, remove=changed and left is None)

    return _replaced(path, change)


def corrections_of(photo: Path) -> tuple[Correction, ...]:
    """Return what a person said of names of a photo, from its sidecars; the first verdict on a name counts.

    SidecarError, which names the file, if a sidecar is not XMP or cannot be read.
    """
    found: dict[str, Correction] = {}
    for name in SidecarName:
        path = sidecar_of(photo, name)
        with _named(path):
            packet = _read(path)
            if packet is None or not has_records(packet) or (name == SidecarName.stem and shares_stem(photo)):
                continue
            for one in corrections_in(packet):
                found.setdefault(one.id, one)
    return tuple(found.values())


def not_rejected(photo: Path, keywords: Sequence[Keyword]) -> tuple[Keyword, ...]:
    """Return the keywords without those that a person rejected for this photo, in whichever of its sidecars.

    SidecarError as in `corrections_of`.
    """
    rejected = {one.id for one in corrections_of(photo) if one.verdict == Verdict.rejected} if keywords else set()
    return tuple(one for one in keywords if one.id not in rejected)


def tag_sidecar(path: Path, keywords: Sequence[Keyword]) -> bool:
    """Give a sidecar these keywords, whole or not at all; whether its file changed. See `tag`.

    SidecarError, which names it, if it cannot be read, is not XMP or cannot be written.
    """
    return _replaced(path, lambda packet: _Outcome(tag(packet, keywords)))


def takes_keywords(photo: Path) -> bool:
    """Return whether keywords can be written into this photo: a JPEG, PNG, WebP or TIFF, by its first bytes."""
    try:
        return takes_packet(photo, read_file(photo, None, first=16))
    except OSError:
        return False


def tag_photo(photo: Path, keywords: Sequence[Keyword], *, keep_time: bool = False) -> bool:
    """Write these keywords into a photo, whole or not at all; whether its file changed. See `tag`.

    All bytes outside its XMP, its rights and its owner stay; a link is followed. keep_time: its time stays too.
    SidecarError, which names it, if it is damaged, read-only, in another format, or cannot be written.
    """
    return _replaced_inside(photo, lambda packet: _Outcome(tag(packet, keywords, EMPTY_INSIDE)), keep_time)


def clear_photo(photo: Path, *, keep_time: bool = False) -> bool:
    """Take back the keywords that devise wrote into a photo; whether it had any. See `clear` and `tag_photo`."""
    return _replaced_inside(photo, _cleared, keep_time)


def clear_sidecar(path: Path) -> bool:
    """Take back what devise added to a sidecar; a sidecar that has nothing else is removed. Whether it changed.

    SidecarError as in `tag_sidecar`.
    """
    return _replaced(path, _cleared)


def names_in_sidecar(path: Path) -> tuple[str, ...]:
    """Return the names in the flat list of a sidecar, whoever wrote them; empty if there is none. Errors as above."""
    with _named(path):
        packet = _read(path)
        return () if packet is None else names_in(packet)


def keywords_of_person(photo: Path) -> tuple[tuple[str, ...], ...]:
    """Return the keywords of a photo that devise did not write, from its sidecars and from the photo itself.

    Each is a path of names, from wide to narrow; a single name for one of the flat list. SidecarError, which names the
    file, if a sidecar or the packet in the photo is not XMP or cannot be read.
    """
    found: dict[tuple[str, ...], None] = {}
    for place in (photo, *(sidecar_of(photo, name) for name in SidecarName)):
        with _named(place):
            packet = find_packet(read_file(place, _LARGEST_PHOTO)) if place == photo else _read(place)
            found |= dict.fromkeys(() if packet is None else names_of_person(packet))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What to write, or None to leave the file as it is; remove: take the file away instead."""

    packet: bytes | None
    remove: bool = False


def _cleared(packet: bytes | None) -> _Outcome:
    if packet is None:
        return _Outcome(None)
    left, changed = clear(packet)
    return _Outcome(left if changed else None, remove=left is None)


def _replaced(path: Path, change: Callable[[bytes | None], "_Outcome"]) -> bool:
    """Change a file that another program may be writing: begin again if it is another one by the time of the write."""
    with _named(path):
        for _ in range(_TRIES):
            before = _read(path)
            outcome = change(before)
            if outcome.packet is None and not outcome.remove:
                return False
            if _read(path) != before:
                continue
            if outcome.packet is None:
                path.unlink()
            else:
                mode = path.stat().st_mode if before is not None else None
                with atomic_write(path, "wb") as file:
                    file.write(outcome.packet)
                if mode is not None:
                    path.chmod(mode & 0o7777)
            return True
        raise SidecarError(_RESTLESS)


class _ChangedError(Exception):
    """Another program has changed the photo since it was read."""


def _replaced_inside(photo: Path, change: Callable[[bytes | None], _Outcome], keep_time: bool) -> bool:
    """Change the packet of a photo; begin again as in `_replaced`."""
    with _named(photo):
        for _ in range(_TRIES):
            state = photo.stat()
            data = read_file(photo, _LARGEST_PHOTO)
            if change is _cleared and not has_records(data) and not has_records(find_packet(data) or b""):
                return False
            outcome = change(packet_in(data))
            if outcome.packet is None and not outcome.remove:
                return False
            if not state.st_mode & 0o222:  # a rename would not ask
                raise SidecarError("read-only, left as it is: make it writable, or leave out --embed")

            def finish(made: Path, state: os.stat_result = state) -> None:
                _take_over(made, photo, state, keep_time=keep_time)

            try:
                with atomic_write(photo, "wb", finish) as file:
                    file.write(with_packet(data, outcome.packet))
            except _ChangedError:
                continue
            return True
        raise SidecarError(_RESTLESS)


def _take_over(made: Path, photo: Path, before: os.stat_result, *, keep_time: bool) -> None:
    """Give the new file the rights, owner and attributes of the photo. _ChangedError if it is not as it was read."""
    real = real_path(photo)
    if hasattr(os, "chown") and (before.st_uid, before.st_gid) != (made.stat().st_uid, made.stat().st_gid):
        try:
            os.chown(made, before.st_uid, before.st_gid)
        except PermissionError:
            raise SidecarError("it belongs to another user or group: left as it is") from None
    shutil.copystat(real, made)
    if not keep_time:
        os.utime(made)
    now = real.stat()
    if (now.st_ino, now.st_size, now.st_mtime_ns) != (before.st_ino, before.st_size, before.st_mtime_ns):
        raise _ChangedError


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Raise every error of reading and writing as a SidecarError that names the file."""
    try:
        yield
    except SidecarError as error:
        raise SidecarError(f"{path}: {error}") from None
    except (OSError, ValueError) as error:
        raise SidecarError(f"{path}: {reason_of(error)}") from None


def _read(path: Path) -> bytes | None:
    try:
        return read_file(path, LARGEST_SIDECAR)
    except FileNotFoundError:
        return None
