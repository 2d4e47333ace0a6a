"""Tar archives that only an attack has: each reader refuses them in one line, without reading what they claim."""

import gzip
import io
import lzma
import tarfile
import zipfile
from pathlib import Path

import pytest

from devise.archives import Tar
from devise.errors import DeviseError
from devise.evaluation.caltech101 import CaltechClass, write_caltech101
from devise.vision.collections import find_items
from devise.vision.samples import find_samples

NAME = b"101_ObjectCategories/cup/image_0001.jpg"
HUGE = 3 << 30


def header(name: bytes, size: int, kind: bytes = b"0") -> bytes:
    block = bytearray(512)
    block[: len(name)] = name
    block[124:136] = b"%011o\0" % size if 0 <= size < 8**11 else (size % 256**12 | 1 << 95).to_bytes(12, "big")
    block[148:157] = b" " * 8 + kind
    block[257:265] = b"ustar\x0000"
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def blocks(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def member(size: int = 10) -> bytes:
    return header(NAME, size) + blocks(b"\xff\xd8\xff1234567")


def attributes(kind: bytes = b"x", **values: str) -> bytes:
    data = b""
    for key, value in values.items():
        rest = f" {key.replace('__', '.')}={value}\n".encode()
        length = next(n for n in range(len(rest), len(rest) + 9) if n == len(rest) + len(str(n)))
        data += str(length).encode() + rest
    return header(b"attributes", len(data), kind) + blocks(data)


HOSTILE = {
    "attributes of 3 GB": header(b"a", HUGE, b"x") + blocks(b"30 path=abc\n"),
    "attributes of all, 3 GB": header(b"a", HUGE, b"g") + blocks(b"30 path=abc\n"),
    "a name of 3 GB": header(b"a", HUGE, b"L") + blocks(b"abc"),
    "a name of -1 bytes": header(b"a", -1, b"L") + blocks(b"abc"),
    "a photo of -1 bytes": member(-1),
    "a photo of -1 bytes, by its attributes": attributes(size="-1") + member(),
    "a photo that leads back": header(b"notes.txt", 0) + attributes(size="-2560") + header(b"x.txt", 10),
    "a photo of 4 EB": attributes(size=str(1 << 62)) + member(),
    "attributes of attributes": attributes(comment="x") * 2000 + member(),
    "attributes of all, ever more": b"".join(
        attributes(b"g", **{f"key{i}": "x" * 9000}) + header(b"notes.txt", 0) for i in range(8)
    ),
    "names of names": (header(b"a", 3, b"L") + blocks(b"abc")) * 2000 + member(),
    "no number": attributes(GNU__sparse__map="x", GNU__sparse__size="1") + member(),
    "too many digits": header(b"a", 5006, b"x") + blocks(b"9" * 5000 + b" a=b\n") + member(),
    "sparse, old": header(NAME, 10, b"S") + blocks(b"1234567890"),
    "sparse, 0.1": attributes(GNU__sparse__map="0,3", GNU__sparse__size="9") + member(),
    "sparse, 1.0": attributes(GNU__sparse__major="1", GNU__sparse__minor="0") + member(),
}


@pytest.fixture(params=HOSTILE, ids=list(HOSTILE))
def hostile(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / "a.tar").write_bytes(HOSTILE[request.param] + bytes(1024))
    return tmp_path / "a.tar"


def test_training_shards(hostile: Path):
    with pytest.raises(DeviseError, match=r"^.*a\.tar is [^\n]*$"):
        find_samples([hostile])


def test_shards_to_label(hostile: Path):
    last = list(find_items([str(hostile)]))[-1]
    assert (last.problem or "").startswith("the shard cannot be read (")


@pytest.mark.parametrize("packed", [False, True])
def test_caltech101(hostile: Path, tmp_path: Path, packed: bool):
    if packed:
        hostile.write_bytes(gzip.compress(hostile.read_bytes()))
    with pytest.raises(DeviseError, match=r"^.*a\.tar is cut off or damaged \([^\n]*$"):
        write_caltech101(hostile, tmp_path / "out", [CaltechClass("cup", "n1", "cup", "seen", 1, "")])
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_caltech101_in_a_damaged_zip(tmp_path: Path, method: int):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as whole:
        whole.writestr("101_ObjectCategories.tar.gz", lzma.compress(member() + bytes(1024)) * 9)
    data = path.read_bytes()
    for place in range(60, 160, 7):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        with pytest.raises(DeviseError, match=r"^.*a\.zip is cut off or damaged \([^\n]*$"):
            write_caltech101(path, tmp_path / "out", [CaltechClass("cup", "n1", "cup", "seen", 2, "")])


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_what_archives_do_have(form: int):
    """Long names, and attributes of some thousand bytes."""
    file, name = io.BytesIO(), f"{'n' * 3000}.jpg"
    with tarfile.open(fileobj=file, mode="w", format=form) as tar:
        entry = tarfile.TarInfo(name)
        entry.pax_headers = {"SCHILY.xattr.user.note": "x" * 5000}
        entry.size = 3
        tar.addfile(entry, io.BytesIO(b"abc"))
    with Tar.open(fileobj=io.BytesIO(file.getvalue()), mode="r:") as read:
        found = read.next()
        assert found is not None
        assert (found.name, found.size, read.next()) == (name, 3, None)
