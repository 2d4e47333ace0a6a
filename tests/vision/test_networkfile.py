"""A network from anywhere: what is refused before an engine reads or runs it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devise.errors import BundleError
from devise.vision.backbone import OpenVinoBackbone
from devise.vision.networkfile import OPERATORS, check_file, check_graph
from devise.vision.preprocessing import Preprocessing

onnx = pytest.importorskip("onnx")
helper, FLOAT = onnx.helper, onnx.TensorProto.FLOAT
STEPS = Preprocessing(5, 4, "bicubic", (127.0,) * 3, (128.0,) * 3)


def network(*nodes: Any, tensors: tuple[Any, ...] = (), made: tuple[Any, ...] = ("N", 3), side: int = 4) -> Any:
    """A model; without nodes it gives the mean of each channel."""
    pooled = (
        helper.make_node("GlobalAveragePool", ["pixels"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"], axis=1),
    )
    graph = helper.make_graph(
        list(nodes or pooled),
        "small",
        [helper.make_tensor_value_info("pixels", FLOAT, ["N", 3, side, side])],
        [helper.make_tensor_value_info("features", FLOAT, list(made))],
        list(tensors),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def weight(name: str = "weight", *shape: int) -> Any:
    return onnx.numpy_helper.from_array(np.full(shape or (3, 3, 1, 1), 0.5, np.float32), name)


def with_weight(tensor: Any) -> Any:
    return network(
        helper.make_node("Conv", ["pixels", "weight"], ["mixed"]),
        helper.make_node("GlobalAveragePool", ["mixed"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"], axis=1),
        tensors=(tensor,),
    )


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), np.uint8)


def test_a_network_of_known_operators_runs():
    crops = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4, 3)
    got = OpenVinoBackbone(with_weight(weight()).SerializeToString(), STEPS).features(crops)
    means = (crops.mean(axis=(1, 2, 3)) - 127) / 128
    np.testing.assert_allclose(got, np.repeat(means[:, None] * 1.5, 3, axis=1), rtol=1e-6)


def test_a_network_for_one_picture_only_stays_at_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("devise.vision.backbone._PAIRS_PAY", 2)
    shape = onnx.numpy_helper.from_array(np.array([1, 48]), "shape")
    flat = network(helper.make_node("Reshape", ["pixels", "shape"], ["features"]), tensors=(shape,), made=(1, 48))
    crops = noise(5)
    backbone = OpenVinoBackbone(flat.SerializeToString(), STEPS)
    for _ in range(2):
        np.testing.assert_array_equal(backbone.features(crops), STEPS.normalised(crops).reshape(5, 48))
    assert list(backbone._compiled) == [1]


def test_a_network_that_mixes_the_pictures_of_a_batch_runs_one_by_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("devise.vision.backbone._PAIRS_PAY", 2)
    mixing = network(
        helper.make_node("ReduceMean", ["pixels"], ["mean"], keepdims=1),  # over all axes, the batch too
        helper.make_node("Sub", ["pixels", "mean"], ["centred"]),
        helper.make_node("GlobalAveragePool", ["centred"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"], axis=1),
    )
    crops = noise(4)
    planes = STEPS.normalised(crops)
    backbone = OpenVinoBackbone(mixing.SerializeToString(), STEPS)
    wanted = planes.mean(axis=(2, 3)) - planes.mean(axis=(1, 2, 3))[:, None]
    for _ in range(2):
        np.testing.assert_allclose(backbone.features(crops), wanted, atol=1e-5)
    assert list(backbone._compiled) == [1]


@pytest.mark.parametrize("place", ["/etc/hostname", "../weights.bin", "weights.bin", ""])
@pytest.mark.parametrize("marked", [True, False])
def test_weights_in_another_file_are_refused_before_it_is_opened(place: str, marked: bool, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.bin").write_bytes(bytes(36))
    tensor = weight()
    tensor.ClearField("raw_data")
    if marked:
        tensor.data_location = onnx.TensorProto.EXTERNAL
    if place:
        tensor.external_data.add(key="location", value=place)
    if not marked and not place:
        pytest.skip("then it is a plain tensor without content")
    with pytest.raises(BundleError, match="contains weights in another file"):
        OpenVinoBackbone(with_weight(tensor).SerializeToString(), STEPS)


def test_weights_of_an_attribute_may_be_in_no_other_file():
    tensor = weight()
    tensor.ClearField("raw_data")
    tensor.external_data.add(key="location", value="/dev/zero")
    model = network(
        helper.make_node("Constant", [], ["weight"], value=tensor),
        helper.make_node("Conv", ["pixels", "weight"], ["features"]),
    )
    with pytest.raises(BundleError, match="weights in another file"):
        check_file(model.SerializeToString())


def inner() -> Any:
    return helper.make_graph([helper.make_node("Identity", ["a"], ["b"])], "inner", [], [])


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "loop": (lambda: network(helper.make_node("Loop", ["n", "go"], ["features"], body=inner())), "Loop|graph within"),
    "if": (lambda: network(helper.make_node("Identity", ["pixels"], ["features"], body=inner())), "graph within"),
    "random": (lambda: network(helper.make_node("RandomNormalLike", ["pixels"], ["features"])), "'RandomNormalLike'"),
    "domain": (
        lambda: network(helper.make_node("Add", ["pixels"] * 2, ["features"], domain="mine")),
        "unknown domain 'mine'",
    ),
    "escape": (lambda: network(helper.make_node("\x1b[2J", ["pixels"], ["features"])), r"'\\x1b\[2J'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_listed_is_refused(name: str):
    make, told = WRONG[name]
    with pytest.raises(BundleError, match=told) as error:
        check_file(make().SerializeToString())
    assert len(str(error.value).splitlines()) == 1


def test_functions_of_its_own_are_refused():
    model = network()
    model.functions.add(name="f", domain="", node=[helper.make_node("Identity", ["a"], ["b"])])
    with pytest.raises(BundleError, match="its own functions"):
        check_file(model.SerializeToString())


@pytest.mark.parametrize("data", [b"", b"no network", b"<net name='IR'/>", b"\x3a\xff\xff\xff\xff\xff\x7f", bytes(50)])
def test_other_files_are_refused(data: bytes):
    with pytest.raises(BundleError, match="not a whole ONNX file"):
        check_file(data)


def test_a_cut_network_is_refused():
    data = with_weight(weight()).SerializeToString()
    for length in range(len(data) - 1):
        try:
            check_file(data[:length])
        except BundleError:
            continue
        onnx.load_from_string(data[:length])  # whole fields are left


def graph_of(model: Any) -> Any:
    from devise.vision.runtime import import_openvino

    found = import_openvino().Core().read_model(model.SerializeToString())
    found.reshape([1, *list(found.input(0).partial_shape)[1:]])
    return found


def test_the_cost_is_that_by_hand():
    model = network(
        helper.make_node("Conv", ["pixels", "weight"], ["mixed"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Flatten", ["mixed"], ["features"], axis=1),
        tensors=(weight("weight", 8, 3, 3, 3),),
        made=("N", 8 * 16 * 16),
        side=16,
    )
    products = (8 * 16 * 16) * (3 * 3 * 3)
    assert products <= check_graph(graph_of(model)) <= products + 10 * 8 * 16 * 16


@pytest.mark.parametrize(
    ("pads", "told"), [(20_000, "numbers at"), (1_000_000, "numbers at"), (4_000, "multiply-adds|numbers at")]
)
def test_a_small_file_with_a_long_run_is_refused(pads: int, told: str):
    model = network(
        helper.make_node("Conv", ["pixels", "weight"], ["mixed"], kernel_shape=[3, 3], pads=[pads] * 4),
        helper.make_node("GlobalAveragePool", ["mixed"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"], axis=1),
        tensors=(weight("weight", 64, 3, 3, 3),),
        made=("N", 64),
    )
    with pytest.raises(BundleError, match=told):
        OpenVinoBackbone(model.SerializeToString(), STEPS)


def test_a_product_that_is_too_long_is_refused():
    sized: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    model = network(
        helper.make_node("Conv", ["pixels", "weight"], ["v0"], **sized),
        *(helper.make_node("Conv", [f"v{i}", "square"], [f"v{i + 1}"], **sized) for i in range(3)),
        helper.make_node("GlobalAveragePool", ["v3"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"], axis=1),
        tensors=(weight("weight", 256, 3, 3, 3), weight("square", 256, 256, 3, 3)),
        made=("N", 256),
        side=512,
    )
    with pytest.raises(BundleError, match="multiply-adds per picture"):
        check_graph(graph_of(model))


def test_a_shape_that_depends_on_the_picture_is_refused():
    model = network(
        helper.make_node("ReduceMax", ["pixels"], ["top"], keepdims=0),
        helper.make_node("Cast", ["top"], ["count"], to=onnx.TensorProto.INT64),
        helper.make_node("Unsqueeze", ["count", "axis"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["features"]),
        tensors=(onnx.numpy_helper.from_array(np.array([0], np.int64), "axis"),),
        made=("K",),
    )
    with pytest.raises(BundleError, match="no fixed shape"):
        OpenVinoBackbone(model.SerializeToString(), STEPS)


def test_features_that_are_not_finite_are_told():
    model = with_weight(onnx.numpy_helper.from_array(np.full((3, 3, 1, 1), np.inf, np.float32), "weight"))
    with pytest.raises(BundleError, match="features that are not finite"):
        OpenVinoBackbone(model.SerializeToString(), STEPS).features(np.zeros((1, 4, 4, 3), np.uint8))


def test_our_own_networks_use_listed_operators(lite0_onnx: bytes):
    check_file(lite0_onnx)
    used = {node.op_type for node in onnx.load_from_string(lite0_onnx).graph.node}
    assert used <= {"Add", "Cast", "Clip", "Conv", "Flatten", "GlobalAveragePool"} < OPERATORS


def test_a_number_where_a_message_belongs_is_refused() -> None:
    graph, huge = 7, b"\xff\xff\xff\xff\x07"
    with pytest.raises(BundleError, match="not a whole ONNX file"):
        check_file(bytes([graph << 3]) + huge)
