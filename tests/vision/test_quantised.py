"""The 8-bit form of a network: what is rounded and to what, by hand; and that it really runs in 8 bits."""

from typing import Any

import numpy as np
import openvino
import pytest
from openvino import opset13

from devise.arrays import Pixels
from devise.errors import BundleError, UsageError
from devise.vision.backbone import OpenVinoBackbone
from devise.vision.bounds import Bounds, network_of
from devise.vision.efficientnet import EfficientNetLite
from devise.vision.preprocessing import Preprocessing
from devise.vision.quantised import measure_bounds, quantise, require_int8, rounded_values, shift_of

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
def planes(lite0: EfficientNetLite, photos: list[Pixels]) -> np.ndarray:
    return np.stack([lite0.preprocessing.apply(photo) for photo in photos])


@pytest.fixture(scope="module")
def lite0_bounds(lite0: EfficientNetLite, lite0_onnx: bytes, planes: np.ndarray) -> Bounds:
    return measure_bounds(lite0_onnx, lite0.preprocessing, planes[: len(planes) // 2])


def test_rounding_by_hand() -> None:
    """Steps of 0.01 for what flows and for the first row of weights, of 0.2 / 127 for the second."""
    network = pointwise()
    quantise(network, Bounds("", {"pixels": (0.0, 2.55)}, {"conv": SHIFT}))
    found = ran(network, constant_planes(0.1234, 3.0))[0, :, 0, 0]  # become 0.12, and 2.55 beyond the bounds
    step = 0.2 / 127
    second = -0.2 * 0.12 + round(0.0513 / step) * step * 2.55
    assert found == pytest.approx([1.27 * 0.12 + 0.5 * 2.55 + 0.5 + 0.25, second + 0.5 - 1.0], abs=1e-5)


def test_what_lies_on_the_grid_stays() -> None:
    """Pixels that are bytes and weights that are multiples of the step lose nothing."""
    weight = np.array([[1.27, -0.31], [0.05, 0.0]], np.float32)
    exact, rounded = pointwise(weight), pointwise(weight)
    quantise(rounded, Bounds("", {"pixels": (-127 / 128, 1.0)}, {"conv": np.zeros(2, np.float32)}))
    # the second row: 0.05 is 127 steps
    pixels = (np.random.default_rng(0).integers(0, 256, (1, 2, 4, 4)).astype(np.float32) - 127) / 128
    np.testing.assert_allclose(ran(rounded, pixels), ran(exact, pixels), atol=2e-5)  # float32 sums


def test_the_shift_by_hand() -> None:
    """Rounding 0.504 to 0.50 takes 0.004 of what the second channel has in the mean, 10; 0.0513 rounds to 33 steps."""
    shift = shift_of(WEIGHT[:, :, None, None], np.array([3.0, 10.0], np.float32))
    assert shift == pytest.approx([0.004 * 10, (0.0513 - 33 * 0.2 / 127) * 10], abs=1e-5)


def test_the_shift_of_groups() -> None:
    """Each group reads its own channels: two groups of one channel, three weights each."""
    weight = np.zeros((2, 1, 1, 1, 3), np.float32)
    weight[0, 0, 0, 0] = [1.27, 0.006, 0.006]  # round to 1.27, 0.01, 0.01
    weight[1, 0, 0, 0] = [0.127, 0.0004, 0.0]  # round to 0.127, 0, 0
    assert shift_of(weight, np.array([2.0, 5.0], np.float32)) == pytest.approx([-0.008 * 2, 0.0004 * 5], abs=1e-6)


def test_the_shift_keeps_the_mean() -> None:
    rng = np.random.default_rng(1)
    weight = rng.normal(size=(2, 2)).astype(np.float32)
    pixels = rng.integers(0, 256, (1, 2, 4, 4)).astype(np.float32) / 255
    shift = shift_of(weight[:, :, None, None], pixels.mean((0, 2, 3)))
    exact, rounded = pointwise(weight), pointwise(weight)
    quantise(rounded, Bounds("", {"pixels": (0.0, 1.0)}, {"conv": shift}))
    off = np.abs(ran(rounded, pixels) - ran(exact, pixels))
    assert off.max() > 1e-4  # the pictures differ
    np.testing.assert_allclose(ran(rounded, pixels).mean((0, 2, 3)), ran(exact, pixels).mean((0, 2, 3)), atol=1e-5)


def test_the_bounds_are_means_of_extremes_and_those_of_bytes(lite0: EfficientNetLite, lite0_bounds: Bounds) -> None:
    assert lite0_bounds.of["pixels"] == (-127 / 128, 1.0)
    assert lite0_bounds.of["conv_stem.relu6"] == pytest.approx((0.0, 6.0), abs=0.3)
    assert all(low < high for low, high in lite0_bounds.of.values())
    layers = [name for name, _ in lite0.named_modules() if ".conv" in f".{name}"]
    assert set(lite0_bounds.shifts) == set(layers)


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
    planes: np.ndarray,
) -> None:
    """On photos that were not measured; without the shifts the features are farther off."""
    exact = lite0_backbone.features(planes)[len(planes) // 2 :]

    def off(bounds: Bounds) -> float:
        fast = OpenVinoBackbone(lite0_onnx, lite0.preprocessing, bounds=bounds).features(planes)[len(planes) // 2 :]
        return float(np.linalg.norm(fast - exact) / np.linalg.norm(exact))

    unshifted = Bounds(
        lite0_bounds.network, lite0_bounds.of, {name: 0 * one for name, one in lite0_bounds.shifts.items()}
    )
    mended = off(lite0_bounds)
    assert 0 < mended < 0.25  # measured: 0.1 with Lite2; six photos here, of which three were measured
    assert mended < off(unshifted)


def test_the_same_photos_give_the_same_bounds(
    lite0: EfficientNetLite, lite0_onnx: bytes, lite0_bounds: Bounds, planes: np.ndarray
) -> None:
    again = measure_bounds(lite0_onnx, lite0.preprocessing, iter(planes[: len(planes) // 2]))
    assert again.network == lite0_bounds.network == network_of(lite0_onnx)
    assert again.of == lite0_bounds.of
    assert all((again.shifts[name] == shift).all() for name, shift in lite0_bounds.shifts.items())


def test_no_picture(lite0: EfficientNetLite, lite0_onnx: bytes) -> None:
    with pytest.raises(UsageError, match="none that can be read"):
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
        quantise(pointwise(), bounds)


def test_a_convolution_without_a_bias() -> None:
    with pytest.raises(BundleError, match="has no bias"):
        quantise(pointwise(bias=None), Bounds("", {"pixels": (0.0, 1.0)}, {}))


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
