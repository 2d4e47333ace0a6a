import inspect
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devise.errors import UsageError
from devise.vision.folders import EXTENSIONS, IGNORE_FILE, Found, find_pictures


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
    scandir = os.scandir

    def refusing(path: Path) -> Iterator["os.DirEntry[str]"]:
        if path.name == "a":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
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
    found = list(find_pictures([tmp_path / "a.jpg", tmp_path / "b.jpg"]))
    assert [one.problem for one in found] == ["cannot be read (Permission denied)", None]


def test_plain_files_of_a_folder_are_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.jpg", "b/c.jpg")
    (tmp_path / "d.jpg").symlink_to(tmp_path / "a.jpg")
    looked: list[str] = []
    stat = os.stat
    monkeypatch.setattr(os, "stat", lambda path, **options: looked.append(Path(path).name) or stat(path, **options))
    assert len(list(find_pictures([tmp_path]))) == 3
    assert not {"a.jpg", "c.jpg"} & set(looked)
    assert {"b", "d.jpg"} < set(looked)


def test_what_is_asked_for_last_comes_last_and_nothing_else_changes(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b/c.jpg", "b/d.jpg", "b/e/f.jpg", "b.jpg/g.jpg", "h.jpg")
    (tmp_path / "i").symlink_to(tmp_path / "b" / "e")
    (tmp_path / "b" / "dead.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / IGNORE_FILE).write_text("h.*\n")
    plain = list(find_pictures([tmp_path]))
    paths = [str(one.path) for one in plain]
    for late in ({tmp_path / "a.jpg"}, {tmp_path / "b" / "dead.jpg", tmp_path / "h.jpg"}, set(map(Path, paths)), set()):
        found = list(find_pictures([tmp_path], last=lambda path, late=late: Path(path) in late))
        is_late = [bool(late & {one.path, *one.path.parents}) for one in found]
        assert is_late == sorted(is_late)
        assert sorted(found, key=lambda one: paths.index(str(one.path))) == plain


def test_what_comes_last_is_not_looked_at_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "real.jpg", "photos/z.jpg")
    for name in "abc":
        (tmp_path / "photos" / f"{name}.jpg").symlink_to(tmp_path / "real.jpg")
    looked: list[str] = []
    stat = os.stat
    monkeypatch.setattr(os, "stat", lambda path, **options: looked.append(Path(path).name) or stat(path, **options))
    found = find_pictures([tmp_path / "photos"], last=lambda path: path.endswith(("a.jpg", "b.jpg")))
    assert [next(found).path.name for _ in range(2)] == ["c.jpg", "z.jpg"]
    assert not {"a.jpg", "b.jpg"} & set(looked)
    assert [one.path.name for one in found] == ["a.jpg", "b.jpg"]


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
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(Path(path).name) or scandir(path))
    found = find_pictures([tmp_path])
    assert next(found).path == tmp_path / "a" / "x.jpg"
    assert listed == [tmp_path.name, "a"]


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg")
    Path(path).touch()
    assert [one.path for one in find_pictures([tmp_path])] == [Path(path)]


def test_every_extension_is_lower_case() -> None:
    assert all(extension == extension.lower() and extension.startswith(".") for extension in EXTENSIONS)


def excluded(root: Path, *patterns: str) -> tuple[list[str], list[str]]:
    left: list[Path] = []
    found = list(find_pictures([root], exclude=patterns, on_exclude=left.append))
    assert not any(one.problem for one in found)
    return names(root, found), sorted(path.relative_to(root).as_posix() for path in left)


def test_folders_of_file_servers_and_wastebaskets_are_left_out_unless_given(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "@eaDir/a.jpg/thumb.jpg", "b/#recycle/b.jpg", "b/Trash/c.jpg", "b/trash.jpg", "b/d.jpg")
    assert excluded(tmp_path) == (["a.jpg", "b/d.jpg", "b/trash.jpg"], ["@eaDir", "b/#recycle", "b/Trash"])
    assert names(tmp_path, list(find_pictures([tmp_path / "b" / "Trash"]))) == ["b/Trash/c.jpg"]
    skipped: list[Path] = []
    list(find_pictures([tmp_path], skipped.append))
    assert sorted(path.name for path in skipped) == ["#recycle", "@eaDir", "Trash"], "counted where nobody asks further"


@pytest.mark.parametrize(
    ("patterns", "kept"),
    [
        (("*.png",), ["a.jpg", "b/c.jpg", "b/drafts/e.jpg", "drafts/f.jpg"]),
        (("drafts/",), ["a.jpg", "a.png", "b/c.jpg", "b/d.png"]),
        (("/drafts",), ["a.jpg", "a.png", "b/c.jpg", "b/d.png", "b/drafts/e.jpg"]),
        (("b/*.png",), ["a.jpg", "a.png", "b/c.jpg", "b/drafts/e.jpg", "drafts/f.jpg"]),
        (("*", "!a.*", "!b"), ["a.jpg", "a.png"]),
        (("# not a pattern", ""), ["a.jpg", "a.png", "b/c.jpg", "b/d.png", "b/drafts/e.jpg", "drafts/f.jpg"]),
    ],
)
@pytest.mark.parametrize("from_file", [False, True], ids=["option", "file"])
def test_patterns_mean_what_they_do_to_git(
    tmp_path: Path, patterns: tuple[str, ...], kept: list[str], from_file: bool
) -> None:
    touch(tmp_path, "a.jpg", "a.png", "b/c.jpg", "b/d.png", "b/drafts/e.jpg", "drafts/f.jpg")
    if from_file:
        (tmp_path / IGNORE_FILE).write_text("\n".join(patterns), encoding="utf-8")
        patterns = ()
    assert excluded(tmp_path, *patterns)[0] == kept


def test_the_innermost_rule_that_matches_counts(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b/c.png", "b/d.jpg")
    (tmp_path / "b" / IGNORE_FILE).write_text("!c.png\nd.jpg\n", encoding="utf-8")
    assert excluded(tmp_path, "*.png") == (["b/c.png"], ["a.png", "b/d.jpg"])


@pytest.mark.parametrize("rules", [b"!\n", b"\xff\xfe\x00d", b"a\xff"])
def test_a_folder_whose_rules_cannot_be_read_is_not_entered(tmp_path: Path, rules: bytes) -> None:
    touch(tmp_path, "a.jpg", "b/c.jpg")
    (tmp_path / "b" / IGNORE_FILE).write_bytes(rules)
    found = list(find_pictures([tmp_path]))
    assert [(one.path.name, one.problem is None) for one in found] == [("a.jpg", True), ("b", False)]
    assert IGNORE_FILE in str(found[1].problem)


def test_a_malformed_pattern_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--exclude has a malformed pattern"):
        list(find_pictures([tmp_path], exclude=["!"]))
