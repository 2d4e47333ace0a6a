"""devise duplicates, as a command."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from commandline import Run
from PIL import Image

from devise.model.labeller import Model
from devise.search.photoindex import index_photos

pytest.importorskip("pyarrow")


@pytest.fixture
def index(packaged: Model, tmp_path: Path) -> Path:
    photos = tmp_path / "photos"
    photos.mkdir()
    pixels = np.random.default_rng(1).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((240, 240), Image.Resampling.BICUBIC)
    image.save(photos / "one.png")
    image.save(photos / "two.jpg", quality=90)
    (photos / "same.png").write_bytes((photos / "one.png").read_bytes())
    Image.fromarray(pixels[::-1, ::-1]).resize((240, 240)).save(photos / "other.png")
    index_photos(packaged, [photos], tmp_path / "index")
    return tmp_path / "index"


def test_the_forms_say_the_same(run: Run, index: Path):
    code, out, err = run("duplicates", index)
    assert (code, [line.split()[-1].rpartition("/")[2] for line in out.splitlines()]) == (
        0,
        ["one.png", "same.png", "two.jpg"],
    )
    assert [line[:10] for line in out.splitlines()][:2] == ["keep      ", "same bytes"]
    assert err.startswith("devise: 4 photos: 1 group of near-duplicates, with 2 photos (")
    (group,) = json.loads(run("duplicates", index, "--format", "json")[1])
    rows = list(csv.DictReader(io.StringIO(run("duplicates", index, "-f", "csv")[1])))
    assert [row["path"] for row in rows] == [group["keep"]["path"], *(copy["path"] for copy in group["copies"])]
    assert [row["keep"] for row in rows] == ["yes", "no", "no"]
    assert [copy["same_bytes"] for copy in group["copies"]] == [True, False]
    assert [float(row["similar"]) for row in rows[1:]] == [copy["similar"] for copy in group["copies"]]


def test_only_the_same_bytes(run: Run, index: Path):
    (group,) = json.loads(run("duplicates", index, "--same-bytes", "-f", "json")[1])
    assert [Path(copy["path"]).name for copy in group["copies"]] == ["same.png"]


def test_the_page_and_the_move(run: Run, index: Path, tmp_path: Path):
    code, _, err = run("duplicates", index, "--sheet", tmp_path / "page.html", "--move", tmp_path / "aside")
    assert code == 0
    assert f"page of 1 group: {tmp_path / 'page.html'}" in err
    assert err.splitlines()[-1] == f"devise: moved to {tmp_path / 'aside'}: 2 photos, 0 sidecars"
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/jpeg") == 3
    assert "same bytes" in page
    assert sorted(one.name for one in (tmp_path / "aside").iterdir()) == ["same.png", "two.jpg"]
    assert run("duplicates", index)[:2] == (0, "")


def test_photos_below_the_folder_to_move_to_are_left_out_and_counted(run: Run, index: Path, tmp_path: Path):
    code, out, err = run("duplicates", index, "--move", tmp_path)
    assert (code, out) == (0, "")
    assert f"devise: 4 photos of the index left out: below {tmp_path}\ndevise: 0 photos: 0 groups" in err


def test_what_cannot_be_compared_is_counted(run: Run, index: Path, tmp_path: Path):
    (tmp_path / "photos" / "two.jpg").unlink()
    code, out, err = run("duplicates", index)
    assert code == 1
    assert "same.png" in out
    assert "two.jpg: not compared (No such file or directory): run devise index again" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--same-bytes", "--similar", "0.9"], "leave out --similar"),
        (["--similar", "2"], "above 0 and at most 1"),
        (["--excel"], "--excel is for CSV"),
        (["--sheet", "no/folder/page.html"], "an existing folder"),
    ],
)
def test_wrong_questions(run: Run, index: Path, arguments: list[str], message: str):
    code, out, err = run("duplicates", index, *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_a_file_is_no_folder_to_move_to(run: Run, index: Path):
    file = index / "index.json"
    code, _, err = run("duplicates", index, "--move", file)
    assert (code, f"{file} is a file" in err) == (2, True)
    assert run("duplicates", index / "none")[0] == 1
