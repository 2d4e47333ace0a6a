"""Preprocessing of other programs; transformers' own processors say what they make of a picture."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from devise.errors import UsageError
from devise.vision.foreign import of_processor, of_timm, read_preprocessing, settled_preprocessing
from devise.vision.preprocessing import Preprocessing

TIMM = {"input_size": (3, 64, 64), "interpolation": "bicubic", "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.1),
        "crop_pct": 0.9, "crop_mode": "center"}  # fmt: skip
VIT = {"image_processor_type": "ViTImageProcessor", "size": {"height": 48, "width": 48}, "resample": 2,
       "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "rescale_factor": 1 / 255}  # fmt: skip
PROCESSORS: dict[str, dict[str, Any]] = {
    "ViTImageProcessor": {"size": {"height": 48, "width": 48}},
    "DeiTImageProcessor": {"size": {"height": 64, "width": 64}, "crop_size": {"height": 48, "width": 48}},
    "ConvNextImageProcessor": {"size": {"shortest_edge": 48}, "crop_pct": 0.875},
    "CLIPImageProcessor": {"size": {"shortest_edge": 48}, "crop_size": {"height": 48, "width": 48}},
    "BitImageProcessor": {"size": {"shortest_edge": 56}, "crop_size": {"height": 48, "width": 48}},
}


def test_timm():
    found = settled_preprocessing(of_timm(TIMM), {})
    assert (found.resize, found.crop, found.interpolation, found.squash) == (71, 64, "bicubic", False)
    assert found.mean == pytest.approx((127.5, 102, 76.5))
    assert found.std == pytest.approx((51, 51, 25.5))
    assert of_timm(TIMM | {"crop_mode": "squash"})["squash"]
    with pytest.raises(UsageError, match="by border: only square ones, center or squash, work"):
        of_timm(TIMM | {"crop_mode": "border"})
    with pytest.raises(UsageError, match="pictures of 32x64"):
        of_timm(TIMM | {"input_size": (3, 32, 64)})
    with pytest.raises(UsageError, match="lacks or garbles 'mean'"):
        of_timm({"input_size": (3, 64, 64)})
    with pytest.raises(UsageError, match=r"interpolation must be one of bicubic, bilinear, lanczos, got 'nearest'$"):
        settled_preprocessing(of_timm(TIMM | {"interpolation": "nearest"}), {})


@pytest.mark.parametrize("name", PROCESSORS)
def test_planes_are_those_of_transformers(name: str):
    transformers: Any = pytest.importorskip("transformers")
    kind = getattr(transformers, f"{name}Pil", None) or getattr(transformers, name)
    processor = kind(**PROCESSORS[name])
    pixels = np.asarray(Image.effect_noise((90, 60), 60).convert("RGB"), np.uint8)  # sides that scale without a rest
    own = np.asarray(processor(Image.fromarray(pixels), return_tensors="np")["pixel_values"])[0]
    told = settled_preprocessing(of_processor(processor.to_dict() | {"image_processor_type": kind.__name__}), {})
    ours = told.normalised(told.apply(pixels)[None])[0]
    assert ours.shape == own.shape == (3, 48, 48)
    np.testing.assert_allclose(ours, own, atol=1e-4)


def test_what_no_form_is_known_for_is_refused():
    with pytest.raises(UsageError, match="image processor FuyuImageProcessor is not known: give --resize"):
        of_processor(VIT | {"image_processor_type": "FuyuImageProcessor"})
    with pytest.raises(UsageError, match="ViTImageProcessor does not say resample"):
        of_processor({key: value for key, value in VIT.items() if key != "resample"})
    with pytest.raises(UsageError, match="has do_resize = false"):
        of_processor(VIT | {"do_resize": False})
    with pytest.raises(UsageError, match="makes pictures of 48 x 32 pixels"):
        of_processor(VIT | {"size": {"height": 48, "width": 32}})
    with pytest.raises(UsageError, match="crops nothing, so its pictures are not square"):
        of_processor(VIT | {"image_processor_type": "CLIPFeatureExtractor", "size": 48})


def test_nothing_is_guessed():
    with pytest.raises(UsageError, match="give --resize, --interpolation, --mean, --std, or --preprocessing FILE"):
        settled_preprocessing({"crop": 224}, {})
    whole = settled_preprocessing(of_timm(TIMM), {"crop": 32})
    assert (whole.resize, whole.crop) == (71, 32)


def test_files(tmp_path: Path):
    path = tmp_path / "preprocessing.json"

    def read(stored: object) -> Preprocessing:
        path.write_text(json.dumps(stored))
        return settled_preprocessing(read_preprocessing(path), {})

    lite = Preprocessing.of_lite(224)
    assert read(lite.to_dict()) == lite
    assert read({"architecture": "resnet50", "pretrained_cfg": TIMM}) == settled_preprocessing(of_timm(TIMM), {})
    squashed = read(VIT)
    assert (squashed.squash, squashed.crop) == (True, 48)
    assert read(squashed.to_dict()) == squashed
    for wrong, message in (
        ({"crop": 3}, "preprocessing has unknown keys"), ([], "is not a file of preprocessing"),
        ({"mean": 3}, "is not a file of preprocessing"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=message):
            read(wrong)
    path.write_text("{")
    with pytest.raises(UsageError, match="is not JSON"):
        read_preprocessing(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_preprocessing(tmp_path / "none.json")


def test_squashed_pictures_keep_both_sides():
    told = Preprocessing(4, 4, "bilinear", (0.0,) * 3, (1.0,) * 3, squash=True)
    halves = np.zeros((4, 16, 3), np.uint8)
    halves[:, 8:] = 200
    crop = told.apply(halves)
    assert crop.shape == (4, 4, 3)
    assert crop[:, 0].max() < 40
    assert crop[:, 3].min() > 160
    assert told.resized(16, 4) == (4, 4)
    long = told.apply(np.tile(halves, (1, 10, 1)))  # more than 8 times as long as wide
    np.testing.assert_allclose(long, 100, atol=40)
