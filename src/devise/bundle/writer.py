"""Writes complete bundles: under another name, checked, then renamed to the final path."""

import errno
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from devise.bundle.bundle import Bundle, file_sha256, open_bundle, set_aside
from devise.bundle.manifest import LARGEST_MANIFEST, MANIFEST_FILE, Manifest, Part, part_kind
from devise.errors import BundleError
from devise.files import read_file, real_path
from devise.version import __version__

__all__ = ["PartContent", "check_target", "write_bundle"]

PartContent = bytes | Path | Callable[[Path], object]
"""A part's bytes, a file to copy, or a function that writes the file at the path it is given."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write_bundle(
    path: Path, manifest: Manifest, parts: Mapping[str, PartContent], *, overwrite: bool = False
) -> Bundle:
    """Write a bundle to the directory `path`, check it in full and open it.

    `manifest.parts` and `manifest.created_by` are filled in here. The same content gives the same bytes. A
    part may be copied from the very bundle that is being replaced.

    Everything is written to a hidden directory next to `path`. On any error that is removed, and what was
    at `path` stays as it was. An existing bundle is replaced only with `overwrite`, by two renames: the old
    one is set aside, the new one takes its place. If the process dies between them, `open_bundle` finds the
    old one where it was set aside, and the next `write_bundle` puts it back first. One process at a time may
    write to `path`.

    BundleError if `path` is taken by something that is not a bundle, or by one with other files than its parts; if
    the disk is full; if the parts do not fit the manifest or each other. Other errors of a part's own
    function than OSError pass through.
    """
    target = real_path(path)
    for name in parts:
        part_kind(name)
    try:
        _put_back(target)
        check_target(target, overwrite)
        new = target.with_name(f".{target.name}.{secrets.token_hex(4)}.devise-new")
        new.mkdir()
    except OSError as error:
        raise _failed(path, error) from None
    try:
        _fill(new, path, manifest, parts)
        _swap(new, target)
    except OSError as error:
        raise _failed(path, error) from None
    finally:
        shutil.rmtree(new, ignore_errors=True)  # gone already if all went well
    return open_bundle(path)


def _fill(folder: Path, called: Path, manifest: Manifest, parts: Mapping[str, PartContent]) -> None:
    listed = tuple(_write_part(folder, name, parts[name]) for name in sorted(parts))
    if strange := sorted({entry.name for entry in folder.iterdir()} - parts.keys()):
        raise BundleError(f"{called}: a part's function also wrote {strange[0]}: let it write only its own file")
    full = replace(manifest, created_by=f"devise-zsl {__version__}", parts=listed)
    data = full.to_json().encode("utf-8")
    checked = Manifest.from_json(data)
    with (folder / MANIFEST_FILE).open("xb") as file:
        file.write(data)
        _sync(file)
    Bundle(folder, checked, called=called).verify()
    _sync_directory(folder)


def _write_part(folder: Path, name: str, content: PartContent) -> Part:
    path = folder / name
    if callable(content):
        content(path)
        with path.open("r+b") as file:
            _sync(file)
    else:
        with path.open("xb") as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                with content.open("rb") as source:
                    shutil.copyfileobj(source, file, 1 << 20)
            _sync(file)
    return Part(name, path.stat().st_size, file_sha256(path))


def check_target(target: Path, overwrite: bool) -> None:
    """Raise BundleError if `write_bundle` could not write there: call it before long work."""
    if not target.name or not target.parent.is_dir():
        raise BundleError(f"{target}: its parent is not a directory: create it first")
    if not target.exists():
        return
    if not target.is_dir():
        raise BundleError(f"{target}: is a file, but a bundle is a directory: choose another path")
    held = {entry.name for entry in target.iterdir()}
    if not held:
        return
    if not overwrite:
        raise BundleError(f"{target}: exists already: choose another path or ask to overwrite it")
    known = {MANIFEST_FILE} | {part.name for part in _manifest_of(target).parts}
    if strange := sorted(held - known):
        raise BundleError(f"{target}: contains {strange[0]}, which is not a part of the bundle: move it away first")


def _manifest_of(target: Path) -> Manifest:
    try:
        return Manifest.from_json(read_file(target / MANIFEST_FILE, LARGEST_MANIFEST))
    except (BundleError, OSError):
        raise BundleError(
            f"{target}: is not a bundle of this format and was not changed: remove it or choose another path"
        ) from None


def _swap(new: Path, target: Path) -> None:
    old = set_aside(target)
    if target.exists():
        target.rename(old)
    try:
        new.rename(target)
    except BaseException:
        if old.exists():
            old.rename(target)
        raise
    _sync_directory(target.parent)
    shutil.rmtree(old, ignore_errors=True)  # a rest of it is removed by the next write


def _put_back(target: Path) -> None:
    """Finish a replacement that a killed process left half done in `_swap`."""
    old = set_aside(target)
    if old.is_dir() and target.exists():
        shutil.rmtree(old)
    elif old.is_dir():
        old.rename(target)


def _failed(path: Path, error: OSError) -> BundleError:
    advice = "free some space or choose another place" if error.errno in _FULL else "nothing was changed there"
    blamed = f" ({error.filename})" if error.filename else ""
    return BundleError(f"{path}: cannot be written, {error.strerror or error}{blamed}: {advice}")


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_directory(folder: Path) -> None:
    """Sync the names in a directory to disk, if the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
