"""devise label --video and devise index --video: one row per video, next to the photos."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commandline import Run
from phonephotos import MOTION, encoded
from PIL import Image
from videofiles import write_video

from devise.vision.folders import find_pictures

EXTRA = "the extra video: pip install 'devise-zsl[video]'"


@pytest.fixture
def folder(scene: Image.Image, tmp_path: Path) -> Path:
    """A photo, a video of it, a live photo and its video, a motion photo, an empty video."""
    pytest.importorskip("av", reason="needs PyAV (the extra video)")
    place = tmp_path / "phone"
    place.mkdir()
    (place / "a.jpg").write_bytes(encoded(scene, "JPEG", quality=95))
    write_video(place / "b.MP4", [np.asarray(scene)] * 20)
    (place / "live.jpg").write_bytes(encoded(scene, "JPEG", quality=95))
    write_video(place / "live.mov", [np.asarray(scene)] * 5)
    (place / "motion.jpg").write_bytes(encoded(scene, "JPEG", quality=95) + MOTION)
    (place / "none.webm").touch()
    return place


@pytest.fixture
def lines(packaged_once: None, run: Run) -> Callable[..., tuple[int, str, list[str]]]:
    """`devise ARGUMENTS`: its exit code, what it wrote, and the lines of its errors."""

    def devise(*arguments: object) -> tuple[int, str, list[str]]:
        done = run(*arguments)
        return done.code, done.out, done.err.splitlines()

    return devise


def test_each_video_is_a_row_and_a_live_photo_is_one_thing(label, folder: Path):
    done = label(folder, "--video", "-k", 1, "-f", "csv")
    rows = [line.split(",") for line in done.out.splitlines()[1:]]
    assert [Path(row[0]).name for row in rows] == ["a.jpg", "b.MP4", "live.jpg", "motion.jpg", "none.webm"]
    assert len({row[3] for row in rows[:4]}) == 1
    assert done.err.splitlines() == [
        f"devise: {folder / 'none.webm'}: empty",
        "devise: 1 of 5 photos and videos could not be read",
        "devise: left out 1 video: it belongs to a live photo",
    ]
    assert done.code == 1
    assert label(folder / "live.mov", "--video", "--frames", 2, "-f", "csv").code == 0
    told = label(folder, "-f", "csv")
    assert (told.code, told.err) == (0, "devise: left out 3 videos: --video names them\n")


def test_a_live_photo_is_told_by_its_name_in_one_folder(folder: Path):
    (folder / "b").mkdir()
    (folder / "a.jpg").rename(folder / "b" / "b.jpg")
    (folder / "live.mov").rename(folder / "live.mkv")  # no phone makes these
    found = [one.path.name for one in find_pictures([folder], frames=5) if one.frames]
    assert found == ["b.MP4", "live.mkv", "none.webm"]
    assert not [one for one in find_pictures([folder, folder / "b.MP4"]) if one.frames]


def test_without_pyav_the_videos_are_counted_once(label, lines, folder: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    done = label(folder, "--video", "-f", "csv")
    assert (done.code, done.err.splitlines()[0]) == (1, f"devise: 2 videos not read: videos need {EXTRA}")
    assert len([line for line in done.err.splitlines() if "pip install" in line]) == 1
    code, out, err = lines("index", folder, "--video", "--out", tmp_path / "index")
    assert (code, err[0]) == (1, f"devise: 2 videos not read: videos need {EXTRA}")
    assert "3 photos" in out


def test_keywords_of_a_video_go_into_a_sidecar_and_never_into_it(label, lines, folder: Path):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "none.webm").unlink()
    done = label(folder, "--video", "--xmp", "--embed", "--sure", 0.01)
    assert done.err.splitlines()[0] == "devise: keywords: 3 photos and 1 sidecar written, 0 unchanged"
    assert sorted(path.name for path in folder.glob("*.xmp")) == ["b.MP4.xmp"]
    assert (folder / "b.MP4").read_bytes() == before["b.MP4"]
    again = label(folder, "--video", "--xmp", "--embed", "--sure", 0.01)
    assert again.err.splitlines()[0] == "devise: keywords: 0 photos written, 4 unchanged"
    assert lines("unlabel", folder)[0] == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        name: data for name, data in before.items() if name != "none.webm"
    }


def test_an_index_has_videos_until_they_are_gone(lines, folder: Path, tmp_path: Path):
    index = tmp_path / "index"
    (folder / "none.webm").unlink()
    code, out, err = lines("index", folder, "--video", "--out", index)
    assert (code, out) == (0, f"{index}: 4 photos; 4 new\n")
    assert err == ["devise: left out 1 video: it belongs to a live photo"]
    assert "4 unchanged" in lines("index", folder, "--video", "--out", index)[1]
    code, out, _ = lines("search", index, "--like", folder / "a.jpg", "--format", "csv", "--sheet", tmp_path / "s.html")
    assert (code, "b.MP4" in out) == (0, True)
    assert (tmp_path / "s.html").read_text().count("data:image/jpeg") == 4
    assert "4 photos; 3 unchanged" in lines("index", folder, "--out", index)[1]
    (folder / "b.MP4").rename(folder / "c.mp4")
    assert "4 photos; 1 moved, 3 unchanged" in lines("index", folder, "--video", "--out", index)[1]
    (folder / "c.mp4").unlink()
    assert "3 photos; 1 gone, 3 unchanged" in lines("index", folder, "--out", index)[1]


def test_duplicates_are_videos_of_the_same_bytes(lines, folder: Path, tmp_path: Path, scene: Image.Image):
    index = tmp_path / "index"
    (folder / "none.webm").unlink()
    (folder / "same.mp4").write_bytes((folder / "b.MP4").read_bytes())
    write_video(folder / "other.mp4", [np.asarray(scene)] * 10)
    lines("index", folder, "--video", "--out", index)
    code, out, err = lines("duplicates", index, "--format", "csv")
    grouped = {Path(line.split(",")[-1]).name for line in out.splitlines()[1:]}
    assert (code, grouped) == (0, {"b.MP4", "same.mp4", "a.jpg", "live.jpg", "motion.jpg"})
    assert len(err) == 1


def test_options_that_do_not_go_together_are_refused(label, lines, folder: Path, tmp_path: Path):
    told = label(folder, "--frames", 3)
    assert (told.code, told.err) == (2, "devise: --frames is for videos: give --video too\n")
    assert lines("index", folder, "--frames", 3, "--out", tmp_path / "index")[0] == 2
    told = label(folder, "--video", "--format", "parquet", "-o", tmp_path / "labels")
    assert (told.code, "--format parquet takes no videos" in told.err) == (2, True)
