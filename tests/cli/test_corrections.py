"""devise corrections: what was accepted and rejected, as a list and as class folders that devise train reads."""

from functools import partial
from pathlib import Path

import pytest
from commandline import Run
from PIL import Image

pytest.importorskip("lxml", reason="sidecars are an extra: pip install 'devise-zsl[photos]'")

from devise.sidecars import correct_sidecar, sidecar_of
from devise.vision.samples import find_samples
from devise.xmp import Correction, Verdict

CAT = Correction(("animal", "cat"), "n02121620", Verdict.accepted)
EGYPTIAN = Correction(("animal", "cat", "Egyptian cat"), "n02124075", Verdict.accepted)
NO_LYNX = Correction(("animal", "cat", "lynx"), "n02127052", Verdict.rejected)
MUG = Correction(("../my mug",), "user:my_mug", Verdict.accepted)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """a/1.jpg and b/1.jpg are cats, 2.jpg is a mug, 3.jpg is no lynx, 4.jpg is two things, 5.jpg was not looked at."""
    folder = tmp_path / "photos"
    said = {
        "a/1.jpg": [CAT, EGYPTIAN],
        "b/1.jpg": [EGYPTIAN, NO_LYNX],
        "2.jpg": [MUG],
        "3.jpg": [NO_LYNX],
        "4.jpg": [EGYPTIAN, MUG],
        "5.jpg": [],
    }
    for name, corrections in said.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        Image.new("RGB", (8, 8), (9, 9, len(name))).save(folder / name)
        correct_sidecar(sidecar_of(folder / name), corrections)
    return folder


@pytest.fixture
def corrections(run: Run) -> Run:
    return partial(run, "corrections")


def test_the_list(corrections: Run, photos: Path):
    code, out, err = corrections(photos)
    assert (code, err) == (0, "devise: 5 photos of 6 with corrections\n")
    assert out.splitlines()[1:3] == [f"{photos}/3.jpg  -lynx", f"{photos}/4.jpg  +Egyptian cat, +../my mug"]


@pytest.mark.parametrize("copy", [False, True])
def test_class_folders_that_training_reads(corrections: Run, photos: Path, tmp_path: Path, copy: bool):
    out = tmp_path / "classes"
    code, told, err = corrections(photos, "--out", out, *["--copy"] * copy)
    assert (code, told) == (0, f"3 {'copies' if copy else 'links'} in 2 class folders: {out}\n")
    assert err.splitlines() == [
        "devise: left out 1 photo with rejected names only",
        "devise: left out 1 photo with several accepted names",
    ]
    found = find_samples([out])
    assert found.names == ("-my mug/2.jpg", "n02124075/1-2.jpg", "n02124075/1.jpg")
    assert found.class_names == ("-my mug", "n02124075")
    assert (out / "n02124075" / "1.jpg").read_bytes() == (photos / "a" / "1.jpg").read_bytes()
    assert [(out / name).is_symlink() for name in found.names] == [not copy] * 3
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []


def test_what_is_there_is_not_touched_and_nothing_is_half_made(
    corrections: Run, photos: Path, tmp_path: Path, monkeypatch
):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    for out, reason in (
        (tmp_path / "full", "exists already: give a folder that is new or empty"),
        (photos / "classes", "whose photos devise would then find twice"),
        (tmp_path / "nowhere" / "classes", "needs a folder that exists"),
    ):
        code, told, err = corrections(photos, "--out", out)
        assert (code, told, reason in err) == (2, "", True), err
    code, _, err = corrections(photos / "3.jpg", "--out", tmp_path / "none")
    assert (code, "no accepted name in 1 photo" in err) == (1, True)
    code, _, err = corrections(photos, "--copy")
    assert (code, "--copy is for class folders" in err) == (2, True)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copy2", full)
    code, _, err = corrections(photos, "--out", tmp_path / "half", "--copy")
    assert (code, "No space left on device" in err) == (1, True)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["full", "photos"]
    assert [one.name for one in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_a_sidecar_that_is_no_xml_is_told_and_the_others_count(corrections: Run, photos: Path, tmp_path: Path):
    (photos / "5.jpg.xmp").write_bytes(b"http://devise-zsl/ns/1.0/")
    code, told, err = corrections(photos, "--out", tmp_path / "classes")
    assert (code, told[:7]) == (1, "3 links")
    assert "5.jpg.xmp: not XML" in err
