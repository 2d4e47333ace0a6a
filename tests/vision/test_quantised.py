"""The 8-bit form of a network: what is rounded and to what, by hand; and that it really runs in 8 bits."""

import os
import platform
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from openvino import opset13

import devise
from devise.errors import BundleError, UsageError
from devise.vision.backbone import OpenVinoBackbone
from devise.vision.bounds import Bounds, network_of
from devise.vision.efficientnet import EfficientNetLite
from devise.vision.preprocessing import Preprocessing
from devise.vision.quantised import (
    _most,
    _seen,
    measure_bounds,
    quantise,
    require_int8,
    rounded_values,
    shift_of,
    sums_are_narrow,
)

WEIGHT = np.array([[1.27, 0.504], [-0.2, 0.0513]], np.float32)
SHIFT = np.array([0.25, -1.0], np.float32)


def parameter() -> Any:
    pixels = opset13.parameter([1, 2, 4, 4], np.float32)
    pixels.set_friendly_name("pixels")
    return pixels


def pointwise(weight: np.ndarray = WEIGHT, bias: float | None = 0.5) -> Any:
    """pixels [1, 2, 4, 4] to a convolution of one pixel, `conv`, and a bias behind it."""
    pixels = parameter()
    ones, none = [1, 1], [0, 0]
    value = opset13.convolution(pixels, opset13.constant(weight[:, :, None, None]), ones, none, none, ones)
    if bias is not None:
        value = opset13.add(value, opset13.constant(np.full((1, len(weight), 1, 1), bias, np.float32)), name="conv")
    return openvino.Model([value], [pixels], "pointwise")


def ran(network: Any, pixels: np.ndarray) -> np.ndarray:
    compiled = openvino.Core().compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.array(compiled(pixels)[0])


def constant_planes(*values: float) -> np.ndarray:
    return np.broadcast_to(np.array(values, np.float32)[None, :, None, None], (1, 2, 4, 4)).copy()


@pytest.fixture(scope="module")
def lite0_bounds(lite0: EfficientNetLite, lite0_onnx: bytes, planes: np.ndarray) -> Bounds:
    return measure_bounds(lite0_onnx, lite0.preprocessing, planes[: len(planes) // 2, None])


def test_rounding_by_hand() -> None:
    """Steps of 0.01 for what flows and for the first row of weights, of 0.2 / 127 for the second."""
    network = pointwise()
    quantise(network, Bounds("", {"pixels": (0.0, 2.55)}, {"conv": SHIFT}), narrow=False)
    found = ran(network, constant_planes(0.1234, 3.0))[0, :, 0, 0]  # become 0.12, and 2.55 beyond the bounds
    step = 0.2 / 127
    second = -0.2 * 0.12 + round(0.0513 / step) * step * 2.55
    assert found == pytest.approx([1.27 * 0.12 + 0.5 * 2.55 + 0.5 + 0.25, second + 0.5 - 1.0], abs=1e-5)


def test_what_lies_on_the_grid_stays() -> None:
    """Pixels that are bytes and weights that are multiples of the step lose nothing."""
    weight = np.array([[1.27, -0.31], [0.05, 0.0]], np.float32)
    exact, rounded = pointwise(weight), pointwise(weight)
    quantise(rounded, Bounds("", {"pixels": (-127 / 128, 1.0)}, {"conv": np.zeros(2, np.float32)}), narrow=False)
    # the second row: 0.05 is 127 steps
    pixels = (np.random.default_rng(0).integers(0, 256, (1, 2, 4, 4)).astype(np.float32) - 127) / 128
    np.testing.assert_allclose(ran(rounded, pixels), ran(exact, pixels), atol=2e-5)  # float32 sums


def test_the_shift_by_hand() -> None:
    """Rounding 0.504 to 0.50 takes 0.004 of what the second channel has in the mean, 10; 0.0513 rounds to 33 steps."""
    shift = shift_of(WEIGHT[:, :, None, None], np.array([3.0, 10.0], np.float32), narrow=False)
    assert shift == pytest.approx([0.004 * 10, (0.0513 - 33 * 0.2 / 127) * 10], abs=1e-5)


def test_the_shift_of_groups() -> None:
    """Each group reads its own channels: two groups of one channel, three weights each."""
    weight = np.zeros((2, 1, 1, 1, 3), np.float32)
    weight[0, 0, 0, 0] = [1.27, 0.006, 0.006]  # round to 1.27, 0.01, 0.01
    weight[1, 0, 0, 0] = [0.127, 0.0004, 0.0]  # round to 0.127, 0, 0
    shift = shift_of(weight, np.array([2.0, 5.0], np.float32), narrow=False)
    assert shift == pytest.approx([-0.008 * 2, 0.0004 * 5], abs=1e-6)


@pytest.mark.parametrize("narrow", [True, False])
def test_the_shift_keeps_the_mean(narrow: bool) -> None:
    if sums_are_narrow() and not narrow:
        pytest.skip("products of whole 8-bit weights overflow on this CPU")
    rng = np.random.default_rng(1)
    weight = rng.normal(size=(2, 2)).astype(np.float32)
    pixels = rng.integers(0, 256, (1, 2, 4, 4)).astype(np.float32) / 255
    shift = shift_of(weight[:, :, None, None], pixels.mean((0, 2, 3)), narrow=narrow)
    exact, rounded = pointwise(weight), pointwise(weight)
    shifts = {narrow: {"conv": shift}, not narrow: {"conv": shift + 1}}
    quantise(rounded, Bounds("", {"pixels": (0.0, 1.0)}, shifts[False], shifts[True]), narrow=narrow)
    off = np.abs(ran(rounded, pixels) - ran(exact, pixels))
    assert off.max() > 1e-4  # the pictures differ
    # pixels are on the grid, so only float32 rounding is left: numbers up to 2, an eps of 1e-7 each, a few of them
    np.testing.assert_allclose(ran(rounded, pixels).mean((0, 2, 3)), ran(exact, pixels).mean((0, 2, 3)), atol=1e-5)


def convolved(weight: np.ndarray) -> Any:
    """Pixels to one convolution, `conv`, with a bias of zero. weight: [out in k k], or [groups out in k k]."""
    groups = weight.shape[0] if weight.ndim == 5 else 1
    pixels = opset13.parameter([1, groups * weight.shape[-3], 6, 6], np.float32)
    pixels.set_friendly_name("pixels")
    kind = opset13.convolution if weight.ndim == 4 else opset13.group_convolution
    value = kind(pixels, opset13.constant(weight), [1, 1], [0, 0], [0, 0], [1, 1])
    out = weight.shape[-4] * groups
    value = opset13.add(value, opset13.constant(np.zeros((1, out, 1, 1), np.float32)), name="conv")
    return openvino.Model([value], [pixels], "convolved")


SHAPES = [
    (8, 32, 1, 1),
    (5, 7, 1, 1),
    (16, 1, 1, 1),
    (8, 3, 3, 3),
    (16, 16, 3, 3),
    (8, 3, 5, 5),
    (16, 1, 1, 3, 3),
    (2, 8, 8, 1, 1),
    (2, 8, 8, 3, 3),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_no_product_overflows(shape: tuple[int, ...]) -> None:
    """The greatest pixels against weights of one sign: only what rounding the weights can take may be missing.

    Where products overflow, up to half of the sum is.
    """
    weight = np.random.default_rng(2).uniform(0.6, 1, shape).astype(np.float32)
    weight[..., 0, :, :, :] *= -1
    exact, rounded = convolved(weight), convolved(weight)
    nothing = {"conv": np.zeros(weight[..., 0, 0, 0].size, np.float32)}
    quantise(rounded, Bounds("", {"pixels": (0.0, 1.0)}, nothing), narrow=sums_are_narrow())
    pixels = np.ones([1, *[side.get_length() for side in exact.input(0).partial_shape][1:]], np.float32)
    # a step is at most 2/127, a weight is moved by half of one at most; 1e-5: float32 sums
    allowed = np.prod(shape[-3:]) / 127
    np.testing.assert_allclose(ran(rounded, pixels), ran(exact, pixels), atol=allowed + 1e-5)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_narrow_weights_by_the_rule(shape: tuple[int, ...]) -> None:
    """255 times the rounded weights that may be added in pairs fits 16 bits; and the steps are no larger than that."""
    rng = np.random.default_rng(5)
    weight = (rng.normal(size=shape) ** 3).astype(np.float32)
    wide, narrow = (_most(weight, narrow=narrow) / np.float32(127) for narrow in (False, True))
    assert (narrow >= wide).all()
    assert (narrow <= 2 * wide).all()
    steps = np.rint(weight / narrow).astype(int)
    assert np.abs(steps).max() <= 127
    for channel in steps.reshape(-1, *shape[-3:]):
        if shape[1:3] == (1, 1) and len(shape) == 5:  # depthwise: no pairs
            pairs = [(number,) for number in channel.ravel()]
        elif shape[-2:] == (1, 1):
            pairs = [tuple(channel[at : at + 2, 0, 0]) for at in range(0, shape[-3], 2)]
        else:
            pairs = list(combinations(channel.ravel(), 2)) or [(channel.item(),)]
        sums = [abs(sum(number for number in pair if sign * number > 0)) for pair in pairs for sign in (1, -1)]
        assert 255 * max(sums) < 2**15
        assert max(sums) >= 126  # it is one of these that sets the step


def test_wide_weights_go_from_minus_their_greatest_to_plus_it_bit_for_bit() -> None:
    """Where products do not overflow nothing is given up."""
    weight = np.random.default_rng(6).normal(size=(3, 2)).astype(np.float32)
    weight[2] = 0
    network = pointwise(weight)
    quantise(network, Bounds("", {"pixels": (0.0, 1.0)}, {"conv": np.arange(3, dtype=np.float32)}, {}), narrow=False)
    nodes = network.get_ordered_ops()
    kept = [node for node in nodes if node.get_type_name() == "FakeQuantize" and node.get_output_shape(0)[0] == 3]
    assert [node.get_attributes()["levels"] for node in kept] == [255]
    low, high, low_out, high_out = (kept[0].input_value(place).get_node().data.ravel() for place in (1, 2, 3, 4))
    expected = np.array([*np.abs(weight[:2]).max(axis=1), 1e-6], np.float32)
    for found in (-low, high, -low_out, high_out):
        np.testing.assert_array_equal(found, expected)


def test_a_part_without_narrow_shifts_uses_those_it_has() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (1, 2, 4, 4)).astype(np.float32) / 255
    found = []
    for more in ({}, {"conv": SHIFT}):
        network = pointwise()
        quantise(network, Bounds("", {"pixels": (0.0, 1.0)}, {"conv": SHIFT}, more), narrow=True)
        found.append(ran(network, pixels))
    np.testing.assert_array_equal(*found)


def test_narrow_sums_are_those_of_a_cpu_without_vnni() -> None:
    flags = Path("/proc/cpuinfo")
    if platform.machine() != "x86_64" or not flags.exists() or "ONEDNN_MAX_CPU_ISA" in os.environ:
        pytest.skip("the instructions are read from Linux on x86-64, and none may be forbidden")
    known = set(flags.read_text().split())
    assert sums_are_narrow() is not bool(known & {"avx512_vnni", "avx_vnni", "amx_int8"})


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="instructions of x86-64")
def test_forbidden_instructions_are_not_counted_on() -> None:
    code = "from devise.vision.quantised import sums_are_narrow; print(sums_are_narrow())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "PYTHONPATH": str(Path(devise.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True\n"


def test_the_bounds_are_means_of_extremes_and_those_of_bytes(lite0: EfficientNetLite, lite0_bounds: Bounds) -> None:
    assert lite0_bounds.of["pixels"] == (-127 / 128, 1.0)
    assert lite0_bounds.of["conv_stem.relu6"] == pytest.approx((0.0, 6.0), abs=0.3)
    assert all(low < high for low, high in lite0_bounds.of.values())
    layers = [name for name, _ in lite0.named_modules() if ".conv" in f".{name}"]
    assert set(lite0_bounds.shifts) == set(lite0_bounds.narrow_shifts) == set(layers)


def test_both_sides_of_a_residual_sum_are_rounded() -> None:
    pixels = parameter()
    doubled = opset13.relu(pixels, name="relu")
    network = openvino.Model([opset13.add(doubled, pixels, name="sum")], [pixels], "sum")
    assert list(rounded_values(network)) == ["relu", "pixels"]


def test_every_convolution_runs_in_8_bits(
    lite0: EfficientNetLite, lite0_onnx: bytes, lite0_bounds: Bounds, lite0_backbone: OpenVinoBackbone
) -> None:
    if "INT8" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("OpenVINO has no 8-bit arithmetic for this CPU")
    fast = OpenVinoBackbone(lite0_onnx, lite0.preprocessing, bounds=lite0_bounds).executed_types()
    exact = lite0_backbone.executed_types()
    assert set(exact) == {"f32"}
    assert set(fast) <= {"i8", "u8"}
    assert fast.total() == exact.total() == 49


def test_features_agree(
    lite0: EfficientNetLite,
    lite0_onnx: bytes,
    lite0_bounds: Bounds,
    lite0_backbone: OpenVinoBackbone,
    crops: np.ndarray,
) -> None:
    """On photos that were not measured; without the shifts the features are farther off."""
    exact = lite0_backbone.features(crops)[len(crops) // 2 :]

    def off(bounds: Bounds) -> float:
        fast = OpenVinoBackbone(lite0_onnx, lite0.preprocessing, bounds=bounds).features(crops)[len(crops) // 2 :]
        return float(np.linalg.norm(fast - exact) / np.linalg.norm(exact))

    unshifted = Bounds(
        lite0_bounds.network, lite0_bounds.of, {name: 0 * one for name, one in lite0_bounds.shifts.items()}
    )
    mended = off(lite0_bounds)
    # The bound is for six photos and bounds from three of them, either way; Lite2 with bounds from 300 photos is off by
    # 0.06 to 0.1 (8 bits) and 0.1 (narrow) in the mean. Products that overflow move these features by 0.52.
    assert 0 < mended < 0.25
    assert mended < off(unshifted)


def test_the_same_photos_give_the_same_bounds(
    lite0: EfficientNetLite, lite0_onnx: bytes, lite0_bounds: Bounds, planes: np.ndarray
) -> None:
    again = measure_bounds(lite0_onnx, lite0.preprocessing, iter(planes[: len(planes) // 2, None]))
    assert again.network == lite0_bounds.network == network_of(lite0_onnx)
    assert again.of == lite0_bounds.of
    assert all((again.shifts[name] == shift).all() for name, shift in lite0_bounds.shifts.items())
    assert all((again.narrow_shifts[name] == shift).all() for name, shift in lite0_bounds.narrow_shifts.items())


def test_no_picture(lite0: EfficientNetLite, lite0_onnx: bytes) -> None:
    with pytest.raises(UsageError, match="needs readable photos"):
        measure_bounds(lite0_onnx, lite0.preprocessing, [])


@pytest.mark.parametrize(
    "bounds",
    [
        Bounds("", {}, {"conv": SHIFT}),
        Bounds("", {"pixels": (0.0, 1.0)}, {}),
        Bounds("", {"other": (0.0, 1.0)}, {"conv": SHIFT}),
    ],
)
def test_bounds_of_another_network(bounds: Bounds) -> None:
    with pytest.raises(BundleError, match="made for another one"):
        quantise(pointwise(), bounds, narrow=False)


def test_a_transformer_has_no_fast_form() -> None:
    whole = pointwise()
    value = opset13.reshape(whole.get_results()[0].input_value(0), np.array([1, 2, 16]), False)
    network = openvino.Model([opset13.add(value, opset13.relu(value))], whole.get_parameters(), "tokens")
    with pytest.raises(BundleError, match="as transformers do, so it has no fast form"):
        _seen(openvino.Core(), network, [])


def test_a_convolution_without_a_bias() -> None:
    with pytest.raises(BundleError, match="has no bias"):
        quantise(pointwise(bias=None), Bounds("", {"pixels": (0.0, 1.0)}, {}), narrow=False)


@pytest.mark.parametrize("pair", [(1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_bounds_that_are_none(pair: tuple[float, float]) -> None:
    with pytest.raises(BundleError, match="finite and ascend"):
        Bounds("", {"pixels": pair}, {})


def test_a_cpu_without_8_bits() -> None:
    class Old:
        def get_property(self, device: str, name: str) -> list[str]:
            assert (device, name) == ("CPU", "OPTIMIZATION_CAPABILITIES")
            return ["FP32", "BF16"]

    with pytest.raises(UsageError, match="no 8-bit arithmetic for this CPU"):
        require_int8(Old())
    require_int8(type("New", (), {"get_property": lambda self, device, name: ["FP32", "INT8"]})())


def test_pixels_of_another_scale() -> None:
    """Mean and deviation may differ by channel: the bounds then hold all three."""
    from devise.vision.quantised import _pixel_bounds

    of = Preprocessing(8, 8, "bicubic", (0.0, 100.0, 255.0), (255.0, 100.0, 50.0))
    assert _pixel_bounds(of) == pytest.approx((-5.1, 1.55))
