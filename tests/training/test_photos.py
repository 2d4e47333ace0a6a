from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from devise.errors import TrainingError
from devise.training.photos import PhotoArrays
from devise.vision.decoding import read_picture
from devise.vision.preprocessing import Preprocessing
from devise.vision.samples import find_samples

torch: Any = pytest.importorskip("torch")
augment: Any = pytest.importorskip("devise.training.photos")

PREPARED = Preprocessing(12, 8, "bicubic", (127.0, 127.0, 127.0), (128.0, 128.0, 128.0))


def folder(root: Path, count: int) -> Path:
    rng = np.random.default_rng(0)
    for i in range(count):
        place = root / "photos" / ("cat" if i % 2 else "dog")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (18, 24, 3), dtype=np.uint8)).save(place / f"{i:03}.png")
    return root / "photos"


@pytest.mark.parametrize("held", [0, 1 << 30])
def test_the_middle_is_what_the_preprocessing_makes(tmp_path: Path, held: int):
    samples = find_samples([folder(tmp_path, 4)])
    arrays = PhotoArrays(samples, PREPARED, held, print)
    assert arrays.kept == bool(held)
    squares, good = arrays.take(np.array([2, 0]))
    assert good.all()
    made = augment.middle(torch.from_numpy(squares), 8)
    for row, planes in zip((2, 0), made.numpy(), strict=True):
        crop = PREPARED.apply(read_picture(samples.source(row), min_side=None))
        assert np.allclose((planes - 127) / 128, PREPARED.normalised(crop[None])[0], atol=1e-6)


def test_broken_photos_are_told_and_left_out(tmp_path: Path):
    root = folder(tmp_path, 200)
    (root / "cat" / "001.png").write_bytes(b"no picture")
    told: list[str] = []
    for held in (1 << 30, 0):
        arrays = PhotoArrays(find_samples([root]), PREPARED, held, told.append)
        _, good = arrays.take(np.arange(3))
        assert good.tolist() == [False, True, True]
        assert len(arrays.good()) == 199
    assert told == ["cat/001.png: not a picture of a known format"] * 2
    for name in ("003", "005"):
        (root / "cat" / f"{name}.png").write_bytes(b"")
    with pytest.raises(TrainingError, match="3 of 200 samples are broken"):
        PhotoArrays(find_samples([root]), PREPARED, 1 << 30, told.append)


def test_augmentation_by_hand():
    photos = torch.arange(2 * 4 * 4 * 3, dtype=torch.uint8).reshape(2, 4, 4, 3)
    whole = augment.Augmentation(least_area=1.0, ratio=1.0, jitter=0.0)
    draws = torch.full((2, augment.DRAWS), 0.9)
    plain = photos.permute(0, 3, 1, 2).float()
    assert torch.allclose(augment.augmented(photos, draws, 4, whole), plain, atol=1e-3)
    draws[:, 4] = 0.1  # mirrored
    assert torch.allclose(augment.augmented(photos, draws, 4, whole), plain.flip(3), atol=1e-3)
    never = augment.Augmentation(least_area=1.0, ratio=1.0, jitter=0.0, flips=False)
    assert torch.allclose(augment.augmented(photos, draws, 4, never), plain, atol=1e-3)


def test_a_crop_lies_inside_and_jitter_stays_among_bytes():
    photos = torch.full((64, 8, 8, 3), 100, dtype=torch.uint8)
    draws = torch.rand(64, augment.DRAWS, generator=torch.Generator().manual_seed(1))
    still = augment.augmented(photos, draws, 6, augment.Augmentation(jitter=0.0))
    assert torch.allclose(still, torch.full_like(still, 100.0), atol=1e-3)
    made = augment.augmented(photos, draws, 6, augment.Augmentation(jitter=0.3))
    assert made.shape == (64, 3, 6, 6)
    assert 69 < made.min() < 80  # brightness alone moves a grey
    assert 120 < made.max() < 131
    assert torch.equal(made, augment.augmented(photos, draws, 6, augment.Augmentation(jitter=0.3)))
    ramp = torch.arange(8, dtype=torch.uint8)[None, None, :, None].expand(64, 8, 8, 3) * 30
    cut = augment.augmented(ramp, draws, 6, augment.Augmentation(least_area=0.25, jitter=0.0))
    spans = cut.amax(dim=(1, 2, 3)) - cut.amin(dim=(1, 2, 3))
    assert spans.min() < 110  # a crop of a quarter sees half the ramp
    assert spans.max() > 150
