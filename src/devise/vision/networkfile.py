"""Check untrusted networks: one file, known operators, fixed shapes, bounded cost.

An ONNX file can name other files for its weights, contain loops and functions, and be small and yet run for hours.
It is read here field by field (the wire format of protocol buffers) before any engine sees it.
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from devise.errors import BundleError

__all__ = ["MOST_MULTIPLY_ADDS", "MOST_VALUES", "OPERATORS", "check_file", "check_graph"]

_WRITTEN_HERE = ("Add", "Cast", "Clip", "Conv", "Flatten", "GlobalAveragePool")
# fmt: off
_WRITTEN_FOR_TIMM = (
    "Abs", "And", "AveragePool", "BatchNormalization", "Ceil", "Concat", "Constant", "ConstantOfShape", "Cos",
    "CumSum", "DepthToSpace", "Div", "Dropout", "Elu", "Equal", "Erf", "Exp", "Expand", "Floor", "Gather",
    "GatherElements", "GatherND", "Gelu", "Gemm", "GlobalMaxPool", "Greater", "GreaterOrEqual", "GroupNormalization",
    "HardSigmoid", "HardSwish", "Identity", "InstanceNormalization", "LayerNormalization", "LeakyRelu", "Less",
    "LessOrEqual", "Log", "LogSoftmax", "MatMul", "Max", "MaxPool", "Min", "Mish", "Mod", "Mul", "Neg", "Not",
    "Or", "PRelu", "Pad", "Pow", "Range", "Reciprocal", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin",
    "ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu", "Reshape", "Resize", "Round",
    "ScatterElements", "ScatterND", "Selu", "Shape", "Sigmoid", "Sign", "Sin",
    "Size", "Slice", "Softmax", "Softplus", "SpaceToDepth", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tanh",
    "Tile", "Transpose", "Trilu", "Unsqueeze", "Where",
)
# fmt: on
_OF_TEXT_TOWERS = ("ArgMax",)  # the place of the last token
OPERATORS = frozenset((*_WRITTEN_HERE, *_WRITTEN_FOR_TIMM, *_OF_TEXT_TOWERS))
"""ONNX operators that a network may be made of. None of them loops, draws random numbers or reads a file."""

MOST_MULTIPLY_ADDS = 3 * 10**11
"""Limit per forward pass of one picture: 300 times EfficientNet-Lite2's, and above timm's ViT-L at 384 pixels."""

MOST_VALUES = 1 << 26
"""Limit of numbers between two layers, 256 MiB; 32 times as many between all layers together."""

_MOST_NODES = 20_000
_MOST_FIELDS = 4_000_000
_MODEL, _GRAPH, _NODE, _ATTRIBUTE, _TENSOR = "model", "graph", "node", "attribute", "tensor"
_INNER = {
    (_MODEL, 7): _GRAPH,
    (_GRAPH, 1): _NODE,
    (_GRAPH, 5): _TENSOR,
    (_NODE, 5): _ATTRIBUTE,
    (_ATTRIBUTE, 5): _TENSOR,
    (_ATTRIBUTE, 10): _TENSOR,
}
"""Fields to descend into: message and field number to inner message."""

_REFUSED = {
    (_MODEL, 25): "its own functions",
    (_MODEL, 20): "training steps",
    (_GRAPH, 15): "sparse weights",
    (_ATTRIBUTE, 6): "a graph within the graph",
    (_ATTRIBUTE, 11): "a graph within the graph",
    (_ATTRIBUTE, 22): "sparse weights",
    (_ATTRIBUTE, 23): "sparse weights",
    (_TENSOR, 13): "weights in another file",
}
_LOCATION = (_TENSOR, 14)
_NO_FILE = "cannot be read by OpenVINO (it is not a whole ONNX file)"
_OPERATOR, _DOMAIN = (_NODE, 4), (_NODE, 7)


def check_file(onnx: bytes) -> None:
    """Raise BundleError unless the bytes are one ONNX file with only the operators of `OPERATORS`."""
    nodes = fields = graphs = 0
    waiting = [(_MODEL, 0, len(onnx))]
    while waiting:
        message, start, end = waiting.pop()
        nodes += message == _NODE
        graphs += message == _GRAPH
        for number, value, place in _fields(onnx, start, end):
            fields += 1
            key = (message, number)
            if key in _REFUSED:
                raise _refused(f"contains {_REFUSED[key]}")
            if key == _LOCATION and value:
                raise _refused("contains weights in another file")
            if key == _OPERATOR and onnx[place : place + value] not in _OPERATOR_BYTES:
                raise _refused(f"contains the unknown operator {_shown(onnx[place : place + value])}")
            if key == _DOMAIN and onnx[place : place + value] not in (b"", b"ai.onnx"):
                raise _refused(f"contains an operator of the unknown domain {_shown(onnx[place : place + value])}")
            if key in _INNER:
                if place + value > end:  # a number where a message belongs
                    raise _refused(_NO_FILE)
                waiting.append((_INNER[key], place, place + value))
        if nodes > _MOST_NODES or fields > _MOST_FIELDS:
            raise _refused(f"is larger than {_MOST_NODES:,} operators and {_MOST_FIELDS:,} fields")
    if graphs != 1:
        raise _refused(_NO_FILE)


def check_graph(network: Any) -> int:
    """Count the multiply-adds of an OpenVINO graph for one picture, before compiling.

    BundleError unless it has one input, one output, fixed shapes and a bounded cost.
    """
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        raise _refused(f"has {len(network.inputs)} inputs and {len(network.outputs)} outputs instead of one each")
    cost = values = 0
    for node in network.get_ordered_ops():
        kind = node.get_type_name()
        if kind == "Constant":
            continue
        made = 0
        for output in node.outputs():
            count = math.prod(_sides(output))
            if count < 0:
                raise _refused(f"has no fixed shape at {_shown(node.get_friendly_name())}")
            if count > MOST_VALUES:
                raise _refused(
                    f"has {count:,} numbers at {_shown(node.get_friendly_name())}, more than {MOST_VALUES:,}"
                )
            made += count
        values += made
        cost += _multiply_adds(node, kind, made)
    if values > 32 * MOST_VALUES:
        raise _refused(f"has {values:,} numbers between its layers, more than {32 * MOST_VALUES:,}")
    if cost > MOST_MULTIPLY_ADDS:
        raise _refused(f"needs {cost:.1e} multiply-adds per picture, more than {MOST_MULTIPLY_ADDS:.1e}")
    return cost


def _multiply_adds(node: Any, kind: str, made: int) -> int:
    """Return the cost of an operation; without weights, one per number of its inputs and outputs."""
    taken = [_sides(value) for value in node.input_values()]
    if kind in ("Convolution", "GroupConvolution"):  # weights: [out in k k], or [groups out in k k]
        return made * math.prod(taken[1][1 if kind == "Convolution" else 2 :])
    if kind == "MatMul":
        turned = node.get_attributes().get("transpose_a") and len(taken[0]) > 1
        return made * taken[0][-2 if turned else -1]
    if kind in ("MaxPool", "AvgPool"):
        return made * int(math.prod(node.get_attributes().get("kernel", [1])))
    return made + sum(map(math.prod, taken))


def _sides(value: Any) -> tuple[int, ...]:
    """Return the shape of a value, -1 alone if it is not fixed; parsed from text, ten times faster."""
    return _read_sides(str(value.partial_shape))


@lru_cache(maxsize=4096)
def _read_sides(shape: str) -> tuple[int, ...]:
    sides = shape.strip("[]").split(",")
    if not all(side.isdecimal() for side in sides if side):
        return (-1,)
    return tuple(int(side) for side in sides if side)


def _fields(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, value and position of each field of a message; for bytes, the value is the length."""
    while start < end:
        tag, start = _varint(data, start, end)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, start = _varint(data, start, end)
            yield number, value, start
            continue
        if kind == 2:
            value, start = _varint(data, start, end)
        elif kind in (1, 5):
            value = 8 if kind == 1 else 4
        else:
            raise _refused(_NO_FILE)
        if number == 0 or start + value > end:
            raise _refused(_NO_FILE)
        yield number, value, start
        start += value


def _varint(data: bytes, start: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if start >= end:
            raise _refused(_NO_FILE)
        byte = data[start]
        start += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, start
    raise _refused(_NO_FILE)


def _shown(name: bytes | str) -> str:
    text = name.decode("utf-8", "replace") if isinstance(name, bytes) else name
    return repr(text[:60])


def _refused(what: str) -> BundleError:
    return BundleError(f"backbone network {what}: get another bundle, or export the network again")


_OPERATOR_BYTES = frozenset(name.encode() for name in OPERATORS)
