import errno
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devise.bundle import writer
from devise.bundle.bundle import Bundle, open_bundle, set_aside
from devise.bundle.manifest import LabelSpaceFacts
from devise.bundle.parts import BACKBONE, WORDS
from devise.bundle.writer import write_bundle
from devise.errors import BundleError, DeviseError
from devise.version import __version__

Content = Callable[[Path], dict[str, bytes]]


def _full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_the_same_content_gives_the_same_bytes(model: Any, tmp_path: Path, content: Content) -> None:
    write_bundle(tmp_path / "a", model.manifest, model.parts())
    write_bundle(tmp_path / "b", model.manifest, dict(reversed(list(model.parts().items()))))
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_lengths_and_hashes_are_those_of_the_files(bundle: Bundle, content: Content) -> None:
    files = content(bundle.path)
    listed = json.loads(files.pop("manifest.json"))["parts"]
    assert {part["name"]: (part["bytes"], part["sha256"]) for part in listed} == {
        name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()
    }
    assert bundle.manifest.created_by == f"devise-zsl {__version__}"


def test_parts_come_as_bytes_files_and_functions(model: Any, tmp_path: Path) -> None:
    (tmp_path / "network").write_bytes(b"copied" * 500_000)
    parts = {"a.onnx": b"", "b.onnx": tmp_path / "network", "c.txt": lambda path: path.write_text("written")}
    made = write_bundle(tmp_path / "model", model.manifest, parts)
    assert [made.part_bytes(name) for name in ("a.onnx", "b.onnx", "c.txt")] == [
        b"",
        b"copied" * 500_000,
        b"written",
    ]


def test_an_open_directory_gets_the_usual_permissions(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "usual").mkdir()
    (tmp_path / "usual" / "file").write_text("x")
    assert bundle.path.stat().st_mode == (tmp_path / "usual").stat().st_mode
    modes = {path.stat().st_mode for path in bundle.path.iterdir()}
    assert modes == {(tmp_path / "usual" / "file").stat().st_mode}


class _OwnError(Exception):
    pass


def _fails(path: Path) -> None:
    path.write_bytes(b"half")
    raise _OwnError


def _is_stopped(path: Path) -> None:
    path.write_bytes(b"half")
    raise KeyboardInterrupt


def _writes_another(path: Path) -> None:
    path.write_bytes(b"x")
    path.with_suffix(".data").write_bytes(b"y")


@pytest.mark.parametrize("replacing", [False, True])
@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (_fails, _OwnError),
        (_is_stopped, KeyboardInterrupt),
        (_full, BundleError),
        (lambda path: None, BundleError),
        (_writes_another, BundleError),
        (Path("nowhere/absent.onnx"), BundleError),
        (b"not safetensors", BundleError),
    ],
)
def test_a_part_that_fails_leaves_all_as_it_was(
    model: Any, tmp_path: Path, content: Content, *, replacing: bool, part: Any, expected: type[BaseException]
) -> None:
    path = tmp_path / "model"
    if replacing:
        write_bundle(path, model.manifest, model.parts())
    before = content(path) if replacing else None
    with pytest.raises(expected):
        write_bundle(path, model.manifest, {**model.parts(), "zz.safetensors": part}, overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == (["model"] if replacing else [])
    assert (content(path) if replacing else None) == before


@pytest.mark.parametrize("call", range(9))
def test_a_disk_full_at_any_point_is_one_line_and_leaves_nothing(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    calls = 0
    sync = os.fsync

    def full_later(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls > call:
            _full()
        sync(handle)

    monkeypatch.setattr(os, "fsync", full_later)
    with pytest.raises(DeviseError) as caught:
        write_bundle(tmp_path / "model", model.manifest, model.parts())
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'model'}: cannot be written, No space left on device")
    assert "free some space" in message
    assert "\n" not in message
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on the size of files")
def test_a_limit_of_the_system_stops_a_write_half_way(model: Any, tmp_path: Path, content: Content) -> None:
    import resource

    path = tmp_path / "model"
    write_bundle(path, model.manifest, model.parts())
    before = content(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(BundleError, match=r"cannot be written, File too large.*: free some space"):
            write_bundle(path, model.manifest, {**model.parts(), BACKBONE: bytes(10**6)}, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert content(path) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_a_bundle_is_replaced_only_when_asked(bundle: Bundle, model: Any, tmp_path: Path, content: Content) -> None:
    before = content(bundle.path)
    with pytest.raises(BundleError, match="exists already: choose another path or ask to overwrite"):
        write_bundle(bundle.path, model.manifest, {})
    assert content(bundle.path) == before
    other = replace(model.manifest, name="other")
    assert write_bundle(bundle.path, other, {"a.txt": b"a"}, overwrite=True).manifest.name == "other"
    assert content(bundle.path).keys() == {"a.txt", "manifest.json"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_one_part_is_changed_and_the_others_kept(bundle: Bundle, content: Content) -> None:
    before = content(bundle.path)
    parts: dict[str, Any] = {part.name: bundle.part_path(part.name) for part in bundle.manifest.parts}
    parts[BACKBONE] = b"another network"
    write_bundle(bundle.path, bundle.manifest, parts, overwrite=True).verify()
    after = content(bundle.path)
    assert {name for name in after if after[name] != before[name]} == {BACKBONE, "manifest.json"}


def test_other_peoples_files_are_never_removed(bundle: Bundle, model: Any, tmp_path: Path, content: Content) -> None:
    (bundle.path / "notes.md").write_text("mine")
    home = tmp_path / "home"
    home.mkdir()
    (home / "letter.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    newer = tmp_path / "newer"
    newer.mkdir()
    (newer / "manifest.json").write_text('{"format": "devise-bundle", "format_version": 2}')
    for path, message in (
        (bundle.path, r"contains notes\.md, which is not a part of the bundle"),
        (home, "is not a bundle of this format"),
        (newer, "is not a bundle of this format"),
        (tmp_path / "file", "is a file"),
        (tmp_path / "no" / "model", "its parent is not a directory"),
    ):
        with pytest.raises(BundleError, match=message):
            write_bundle(path, model.manifest, model.parts(), overwrite=True)
    assert (bundle.path / "notes.md").read_text() == (home / "letter.txt").read_text() == "mine"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "home", "model", "newer"]


def test_an_empty_directory_is_taken(model: Any, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    write_bundle(tmp_path / "model", model.manifest, model.parts()).verify()
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_a_link_to_a_bundle_stays_a_link(bundle: Bundle, model: Any, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(bundle.path)
    write_bundle(tmp_path / "current", replace(model.manifest, name="new"), model.parts(), overwrite=True)
    assert (tmp_path / "current").is_symlink()
    assert open_bundle(bundle.path).manifest.name == "new"


def test_parts_that_do_not_fit_are_not_written(model: Any, tmp_path: Path) -> None:
    wrong = replace(model.manifest, label_space=LabelSpaceFacts(8, 3, 4))
    with pytest.raises(BundleError) as caught:
        write_bundle(tmp_path / "model", wrong, model.parts())
    assert str(caught.value).startswith(f"{tmp_path / 'model' / 'labels.json'}: has 7 labels")
    for name in ("../x.json", "manifest.json", "model.pkl", "X.json"):
        with pytest.raises(BundleError, match="is refused"):
            write_bundle(tmp_path / "model", model.manifest, {name: b"{}"})
    with pytest.raises(BundleError, match=r"extra\.json: is not JSON"):
        write_bundle(tmp_path / "model", model.manifest, {"extra.json": b"{"})
    with pytest.raises(BundleError, match="cannot be written as JSON"):
        write_bundle(tmp_path / "model", replace(model.manifest, config={"at": tmp_path}), {})
    with pytest.raises(BundleError, match="limit of a manifest"):
        write_bundle(tmp_path / "model", replace(model.manifest, config={"long": "x" * 2**20}), {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("failing", [1, 2])
def test_a_rename_that_fails_puts_the_old_bundle_back(
    bundle: Bundle,
    model: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    content: Content,
    failing: int,
) -> None:
    before = content(bundle.path)
    calls = 0
    rename = Path.rename

    def fails_once(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise PermissionError(errno.EACCES, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails_once)
    with pytest.raises(BundleError, match="cannot be written, Permission denied"):
        write_bundle(bundle.path, replace(model.manifest, name="new"), model.parts(), overwrite=True)
    assert content(bundle.path) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


DIES = """
import os, pathlib, sys
from devise.bundle.bundle import open_bundle
from devise.bundle.writer import write_bundle
from dataclasses import replace
path, left = pathlib.Path(sys.argv[1]), int(sys.argv[2])
bundle = open_bundle(path)
parts = {part.name: bundle.part_path(part.name) for part in bundle.manifest.parts}
def dying(call):
    def wrapped(*arguments, **options):
        global left
        if left == 0:
            os._exit(9)
        left -= 1
        return call(*arguments, **options)
    return wrapped
pathlib.Path.rename = dying(pathlib.Path.rename)
os.rmdir = dying(os.rmdir)
write_bundle(path, replace(bundle.manifest, name="new"), parts, overwrite=True)
"""


@pytest.mark.parametrize(
    ("steps", "name", "where"),
    [(0, "small", "there"), (1, "small", "aside"), (2, "new", "there"), (3, "new", "there")],
)
def test_a_process_that_dies_leaves_the_old_bundle_or_the_new(
    bundle: Bundle, model: Any, tmp_path: Path, *, steps: int, name: str, where: str
) -> None:
    command = [sys.executable, "-c", DIES, str(bundle.path), str(steps)]
    source = str(Path(writer.__file__).parents[2])
    died = subprocess.run(command, env={**os.environ, "PYTHONPATH": source}, check=False)
    assert died.returncode == (9 if steps < 3 else 0)
    found = open_bundle(bundle.path)
    found.verify()
    assert found.manifest.name == name
    assert found.path == (bundle.path if where == "there" else set_aside(bundle.path))
    with pytest.raises(BundleError, match="exists already"):
        write_bundle(bundle.path, model.manifest, {})
    assert open_bundle(bundle.path).path == bundle.path
    write_bundle(bundle.path, replace(model.manifest, name="third"), model.parts(), overwrite=True)
    assert open_bundle(bundle.path).manifest.name == "third"
    assert not set_aside(bundle.path).exists()


def test_words_are_written_by_their_own_function(bundle: Bundle, model: Any, tmp_path: Path) -> None:
    model.write_words(tmp_path / "words")
    assert bundle.part_bytes(WORDS) == (tmp_path / "words").read_bytes()
