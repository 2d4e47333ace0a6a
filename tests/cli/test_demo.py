import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from PIL import Image

from devise.cli import demo_output as demo_photos
from devise.cli.demo import demo
from devise.cli.demo_output import (
    CONTROL,
    SAMPLES,
    SHEET,
    sample_folder,
    sample_labels,
    sample_photos,
    sheet_photos,
    write_keywords,
    write_sheet,
)
from devise.errors import UsageError
from devise.model import labeller as model
from devise.model.labeller import Model, load
from devise.model.typed import parse_labels

HOSTILE = '<b>&"[red].png'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    own = tmp_path / "own"
    own.mkdir()
    for name, colour in ((HOSTILE, "red"), ("blue.png", "blue")):
        Image.new("RGB", (40, 30), colour).save(own / name)
    return own


@pytest.fixture(scope="module")
def loaded() -> Model:
    return load()


@pytest.fixture(autouse=True)
def loaded_once(loaded: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "load", lambda path: loaded)


def run(*photos: Path, out: Path, labels: str | None = None) -> int:
    """The command as Python calls it; its exit code."""
    try:
        demo(list(photos) or None, out=out, top=2, labels=labels)
    except typer.Exit as stop:
        return stop.exit_code
    return 0


@pytest.fixture
def no_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_photos, "sample_folder", lambda package="skimage": None)


@pytest.mark.usefixtures("no_samples")
def test_own_photos_are_labelled_without_scikit_image(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "notes.txt").write_text("no picture")
    assert run(folder, out=tmp_path / "new" / "out", labels="zedonk: a foal; guitar") == 0
    shown = capsys.readouterr()
    assert f"{folder / HOSTILE}\nSoftmax of 1,000" in shown.out
    assert str(folder / "blue.png") in shown.out
    assert "1 label added without photos and without training" in shown.out
    assert "devise-zsl[demo]" in shown.err
    assert "not pictures by their names: 1" in shown.err
    page = (tmp_path / "new" / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count("<article") == 2
    assert "&lt;b&gt;&amp;&quot;[red].png</h2>" in page
    assert "scikit-image" not in page


@pytest.mark.usefixtures("no_samples")
def test_without_scikit_image_and_photos_it_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"pip install 'devise-zsl\[demo\]'"):
        run(out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("no_samples")
def test_a_photo_that_fails_is_told_and_the_rest_still_shown(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "cut.jpg").write_bytes(b"\xff\xd8\xff")
    assert run(folder, folder / "gone.png", out=tmp_path) == 1
    shown = capsys.readouterr()
    assert f"{folder / 'cut.jpg'}: " in shown.err
    assert f"{folder / 'gone.png'}: no such file" in shown.err
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "2 photos could not be read" in page
    assert f"{folder / 'gone.png'}: no such file" in page
    assert page.count("<article") == 2


def test_out_must_not_be_a_file(folder: Path) -> None:
    with pytest.raises(UsageError, match="--out needs a folder"):
        run(folder, out=folder / "blue.png")
    assert Image.open(folder / "blue.png").size == (40, 30)


def test_a_folder_without_pictures_fails_but_the_samples_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel = _fake_wheel(tmp_path, "coffee.png")
    monkeypatch.setattr(demo_photos, "sample_folder", lambda package="skimage": wheel)
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "empty", out=tmp_path / "out") == 1
    shown = capsys.readouterr()
    assert "no picture in the given paths" in shown.err
    assert f"lacks {len(SAMPLES) - 1} of {len(SAMPLES)} samples" in shown.err
    assert "rocket.jpg" in shown.err
    assert "coffee.png: A cup of espresso" in shown.out
    assert "is first for" in shown.out


def test_a_wheel_that_lacks_samples_is_said_and_the_others_are_shown(tmp_path: Path) -> None:
    photos, lacking = sample_photos(_fake_wheel(tmp_path, "rocket.jpg", "moon.png"), meant=True)
    assert [photo.name for photo in photos] == ["moon.png", "rocket.jpg"]
    assert [photo.meant for photo in photos] == ["moonscape", "space launch"]
    assert sorted([*lacking, "moon.png", "rocket.jpg"]) == sorted(sample.file for sample in SAMPLES)
    assert [photo.meant for photo in sample_photos(tmp_path / "wheel", meant=False)[0]] == ["", ""]


def test_the_labels_to_type_are_one_a_sample_and_the_control() -> None:
    typed = parse_labels(sample_labels())
    assert len(typed) == len(SAMPLES) + 1
    assert all(label.definition for label in typed)
    assert f"{typed[-1].name}: {typed[-1].definition}" == CONTROL


def test_the_installed_scikit_image_carries_every_sample() -> None:
    folder = sample_folder()
    if folder is None:
        pytest.skip("scikit-image is not installed: pip install scikit-image")
    assert sample_photos(folder, meant=True)[1] == []


def test_finding_the_samples_does_not_import_scikit_image() -> None:
    code = "import sys; from devise.cli.demo_output import *; sample_folder(); print('skimage' in sys.modules)"
    assert _python(code).stdout.strip() == "False"


def test_the_command_line_reads_its_options_and_exits_with_1_when_a_photo_fails(folder: Path, tmp_path: Path) -> None:
    code = "from devise.cli.app import main; main()"
    (folder / "empty.jpg").touch()
    told = _python(code, "demo", str(folder), "-o", str(tmp_path / "out"), "-k", "1", "-l", "guitar; zedonk: a foal")
    assert told.returncode == 1
    assert f"{folder / 'empty.jpg'}: empty" in told.stderr
    assert "Traceback" not in told.stderr
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count("<li><details>") == 4 * page.count("<article")
    made = {path.name for path in (tmp_path / "out").iterdir()} - {"coffee.png.xmp"}  # of a sample, if there are any
    assert made == {"report.html", "sheet.html"}
    sheet = (tmp_path / "out" / "sheet.html").read_text(encoding="utf-8")
    assert sheet.count('<p class="file">') == 2
    assert "named with 30,956 labels" in sheet
    assert f"<li>{folder / 'empty.jpg'}: empty</li>" in sheet


def test_the_sheet_of_samples_names_things_that_were_never_trained_on(loaded: Model, tmp_path: Path, capsys) -> None:
    if len(sheet_photos()) < len(SHEET):
        pytest.skip("scikit-image and scikit-learn are not installed: pip install scikit-image scikit-learn")
    write_sheet(loaded, [], tmp_path / "sheet.html", 5)
    page = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    cards = [card for card in page.split('<li class="card shot">') if 'class="mark"' in card]
    named = {re.findall(r"<span>(.*?) <span", card)[0]: re.findall(r'"file">(.*?)<', card)[0] for card in cards[1:]}
    told = capsys.readouterr().out
    assert "9 photos, 9 untrained nouns as candidates: 6 named, 6 of them correctly, 3 none of these" in told
    assert named["pagoda"] == "china.jpg"
    assert named["rocket"] == "rocket.jpg"
    trained = {loaded.labels[position].name for position in loaded.parts.trained.tolist()}
    assert not trained & set(SHEET.values())


def _python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(demo_photos.__file__).parents[2])}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, env=environment
    )


def _fake_wheel(tmp_path: Path, *names: str) -> Path:
    wheel = tmp_path / "wheel"
    wheel.mkdir()
    for name in names:
        Image.new("RGB", (32, 32), "brown").save(wheel / name)
    return wheel


def test_it_ends_by_naming_a_photo_in_a_sidecar_and_reading_it_back(
    loaded: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sample_folder()
    if folder is None:
        pytest.skip("scikit-image is not installed: pip install scikit-image")
    photos = list(loaded.features([folder / "moon.png", folder / "coffee.png"]))
    for _ in range(2):
        write_keywords(loaded, photos, tmp_path)
        assert capsys.readouterr().out == (
            f"The keywords of one photo, as {tmp_path / 'coffee.png.xmp'} has them: food, beverage, coffee, espresso\n"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["coffee.png.xmp"]
    monkeypatch.setitem(sys.modules, "lxml", None)
    write_keywords(loaded, photos, tmp_path / "none")
    assert (
        capsys.readouterr().err == "devise: keywords in XMP need the extra photos: pip install 'devise-zsl[photos]'\n"
    )
