"""Photos of phones at the command line: live photos, and what is said where a package is missing."""

import sys
from pathlib import Path

import pytest
from phonephotos import MOTION, dng, encoded, heic
from PIL import Image

from devise.cli.app import main

EXTRA = "the extra photos: pip install 'devise-zsl[photos]'"


@pytest.fixture
def phone(scene: Image.Image, tmp_path: Path) -> Path:
    """A live photo with its video, a motion photo and a raw file."""
    pytest.importorskip("pillow_heif", reason="needs pillow-heif (the extra photos)")
    folder = tmp_path / "phone"
    folder.mkdir()
    (folder / "IMG_1.HEIC").write_bytes(heic(scene))
    (folder / "IMG_1.MOV").write_bytes(b"\0\0\0\x14ftypqt  \0\0\0\0qt  ")
    (folder / "IMG_2.jpg").write_bytes(encoded(scene, "JPEG", quality=95) + MOTION)
    (folder / "IMG_3.DNG").write_bytes(dng(encoded(scene, "JPEG", quality=95)))
    (folder / "notes.txt").touch()
    return folder


def test_all_are_named_and_the_video_is_counted(label, phone: Path):
    pytest.importorskip("rawpy", reason="needs rawpy (the extra photos)")
    done = label(phone, "-k", 1, "-f", "csv")
    told = ["devise: left out 1 video: --video names it", "devise: left out 1 file: not a picture by its name"]
    assert (done.code, done.err.splitlines()) == (0, told)
    names = {line.split(",")[3] for line in done.out.splitlines()[1:]}
    assert (len(done.out.splitlines()), len(names)) == (4, 1)


def test_a_video_by_name_is_no_picture(label, phone: Path):
    done = label(phone / "IMG_1.MOV")
    assert (done.code, done.err) == (1, f"devise: {phone / 'IMG_1.MOV'}: a video, not a picture: --video names it\n")


def test_a_missing_package_is_said_once_and_its_photos_are_counted(
    label, phone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for number in range(4, 6):
        (phone / f"IMG_{number}.heic").write_bytes((phone / "IMG_1.HEIC").read_bytes())
    for package in ("pillow_heif", "rawpy"):
        monkeypatch.setitem(sys.modules, package, None)
    told = [
        f"devise: 3 photos not read: HEIC needs {EXTRA}",
        f"devise: 1 photo not read: raw files need {EXTRA}",
    ]
    done = label(phone, "-k", 1)
    assert (done.code, done.err.splitlines()[:3]) == (1, [*told, "devise: 4 of 5 photos could not be read"])
    with pytest.raises(SystemExit) as stop:
        main(["index", str(phone), "--out", str(tmp_path / "index")])
    assert stop.value.code == 1
    err = capsys.readouterr().err.splitlines()
    assert err[:2] == told
    assert err[2:] == [
        "devise: left out 1 video: --video names it",
        "devise: left out 1 file: not a picture by its name",
        "devise: 4 photos could not be read",
    ]


def test_photos_stay_in_the_index_when_a_package_goes(
    phone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    index = tmp_path / "index"

    def run(*arguments: object) -> str:
        with pytest.raises(SystemExit):
            main([*map(str, arguments)])
        return capsys.readouterr().out

    assert "3 photos; 3 new" in run("index", phone, "--out", index)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (phone / "IMG_1.HEIC").touch()
    assert "3 photos" in run("index", phone, "--out", index, "--rehash")
