import numpy as np
import onnx
import pytest
import torch

from devise.errors import BundleError
from devise.vision.backbone import OpenVinoBackbone
from devise.vision.efficientnet import EfficientNetLite
from devise.vision.export import onnx_bytes


@pytest.fixture(scope="module")
def expected(lite0: EfficientNetLite, planes: np.ndarray) -> np.ndarray:
    """What torch makes of the photos."""
    with torch.no_grad():
        return lite0.forward_features(torch.from_numpy(planes)).numpy()


@pytest.fixture(scope="module")
def half(lite0: EfficientNetLite) -> bytes:
    return onnx_bytes(lite0, half=True)


def onnxruntime_features(data: bytes, planes: np.ndarray) -> np.ndarray:
    session = pytest.importorskip("onnxruntime").InferenceSession(data)
    return session.run(["features"], {"pixels": planes})[0]


def test_float32_export_gives_the_features_of_torch(
    lite0_onnx: bytes, lite0_backbone: OpenVinoBackbone, crops: np.ndarray, planes: np.ndarray, expected: np.ndarray
) -> None:
    # Sums of float32 in another order, and BatchNorm folded: 1e-5 was measured for features up to 6.
    assert np.abs(onnxruntime_features(lite0_onnx, planes) - expected).max() < 1e-4
    assert np.abs(lite0_backbone.features(crops) - expected).max() < 1e-4


def test_half_precision_only_rounds_the_weights(
    lite0: EfficientNetLite, lite0_onnx: bytes, half: bytes, crops: np.ndarray, planes: np.ndarray, expected: np.ndarray
) -> None:
    assert len(half) < 0.52 * len(lite0_onnx)
    got = OpenVinoBackbone(half, lite0.preprocessing).features(crops)
    # Both engines compute in float32 on the same rounded weights: they agree as closely as without rounding.
    assert np.abs(onnxruntime_features(half, planes) - got).max() < 1e-4
    # A float16 weight is off by up to 2^-11 of itself; over some fifty layers 0.2 to 0.5 % were measured.
    change = np.linalg.norm(got - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert 1e-5 < change.max() < 0.01
    weight, bias = lite0.classifier.weight.detach().numpy(), lite0.classifier.bias.detach().numpy()
    assert ((got @ weight.T + bias).argmax(1) == (expected @ weight.T + bias).argmax(1)).mean() >= 0.9


def test_same_model_same_bytes(lite0: EfficientNetLite, half: bytes) -> None:
    assert onnx_bytes(lite0, half=True) == half


def test_the_file_says_what_goes_in_and_out_and_nothing_of_its_maker(half: bytes) -> None:
    model = onnx.load_from_string(half)
    sides = [side.dim_param or side.dim_value for side in model.graph.input[0].type.tensor_type.shape.dim]
    assert (model.graph.input[0].name, sides) == ("pixels", ["N", 3, 224, 224])
    assert [model.graph.output[0].name, len(model.graph.output)] == ["features", 1]
    assert not model.producer_name
    assert not model.doc_string
    assert not any(node.op_type == "BatchNormalization" for node in model.graph.node)
    weights = [tensor for tensor in model.graph.initializer if tensor.name.endswith(".weight")]
    assert {tensor.data_type for tensor in weights} == {onnx.TensorProto.FLOAT16}


def test_weights_beyond_float16_are_refused() -> None:
    model = EfficientNetLite("lite0")
    with torch.no_grad():
        model.bn1.weight.fill_(1e6)
    with pytest.raises(BundleError, match=r"conv_stem\.weight do not fit into float16"):
        onnx_bytes(model, half=True)
    onnx_bytes(model, half=False)


def test_exported_in_training_mode_or_not(lite0: EfficientNetLite, half: bytes) -> None:
    lite0.train()
    try:
        assert onnx_bytes(lite0, half=True) == half
    finally:
        lite0.eval()
