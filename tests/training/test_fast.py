"""The fast part is measured on photos and added to a bundle, every other part of which stays as it was."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from devise.bundle.bundle import file_sha256, open_bundle
from devise.bundle.manifest import MANIFEST_FILE
from devise.bundle.parts import BACKBONE, FAST
from devise.cli.app import main
from devise.errors import UsageError
from devise.model.parts import DEFAULT_BUNDLE
from devise.training.fast import FastConfig, add_fast


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(3)
    for number in range(3):
        coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((320, 280), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    (folder / "notes.txt").write_text("no picture")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff but no more")
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEFAULT_BUNDLE, tmp_path / "bundle"))


def hashes(path: Path) -> dict[str, str]:
    return {file.name: file_sha256(file) for file in path.iterdir()}


def test_the_command_adds_the_part_and_nothing_else(
    bundle: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = hashes(bundle)
    with pytest.raises(SystemExit) as stop:
        main(["train", "fast", str(bundle), "--photos", str(pictures)])
    assert stop.value.code == 1  # a photo is broken
    written = capsys.readouterr()
    assert "broken.jpg" in written.err
    assert "not pictures by their names: 1" in written.err
    assert "from 3 photos" in written.out
    after = hashes(bundle)
    assert {name for name in after if after[name] != before.get(name)} == {FAST, MANIFEST_FILE}
    found = open_bundle(bundle)
    facts = found.manifest.config["fast"]
    assert isinstance(facts, dict)
    assert (facts["photos"], facts["photos_chosen"], facts["photos_read"]) == (300, 4, 3)
    assert found.fast().network == found.manifest.part(BACKBONE).sha256
    again, _ = add_fast(bundle, [pictures], FastConfig())
    assert hashes(again.path) == after


def test_no_photo(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    before = hashes(bundle)
    with pytest.raises(UsageError, match="needs readable photos"):
        add_fast(bundle, [tmp_path / "none"], FastConfig())
    assert hashes(bundle) == before


def test_at_least_one_photo() -> None:
    with pytest.raises(UsageError, match="at least 1 photo, got 0"):
        FastConfig(0)
