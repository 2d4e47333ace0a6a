"""The run with a million photos, small."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.machine import ROOT
from bench.millions import main, replaying, spread_rows, words
from devise.search.photofacts import PhotoFact
from devise.search.rows import Rows
from devise.vision.folders import Found


def test_features_are_those_of_the_content(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"one")
    known = {
        hashlib.sha256(data).digest(): np.full(2, place, np.float32) for place, data in enumerate((b"one", b"two"))
    }
    found = replaying(known)(None, [b"two", tmp_path / "a", Found(tmp_path / "a"), Found(tmp_path / "b", "is away")])
    assert [None if one.features is None else one.features[0] for one in found] == [1, 0, 0, None]


def test_rows_are_spread_and_some_stay():
    rng = np.random.default_rng(0)
    rows = Rows.blank(tuple(PhotoFact(f"/{n}", 1, 1, b"") for n in range(40)), 300, 2)
    vectors = rng.standard_normal(rows.vectors.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows.vectors[:] = vectors
    rows.classes[:] = [[place % 3, 5] for place in range(40)]
    rows.shares[:] = [0.75, 0.25]
    spread = spread_rows(rows, rng)
    assert np.array_equal(spread.classes[::10], rows.classes[::10])
    assert np.array_equal(spread.shares[::10], rows.shares[::10])
    assert {tuple(row) for row in spread.shares.tolist()} == {(0.75, 0.25), (0.375, 0.375)}  # with its like or another
    assert (spread.classes[spread.shares[:, 0] == 0.75, 1] == 5).all()
    cosines = (spread.vectors.astype(float) * vectors).sum(axis=1)
    assert np.allclose(cosines[::10], 1, atol=1e-2)
    moved = np.delete(cosines, np.s_[::10])
    assert moved.max() < 0.98
    assert 0.6 < np.median(moved) < 0.95
    assert np.allclose(np.linalg.norm(spread.vectors.astype(float), axis=1), 1, atol=1e-2)


def test_the_words_are_words():
    assert len(words()) == 500
    assert {"dog", "mug"} <= set(words())


@pytest.mark.parametrize("count", [-5, 0, 1])
def test_too_few_photos_are_refused(count: int, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stop:
        main(["--count", str(count)])
    assert stop.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"error: --count must be at least 2, got {count}")


@pytest.mark.slow
def test_a_few_photos(tmp_path: Path):
    photos = tmp_path / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        Image.fromarray(rng.integers(0, 256, (60, 60, 3), dtype=np.uint8)).save(photos / f"{number}.jpg")
    work = tmp_path / "work"
    command = [sys.executable, "-m", "bench.millions", "--work", str(work), "--count", "600", "--photos", str(photos)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr[-2000:]  # 1: a limit was missed
    figures = {figure["what"]: figure for figure in json.loads((work / "figures.json").read_text())["figures"]}
    assert len(figures) >= 10
    assert figures["opened"]["note"] == "600 photos"
    assert figures["the same scores, rank by rank"]["value"] == 100
