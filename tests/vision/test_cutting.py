"""Networks of a few numbers, cut at their feature layer; ONNX Runtime and numpy say what they should answer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devise.errors import BundleError, UsageError
from devise.vision.cutting import cut_network, halved, load_onnx, network_side, runner

onnx: Any = pytest.importorskip("onnx")
helper, numpy_helper, TensorProto = onnx.helper, onnx.numpy_helper, onnx.TensorProto

SIDE, CHANNELS, CLASSES = 6, 5, 4
RNG = np.random.default_rng(0)
KERNEL = RNG.standard_normal((CHANNELS, 3, 3, 3)).astype(np.float32)
WEIGHT = RNG.standard_normal((CLASSES, CHANNELS)).astype(np.float32)
BIAS = RNG.standard_normal(CLASSES).astype(np.float32)
PIXELS = RNG.standard_normal((3, 3, SIDE, SIDE)).astype(np.float32)


def network(
    tail: Callable[[], list[Any]],
    more: dict[str, np.ndarray] | None = None,
    *,
    shape: tuple[Any, ...] = ("N", 3, SIDE, SIDE),
    first: list[Any] | None = None,
    kind: int = TensorProto.FLOAT,
    outputs: tuple[str, ...] = ("out",),
) -> Any:
    """A convolution, ReLU and mean to `pooled` [N, channels, 1, 1], and a tail to `out`."""
    body = [
        helper.make_node("Conv", ["picture" if first else "image", "kernel"], ["map"], name="conv"),
        helper.make_node("Relu", ["map"], ["active"]),
        helper.make_node("GlobalAveragePool", ["active"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
    ]
    stored = {"kernel": KERNEL, "weight": WEIGHT, "turned": WEIGHT.T.copy(), "bias": BIAS} | (more or {})
    graph = helper.make_graph(
        [*(first or []), *body, *tail()],
        "net",
        [helper.make_tensor_value_info("image", kind, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(values, name) for name, values in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def gemm() -> list[Any]:
    return [helper.make_node("Gemm", ["flat", "weight", "bias"], ["out"], name="head", transB=1)]


def product_and_sum() -> list[Any]:
    return [
        helper.make_node("MatMul", ["flat", "turned"], ["product"], name="head"),
        helper.make_node("Add", ["bias", "product"], ["out"]),
    ]


def convolution() -> list[Any]:
    """As networks from TensorFlow have it."""
    return [
        helper.make_node("Conv", ["pooled", "four", "bias"], ["scores"], name="head"),
        helper.make_node("Flatten", ["scores"], ["out"]),
    ]


def dropout_and_softmax() -> list[Any]:
    return [
        helper.make_node("Dropout", ["flat"], ["dropped"]),
        helper.make_node("Gemm", ["dropped", "weight", "bias"], ["scores"], name="head", transB=1),
        helper.make_node("Softmax", ["scores"], ["out"], axis=1),
    ]


FOUR = {"four": WEIGHT[:, :, None, None]}
TAILS = {
    "gemm": (gemm, None, "flat"), "product": (product_and_sum, None, "flat"),
    "convolution": (convolution, FOUR, "pooled"), "softmax": (dropout_and_softmax, None, "dropped"),
}  # fmt: skip


def pooled(pixels: np.ndarray) -> np.ndarray:
    """The features, the slow way."""
    side = SIDE - 2
    made = np.zeros((len(pixels), CHANNELS, side, side))
    for row in range(side):
        for column in range(side):
            window = pixels[:, :, row : row + 3, column : column + 3]
            made[:, :, row, column] = np.einsum("nchw,ochw->no", window, KERNEL)
    return np.maximum(made, 0).mean((2, 3))


@pytest.mark.parametrize("name", TAILS)
def test_features_and_rows_make_the_networks_own_logits(name: str):
    runtime: Any = pytest.importorskip("onnxruntime")
    tail, more, layer = TAILS[name]
    model = network(tail, more)
    cut = cut_network(model, SIDE)
    assert (cut.layer, cut.node.split()[-1]) == (layer, "head")
    np.testing.assert_allclose(cut.weight, WEIGHT, atol=1e-6)
    np.testing.assert_allclose(cut.bias, BIAS, atol=1e-6)
    features = runner(cut.onnx)(PIXELS)
    np.testing.assert_allclose(features, pooled(PIXELS), atol=1e-5)
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    own = session.run(None, {"image": PIXELS})[0]
    logits = features @ cut.weight.T + cut.bias
    if name == "softmax":
        logits = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(logits, own, atol=1e-5)
    np.testing.assert_allclose(runner(cut.whole)(PIXELS), features @ cut.weight.T + cut.bias, atol=1e-5)


def test_channels_may_stand_last():
    turned = [helper.make_node("Transpose", ["image"], ["picture"], perm=[0, 3, 1, 2])]
    model = network(gemm, shape=("N", SIDE, SIDE, 3), first=turned)
    assert network_side(model) == SIDE
    np.testing.assert_allclose(runner(cut_network(model, SIDE).onnx)(PIXELS), pooled(PIXELS), atol=1e-5)


def test_open_sides_take_the_crop():
    model = network(gemm, shape=("N", 3, "H", "W"))
    assert network_side(model) is None
    np.testing.assert_allclose(runner(cut_network(model, SIDE).onnx)(PIXELS), pooled(PIXELS), atol=1e-5)


def test_a_named_layer():
    """Two linear layers are one; by default the last one's input is the feature layer."""
    first, second = RNG.standard_normal((7, CHANNELS)), RNG.standard_normal((CLASSES, 7))
    more = {"first": first.astype(np.float32), "second": second.astype(np.float32)}

    def tail() -> list[Any]:
        return [
            helper.make_node("Gemm", ["flat", "first"], ["middle"], name="one", transB=1),
            helper.make_node("Gemm", ["middle", "second", "bias"], ["out"], name="two", transB=1),
        ]

    model = network(tail, more)
    assert cut_network(model, SIDE).layer == "middle"
    named = cut_network(model, SIDE, "flat")
    np.testing.assert_allclose(named.weight, second @ first, atol=1e-5)
    with pytest.raises(UsageError, match=r"no value 'flta': name the output of a layer; its last are .*middle, out"):
        cut_network(model, SIDE, "flta")
    with pytest.raises(UsageError, match=r"active is not a feature layer: it makes 1x5x4x4 numbers"):
        cut_network(model, SIDE, "active")


def test_what_follows_must_be_linear():
    def tail() -> list[Any]:
        return [helper.make_node("Relu", ["flat"], ["again"]), helper.make_node("Neg", ["again"], ["negated"]),
                helper.make_node("Gemm", ["negated", "weight", "bias"], ["out"], transB=1)]  # fmt: skip

    with pytest.raises(UsageError, match="what follows flat is not linear"):
        cut_network(network(tail), SIDE, "flat")


def test_networks_that_are_no_classifier():
    def ends(operator: str) -> Callable[[], list[Any]]:
        return lambda: [*gemm()[:-1], helper.make_node(operator, ["flat"], ["out"])]

    with pytest.raises(UsageError, match="the network ends in Sigmoid, not in a linear layer on pooled features"):
        cut_network(network(ends("Sigmoid")), SIDE)
    with pytest.raises(UsageError, match="the network ends in GlobalAveragePool"):
        cut_network(network(ends("Identity")), SIDE)
    with pytest.raises(UsageError, match=r"has 2 outputs \(out, flat\)"):
        cut_network(network(gemm, outputs=("out", "flat")), SIDE)
    with pytest.raises(UsageError, match="takes pictures of 6x6, its preprocessing makes 8x8"):
        cut_network(network(gemm), 8)
    with pytest.raises(UsageError, match="takes uint8, not float"):
        cut_network(network(gemm, kind=TensorProto.UINT8), SIDE)
    with pytest.raises(UsageError, match=r"takes \[0, 7, 6, 6\], not pictures of three channels"):
        cut_network(network(gemm, shape=("N", 7, SIDE, SIDE)), SIDE)
    with pytest.raises(BundleError, match="contains the unknown operator 'Tan'"):
        cut_network(network(gemm, first=[helper.make_node("Tan", ["image"], ["picture"])]), SIDE)


def test_half_of_the_weights():
    cut = cut_network(network(gemm), SIDE)
    small = halved(cut.onnx)
    kept = {tensor.name: tensor.data_type for tensor in onnx.load_from_string(small).graph.initializer}
    assert kept["kernel.f16"] == TensorProto.FLOAT16
    assert "kernel" not in kept
    np.testing.assert_allclose(runner(small)(PIXELS), pooled(PIXELS), atol=5e-3)
    assert not np.array_equal(runner(small)(PIXELS), runner(cut.onnx)(PIXELS))
    big = network(gemm, {"kernel": np.full_like(KERNEL, 1e5)})
    with pytest.raises(UsageError, match="weights of kernel do not fit into float16"):
        halved(cut_network(big, SIDE).onnx)


def test_weights_in_another_file(tmp_path: Path):
    onnx.save(network(gemm), tmp_path / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    np.testing.assert_allclose(
        runner(cut_network(load_onnx(tmp_path / "net.onnx"), SIDE).onnx)(PIXELS), pooled(PIXELS), atol=1e-5
    )
    with (tmp_path / "net.data").open("r+b") as file:
        file.truncate(2**31)  # a sparse file
    with pytest.raises(UsageError, match="larger than 2 GiB"):
        load_onnx(tmp_path / "net.onnx")
    (tmp_path / "net.data").write_bytes(b"")
    with pytest.raises(UsageError, match="its weights in another file cannot be read"):
        load_onnx(tmp_path / "net.onnx")
    (tmp_path / "net.data").unlink()
    with pytest.raises(UsageError, match=r"keeps its weights in net\.data, which is not next to it"):
        load_onnx(tmp_path / "net.onnx")


def test_files_that_are_no_network(tmp_path: Path):
    (tmp_path / "net.onnx").write_bytes(b"\xff\xff\xff no ONNX")
    with pytest.raises(UsageError, match="is not an ONNX file"):
        load_onnx(tmp_path / "net.onnx")
    (tmp_path / "net.onnx").write_bytes(b"")
    with pytest.raises(UsageError, match="is not an ONNX file with a network"):
        load_onnx(tmp_path / "net.onnx")
    with pytest.raises(UsageError, match="cannot be read"):
        load_onnx(tmp_path / "other.onnx")
