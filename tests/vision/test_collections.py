"""Photos in folders, shards and behind URLs."""

import io
import tarfile
from pathlib import Path

import pytest

from devise.errors import PictureError, UsageError
from devise.vision.collections import find_items, item_bytes


def shard(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w") as file:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def contents(*places: object) -> dict[str, bytes]:
    return {item.name: item_bytes(item) for item in find_items(map(str, places))}


def test_members_are_read_from_their_places(tmp_path: Path):
    path = shard(
        tmp_path / "s.tar", [("a/1.jpg", b"one"), ("notes.txt", b"x"), ("2.PNG", b"two"), ("a/1.jpg", b"other")]
    )
    skipped: list[str] = []
    items = list(find_items([str(path)], skipped.append))
    assert [item.name for item in items] == [f"{path}/a/1.jpg", f"{path}/2.PNG", f"{path}/a/1.jpg#2"]
    assert [item_bytes(item) for item in reversed(items)] == [b"other", b"two", b"one"]
    assert skipped == [f"{path}/notes.txt"]
    hidden = shard(tmp_path / "mac.tar", [("./a.jpg", b"a"), ("./._a.jpg", b"x"), ("__MACOSX/._a.jpg", b"x")])
    assert [item_bytes(item) for item in find_items([str(hidden)], skipped.append)] == [b"a"]
    assert len(skipped) == 3


def test_a_folder_gives_its_photos_and_the_shards_in_it(tmp_path: Path):
    (tmp_path / "b.jpg").write_bytes(b"b")
    shard(tmp_path / "a.tar", [("x.jpg", b"x")])
    assert contents(tmp_path, tmp_path / "b.jpg") == {f"{tmp_path}/b.jpg": b"b", f"{tmp_path}/a.tar/x.jpg": b"x"}


def test_shards_of_any_ending(tmp_path: Path):
    """`.TAR` is read; of a compressed archive no photo can be read alone, and that is said."""
    shard(tmp_path / "a.TAR", [("x.jpg", b"x")])
    for name in ("b.tgz", "c.TAR.GZ", "d.zip"):
        (tmp_path / name).write_bytes(b"PK")
    skipped: list[str] = []
    items = list(find_items([str(tmp_path), str(tmp_path / "b.tgz")], skipped.append))
    assert skipped == []
    assert [(Path(item.name).name, bool(item.problem)) for item in items] == [
        ("x.jpg", False),
        ("b.tgz", True),
        ("c.TAR.GZ", True),
        ("d.zip", True),
    ]
    with pytest.raises(PictureError, match=r"compressed archive, .*: unpack it"):
        item_bytes(items[1])


def test_urls(tmp_path: Path):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    shard(tmp_path / "s.tar", [("x.jpg", b"x"), ("y.jpg", b"yy")])
    memory.pipe(
        {"/c/1.jpg": b"one", "/c/deep/2.png": b"two", "/c/s.tar": (tmp_path / "s.tar").read_bytes(), "/c/t": b""}
    )
    found = contents("memory://c")
    assert list(found.values()) == [b"one", b"two", b"x", b"yy"]
    assert next(iter(found)) == "memory:///c/1.jpg"
    with pytest.raises(UsageError, match="no files here"):
        contents("memory://nowhere")
    with pytest.raises(UsageError, match="cannot be opened"):
        contents("nosuchprotocol://x")


def test_broken_shards_are_problems_and_stop_nothing(tmp_path: Path):
    (tmp_path / "none.tar").write_bytes(b"no shard at all" * 100)
    whole = shard(tmp_path / "cut.tar", [("1.jpg", b"x" * 600), ("2.jpg", b"y" * 5000)])
    whole.write_bytes(whole.read_bytes()[:3000])
    (tmp_path / "last.jpg").write_bytes(b"last")
    items = {Path(item.name).name: item for item in find_items([str(tmp_path)])}
    assert item_bytes(items["1.jpg"]) == b"x" * 600
    assert item_bytes(items["last.jpg"]) == b"last"
    for name in ("none.tar", "2.jpg"):
        with pytest.raises(PictureError, match="shard"):
            item_bytes(items[name])


def test_a_missing_file_is_a_problem(tmp_path: Path):
    (item,) = find_items([str(tmp_path / "gone.jpg")])
    with pytest.raises(PictureError, match="no such file"):
        item_bytes(item)
