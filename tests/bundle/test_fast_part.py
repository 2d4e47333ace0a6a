"""The part that the fast form needs: bytes and back, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from devise.bundle.arrays_io import from_bytes, to_bytes
from devise.bundle.manifest import BackboneFacts, LabelPolicyFacts, LabelSpaceFacts, Manifest, Part
from devise.bundle.parts import BACKBONE, decode_fast, encode_fast
from devise.errors import BundleError
from devise.vision.bounds import Bounds, network_of

NETWORK = network_of(b"a network")
BOUNDS = Bounds(
    NETWORK,
    {"pixels": (-0.9921875, 1.0), "blocks.0.add": (-40.5, 39.25)},
    {"conv_stem": np.array([0.5, -0.25], np.float32), "blocks.0.conv_dw": np.array([1.0, 2.0, 4.0], np.float32)},
    {"conv_stem": np.array([0.75, 0.0], np.float32), "blocks.0.conv_dw": np.array([3.0, 2.0, 5.0], np.float32)},
)


def manifest(sha256: str = NETWORK) -> Manifest:
    facts = Manifest("m", {}, BackboneFacts("a", 2), LabelSpaceFacts(1, 1, 1), LabelPolicyFacts("p"))
    return replace(facts, parts=(Part(BACKBONE, 9, sha256),))


def test_what_is_written_is_read() -> None:
    found = decode_fast(encode_fast(BOUNDS), manifest())
    assert found.network == NETWORK
    assert found.of == BOUNDS.of  # these numbers are exact in float32
    assert found.shifts.keys() == BOUNDS.shifts.keys()
    for name, shift in BOUNDS.shifts.items():
        assert found.shifts[name].dtype == np.float32
        assert found.shifts[name].tolist() == shift.tolist()
    assert found.narrow_shifts.keys() == BOUNDS.narrow_shifts.keys()
    for name, shift in BOUNDS.narrow_shifts.items():
        assert found.narrow_shifts[name].tolist() == shift.tolist()


def test_a_part_of_before_the_narrow_shifts_is_read() -> None:
    assert decode_fast(encode_fast(replace(BOUNDS, narrow_shifts={})), manifest()).narrow_shifts == {}


def test_the_same_bounds_give_the_same_bytes() -> None:
    assert encode_fast(BOUNDS) == encode_fast(replace(BOUNDS, shifts=dict(reversed(BOUNDS.shifts.items()))))


def test_another_network_is_refused() -> None:
    with pytest.raises(BundleError, match=r"made for another network than backbone\.onnx"):
        decode_fast(encode_fast(BOUNDS), manifest(network_of(b"another")))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"more": np.zeros(1, np.float32)}, "array more is unknown"),
        ({"bounds": np.zeros((3, 2), np.float32)}, "array bounds must be"),
        ({"bounds": np.zeros((2, 2), np.float32)}, "finite and ascend"),
        ({"bounds": np.array([[0, np.nan], [0, 1]], np.float32)}, "finite and ascend"),
        ({"values": np.frombuffer(b"pixels\npixels", np.uint8)}, "duplicate value"),
        ({"values": np.frombuffer(b"\xff\nblocks", np.uint8)}, "not UTF-8"),
        ({"values": np.zeros(3, np.float32)}, "row of bytes"),
        ({"network": np.zeros((2, 2), np.uint8)}, "row of bytes"),
        ({"shift/conv_stem": np.zeros(2, np.int32)}, "must be float16 or float32"),
        ({"shift/conv_stem": np.zeros((2, 2), np.float16)}, "array conv_stem must be"),
    ],
)
def test_damage_is_told(changed: dict[str, np.ndarray], reason: str) -> None:
    with pytest.raises(BundleError, match=reason) as caught:
        decode_fast(to_bytes({**from_bytes(encode_fast(BOUNDS)), **changed}), manifest())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["bounds", "network", "values"])
def test_a_missing_array_is_told(name: str) -> None:
    arrays = from_bytes(encode_fast(BOUNDS))
    del arrays[name]
    with pytest.raises(BundleError, match=name):
        decode_fast(to_bytes(arrays), manifest())


def test_a_shift_too_large_to_be_kept() -> None:
    with pytest.raises(BundleError, match="too large for float16"):
        encode_fast(replace(BOUNDS, shifts={"conv_stem": np.array([1e6], np.float32)}))
