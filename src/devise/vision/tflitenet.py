"""Classifiers in TFLite files, which OpenVINO reads: their graph as ONNX, in float32.

A quantised file keeps weights in 8 bits and rounds every value between layers to 256 levels. The weights are taken as
they are. The rounding is left out: the values between layers keep what it cuts off, and the fast form of a model
(`devise train fast`) rounds again where the processor gains by it.
"""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from devise.arrays import Float32, Logits
from devise.errors import UsageError
from devise.files import read_file, reason_of
from devise.vision.foreign import Settings
from devise.vision.runtime import import_openvino, openvino_core

if TYPE_CHECKING:
    import onnx

__all__ = ["TfliteNetwork", "read_tflite"]

_IMAGE, _LOGITS = "image", "logits"
_OPSET, _IR_VERSION = 17, 8
_LARGEST_LABELS = 1 << 22  # bytes
_SAME = {  # operations without attributes of the same name or another
    "Abs": "Abs", "Add": "Add", "Divide": "Div", "Exp": "Exp", "HSwish": "HardSwish", "Maximum": "Max",
    "Minimum": "Min", "Multiply": "Mul", "Negative": "Neg", "Relu": "Relu", "Reshape": "Reshape", "Sigmoid": "Sigmoid",
    "Sqrt": "Sqrt", "Squeeze": "Squeeze", "Subtract": "Sub", "Tanh": "Tanh", "Unsqueeze": "Unsqueeze",
}  # fmt: skip


@dataclass(frozen=True, eq=False, slots=True)
class TfliteNetwork:
    """A classifier of a TFLite file.

    model: from `image` float32 [1, side, side, 3] to the logits, float32. found: what the file says of the
    preprocessing. classes: of the label file in its metadata, None without one. logits: as OpenVINO reads the file,
    without its rounding. rounded: how many values the file rounds.
    """

    model: "onnx.ModelProto"
    found: Settings
    classes: tuple[str, ...] | None
    logits: Callable[[Float32[np.ndarray, "images 3 crop crop"]], Logits]
    rounded: int


def read_tflite(path: Path) -> TfliteNetwork:
    """Read a classifier; UsageError if the file is none, or has layers that are not known here."""
    network = _read(path)
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        counts = f"{len(network.inputs)} inputs and {len(network.outputs)} outputs"
        raise UsageError(f"{path} has {counts}: give a classifier")
    sides = list(network.input(0).shape)
    if len(sides) != 4 or sides[1] != sides[2] or sides[3] != 3:
        raise UsageError(f"{path} takes {'x'.join(map(str, sides))} numbers, not a square picture of three channels")
    found: Settings = {"crop": int(sides[1])}
    scale = _byte_scale(network)
    if scale is not None:
        low, high = scale
        std = 255 / (high - low)
        found |= {"mean": (-low * std,) * 3, "std": (std,) * 3}
    whole, rounded = _plain(network)
    return TfliteNetwork(_as_onnx(whole), found, _labels(path), _own(whole), rounded)


def _read(path: Path) -> Any:
    try:
        data = read_file(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({reason_of(error)}): give a TFLite file") from None
    if data[4:8] != b"TFL3":
        raise UsageError(f"{path} is not a TFLite file: give one, or --onnx FILE")
    try:
        return openvino_core().read_model(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise UsageError(f"OpenVINO cannot read {path} ({reason}): export the network as ONNX") from None


def _plain(network: Any) -> tuple[Any, int]:
    """The network from floats to logits, without its rounding and the softmax, and how many values it rounded."""
    openvino = import_openvino()
    rounding = [node for node in network.get_ordered_ops() if node.get_type_name() == "FakeQuantize"]
    for node in rounding:
        node.output(0).replace(node.input_value(0))
    (old,) = network.get_parameters()
    image = openvino.opset13.parameter(list(old.output(0).shape), np.float32, name=_IMAGE)
    old.output(0).replace(image.output(0))
    value = network.get_results()[0].input_value(0)
    while value.get_node().get_type_name() == "Convert":
        value = value.get_node().input_value(0)
    if value.get_node().get_type_name() == "Softmax":
        value = value.get_node().input_value(0)
    return openvino.Model([value], [image], "logits"), len(rounding)


def _byte_scale(network: Any) -> tuple[float, float] | None:
    """What bytes 0 and 255 of the input become; None for an input of floats."""
    kind = str(network.input(0).get_element_type().get_type_name())
    if kind == "f32":
        return None
    for node in network.get_ordered_ops():
        if node.get_type_name() == "FakeQuantize":
            begins, ends = ([_constant(node, place) for place in pair] for pair in ((1, 2), (3, 4)))
            if kind == "u8" and [float(one.ravel()[0]) for one in begins] == [0, 255]:
                return float(ends[0].ravel()[0]), float(ends[1].ravel()[0])
            break
    raise UsageError(f"the network takes {kind}, and does not say how bytes become numbers: export it as ONNX")


def _own(network: Any) -> Callable[[Any], Logits]:
    run = openvino_core().compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def logits(planes: Float32[np.ndarray, "images 3 crop crop"]) -> Logits:
        turned = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
        whole: Logits = np.concatenate([np.array(run(one[None])[0], np.float32).reshape(1, -1) for one in turned])
        return whole

    return logits


def _labels(path: Path) -> tuple[str, ...] | None:
    """The label file that TFLite's metadata packs after the network."""
    if not zipfile.is_zipfile(path):
        return None
    try:
        with zipfile.ZipFile(path) as packed:
            files = [one for one in packed.infolist() if one.filename.endswith(".txt")]
            if len(files) != 1 or files[0].file_size > _LARGEST_LABELS:
                return None
            lines = packed.read(files[0]).decode("utf-8").rstrip().split("\n")
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return None
    return tuple(line.strip() for line in lines)


def _as_onnx(network: Any) -> "onnx.ModelProto":
    """Write the graph node by node."""
    from onnx import TensorProto, helper

    graph = _Writer(network)
    sides = list(network.input(0).shape)
    name = graph.value(network.get_results()[0].input_value(0))
    made = helper.make_graph(
        graph.nodes,
        "tflite",
        [helper.make_tensor_value_info(_IMAGE, TensorProto.FLOAT, sides)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)],
        graph.tensors,
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)


class _Writer:
    """OpenVINO's graph as ONNX nodes; a value that no pixel changes becomes a constant."""

    def __init__(self, network: Any) -> None:
        self.nodes: list["onnx.NodeProto"] = []
        self.tensors: list["onnx.TensorProto"] = []
        self._names: dict[str, str] = {}
        depends = {network.get_parameters()[0].get_name()}
        for node in network.get_ordered_ops():
            if any(one.get_node().get_name() in depends for one in node.input_values()):
                depends.add(node.get_name())
        self._depends = depends

    def value(self, output: Any) -> str:
        """The name of a value, written with all that it needs; without recursion, for networks are deep."""
        waiting = [output.get_node()]
        while waiting:
            node = waiting[-1]
            name = node.get_name()
            if name in self._names:
                waiting.pop()
                continue
            needed = [one.get_node() for one in node.input_values()] if name in self._depends else []
            missing = [one for one in needed if one.get_name() not in self._names]
            if missing:
                waiting += missing
                continue
            waiting.pop()
            self._names[name] = self._written(node)
        return self._names[output.get_node().get_name()]

    def _written(self, node: Any) -> str:
        if node.get_type_name() == "Parameter":
            return _IMAGE
        if node.get_name() not in self._depends:
            return self._stored(node.get_name(), _folded(node.output(0)))
        inputs = [self._names[one.get_node().get_name()] for one in node.input_values()]
        kind, name = node.get_type_name(), node.get_name()
        if kind == "Convert":  # all values are float32
            return inputs[0]
        if kind in _SAME:
            return self._node(_SAME[kind], name, inputs)
        writer = self._writers.get(kind)
        if writer is None:
            raise UsageError(f"the network has a layer {kind}, which is not known for TFLite: export it as ONNX")
        return writer(node, inputs, node.get_attributes())

    @property
    def _writers(self) -> "dict[str, Callable[[Any, list[str], Any], str]]":
        """What writes operations with attributes."""
        return {
            "AvgPool": self._pooled,
            "Clamp": self._clipped,
            "Convolution": self._convolution,
            "GroupConvolution": self._convolution,
            "MatMul": self._product,
            "MaxPool": self._pooled,
            "Pad": self._padded,
            "ReduceMean": self._mean,
            "Softmax": self._softmax,
            "Transpose": self._turned,
        }

    def _clipped(self, node: Any, inputs: list[str], facts: Any) -> str:
        name = node.get_name()
        bounds = [self._stored(f"{name}.{key}", np.array(facts[key], np.float32)) for key in ("min", "max")]
        return self._node("Clip", name, [inputs[0], *bounds])

    def _turned(self, node: Any, inputs: list[str], _: Any) -> str:
        return self._node("Transpose", node.get_name(), inputs[:1], perm=_numbers(_constant(node, 1).ravel()))

    def _softmax(self, node: Any, inputs: list[str], facts: Any) -> str:
        return self._node("Softmax", node.get_name(), inputs, axis=int(facts["axis"]))

    def _mean(self, node: Any, inputs: list[str], facts: Any) -> str:
        axes = _numbers(_constant(node, 1).ravel())
        return self._node("ReduceMean", node.get_name(), inputs[:1], axes=axes, keepdims=int(facts["keep_dims"]))

    def _padded(self, node: Any, inputs: list[str], facts: Any) -> str:
        name = node.get_name()
        if str(facts.get("pad_mode", "constant")).rpartition(".")[2].lower() != "constant":
            raise UsageError("the network pads with other values than 0, which is not known for TFLite")
        pads = [*_numbers(_constant(node, 1).ravel()), *_numbers(_constant(node, 2).ravel())]
        return self._node("Pad", name, [inputs[0], self._stored(f"{name}.pads", np.array(pads, np.int64))])

    def _convolution(self, node: Any, inputs: list[str], facts: Any) -> str:
        name, groups = node.get_name(), 1
        if node.get_type_name() == "GroupConvolution":
            weight = _folded(node.input_value(1))
            groups = weight.shape[0]
            inputs = [inputs[0], self._stored(f"{name}.weight", weight.reshape(-1, *weight.shape[2:]))]
        kernel = [int(side) for side in list(node.input_value(1).shape)[-2:]]
        return self._node("Conv", name, inputs, group=groups, kernel_shape=kernel,
                          dilations=_numbers(facts["dilations"]), **_steps(facts))  # fmt: skip

    def _product(self, node: Any, inputs: list[str], facts: Any) -> str:
        name, factors = node.get_name(), []
        for place, key in enumerate(("transpose_a", "transpose_b")):
            factor = inputs[place]
            if facts[key]:
                axes = list(range(len(node.input_value(place).shape)))
                factor = self._node("Transpose", f"{name}.{key}", [factor], perm=[*axes[:-2], axes[-1], axes[-2]])
            factors.append(factor)
        return self._node("MatMul", name, factors)

    def _pooled(self, node: Any, inputs: list[str], facts: Any) -> str:
        if str(facts.get("rounding_type", "floor")) != "floor":
            raise UsageError("the network pools beyond the edge, which is not known for TFLite: export it as ONNX")
        name, kernel = node.get_name(), _numbers(facts["kernel"])
        if node.get_type_name() == "MaxPool":
            return self._node("MaxPool", name, inputs, kernel_shape=kernel, **_steps(facts))
        counted = int(not facts["exclude-pad"])
        return self._node("AveragePool", name, inputs, kernel_shape=kernel, count_include_pad=counted, **_steps(facts))

    def _node(self, operator: str, name: str, inputs: list[str], **facts: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(operator, inputs, [name], name, **facts))
        return name

    def _stored(self, name: str, values: NDArray[Any]) -> str:
        from onnx import numpy_helper

        kind = np.int64 if values.dtype.kind in "iu" else np.float32  # shapes and weights
        self.tensors.append(numpy_helper.from_array(np.asarray(values, kind, order="C"), name))
        return name


def _steps(facts: Any) -> dict[str, list[int]]:
    return {
        "strides": _numbers(facts["strides"]),
        "pads": [*_numbers(facts["pads_begin"]), *_numbers(facts["pads_end"])],
    }


def _numbers(values: Any) -> list[int]:
    return [int(one) for one in values]


def _constant(node: Any, place: int) -> NDArray[Any]:
    return _folded(node.input_value(place))


def _folded(output: Any) -> NDArray[Any]:
    """Compute a value that no pixel changes."""
    node = output.get_node()
    if node.get_type_name() == "Constant":
        return np.array(node.get_data())
    openvino = import_openvino()
    model = openvino.Model([output], [], "constant")
    compiled = openvino_core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.array(compiled({})[0])
