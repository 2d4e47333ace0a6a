"""`devise label --context`: what is said of it, in order, and what is refused; `devise evaluate --context`."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from devise.model.labeller import Model

SAID = "devise: names depend on the other photos of this run (--context)\n"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a", "c", "d"):
        coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((160, 120), Image.Resampling.BICUBIC).save(folder / f"{name}.png")
    (folder / "b.png").write_bytes(b"no picture")
    return folder


def test_said_once_in_order_and_in_json(label: Any, photos: Path, packaged: Model) -> None:
    done = label(photos, "--context", "-f", "json")
    broken = photos / "b.png"
    assert done.code == 1
    assert done.err.startswith(SAID)
    assert f"{broken}: not a picture of a known format" in done.err
    answers = json.loads(done.out)
    assert [Path(one["path"]).name for one in answers] == ["a.png", "b.png", "c.png", "d.png"]
    assert [one["context"] for one in answers] == [2, 0, 2, 2]
    wanted = packaged.label_many(sorted(photos.iterdir()), context=True)
    for one, answer in zip(answers, wanted, strict=True):
        assert [g["name"] for g in one["guesses"]] == [guess.label.name for guess in answer.guesses]
    alone = label(photos, "-f", "json")
    assert "--context" not in alone.err
    assert "context" not in json.loads(alone.out)[0]


def test_table_csv_and_a_list_of_paths(label: Any, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = [photos / f"{name}.png" for name in ("a", "c", "d")]
    table = label(*good, "--context", "-k", "1")
    assert (table.code, table.err) == (0, SAID)
    assert [line for line in table.out.splitlines() if line.startswith(str(photos))]
    rows = list(csv.DictReader(io.StringIO(label(photos, "--context", "-k", "1", "-f", "csv").out)))
    assert [row["context"] for row in rows] == ["2", "", "2", "2"]
    listed = io.TextIOWrapper(io.BytesIO("\n".join(map(str, good)).encode()))
    monkeypatch.setattr("sys.stdin", listed)
    assert label("-", "--context", "-k", "1").out == table.out


def test_one_photo_is_refused_before_anything_is_written(label: Any, photo: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    for arguments in (("-f", "json"), ("-f", "csv"), ("-o", kept)):
        done = label(photo, "--context", *arguments)
        assert (done.code, done.out) == (2, "")
        assert done.err == "devise: context needs at least 2 photos that can be read, got 1: leave it out\n"
    assert not kept.exists()


def test_nothing_but_broken_photos(label: Any, photos: Path) -> None:
    done = label(photos / "b.png", "--context", "-f", "json")
    assert done.code == 1
    assert json.loads(done.out)[0]["problem"] == "not a picture of a known format"
    assert "names depend" not in done.err


@pytest.mark.parametrize("method", ["branch", "devise", "conse", "softmax"])
def test_other_methods(label: Any, photos: Path, method: str) -> None:
    done = label(photos, "--context", "--method", method)
    assert (done.code, done.out) == (2, "")
    assert done.err == f"devise: context needs the method fused or kernel, got {method}: change one\n"


def test_parts_that_are_resumed(label: Any, photos: Path, tmp_path: Path) -> None:
    done = label(photos, "--context", "-f", "parquet", "-o", tmp_path / "parts")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "--context needs all photos at once" in done.err
    assert not (tmp_path / "parts").exists()
