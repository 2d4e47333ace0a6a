"""Runs `devise label` in this process, with the packaged model read once."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from devise.cli.app import main
from devise.model import labeller as model
from devise.model.labeller import Model, load


class Done(NamedTuple):
    code: int
    out: str
    err: str


Label = Callable[..., Done]


@pytest.fixture(scope="session")
def packaged_model() -> Model:
    return load()


@pytest.fixture
def label(packaged_model: Model, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Label:
    """`devise label ARGUMENTS`: its exit code and what it wrote."""
    monkeypatch.setattr(
        model, "load", lambda path=None, **more: load(path, **more) if path or any(more.values()) else packaged_model
    )

    def run(*arguments: object) -> Done:
        with pytest.raises(SystemExit) as stop:
            main(["label", *map(str, arguments)])
        written = capsys.readouterr()
        return Done(int(stop.value.code or 0), written.out, written.err)

    return run


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
