"""The fast form of a model: in 8 bits or not at all, and never mixed with the exact one."""

from pathlib import Path

import numpy as np
import openvino
import pytest

import devise
from devise.bundle.bundle import open_bundle
from devise.bundle.parts import FAST
from devise.errors import BundleError
from devise.model.labeller import Model
from devise.model.parts import DEFAULT_BUNDLE, ModelParts
from devise.search.photoindex import header_of


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A bundle whose files are those of the package, to be replaced one by one."""
    path = tmp_path / "linked"
    path.mkdir()
    for file in DEFAULT_BUNDLE.iterdir():
        (path / file.name).symlink_to(file)
    return path


@pytest.fixture(scope="module")
def fast() -> Model:
    if "INT8" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("OpenVINO has no 8-bit arithmetic for this CPU")
    return devise.load(fast=True)


def test_no_convolution_is_left_in_float(fast: Model):
    types = fast.parts.backbone().executed_types()
    assert types.total() == 64
    assert set(types) <= {"i8", "u8"}


def test_the_fast_form_answers_nearly_as_the_exact_one(fast: Model, packaged: Model, shared: Path):
    photos = sorted((shared / "data" / "photos" / "ilsvrc-five-per-class").glob("*/*"))[::94]
    exact = np.stack([one.features for one in packaged.features(photos) if one.features is not None])
    rounded = np.stack([one.features for one in fast.features(photos) if one.features is not None])
    off = np.linalg.norm(rounded - exact, axis=1) / np.linalg.norm(exact, axis=1)
    assert len(off) == 8
    # measured: 0.085 in the mean and 0.11 for one photo in ten with VNNI; without it, its weights in larger steps,
    # 0.16 and at most 0.2 here, without the part's narrow shifts 0.18 and 0.22. Products that overflow: 0.3 in the mean
    assert off.max() < 0.25
    assert (off > 0.005).all()  # it is another arithmetic
    named = packaged.parts.classifier.weight
    logits = [features @ named.T + packaged.parts.classifier.bias for features in (exact, rounded)]
    assert (logits[0].argmax(axis=1) == logits[1].argmax(axis=1)).sum() >= 6


def test_a_bundle_without_the_part_is_refused_at_once(small_bundle: Path):
    with pytest.raises(BundleError, match=r"has no fast\.safetensors.*leave --fast out.*devise train fast") as caught:
        devise.load(small_bundle, fast=True)
    assert "\n" not in str(caught.value)


def test_an_altered_part_is_refused(linked: Path):
    data = bytearray((linked / FAST).read_bytes())
    data[-1] ^= 1
    (linked / FAST).unlink()
    (linked / FAST).write_bytes(bytes(data))
    with pytest.raises(BundleError, match=r"fast\.safetensors: was changed"):
        ModelParts.open(linked, fast=True)
    assert not ModelParts.open(linked).fast  # the exact form has no need of it
    with pytest.raises(BundleError, match=r"fast\.safetensors: was changed"):
        open_bundle(linked).verify()


def test_what_the_two_make_is_not_mixed(fast: Model, packaged: Model):
    one, other = header_of(packaged.parts), header_of(fast.parts)
    assert one != other
    assert one.model_sha256 != other.model_sha256
    assert other.model == f"{one.model} --fast" == fast.parts.name
