from pathlib import Path

import numpy as np
import pytest

from devise.errors import BundleError
from devise.model.labeller import Model
from devise.model.parts import ModelParts


def test_trained_ids_are_in_the_order_of_the_classifier(small: Model):
    assert small.parts.trained_ids == ("n03272010", "n02123045", "n02391049", "n02128757")
    assert small.parts.trained.tolist() == [8, 1, 3, 6]


def test_parts_are_read_once(small_bundle: Path):
    parts = ModelParts.open(small_bundle)
    assert parts.space is parts.space
    assert parts.classifier is parts.classifier
    assert parts.surgery is parts.surgery
    assert parts.composer is parts.composer
    np.testing.assert_array_equal(parts.space.vectors, parts.bundle.label_vectors())


def test_settings(small: Model):
    assert small.parts.setting("conse", "top") == 2
    for scorer, name in (("conse", "margin"), ("magic", "top")):
        with pytest.raises(BundleError, match=f"has no {name} for {scorer}"):
            small.parts.setting(scorer, name)


def test_a_damaged_part_is_told_when_it_is_read(small_bundle: Path, tmp_path: Path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in small_bundle.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    data = bytearray((copy / "labels.safetensors").read_bytes())
    data[-1] ^= 1
    (copy / "labels.safetensors").write_bytes(bytes(data))
    parts = ModelParts.open(copy)
    with pytest.raises(BundleError, match=r"labels\.safetensors: was changed"):
        _ = parts.space.vectors


def test_a_model_without_a_centre_takes_no_new_labels():
    old = Path(__file__).parents[1] / "data" / "bundle-v1"
    with pytest.raises(BundleError, match="has no label_centre"):
        _ = ModelParts.open(old).centre
