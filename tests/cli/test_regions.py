"""`devise label --regions`: the same regions in every output, on the page and in keywords, and what is refused."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps

from devise.cli.app import main
from devise.cli.output import keywords_of
from devise.model.answers import Answer, Hedge, Level, Region, Regions
from devise.sidecars import names_in_sidecar
from devise.vision.pipeline import Box


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A photo of a cat beside a cup of coffee."""
    data = pytest.importorskip("skimage.data")
    page = Image.new("RGB", (800, 400))
    for x, photo in ((0, data.chelsea()), (400, data.coffee())):
        page.paste(ImageOps.fit(Image.fromarray(photo), (400, 400)), (x, 0))
    (tmp_path / "photos").mkdir()
    page.save(tmp_path / "photos" / "pair.png")
    return tmp_path / "photos" / "pair.png"


def test_all_forms_tell_the_same_regions(label: Any, pair: Path, tmp_path: Path) -> None:
    (answer,) = json.loads(label(pair, "--regions", "-f", "json").out)
    assert [one["name"] for one in answer["regions"]] == ["espresso", "animal"]
    assert list(answer["regions"][0]) == ["id", "name", "share", "bits", "x", "y", "width", "height"]
    assert json.loads(label(pair, "--regions", "-f", "jsonl").out) == answer
    rows = list(csv.DictReader(io.StringIO(label(pair, "--regions", "-f", "csv", "-k", 2).out)))
    assert [json.loads(row["regions"]) for row in rows] == [answer["regions"]] * 2
    table = label(pair, "--regions", "-k", 1)
    espresso = answer["regions"][0]
    place = f"at {espresso['width']}x{espresso['height']}+{espresso['x']}+{espresso['y']}"
    assert f"{100 * espresso['share']:>6.1f} %  espresso                {place}\n" in table.out
    one_line = label(pair, "--regions", "--sure", 0.7).out.splitlines()
    assert [line.split()[2] for line in one_line[1:]] == ["espresso", "animal"]


def test_nothing_changes_without_the_option(label: Any, pair: Path) -> None:
    (answer,) = json.loads(label(pair, "-f", "json").out)
    assert "regions" not in answer
    assert "regions" not in label(pair, "-f", "csv").out.splitlines()[0]
    assert " at " not in label(pair, "-k", 1).out.splitlines()[1]


def test_the_code_of_regions_is_loaded_for_them_only(pair: Path) -> None:
    code = (
        "import sys, devise; model = devise.load(); model.label(sys.argv[1], regions=bool(sys.argv[2]));"
        "print('devise.vision.regions' in sys.modules, 'devise.model.regions' in sys.modules)"
    )
    for asked, loaded in (("", "False False"), ("1", "True True")):
        done = subprocess.run(
            [sys.executable, "-c", code, str(pair), asked], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == loaded


def test_a_rejected_photo_keeps_its_regions(label: Any, pair: Path) -> None:
    options = (pair, "--regions", "--labels", "espresso, cat", "--candidates", "typed", "--reject", 1)
    (answer,) = json.loads(label(*options, "-f", "json").out)
    assert answer["rejected"]
    (row,) = csv.DictReader(io.StringIO(label(*options, "-f", "csv").out))
    assert (row["rejected"], json.loads(row["regions"])) == ("1", answer["regions"])
    assert "none of these" in label(*options).out


@pytest.mark.slow
def test_parts_have_a_column_and_resume(label: Any, pair: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    folder = tmp_path / "parts"
    first = label(pair.parent, "--regions", "-f", "parquet", "-o", folder)
    assert (first.code, first.out) == (0, f"{folder}: 1 photo, 1 of them labelled in this run\n")
    (answer,) = json.loads(label(pair, "--regions", "-f", "json").out)
    (told,) = parquet.read_table(next(folder.glob("part-*.parquet"))).column("regions").to_pylist()
    assert [{**one, "share": round(one["share"], 5), "bits": round(one["bits"], 4)} for one in told] == [
        {**one, "share": round(one["share"], 5)} for one in answer["regions"]
    ]
    Image.new("RGB", (100, 100)).save(pair.with_name("small.png"))
    again = label(pair.parent, "--regions", "-f", "parquet", "-o", folder)
    assert again.out == f"{folder}: 2 photos, 1 of them labelled in this run\n"
    assert "small.png: no regions: 100 x 100 pixels are too small, the short side needs 130" in again.err
    other = label(pair.parent, "-f", "parquet", "-o", folder)
    assert (other.code, other.out) == (2, "")
    assert "contains labels of another request" in other.err


@pytest.mark.slow
def test_boxes_are_on_the_page(label: Any, pair: Path, tmp_path: Path) -> None:
    (answer,) = json.loads(label(pair, "--regions", "-f", "json", "--sheet", tmp_path / "page.html").out)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert '<svg class="boxes" viewBox="0 0 800 400"' in text
    for one in answer["regions"]:
        assert f'<rect x="{one["x"]}" y="{one["y"]}" width="{one["width"]}" height="{one["height"]}"/>' in text
        assert f">{one['name']}</text>" in text
    assert "<script" not in text
    label(pair, "--sheet", tmp_path / "plain.html")
    assert "<svg" not in (tmp_path / "plain.html").read_text(encoding="utf-8")


def test_a_photo_too_small_for_parts_is_named_and_said(label: Any, tmp_path: Path) -> None:
    Image.new("RGB", (640, 90), "teal").save(tmp_path / "strip.png")
    told = label(tmp_path / "strip.png", "--regions", "-k", 1)
    assert told.code == 0
    assert "strip.png: no regions: 640 x 90 pixels are too small, the short side needs 130" in told.err
    assert told.out.splitlines()[0] == str(tmp_path / "strip.png")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--method", "softmax"), "regions need the method fused, got softmax"),
        (("--method", "kernel"), "regions need the method fused, got kernel"),
        (("--context",), "regions are parts of one photo, but context uses the other photos: leave out one of them"),
    ],
)
def test_what_has_no_regions_is_refused_in_one_line(label: Any, photo: Path, options: tuple[str, ...], message: str):
    told = label(photo, "--regions", *options)
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert message in told.err


ANIMAL = Level("n00015388", "animal", 0.95, 3.0, True)
CAT = Level("n02121620", "cat", 0.92, 9.0, True)
DOG = Level("n02084071", "dog", 0.91, 8.0, True)
FOOD = Level("n00021265", "food", 0.99, 4.0, True)


def test_keywords_are_those_of_the_photo_and_of_its_regions_each_once():
    regions = Regions(8, 8, (Region(Box(0, 0, 4, 8), CAT, (ANIMAL, CAT)), Region(Box(4, 0, 4, 8), DOG, (ANIMAL, DOG))))
    answer = Answer("a.jpg", hedge=Hedge(0.7, FOOD, (), (FOOD,)), regions=regions)
    assert [one.path for one in keywords_of(answer)] == [("food",), ("animal",), ("animal", "cat"), ("animal", "dog")]
    rejected = Answer("a.jpg", rejected=True, regions=regions)
    assert [one.path for one in keywords_of(rejected)] == [("animal",), ("animal", "cat"), ("animal", "dog")]
    assert keywords_of(Answer("a.jpg", rejected=True, regions=Regions(8, 8, ()))) == ()


def test_keywords_of_regions_are_written_and_taken_back(label: Any, pair: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("lxml")
    told = label(pair, "--regions", "--xmp")
    assert told.err == "devise: keywords: 1 sidecar written, 0 unchanged\n"
    sidecar = pair.with_name("pair.png.xmp")
    text = sidecar.read_text(encoding="utf-8")
    for path in ("food|beverage|coffee|espresso", "animal<"):
        assert path in text
    assert {"espresso", "animal"} <= set(names_in_sidecar(sidecar))
    assert label(pair, "--regions", "--xmp").err == "devise: keywords: 0 sidecars written, 1 unchanged\n"
    with pytest.raises(SystemExit):
        main(["unlabel", str(pair)])
    assert "taken back from 1 of 1 sidecar" in capsys.readouterr().out
    assert not sidecar.exists()
