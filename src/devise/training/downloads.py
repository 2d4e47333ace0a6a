"""Public photo sets, downloaded and checked or from an existing file, as shards to train on."""

import hashlib
import http.client
import io
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from devise.archives import Tar
from devise.errors import TrainingError
from devise.files import atomic_write

__all__ = ["DATASETS", "Dataset", "fetched", "write_shards"]

_CHUNK = 1 << 20
_SIDE = 32  # of CIFAR's photos
_Photo = tuple[str, str, bytes]  # shard, member's name, bytes


@dataclass(frozen=True, slots=True)
class Dataset:
    """url: of its archive. md5: as published. photos: reads shard, name and bytes of each photo."""

    name: str
    url: str
    md5: str
    photos: Callable[[Path], Iterator[_Photo]]


def fetched(dataset: Dataset, folder: Path, source: str | None = None) -> Path:
    """Get the archive and check its checksum: from `source`, a path or a URL, or from its own URL.

    A download is kept in `folder` and not made again. TrainingError if it cannot be had, or is another file.
    """
    if source is not None and "://" not in source:
        path = Path(source)
        if not path.is_file():
            raise TrainingError(f"no file at {path}: give the archive of {dataset.name}")
        _check(path, dataset)
        return path
    url = source or dataset.url
    path = folder / PurePosixPath(url).name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with urllib.request.urlopen(url, timeout=60) as answer, atomic_write(path, "wb") as file:
                while chunk := answer.read(_CHUNK):
                    file.write(chunk)
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ValueError) as error:
            raise TrainingError(f"{url} cannot be downloaded ({error}): give the archive's path with --from") from None
    _check(path, dataset)
    return path


def write_shards(dataset: Dataset, archive: Path, out: Path) -> dict[str, int]:
    """Write `NAME-train.tar` and `NAME-test.tar`, members CLASS/name, whole or not at all; photos of each by name.

    TrainingError if the archive is not of the form it should have.
    """
    out.mkdir(parents=True, exist_ok=True)
    counts: dict[str, int] = {}
    try:
        for shard in ("train", "test"):
            with atomic_write(out / f"{dataset.name}-{shard}.tar", "wb") as file, tarfile.open(None, "w", file) as tar:
                for name, data in ((name, data) for of, name, data in dataset.photos(archive) if of == shard):
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
                    counts[shard] = counts.get(shard, 0) + 1
    except (KeyError, zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise TrainingError(f"{archive} is not the archive of {dataset.name} ({error}): get it again") from None
    return counts


def _check(path: Path, dataset: Dataset) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != dataset.md5:
        raise TrainingError(f"{path} has MD5 {found}, {dataset.name} has {dataset.md5}: remove it and get it again")


def _cifar100(archive: Path) -> Iterator[_Photo]:
    """The binary form: a coarse and a fine label, then 32 x 32 red, green and blue bytes."""
    with Tar.open(archive) as tar:
        names = _member(tar, "cifar-100-binary/fine_label_names.txt").decode().split()
        for shard in ("train", "test"):
            data = np.frombuffer(_member(tar, f"cifar-100-binary/{shard}.bin"), dtype=np.uint8)
            for number, row in enumerate(data.reshape(-1, 2 + 3 * _SIDE * _SIDE)):
                file = io.BytesIO()
                Image.fromarray(row[2:].reshape(3, _SIDE, _SIDE).transpose(1, 2, 0)).save(file, "PNG")
                yield shard, f"{names[int(row[1])]}/{number:05}.png", file.getvalue()


def _tiny_imagenet(archive: Path) -> Iterator[_Photo]:
    """Training photos are in class folders; a table gives the classes of the validation photos."""
    with zipfile.ZipFile(archive) as packed:
        table = packed.read("tiny-imagenet-200/val/val_annotations.txt").decode().splitlines()
        class_of = dict(line.split("\t")[:2] for line in table if line)
        for name in sorted(packed.namelist()):
            parts = PurePosixPath(name).parts
            if not name.endswith(".JPEG"):
                continue
            if parts[1] == "train":
                yield "train", f"{parts[2]}/{parts[-1]}", packed.read(name)
            elif parts[1] == "val":
                yield "test", f"{class_of[parts[-1]]}/{parts[-1]}", packed.read(name)


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file.read()


DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            "cifar100",
            "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
            "03b5dce01913d631647c71ecec9e9cb8",
            _cifar100,
        ),
        Dataset(
            "tiny-imagenet",
            "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
            "90528d7ca1a48142e341f4ef8d21d0de",
            _tiny_imagenet,
        ),
    )
}
"""By the name on the command line."""
