import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino
import pytest

from devise.errors import BundleError, UsageError
from devise.vision.backbone import Backbone, OnnxRuntimeBackbone, OpenVinoBackbone
from devise.vision.efficientnet import EfficientNetLite
from devise.vision.preprocessing import Preprocessing
from devise.vision.runtime import Placement, here


def test_it_is_a_backbone(lite0_backbone: OpenVinoBackbone) -> None:
    backbone: Backbone = lite0_backbone
    assert backbone.dim == 1280
    assert backbone.preprocessing.crop == 224


def test_a_batch_is_its_pictures_one_by_one(lite0_backbone: OpenVinoBackbone, crops: np.ndarray) -> None:
    whole = lite0_backbone.features(crops)
    assert whole.shape == (len(crops), 1280)
    for start, stop in ((0, 1), (1, 3), (0, len(crops)), (2, 3)):
        part = lite0_backbone.features(crops[start:stop])
        assert np.abs(part - whole[start:stop]).max() < 1e-4  # float32 sums in another order


def test_results_are_the_callers_own(lite0_backbone: OpenVinoBackbone, crops: np.ndarray) -> None:
    first = lite0_backbone.features(crops[:1])
    kept = first.copy()
    lite0_backbone.features(crops[1:2])
    assert (first == kept).all()
    first[:] = -1
    assert (lite0_backbone.features(crops[:1]) == kept).all()


def test_the_input_is_left_as_it_was(lite0_backbone: OpenVinoBackbone, crops: np.ndarray) -> None:
    given = crops[:2].copy()
    lite0_backbone.features(given)
    assert (given == crops[:2]).all()


def test_a_strided_view_is_as_good(lite0_backbone: OpenVinoBackbone, crops: np.ndarray) -> None:
    for view in (crops[::-1][:2], crops[:2, :, ::-1], crops[:2, ..., ::-1]):
        assert np.abs(lite0_backbone.features(view) - lite0_backbone.features(view.copy())).max() < 1e-4


@pytest.fixture(scope="module")
def directly(lite0_onnx: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """OpenVINO alone on what the file of the network takes, without steps before it."""
    core = openvino.Core()
    network = core.read_model(lite0_onnx)
    network.reshape([1, 3, 224, 224])
    compiled = core.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda planes: np.concatenate([np.array(compiled(plane[None])[0]) for plane in planes])


def test_the_network_normalises_to_the_bit_as_numpy_does(
    lite0: EfficientNetLite,
    lite0_backbone: OpenVinoBackbone,
    crops: np.ndarray,
    directly: Callable[[np.ndarray], np.ndarray],
) -> None:
    """(byte - 127) / 128 is exact in float32, whichever way it is computed."""
    assert set(lite0.preprocessing.mean + lite0.preprocessing.std) == {127.0, 128.0}
    one_by_one = np.concatenate([lite0_backbone.features(crop[None]) for crop in crops])
    np.testing.assert_array_equal(one_by_one, directly(lite0.preprocessing.normalised(crops)))


def test_the_network_normalises_each_channel_by_its_own_mean_and_std(
    lite0: EfficientNetLite, lite0_onnx: bytes, crops: np.ndarray, directly: Callable[[np.ndarray], np.ndarray]
) -> None:
    """ImageNet's numbers, within the rounding of float32; channels in the wrong order would be far off."""
    how = replace(lite0.preprocessing, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
    expected = directly(how.normalised(crops[:2]))
    close = 1e-5 * expected.max()
    assert np.abs(OpenVinoBackbone(lite0_onnx, how).features(crops[:2]) - expected).max() < close
    turned = replace(how, mean=how.mean[::-1], std=how.std[::-1])
    assert np.abs(directly(turned.normalised(crops[:2])) - expected).max() > 1000 * close


@pytest.mark.parametrize("many", [200, 3])
def test_two_at_once_are_as_one_by_one(
    many: int, lite0: EfficientNetLite, lite0_onnx: bytes, crops: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = OpenVinoBackbone(lite0_onnx, lite0.preprocessing, streams=2)
    monkeypatch.setattr("devise.vision.backbone._PAIRS_PAY", many)
    three = crops[:3]  # a pair and one more
    one_by_one = [backbone.features(crop[None])[0] for crop in three]
    for _ in range(2):
        assert np.abs(backbone.features(three) - one_by_one).max() < 1e-4
    assert sorted(backbone._compiled) == ([1, 2] if many == 3 else [1])


def test_the_network_for_two_is_compiled_once_by_many_threads(
    lite0: EfficientNetLite, lite0_onnx: bytes, crops: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = OpenVinoBackbone(lite0_onnx, lite0.preprocessing, streams=2)
    monkeypatch.setattr("devise.vision.backbone._PAIRS_PAY", 8)
    compile_pairs, compiled = backbone._compile_pairs, list[int]()
    assert compile_pairs is not None
    backbone._compile_pairs = lambda: (compiled.append(1), compile_pairs())[1]
    wanted = backbone.features(crops[:1])
    block = np.repeat(crops[:1], 3, axis=0)
    with ThreadPoolExecutor(4) as pool:
        for features in pool.map(lambda _: backbone.features(block), range(12)):
            assert np.abs(features - wanted).max() < 1e-4
    assert compiled == [1]
    assert backbone._compile_pairs is None


def test_no_pictures(lite0_backbone: OpenVinoBackbone) -> None:
    assert lite0_backbone.features(np.zeros((0, 224, 224, 3), np.uint8)).shape == (0, 1280)


def test_threads_do_not_mix_results(lite0_backbone: OpenVinoBackbone, crops: np.ndarray) -> None:
    one_by_one = [lite0_backbone.features(crop[None]) for crop in crops]
    with ThreadPoolExecutor(4) as pool:
        at_once = list(pool.map(lambda i: lite0_backbone.features(crops[i : i + 1]), list(range(len(crops))) * 3))
    for i, features in enumerate(at_once):
        assert np.abs(features - one_by_one[i % len(crops)]).max() < 1e-4


@pytest.mark.parametrize("length", [0, 1, 1000, 100_000, -1])
def test_a_broken_network(lite0: EfficientNetLite, lite0_onnx: bytes, length: int) -> None:
    with pytest.raises(BundleError, match="cannot be read by OpenVINO") as caught:
        OpenVinoBackbone(lite0_onnx[:length], lite0.preprocessing)
    assert "\n" not in str(caught.value)


def test_a_missing_network(lite0: EfficientNetLite, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be read"):
        OpenVinoBackbone(tmp_path / "none.onnx", lite0.preprocessing)


def test_preprocessing_of_another_size(lite0_onnx: bytes) -> None:
    with pytest.raises(BundleError, match=r"3x224x224, its preprocessing makes 3x260x260"):
        OpenVinoBackbone(lite0_onnx, Preprocessing.of_lite(260))


TOLERANCE = 1e-4  # of the largest feature, as the docs say of every device in float32


def test_onnx_runtime_makes_the_features_of_openvino(
    lite0: EfficientNetLite, lite0_onnx: bytes, lite0_backbone: OpenVinoBackbone, crops: np.ndarray
) -> None:
    """The code of --device cuda, on the CPU."""
    pytest.importorskip("onnxruntime")
    twin: Backbone = OnnxRuntimeBackbone(lite0_onnx, lite0.preprocessing, provider="CPUExecutionProvider")
    assert twin.dim == 1280
    assert twin.features(crops[:0]).shape == (0, 1280)
    expected = lite0_backbone.features(crops)
    assert np.abs(twin.features(crops) - expected).max() < TOLERANCE * expected.max()
    assert (twin.features(crops[::-1]) == twin.features(crops)[::-1]).all()


def test_onnx_runtime_refuses_the_networks_that_openvino_refuses(lite0: EfficientNetLite, lite0_onnx: bytes) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(BundleError, match="cannot be read by OpenVINO"):
        OnnxRuntimeBackbone(lite0_onnx[:1000], lite0.preprocessing, provider="CPUExecutionProvider")
    with pytest.raises(BundleError, match=r"its preprocessing makes 3x260x260"):
        OnnxRuntimeBackbone(lite0_onnx, Preprocessing.of_lite(260), provider="CPUExecutionProvider")


def test_cuda_that_does_not_start(lite0: EfficientNetLite, lite0_onnx: bytes) -> None:
    """A provider that cannot start is left out by ONNX Runtime, which then runs on the CPU without an error."""
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("CUDA is here")
    with pytest.raises(UsageError, match="--device cuda cannot start"):
        OnnxRuntimeBackbone(lite0_onnx, lite0.preprocessing)


@pytest.mark.parametrize("device", ["gpu", "npu"])
def test_a_device_that_cannot_compile_the_network(lite0: EfficientNetLite, lite0_onnx: bytes, device: str) -> None:
    if device in {one.device for one in here()}:
        pytest.skip(f"{device} is here")
    with pytest.raises(BundleError, match=f"cannot run on --device {device} .*give --device cpu") as caught:
        OpenVinoBackbone(lite0_onnx, lite0.preprocessing, place=Placement(device))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_other_devices_make_the_features_of_the_cpu(
    lite0: EfficientNetLite, lite0_onnx: bytes, lite0_backbone: OpenVinoBackbone, crops: np.ndarray
) -> None:
    others = [one.device for one in here() if one.device in ("gpu", "cuda")]
    if not others:
        pytest.skip("this machine has no GPU")
    expected = lite0_backbone.features(crops)
    for device in others:
        made: Backbone = (
            OnnxRuntimeBackbone(lite0_onnx, lite0.preprocessing)
            if device == "cuda"
            else OpenVinoBackbone(lite0_onnx, lite0.preprocessing, place=Placement(device))
        )
        assert np.abs(made.features(crops) - expected).max() < TOLERANCE * expected.max()


def test_bf16_costs_little(
    lite0: EfficientNetLite, lite0_onnx: bytes, lite0_backbone: OpenVinoBackbone, crops: np.ndarray
) -> None:
    if "BF16" not in here()[0].capabilities:
        pytest.skip("this processor has no bf16")
    half = OpenVinoBackbone(lite0_onnx, lite0.preprocessing, place=Placement("cpu", "bf16"))
    assert half.executed_types()["bf16"]
    found, expected = (
        one / np.linalg.norm(one, axis=1, keepdims=True)
        for one in (half.features(crops), lite0_backbone.features(crops))
    )
    assert ((found * expected).sum(axis=1) > 0.99).all()


def test_floats_are_refused(lite0_onnx: bytes, tmp_path: Path) -> None:
    """In another process: here the types of arrays are checked first."""
    (tmp_path / "lite0.onnx").write_bytes(lite0_onnx)
    script = (
        "import sys, numpy as np; from pathlib import Path; from devise.vision.backbone import OpenVinoBackbone; "
        "from devise.vision.preprocessing import Preprocessing; "
        "backbone = OpenVinoBackbone(Path(sys.argv[1]), Preprocessing.of_lite(224)); "
        "backbone.features(np.zeros((1, 224, 224, 3), np.float32))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "lite0.onnx")], capture_output=True, text=True, check=False
    )
    assert done.returncode
    assert "a backbone takes pictures as bytes, got float32" in done.stderr.splitlines()[-1]
