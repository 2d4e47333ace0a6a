"""devise watch, as a process: photos that come and go, its own sidecars, signals."""

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from devise.cli import watch
from devise.errors import PhotoIndexError
from devise.model.labeller import LabelRequest, Model
from devise.search.store import PhotoStore
from devise.search.watching import Pending, Unwritten
from devise.sidecars import SidecarName, sidecar_of

pytest.importorskip("pyarrow")
pytest.importorskip("watchfiles", reason="devise watch is an extra: pip install 'devise-zsl[watch]'")
pytest.importorskip("lxml", reason="sidecars are an extra: pip install 'devise-zsl[photos]'")

SRC = Path(__file__).parents[2] / "src"
_LONG = 300  # seconds after which a process that hangs is killed, so that the test fails and does not hang


@contextmanager
def watching(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "devise", "watch", *map(str, arguments), "--wait", "0.1"]
    paths = os.pathsep.join([str(SRC), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "PYTHONPATH": paths}
    ) as process:
        killer = threading.Timer(_LONG, process.kill)
        killer.start()
        try:
            yield process
        finally:
            killer.cancel()
            process.kill()


def until(process: subprocess.Popen[str], text: str) -> str:
    """Read lines up to one with this text; return all of them."""
    assert process.stdout is not None
    read = ""
    for line in process.stdout:
        read += line
        if text in line:
            return read
    raise AssertionError(f"ended without {text!r}: {read}")


def photo(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((60, 60)).save(path)
    return path


def names(index: Path) -> list[str]:
    return sorted(Path(path).name for path in PhotoStore.opened(index).known())


def test_photos_come_change_and_go(tmp_path: Path):
    photos, index = tmp_path / "photos", tmp_path / "index"
    photo(photos / "a.png", 1)
    with watching(photos, "--index", index, "--xmp", "--sure", "0.01") as process:
        assert f"{index}: 1 photo; 1 new" in until(process, "watching")
        assert (photos / "a.png.xmp").is_file()
        photo(photos / "new" / "b.png", 2)
        assert "1 new" in until(process, "2 photos;")
        (photos / "a.png").unlink()
        assert "1 gone" in until(process, "1 photo;")
        process.send_signal(signal.SIGTERM)
        rest = until(process, "stopped")
        assert process.wait() == 0
    assert "new" not in rest  # its own sidecars are no news
    assert names(index) == ["b.png"]
    assert (photos / "new" / "b.png.xmp").is_file()


def test_a_kill_is_caught_up_with(tmp_path: Path):
    photos, index = tmp_path / "photos", tmp_path / "index"
    photo(photos / "a.png", 1)
    with watching(photos, "--index", index, "--xmp", "--sure", "0.01") as process:
        until(process, "watching")
        process.kill()
    photo(photos / "b.png", 2)
    (photos / "a.png").unlink()
    with watching(photos, "--index", index, "--xmp", "--sure", "0.01") as process:
        assert "1 gone" in until(process, "watching")
        process.send_signal(signal.SIGINT)
        until(process, "stopped")
        assert process.wait() == 0
    assert names(index) == ["b.png"]
    assert (photos / "b.png.xmp").is_file()


def test_the_last_photo_of_a_folder_stays_in_the_index(tmp_path: Path):
    """Its drive may be missing."""
    photos, index = tmp_path / "photos", tmp_path / "index"
    photo(photos / "a.png", 1)
    with watching(photos, "--index", index) as process:
        until(process, "watching")
        (photos / "a.png").unlink()
        assert "stays in the index" in until(process, "no photo left")
    assert names(index) == ["a.png"]
    with watching(photos, "--index", index) as process:
        assert "connect the drive again" in until(process, "no photo found")
        assert process.wait() == 2


def test_a_folder_that_vanishes_and_comes_back(tmp_path: Path):
    """Once as it was, and once another one: a drive that is mounted again. The first photo is about to be looked at."""
    photos, away, index = tmp_path / "photos", tmp_path / "away", tmp_path / "index"
    photo(photos / "a.png", 1)
    with watching(photos, "--index", index, "--xmp", "--sure", "0.01") as process:
        until(process, "watching")
        photos.rename(away)
        until(process, f"{photos} is missing: its photos stay in the index until it is back")
        photo(away / "b.png", 2)
        away.rename(photos)
        back = until(process, "watching")
        assert ("2 photos; 1 new" in back, "gone" in back) == (True, False)
        photos.rename(away)
        until(process, "is missing")
        photos.mkdir()
        assert "connect the drive again" in until(process, "watching")
        for number in range(3):
            photo(photos / f"{number}.png", 7 + number)
        until(process, "new")
        process.send_signal(signal.SIGTERM)
        until(process, "stopped")
    with watching(photos, "--index", index) as process:
        until(process, "watching")
    assert names(index) == ["0.png", "1.png", "2.png"]


def test_what_cannot_be_written_is_tried_again_and_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "index/part")
    outcomes = iter([full, full, PhotoIndexError("another process is writing to it"), full, None, None])
    asked: list[list[str]] = []

    def update(paths: list[str]) -> None:
        asked.append(paths)
        if outcome := next(outcomes):
            raise outcome

    monkeypatch.setattr(watch, "_RETRY", 0.0)
    path = str(photo(tmp_path / "a.png", 1))
    keeper = SimpleNamespace(exclude=(), roots=(tmp_path,), update=update, retry=lambda now: None)
    there = {tmp_path: (tmp_path.stat().st_dev, tmp_path.stat().st_ino)}
    watch._follow(iter([[(1, path)], *[[]] * 5]), Pending(0.0), keeper, there)  # type: ignore[arg-type]
    assert asked == [[path]] * 5
    assert capsys.readouterr().err.splitlines() == [
        "devise: index/part: No space left on device; tried again",
        "devise: another process is writing to it; tried again",
        "devise: index/part: No space left on device; tried again",
    ]


def test_a_sidecar_that_could_not_be_written_is_written_when_it_can_be(tmp_path: Path):
    """At an event, and at the next start: the photo is in the index meanwhile."""
    photos, index = tmp_path / "photos", tmp_path / "index"
    blocked = [photos / f"{name}.png.xmp" for name in "abc"]
    for number, path in enumerate(blocked):
        photo(path.with_suffix(""), number)
        path.mkdir()
    with watching(photos, "--index", index, "--xmp", "--sure", "0.01") as process:
        assert "it is a folder" in until(process, "watching")
        assert names(index) == ["a.png", "b.png", "c.png"]
        blocked[0].rmdir()
        until(process, "1 sidecar written")
        process.kill()
    assert [path.is_file() for path in blocked] == [True, False, False]
    blocked[1].rmdir()
    with watching(photos, "--index", index, "--xmp", "--sure", "0.01") as process:
        said = until(process, "watching")
        assert ("1 sidecar written" in said, "1 failed" in said) == (True, True)
    assert [path.is_file() for path in blocked] == [True, True, False]


def keeper_of(model: Model, photos: Path, index: Path) -> watch._Keeper:
    waiting = Unwritten.opened(index / ".unwritten.json", 60.0)
    run = model.run(LabelRequest(sure=0.01))
    return watch._Keeper(model, index, (photos,), (), run, SidecarName.full, waiting)


def test_a_photo_that_comes_or_changes_while_others_are_named_gets_its_sidecar_first(
    small: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    photos, index = tmp_path / "photos", tmp_path / "index"
    early, changed, late = (photo(photos / f"{name}.png", number) for number, name in enumerate("abc"))
    late.unlink()
    keeper = keeper_of(small, photos, index)
    write, name = watch._Keeper._write_sidecars, watch._Keeper._named

    def written(self: watch._Keeper, *arguments: Any) -> None:
        write(self, *arguments)
        photo(changed, 11)
        os.utime(changed, (1, 1))

    def named(self: watch._Keeper, paths: Iterator[Path]) -> None:
        name(self, paths)
        photo(late, 2)

    with monkeypatch.context() as patch:
        patch.setattr(watch._Keeper, "_write_sidecars", written)
        patch.setattr(watch._Keeper, "_named", named)
        keeper.catch_up([photos])
    assert names(index) == ["a.png"]  # the other two have events, which are looked at next
    sidecar_of(changed).unlink()
    keeper.update([str(changed), str(late)])
    assert names(index) == ["a.png", "b.png", "c.png"]
    assert all(sidecar_of(one).is_file() for one in (early, changed, late))


def test_one_sidecar_is_tried_again_and_then_the_others(
    small: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    index = tmp_path / "index"
    blocked = [Path(f"{photo(tmp_path / 'photos' / f'{name}.png', number)}.xmp") for number, name in enumerate("abc")]
    for path in blocked:
        path.mkdir()
    keeper = keeper_of(small, tmp_path / "photos", index)
    waiting = keeper.unwritten
    keeper.catch_up([tmp_path / "photos"])
    assert len(waiting.paths) == 3
    capsys.readouterr()
    blocked[2].rmdir()
    keeper.retry(monotonic() + 60.0)  # of a.png, in vain
    assert (capsys.readouterr().err, blocked[2].exists()) == ("", False)
    keeper.retry(monotonic())  # too early
    assert next(iter(waiting.paths)).endswith("b.png")
    blocked[1].rmdir()
    keeper.retry(monotonic() + 60.0)
    assert [path.is_file() for path in blocked] == [False, True, True]
    assert [Path(path).name for path in waiting.paths] == ["a.png"]
    assert "1 sidecar written, 0 unchanged, 1 failed" in capsys.readouterr().err


def test_folders_only(tmp_path: Path):
    with watching(tmp_path / "none", "--index", tmp_path / "index") as process:
        until(process, "is not a folder: devise watch takes folders of photos")
        assert process.wait() == 2
