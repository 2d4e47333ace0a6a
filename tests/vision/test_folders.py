import inspect
import os
import sys
from pathlib import Path

import pytest

from devise.vision.folders import EXTENSIONS, Found, find_pictures


def names(root: Path, found: list[Found]) -> list[str]:
    return [str(one.path.relative_to(root)) for one in found]


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def test_sorted_recursive_and_by_extension(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "b.jpg",
        "a/z.PNG",
        "a/b/c.heic",
        "c.txt",
        "a/.x.jpg",
        ".hidden/d.jpg",
        "e.jpg.bak",
        "Z.webp",
    )
    skipped: list[Path] = []
    found = list(find_pictures([tmp_path], skipped.append))
    assert names(tmp_path, found) == ["Z.webp", "a/b/c.heic", "a/z.PNG", "b.jpg"]
    assert not any(one.problem for one in found)
    assert sorted(path.name for path in skipped) == ["c.txt", "e.jpg.bak"]


def test_files_are_taken_as_given_and_in_the_order_given(tmp_path: Path) -> None:
    touch(tmp_path, "b.txt", ".a.jpg", "d/x.jpg")
    given = [
        tmp_path / "b.txt",
        tmp_path / "d",
        tmp_path / ".a.jpg",
        tmp_path / "b.txt",
        tmp_path / "none.jpg",
    ]
    found = list(find_pictures(given))
    assert names(tmp_path, found) == ["b.txt", "d/x.jpg", ".a.jpg", "b.txt", "none.jpg"]
    assert [one.problem for one in found] == [None, None, None, None, "no such file"]


def test_links(tmp_path: Path) -> None:
    touch(tmp_path, "real/a.jpg", "elsewhere/b.jpg")
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "up").symlink_to(tmp_path)
    (tmp_path / "real" / "b.jpg").symlink_to(tmp_path / "elsewhere" / "b.jpg")
    (tmp_path / "real" / "dead.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "real" / "self.jpg").symlink_to(tmp_path / "real" / "self.jpg")
    found = {str(one.path.relative_to(tmp_path)): one.problem for one in find_pictures([tmp_path / "real"])}
    # "up" leads to the root and from there to "elsewhere", but not into "real" again.
    assert found == {
        "real/a.jpg": None,
        "real/b.jpg": None,
        "real/dead.jpg": "a broken link",
        "real/self.jpg": "a broken link",
        "real/up/elsewhere/b.jpg": None,
    }


def test_a_folder_that_cannot_be_read_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a/x.jpg", "b/y.jpg")
    listdir = os.listdir

    def refusing(path: str | Path) -> list[str]:
        if Path(path).name == "a":
            raise PermissionError(13, "Permission denied")
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refusing)
    found = list(find_pictures([tmp_path]))
    assert names(tmp_path, found) == ["a", "b/y.jpg"]
    assert found[0].problem == "the folder cannot be read (Permission denied)"


def test_files_behind_a_locked_door_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    stat = os.stat

    def refusing(path: str | Path, **options: bool) -> os.stat_result:
        if Path(path).name == "a.jpg":
            raise PermissionError(13, "Permission denied")
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", refusing)
    for given in ([tmp_path], [tmp_path / "a.jpg", tmp_path / "b.jpg"]):
        found = list(find_pictures(given))
        assert [one.problem for one in found] == ["cannot be read (Permission denied)", None]


def test_a_name_no_file_can_have() -> None:
    assert [one.problem for one in find_pictures([Path("a\0b")])] == ["cannot be read (embedded null byte)"]


def test_a_folder_named_like_a_picture_is_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "x.jpg/y.png")
    assert names(tmp_path, list(find_pictures([tmp_path]))) == ["x.jpg/y.png"]


def test_deeper_than_recursion(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * 300)
    touch(deep, "x.jpg")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 150)
    try:
        found = list(find_pictures([tmp_path]))
    finally:
        sys.setrecursionlimit(limit)
    assert [one.path for one in found] == [deep / "x.jpg"]


def test_only_as_much_is_walked_as_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, *(f"{folder}/{file}.jpg" for folder in "abcdef" for file in "xyz"))
    listed: list[str] = []
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listed.append(Path(path).name) or listdir(path))
    found = find_pictures([tmp_path])
    assert next(found).path == tmp_path / "a" / "x.jpg"
    assert listed == [tmp_path.name, "a"]


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg")
    Path(path).touch()
    assert [one.path for one in find_pictures([tmp_path])] == [Path(path)]


def test_every_extension_is_lower_case() -> None:
    assert all(extension == extension.lower() and extension.startswith(".") for extension in EXTENSIONS)
