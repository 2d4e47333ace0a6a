from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.errors import UsageError
from devise.vision.samples import find_samples

torch: Any = pytest.importorskip("torch")

from PIL import Image  # noqa: E402

from devise.training.batches import Batch  # noqa: E402
from devise.training.classifier import ClassifierConfig, ClassifierTask, make_network  # noqa: E402
from devise.training.photos import PhotoArrays, Pictures  # noqa: E402


def test_pictures_grow_to_the_whole_crop():
    config = ClassifierConfig(epochs=40, first_crop=32)
    sides = [config.side_at(epoch, 64) for epoch in range(40)]
    assert sides == [32] * 8 + [40] * 8 + [48] * 8 + [56] * 8 + [64] * 8
    assert {ClassifierConfig(epochs=4).side_at(epoch, 64) for epoch in range(4)} == {64}
    assert ClassifierConfig(first_crop=300).side_at(0, 224) == 224
    with pytest.raises(UsageError, match="first_crop must be 0 or at least 8 pixels, got 5"):
        ClassifierConfig(first_crop=5)
    with pytest.raises(UsageError, match="epochs must be at least 1"):
        ClassifierConfig(epochs=0)


@given(st.integers(1, 100), st.integers(8, 300), st.integers(8, 300))
def test_sides_never_shrink_and_end_at_the_crop(epochs: int, first: int, crop: int):
    config = ClassifierConfig(epochs=epochs, first_crop=first)
    sides = [config.side_at(epoch, crop) for epoch in range(epochs + 1)]
    assert sides == sorted(sides)
    assert sides[-1] == crop
    assert all(8 <= side <= crop for side in sides)
    assert all(side % 8 == 0 for side in sides if side < crop)


def test_the_loss_sees_pictures_of_the_epochs_side(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(4):
            pixels = np.random.default_rng(number).integers(0, 256, (40, 36, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    config = ClassifierConfig(epochs=5, first_crop=8, channels="8-8", repeats="1-1", features=16, crop=32)
    network = make_network(config, 2)
    samples = find_samples((tmp_path,))
    arrays = PhotoArrays(samples, network.preprocessing, 1 << 20, print)
    pictures = Pictures(arrays, samples.truth, network.preprocessing, config.augmentation)
    task = ClassifierTask(pictures, (np.arange(8), np.arange(0)), network, config, "data")
    seen: list[tuple[int, ...]] = []

    network.register_forward_pre_hook(lambda module, taken: seen.append(tuple(taken[0].shape)))
    for epoch in (0, 2, 4):
        task.loss(network, Batch(np.arange(4), epoch, 0, 0, 4))
    assert seen == [(4, 3, 8, 8), (4, 3, 16, 16), (4, 3, 32, 32)]
