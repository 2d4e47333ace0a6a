"""Cut a classifier in an ONNX file into a backbone and the linear layer after its features.

The feature layer is the data input of the last matrix product (Gemm, MatMul, Conv) before the logits, or a value that
the user names. What follows it must be linear. Its rows are not read from weights, whose layout has a dozen forms, but
from its answers: the answer to 0 is the bias, that to each axis is the axis's column.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from devise.arrays import Float32
from devise.errors import UsageError
from devise.files import reason_of
from devise.vision.networkfile import check_file
from devise.vision.runtime import openvino_core

if TYPE_CHECKING:
    import onnx

__all__ = ["CutNetwork", "Runner", "cut_network", "halved", "load_onnx", "network_side", "runner"]

_INPUT, _OUTPUT = "pixels", "features"
_LINEAR = ("Gemm", "MatMul", "Conv")
_AFTER = ("Add", "Cast", "Div", "Dropout", "Flatten", "Identity", "Mul", "Reshape", "Squeeze", "Sub", "Transpose")
_SOFTMAX = ("Softmax", "LogSoftmax")
_LARGEST = 2**31 - 1  # bytes of a message of protocol buffers, and so of a bundle's network
_UNIT = np.float32(1024)  # answers to long axes lose fewer digits when the bias is taken off; a power of 2 is exact
_ROWS = 256
_LINEAR_LOSS = 1e-4  # of the largest logit; float32 sums of thousands of products stay below 1e-5
_DEPTH = 64  # nodes between the linear layer and the logits


class Runner:
    """An ONNX network run by OpenVINO in float32: rows in, rows out."""

    def __init__(self, model: Any) -> None:
        self._compiled = model

    def __call__(self, rows: Float32[np.ndarray, "rows ..."]) -> Float32[np.ndarray, "rows ..."]:
        """Run row by row, for many networks are exported for one picture."""
        made = [np.array(self._compiled(row[None])[0], np.float32) for row in rows]
        whole: Float32[np.ndarray, "rows ..."] = np.concatenate(made)
        return whole


@dataclass(frozen=True, eq=False, slots=True)
class CutNetwork:
    """A network up to its features, and the linear layer that makes logits of them.

    onnx: from `pixels` float32 [1, 3, side, side] to `features` float32 [1, features].
    whole: the same pixels to the logits, with every layer of the file, to compare with.
    layer: the name of the feature value in the file; node: what follows it, for people.
    """

    onnx: bytes
    whole: bytes
    weight: Float32[np.ndarray, "classes features"]
    bias: Float32[np.ndarray, "classes"]
    layer: str
    node: str


def load_onnx(path: Path) -> "onnx.ModelProto":
    """Read an ONNX file and the files of weights next to it that it names.

    UsageError, one line, if it is none, if a file that it names is missing, or if it is too large for a bundle.
    """
    import onnx
    from onnx import external_data_helper as external
    from onnx.checker import ValidationError

    try:
        model = onnx.load(str(path), load_external_data=False)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({reason_of(error)}): give an ONNX file") from None
    except Exception as error:
        if type(error).__name__ != "DecodeError" and not isinstance(error, ValueError):  # of protobuf, without types
            raise
        raise UsageError(f"{path} is not an ONNX file: export the network again") from None
    if not model.graph.node or not model.graph.input:
        raise UsageError(f"{path} is not an ONNX file with a network: export the network again")
    outside = [one for one in model.graph.initializer if external.uses_external_data(one)]
    sizes = {}
    for tensor in outside:
        name = external.ExternalDataInfo(tensor).location
        file = path.parent / name
        if not file.is_file():
            raise UsageError(f"{path} keeps its weights in {name}, which is not next to it: put it there")
        sizes[name] = file.stat().st_size
    if model.ByteSize() + sum(sizes.values()) > _LARGEST:
        raise UsageError(
            f"{path} and its weights are larger than 2 GiB, the limit of one ONNX file and so of a model: export it "
            "with weights in float16, or use a smaller network"
        )
    try:
        external.load_external_data_for_model(model, str(path.parent))
    except (OSError, RuntimeError, ValueError, ValidationError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f"{path}: its weights in another file cannot be read ({reason}): export it again") from None
    return model


def network_side(model: "onnx.ModelProto") -> int | None:
    """Return the side in pixels of the pictures that the network takes; None if the file leaves it open."""
    sides = _picture_sides(model)[1]
    return sides[0] if sides[0] == sides[1] and sides[0] else None


def cut_network(model: "onnx.ModelProto", crop: int, features: str | None = None) -> CutNetwork:
    """Cut the network at its feature layer.

    crop: side in pixels of the pictures it gets. features: the name of the feature value; None finds it.
    UsageError if there is no feature layer, if what follows it is not linear, or the network is not a classifier.
    """
    prepared = _with_pixels(model, crop)
    graph = _Graph(prepared)
    if len(prepared.graph.output) != 1:
        names = ", ".join(one.name for one in prepared.graph.output)
        raise UsageError(f"the network has {len(prepared.graph.output)} outputs ({names}): export it with its logits")
    logits = graph.logits(prepared.graph.output[0].name)
    layer = features or graph.features(logits)
    if layer not in graph.maker:
        some = ", ".join(list(graph.maker)[-5:])
        raise UsageError(f"the network has no value {layer!r}: name the output of a layer; its last are {some}")
    shape = _shape(runner(graph.piece([_INPUT], layer, None)))
    if len(shape) < 2 or any(side != 1 for side in shape[2:]):
        raise UsageError(
            f"{layer} is not a feature layer: it makes {'x'.join(map(str, shape))} numbers, not one row per picture: "
            "name the pooled layer with --features"
        )
    whole = runner(graph.piece([_INPUT], logits, None))
    if len(_shape(whole)) != 2 or _shape(whole)[1] < 2:
        raise UsageError(f"the network makes {'x'.join(map(str, _shape(whole)))} numbers, not one logit per class")
    tail = runner(graph.piece([layer], logits, shape))
    weight, bias = _rows(tail, shape, layer)
    onnx = graph.piece([_INPUT], layer, shape)
    check_file(onnx)
    used = next(node for node in reversed(prepared.graph.node) if layer in node.input)
    return CutNetwork(
        onnx, graph.piece([_INPUT], logits, None), weight, bias, layer, f"{used.op_type} {used.name}".strip()
    )


def runner(onnx: bytes) -> Runner:
    """Compile a network; UsageError if OpenVINO cannot."""
    core = openvino_core()
    try:
        network = core.read_model(onnx)
        sides = list(network.input(0).partial_shape)[1:]
        network.reshape([1, *sides])
        settings = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}
        return Runner(core.compile_model(network, "CPU", settings))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise UsageError(f"OpenVINO cannot run the network ({reason}): export it again, for one picture") from None


def halved(onnx: bytes) -> bytes:
    """Keep matrices and convolutions as float16, cast to float32 in the graph; the file shrinks to one half.

    UsageError if a weight does not fit into float16.
    """
    from onnx import TensorProto, helper, load_from_string, numpy_helper

    model = load_from_string(onnx)
    casts, tables = [], _tables(model.graph.node)
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        values = numpy_helper.to_array(tensor)
        if float(np.abs(values).max(initial=0)) > float(np.finfo(np.float16).max):
            raise UsageError(f"weights of {tensor.name} do not fit into float16: build without --half")
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.f16"))
        if name not in tables:
            casts.append(helper.make_node("Cast", [f"{name}.f16"], [name], f"{name}.f32", to=TensorProto.FLOAT))
    stored = {tensor.name.removesuffix(".f16") for tensor in model.graph.initializer if tensor.name.endswith(".f16")}
    rest = []
    for node in model.graph.node:
        rest.append(node)
        if node.op_type == "Gather" and node.input[0] in tables & stored:
            node.input[0], made = f"{node.input[0]}.f16", node.output[0]
            node.output[0] = f"{made}.f16"
            rest.append(helper.make_node("Cast", [f"{made}.f16"], [made], f"{made}.f32", to=TensorProto.FLOAT))
    rest = [*casts, *rest]
    del model.graph.node[:]
    model.graph.node.extend(rest)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _tables(nodes: "Sequence[onnx.NodeProto]") -> set[str]:
    """Matrices that only give rows, as the words of a text tower: the rows are cast, not the matrix of 200 million."""
    given = {node.input[0] for node in nodes if node.op_type == "Gather"}
    other = (name for node in nodes for name in (node.input[1:] if node.op_type == "Gather" else node.input))
    return given.difference(other)


class _Graph:
    """A graph by its values. maker: the node that makes each value. fixed: values that no pixel changes."""

    def __init__(self, model: "onnx.ModelProto") -> None:
        self._model = model
        self.maker = {name: node for node in model.graph.node for name in node.output if name}
        self.fixed = {tensor.name for tensor in model.graph.initializer} | {""}
        for node in model.graph.node:
            if all(name in self.fixed for name in node.input):
                self.fixed.update(node.output)

    def data(self, node: "onnx.NodeProto") -> str:
        """The first input that depends on the pixels."""
        value: str = next(name for name in node.input if name not in self.fixed)
        return value

    def logits(self, value: str) -> str:
        """The value before the softmax that many networks end in."""
        while value in self.maker and self.maker[value].op_type in (*_SOFTMAX, "Identity"):
            value = self.data(self.maker[value])
        return value

    def features(self, logits: str) -> str:
        """The data input of the last matrix product; UsageError if another layer follows it."""
        value = logits
        for _ in range(_DEPTH):
            node = self.maker.get(value)
            if node is None or value in self.fixed:
                break
            if node.op_type in _LINEAR and sum(name not in self.fixed for name in node.input) == 1:
                return self.data(node)
            if node.op_type not in _AFTER:
                raise UsageError(
                    f"the network ends in {node.op_type}, not in a linear layer on pooled features: export a "
                    "classifier with its logits, or name its feature layer with --features"
                )
            value = self.data(node)
        raise UsageError("the network has no linear layer: give a classifier, or name its features with --features")

    def piece(self, inputs: list[str], output: str, shape: tuple[int, ...] | None) -> bytes:
        """The part of the graph between two values.

        shape: of the features, [1, n] or [1, n, 1, 1]. From the pixels on, they are flattened to [1, n]; a part that
        begins with them takes [1, n]. None leaves the value as it is.
        """
        from onnx import ModelProto, TensorProto, helper, numpy_helper

        needed, nodes = {output}, []
        for node in reversed(self._model.graph.node):
            if needed.intersection(node.output) and not set(node.output) <= set(inputs):
                nodes.append(node)
                needed.update(name for name in node.input if name and name not in inputs)
        nodes.reverse()
        made = ModelProto()
        made.CopyFrom(self._model)
        graph = made.graph
        kept = [tensor for tensor in self._model.graph.initializer if tensor.name in needed]
        for field in ("node", "initializer", "input", "output", "value_info"):
            graph.ClearField(field)
        del made.metadata_props[:]
        graph.initializer.extend(kept)
        if inputs == [_INPUT]:
            graph.input.extend(self._model.graph.input[:1])
            graph.node.extend(nodes)
        else:
            assert shape is not None
            graph.input.append(helper.make_tensor_value_info("row", TensorProto.FLOAT, ["N", shape[1]]))
            graph.initializer.append(numpy_helper.from_array(np.array([-1, *shape[1:]], np.int64), "row.shape"))
            graph.node.extend([helper.make_node("Reshape", ["row", "row.shape"], inputs), *nodes])
        if inputs == [_INPUT] and shape is not None:
            graph.node.append(helper.make_node("Flatten", [output], [_OUTPUT], axis=1))
            output = _OUTPUT
        graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, None))
        try:
            data: bytes = made.SerializeToString(deterministic=True)
        except (ValueError, RuntimeError):
            raise UsageError("the network is larger than 2 GiB, the limit of a model: use a smaller one") from None
        return data


def _shape(run: Runner) -> tuple[int, ...]:
    output = run._compiled.output(0)
    if output.partial_shape.is_dynamic:
        raise UsageError("the network has no fixed shape for one picture: export it without dynamic sides")
    return tuple(output.shape)


def _picture_sides(model: "onnx.ModelProto") -> tuple[bool, tuple[int, int]]:
    """Whether the channels come last, and height and width, 0 where the file leaves them open."""
    from onnx import TensorProto

    known = {tensor.name for tensor in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in known]
    if len(inputs) != 1:
        raise UsageError(f"the network takes {len(inputs)} inputs, not one picture: export it with one")
    kind = inputs[0].type.tensor_type
    dims = [side.dim_value for side in kind.shape.dim]
    if kind.elem_type != TensorProto.FLOAT:
        name = TensorProto.DataType.Name(kind.elem_type).lower()
        raise UsageError(f"the network takes {name}, not float: export it in float32")
    if len(dims) == 4 and dims[1] in (0, 3):
        return False, (dims[2], dims[3])
    if len(dims) == 4 and dims[3] == 3:
        return True, (dims[1], dims[2])
    raise UsageError(f"the network takes {dims}, not pictures of three channels: give an image classifier")


def _with_pixels(model: "onnx.ModelProto", crop: int) -> "onnx.ModelProto":
    """The network with the input `pixels` float32 [N, 3, crop, crop]; a copy."""
    from onnx import ModelProto, TensorProto, helper

    last, sides = _picture_sides(model)
    if any(side not in (0, crop) for side in sides):
        raise UsageError(f"the network takes pictures of {sides[0]}x{sides[1]}, its preprocessing makes {crop}x{crop}")
    made = ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    known = {tensor.name for tensor in graph.initializer}
    old = next(one.name for one in graph.input if one.name not in known)
    nodes = list(graph.node)
    for field in ("node", "input"):
        graph.ClearField(field)
    graph.input.append(helper.make_tensor_value_info(_INPUT, TensorProto.FLOAT, ["N", 3, crop, crop]))
    if old != _INPUT or last:
        if old == _INPUT:
            old = _renamed(nodes)
        turned = helper.make_node("Transpose", [_INPUT], [old], perm=[0, 2, 3, 1])
        graph.node.append(turned if last else helper.make_node("Identity", [_INPUT], [old]))
    graph.node.extend(nodes)
    return made


def _renamed(nodes: "list[onnx.NodeProto]") -> str:
    """Give the input another name."""
    name = f"{_INPUT}.last"
    for node in nodes:
        for place, value in enumerate(node.input):
            if value == _INPUT:
                node.input[place] = name
    return name


def _rows(
    tail: Runner, shape: tuple[int, ...], layer: str
) -> tuple[Float32[np.ndarray, "classes features"], Float32[np.ndarray, "classes"]]:
    """Weight and bias of a linear tail; UsageError if it is not linear."""
    count = shape[1]
    bias = tail(np.zeros((1, count), np.float32))[0]
    columns = [tail(block * _UNIT) - bias for block in _axes(count)]
    weight = np.ascontiguousarray(np.concatenate(columns).T / _UNIT)
    rows = np.random.default_rng(0).standard_normal((2, count), dtype=np.float32)
    expected = tail(rows)
    found = rows @ weight.T + bias
    if not np.abs(found - expected).max() <= _LINEAR_LOSS * max(1.0, float(np.abs(expected).max())):
        raise UsageError(f"what follows {layer} is not linear: name a later layer with --features")
    return weight, bias


def _axes(count: int) -> Iterator[Float32[np.ndarray, "rows count"]]:
    """The unit vectors, some at a time."""
    for start in range(0, count, _ROWS):
        yield np.eye(min(_ROWS, count - start), count, start, dtype=np.float32)
