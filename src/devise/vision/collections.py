"""List photos of large collections: in folders, .tar shards, or any URL that fsspec opens."""

import os
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from devise.archives import Tar
from devise.errors import PictureError, UsageError
from devise.vision.decoding import MAX_BYTES, picture_bytes
from devise.vision.folders import EXTENSIONS, find_pictures, is_hidden, is_packed, is_shard

__all__ = ["Item", "find_items", "item_bytes"]


_PACKED = "a compressed archive, whose photos cannot be read one by one: unpack it, or pack them as .tar"


@dataclass(frozen=True, slots=True)
class Item:
    """One photo of a collection.

    name: unique in the collection. place: a path, or a URL. offset, size: where in a shard the photo
    is, in bytes; None for a file of its own. problem: why there is nothing to read.
    """

    name: str
    place: str
    offset: int | None = None
    size: int | None = None
    problem: str | None = None


def find_items(
    places: Iterable[str],
    on_skip: Callable[[str], None] = lambda name: None,
    exclude: Sequence[str] = (),
    on_exclude: Callable[[Path], None] | None = None,
    last: Callable[[str], bool] | None = None,
) -> Iterator[Item]:
    """Yield all photos of paths, folders, .tar shards and URLs, in a fixed order.

    Files that are not pictures by their names are passed to `on_skip`. A photo found twice counts once; of two
    members of a shard with the same name, the second gets the suffix "#2". UsageError for a URL that cannot be opened.
    exclude, on_exclude, last: see `find_pictures`; they are of no effect on members of shards.
    """
    given: set[str] = set()
    places = tuple(places)
    once = len(places) == 1 and os.path.isdir(places[0])  # each file of a folder is found once: nothing to remember
    for place in places:
        found = _in_url(place, on_skip) if "://" in place else _in_path(Path(place), on_skip, exclude, on_exclude, last)
        for item in found:
            if once:
                yield item
            elif item.name not in given:
                given.add(item.name)
                yield item


def item_bytes(item: Item) -> bytes:
    """Return the stored bytes of a photo; PictureError if it cannot be read."""
    if item.problem is not None:
        raise PictureError(item.problem)
    if "://" not in item.place and item.offset is None:
        return picture_bytes(Path(item.place))
    if (item.size or 0) > MAX_BYTES:
        raise PictureError(f"{(item.size or 0) >> 20} MiB, over the limit of {MAX_BYTES >> 20} MiB")
    try:
        with _opened(item.place) as file:
            file.seek(item.offset or 0)
            data = file.read(MAX_BYTES if item.size is None else item.size)
    except OSError as error:
        raise PictureError(f"cannot be read ({error.strerror or error})") from None
    if item.size is not None and len(data) != item.size:
        raise PictureError("the shard ends in the middle of it")
    return data


def _in_path(
    path: Path,
    on_skip: Callable[[str], None],
    exclude: Sequence[str],
    on_exclude: Callable[[Path], None] | None,
    last: Callable[[str], bool] | None,
) -> Iterator[Item]:
    if path.is_file() and (is_shard(path.name) or is_packed(path.name)):
        yield from _in_archive(str(path), on_skip)
        return
    others: list[Path] = []
    for found in find_pictures([path], others.append, exclude=exclude, on_exclude=on_exclude, last=last):
        yield Item(str(found.path), str(found.path), problem=found.problem)
    for other in others:
        if is_shard(other.name) or is_packed(other.name):
            yield from _in_archive(str(other), on_skip)
        else:
            on_skip(str(other))


def _in_archive(place: str, on_skip: Callable[[str], None]) -> Iterator[Item]:
    if is_shard(place):
        yield from _in_shard(place, on_skip)
    else:
        yield Item(place, place, problem=_PACKED)


def _in_shard(place: str, on_skip: Callable[[str], None]) -> Iterator[Item]:
    """Yield members of a tar file with their positions, so that each can be read alone."""
    times: dict[str, int] = {}
    try:
        with _opened(place) as file, Tar.open(fileobj=file, mode="r:") as shard:
            for member in shard:
                if member.isdir():
                    continue
                name, inside = f"{place}/{member.name}", PurePosixPath(member.name)
                if is_hidden(inside) or inside.suffix.lower() not in EXTENSIONS or not member.isreg():
                    on_skip(name)
                    continue
                times[name] = times.get(name, 0) + 1
                item = Item(name, place, member.offset_data, member.size)
                yield item if times[name] == 1 else replace(item, name=f"{name}#{times[name]}")
    except (tarfile.TarError, OSError) as error:
        yield Item(place, place, problem=f"the shard cannot be read ({error})")


def _in_url(url: str, on_skip: Callable[[str], None]) -> Iterator[Item]:
    try:
        system, path = _fsspec().core.url_to_fs(url)
        files = [path] if system.isfile(path) else sorted(system.find(path))
    except (OSError, ValueError, ImportError) as error:
        raise UsageError(f"{url} cannot be opened: {str(error).splitlines()[0]}") from None
    if not files:
        raise UsageError(f"{url}: no files here")
    for file in files:
        whole = str(system.unstrip_protocol(file))
        ending = PurePosixPath(file).suffix.lower()
        if is_shard(file) or is_packed(file):
            yield from _in_archive(whole, on_skip)
        elif ending in EXTENSIONS:
            yield Item(whole, whole)
        else:
            on_skip(whole)


def _opened(place: str) -> AbstractContextManager[IO[bytes]]:
    if "://" not in place:
        return open(place, "rb")
    return cast("AbstractContextManager[IO[bytes]]", _fsspec().open(place, "rb"))


def _fsspec() -> Any:
    try:
        import fsspec
    except ModuleNotFoundError:
        raise UsageError("a URL needs fsspec, which is not installed: pip install 'devise-zsl[search]'") from None
    return fsspec
