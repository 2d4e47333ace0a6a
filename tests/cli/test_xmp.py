"""devise label --xmp and devise unlabel: keywords in sidecars, the same on every run, and taken back."""

import os
import re
import sys
from functools import partial
from pathlib import Path

import pytest
from commandline import Run
from PIL import Image

from devise.cli.output import keywords_of
from devise.model.answers import Answer, Hedge, Level
from devise.sidecars import correct_sidecar
from devise.xmp import Correction, Keyword, Verdict

ENTITY = Level("n00001740", "entity", 1.0, 0.0, True)
WHOLE = Level("n00003553", "whole", 0.99, 0.6, False)
ANIMAL = Level("n00015388", "animal", 0.95, 3.0, True)
CAT = Level("n02121620", "cat", 0.8, 9.0, True)
TABBY = Level("n02123045", "tabby", 0.4, 15.0, True)
WAY = (ENTITY, WHOLE, ANIMAL, CAT, TABBY)


@pytest.fixture
def unlabel(run: Run) -> Run:
    return partial(run, "unlabel")


def test_keywords_are_the_names_people_use_down_to_the_sure_one():
    cat = keywords_of(Answer("a.jpg", hedge=Hedge(0.7, CAT, (TABBY,), WAY)))
    assert cat == (Keyword(("animal",), ANIMAL.id, 0.95), Keyword(("animal", "cat"), CAT.id, 0.8))
    assert keywords_of(Answer("a.jpg", hedge=Hedge(0.7, None, (TABBY,), WAY))) == ()
    assert keywords_of(Answer("a.jpg", rejected=True, hedge=Hedge(0.7, CAT, (), WAY))) == ()
    assert keywords_of(Answer("a.jpg")) == ()


def test_sidecars_are_written_kept_and_taken_back(label, unlabel, scenes: Path):
    """At 1 % these soft blobs have a sure name."""
    photos = {path: path.read_bytes() for path in scenes.iterdir()}
    first = label(scenes, "--xmp", "--sure", 0.01)
    assert (first.code, first.err) == (0, "devise: keywords: 3 sidecars written, 0 unchanged\n")
    assert first.out == label(scenes, "--sure", 0.01).out
    made = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in scenes.glob("*.xmp")}
    assert sorted(path.name for path in made) == [f"{number} <b>.png.xmp" for number in range(3)]
    again = label(scenes, "--xmp", "--sure", 0.01)
    assert again.err == "devise: keywords: 0 sidecars written, 3 unchanged\n"
    assert made == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in scenes.glob("*.xmp")}
    assert unlabel(scenes) == (0, "keywords taken back from 3 of 3 sidecars\n", "")
    assert photos == {path: path.read_bytes() for path in scenes.iterdir()}
    assert unlabel(scenes) == (0, "keywords taken back from 0 of 0 sidecars\n", "")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes are POSIX's")
def test_a_pipe_named_like_a_photo_is_not_waited_for(unlabel, tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.jpg")
    assert unlabel(tmp_path) == (0, "keywords taken back from 0 of 0 sidecars\n", "")


@pytest.mark.slow
def test_a_photo_that_nothing_sure_can_be_said_of_loses_the_keywords_of_the_last_run(label, scenes: Path):
    label(scenes, "--xmp", "--sure", 0.01)
    told = label(scenes, "--xmp", "--sure", 1)
    assert told.err == "devise: keywords: 3 sidecars written, 0 unchanged, 3 photos without a sure name\n"
    assert not any(b"<rdf:li>" in path.read_bytes() for path in scenes.glob("*.xmp"))


def test_a_sidecar_that_is_no_xml_is_left_and_the_others_are_written(label, unlabel, scenes: Path):
    broken = scenes / "1 <b>.png.xmp"
    broken.write_text("no xml")
    told = label(scenes, "--xmp", "--sure", 0.01)
    assert told.code == 1
    assert f"devise: {broken}: not XML" in told.err
    assert told.err.endswith("devise: keywords: 2 sidecars written, 0 unchanged, 1 failed\n")
    assert broken.read_text() == "no xml"
    code, out, _ = unlabel(scenes)
    assert (code, out) == (1, "keywords taken back from 2 of 3 sidecars, 1 failed\n")


@pytest.mark.parametrize("options", [("--xmp",), ("--xmp", "--embed"), ("--xmp", "--lang", "fr")])
def test_a_rejected_name_stays_away(label, scene: Image.Image, tmp_path: Path, options: tuple[str, ...]):
    """Rejected in photo.xmp, it comes neither into another sidecar, nor into the photo, nor in another language."""
    scene.save(tmp_path / "scene.png")
    label(tmp_path, "--xmp", "--sure", 0.01)
    (written,) = tmp_path.glob("*.xmp")
    name, synset = re.findall(r"(n\d{8}) [\d.]+ ([^<]+)", written.read_text())[-1][::-1]
    written.unlink()
    correct_sidecar(tmp_path / "scene.xmp", [Correction((name,), synset, Verdict.rejected)])
    label(tmp_path, *options, "--sure", 0.01)
    assert not [one for one in tmp_path.glob("scene.png*") if synset.encode() in one.read_bytes()]


def test_two_photos_do_not_share_a_sidecar(label, unlabel, scenes: Path):
    (scenes / "0 <b>.jpg").write_bytes((scenes / "0 <b>.png").read_bytes())
    told = label(scenes, "--xmp", "--xmp-name", "stem", "--sure", 0.01)
    assert told.code == 1
    assert "0 <b>.xmp is the sidecar of" in told.err
    assert told.err.endswith("3 sidecars written, 0 unchanged, 1 failed\n")
    assert unlabel(scenes / "1 <b>.png")[1] == "keywords taken back from 1 of 1 sidecar\n"


def test_sidecars_in_linked_folders_and_of_photos_that_are_gone_are_found(label, unlabel, scenes: Path, tmp_path: Path):
    linked = tmp_path / "album"
    linked.mkdir()
    (linked / "trip").symlink_to(scenes, target_is_directory=True)
    label(linked, "--xmp", "--sure", 0.01)
    assert len(list(scenes.glob("*.xmp"))) == 3
    (scenes / "0 <b>.png").unlink()
    assert unlabel(linked)[1] == "keywords taken back from 2 of 2 sidecars\n"
    assert unlabel(scenes)[1] == "keywords taken back from 1 of 1 sidecar\n"
    assert not list(scenes.glob("*.xmp"))


def test_a_name_for_sidecars_without_sidecars_is_refused(label, scenes: Path):
    told = label(scenes, "--xmp-name", "stem")
    assert (told.code, told.out) == (2, "")
    assert "--xmp-name is for sidecars: give --xmp too" in told.err


def test_parquet_has_no_sidecars(label, scenes: Path, tmp_path: Path):
    told = label(scenes, "--xmp", "-f", "parquet", "-o", tmp_path / "parts")
    assert told.code == 2
    assert "leave out --sheet, --tree and --xmp" in told.err


def test_without_the_library_one_line_says_how_to_get_it(label, unlabel, scenes: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "lxml", None)
    told = label(scenes, "--xmp")
    assert (told.code, told.out) == (2, "")
    assert "pip install 'devise-zsl[photos]'" in told.err
    assert unlabel(scenes)[0] == 2


def test_unlabel_needs_a_path_that_exists(unlabel, tmp_path: Path):
    code, _, err = unlabel(tmp_path / "none")
    assert code == 2
    assert "no photo, sidecar or folder at" in err


def test_keywords_go_into_the_photos_and_are_taken_back(label, unlabel, scene: Image.Image, tmp_path: Path):
    """A format that devise does not change gets a sidecar."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.png", "b.jpg", "c.webp", "d.tif", "e.gif"):
        scene.save(folder / name)
    photos = {path: path.read_bytes() for path in folder.iterdir()}
    first = label(folder, "--xmp", "--embed", "--sure", 0.01)
    assert (first.code, first.err) == (0, "devise: keywords: 4 photos and 1 sidecar written, 0 unchanged\n")
    made = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    assert sorted(path.name for path in made) == ["a.png", "b.jpg", "c.webp", "d.tif", "e.gif", "e.gif.xmp"]
    again = label(folder, "--xmp", "--embed", "--sure", 0.01)
    assert (again.out, again.err) == (first.out, "devise: keywords: 0 photos written, 5 unchanged\n")
    assert made == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    assert unlabel(folder) == (0, "keywords taken back from 1 of 1 sidecar and 4 photos\n", "")
    assert photos == {path: path.read_bytes() for path in folder.iterdir()}


def test_a_photo_that_cannot_be_written_is_reported_and_keeps_the_others(label, unlabel, scenes: Path):
    locked = scenes / "1 <b>.png"
    locked.chmod(0o444)
    told = label(scenes, "--xmp", "--embed", "--keep-time", "--sure", 0.01)
    assert told.code == 1
    assert f"devise: {locked}: read-only, left as it is" in told.err
    assert told.err.endswith("devise: keywords: 2 photos written, 0 unchanged, 1 failed\n")
    (scenes / "0 <b>.png").chmod(0o444)
    code, out, err = unlabel(scenes)
    assert (code, out) == (1, "keywords taken back from 0 of 0 sidecars and 1 photo, 1 failed\n")
    assert "0 <b>.png: read-only" in err


def test_options_of_embedded_keywords_need_each_other(label, scenes: Path):
    for options, needs in ((("--embed",), "give --xmp too"), (("--xmp", "--keep-time"), "give --xmp --embed too")):
        told = label(scenes, *options)
        assert (told.code, told.out) == (2, "")
        assert needs in told.err


def test_what_a_killed_run_left_is_removed(label, unlabel, scenes: Path):
    for name in (f".0 <b>.png.{'a' * 16}.part", f".0 <b>.png.xmp.{'b' * 16}.part"):
        (scenes / name).touch()
    label(scenes / "0 <b>.png", "--xmp", "--embed", "--sure", 0.01)
    assert not list(scenes.glob(".*"))
    (scenes / f".0 <b>.png.{'a' * 16}.part").touch()
    unlabel(scenes)
    assert not list(scenes.glob(".*"))
