import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from devise.arrays import Pixels
from devise.errors import BundleError
from devise.vision.preprocessing import Preprocessing

LITE2 = Preprocessing.of_lite(260)
PLAIN = Preprocessing(16, 12, "bicubic", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@pytest.mark.parametrize(("crop", "resize"), [(224, 256), (240, 274), (260, 297)])
def test_lite_sizes(crop: int, resize: int) -> None:
    assert Preprocessing.of_lite(crop).resize == resize


def test_same_pixels_as_pillow(photos: list[Pixels]) -> None:
    for photo in photos:
        image = Image.fromarray(photo)
        scale = 297 / min(image.size)
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
        left, top = (image.width - 260) // 2, (image.height - 260) // 2
        expected = np.asarray(image.crop((left, top, left + 260, top + 260)))
        crop = LITE2.apply(photo)
        assert crop.dtype == np.uint8
        np.testing.assert_array_equal(crop, expected)
        planes = (expected.astype(np.float32) - 127) / 128
        np.testing.assert_array_equal(LITE2.normalised(crop[None])[0], planes.transpose(2, 0, 1))


def cubic(x: np.ndarray) -> np.ndarray:
    """Keys' kernel with a = -1/2."""
    x = np.abs(x)
    return np.where(x < 1, (1.5 * x - 2.5) * x * x + 1, np.where(x < 2, ((-0.5 * x + 2.5) * x - 4) * x + 2, 0))


def resampling(before: int, after: int) -> np.ndarray:
    """The matrix that resamples one axis: row i holds the weights of the pixels that make new pixel i."""
    scale = before / after
    centres = (np.arange(after)[:, None] + 0.5) * scale
    weights = cubic((np.arange(before)[None, :] + 0.5 - centres) / max(scale, 1))
    return weights / weights.sum(1, keepdims=True)


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    resize=st.integers(2, 40),
    shrink=st.floats(0.1, 1),
    seed=st.integers(0, 99),
)
def test_crop_geometry_against_a_slow_oracle(width: int, height: int, resize: int, shrink: float, seed: int) -> None:
    crop = max(1, int(resize * shrink))
    # Low contrast, so that nothing overshoots 0 or 255, which Pillow would clip between its two passes.
    pixels = np.random.default_rng(seed).integers(100, 156, (height, width, 3), dtype=np.uint8)
    wide, high = round(width * (resize / min(width, height))), round(height * (resize / min(width, height)))
    down, across = resampling(height, high), resampling(width, wide)
    top, left = (high - crop) // 2, (wide - crop) // 2
    expected = np.einsum(
        "yh,hwc,xw->yxc",
        down[top : top + crop],
        pixels.astype(float),
        across[left : left + crop],
        optimize=True,
    )
    got = replace(PLAIN, resize=resize, crop=crop).apply(pixels)
    assert got.shape == (crop, crop, 3)
    # Pillow rounds to whole levels after each pass; the second may widen the half level of the first by 1.6.
    assert np.abs(got - expected).max() <= 1.5


def test_channels_keep_their_own_mean_and_std() -> None:
    settings = Preprocessing(4, 4, "bicubic", (10.0, 20.0, 30.0), (1.0, 2.0, 4.0))
    crop = settings.apply(np.full((4, 4, 3), (110, 120, 130), np.uint8))
    assert settings.normalised(crop[None])[0, :, 0, 0].tolist() == [100.0, 50.0, 25.0]


def test_normalised_by_hand() -> None:
    """Two pictures, one pixel high and two wide; every number is exact in float32."""
    how = Preprocessing(4, 4, "bicubic", (10.0, 20.0, 30.5), (2.0, 4.0, 0.5))
    crops = np.array([[[[10, 20, 30], [0, 0, 0]]], [[[255, 255, 255], [11, 22, 33]]]], np.uint8)
    before = crops.copy()
    made = how.normalised(crops)
    assert made.tolist() == [
        [[[0.0, -5.0]], [[0.0, -5.0]], [[-1.0, -61.0]]],
        [[[122.5, 0.5]], [[58.75, 0.5]], [[449.0, 5.0]]],
    ]
    assert made.dtype == np.float32
    assert made.flags.c_contiguous
    assert (crops == before).all()
    assert how.normalised(crops[:0]).shape == (0, 3, 1, 2)


def test_a_thin_strip_costs_no_more_than_a_photo() -> None:
    strip = np.zeros((1, 60_000, 3), np.uint8)
    strip[:, 30_000:] = 255
    crop = LITE2.apply(strip)  # resized whole it would be 297 x 17,820,000
    assert crop.shape == (260, 260, 3)
    columns = (np.arange(260) - 129.5) / 297  # in source pixels from the step
    weights = [cubic(columns - neighbour) for neighbour in (-1.5, -0.5, 0.5, 1.5)]
    expected = (255 * (weights[2] + weights[3]) / sum(weights)).clip(0, 255)
    assert np.abs(crop - expected[:, None]).max() <= 1.5


def test_dict_round_trip_through_json() -> None:
    assert Preprocessing.from_dict(json.loads(json.dumps(LITE2.to_dict()))) == LITE2


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"size": 3}, "size"),
        ({"resize": None}, "resize"),
        ({"resize": 297.0}, "resize"),
        ({"resize": True}, "resize"),
        ({"crop": 298}, "crop"),
        ({"crop": 0}, "crop"),
        ({"interpolation": "nearest"}, "interpolation"),
        ({"interpolation": ["bicubic"]}, "interpolation"),
        ({"mean": [127, 127]}, "mean"),
        ({"mean": [127, 127, "127"]}, "mean"),
        ({"mean": [127, 127, float("nan")]}, "mean"),
        ({"std": [128, 0, 128]}, "std"),
        ({"std": 128}, "std"),
    ],
)
def test_from_dict_refuses(change: dict[str, object], named: str) -> None:
    with pytest.raises(BundleError, match=named):
        Preprocessing.from_dict(LITE2.to_dict() | change)


def test_from_dict_refuses_a_missing_key() -> None:
    stored = LITE2.to_dict()
    del stored["std"]
    with pytest.raises(BundleError, match="std"):
        Preprocessing.from_dict(stored)


@pytest.mark.parametrize(
    "change",
    [
        {"resize": 20_000},
        {"mean": (1e308, 0.0, 0.0)},
        {"mean": (-1e5, 0.0, 0.0)},
        {"std": (1e308, 1.0, 1.0)},
        {"std": (1e-30, 1.0, 1.0)},
        {"mean": (10**400, 0, 0)},
    ],
)
def test_settings_out_of_sense_are_refused(change: dict[str, object]):
    stored = {
        **Preprocessing.of_lite(224).to_dict(),
        **{k: list(v) if isinstance(v, tuple) else v for k, v in change.items()},
    }
    with pytest.raises(BundleError, match=f"preprocessing: {next(iter(change))} must be "):
        Preprocessing.from_dict(stored)
