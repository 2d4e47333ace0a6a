"""Pictures to label, and `devise label` with the packaged model read once."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from commandline import Run
from PIL import Image


@pytest.fixture
def label(packaged_once: None, run: Run) -> Run:
    """`devise label ARGUMENTS`: its exit code and what it wrote."""
    return partial(run, "label")


@pytest.fixture(scope="session")
def scene() -> Image.Image:
    """A picture with something in it: soft blobs, the same each time."""
    coarse = np.random.default_rng(7).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC)


@pytest.fixture
def scenes(scene: Image.Image, tmp_path: Path) -> Path:
    """A folder, `photos`, of three pictures with hostile names."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        scene.rotate(120 * number).save(folder / f"{number} <b>.png")
    return folder


@pytest.fixture
def photo(scene: Image.Image, tmp_path: Path) -> Path:
    scene.save(tmp_path / "photo.png")
    return tmp_path / "photo.png"
