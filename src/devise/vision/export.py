"""Export a backbone as ONNX: the network up to its features, with BatchNorms folded."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from devise.errors import BundleError
from devise.vision.efficientnet import EfficientNetLite, Layer
from devise.vision.smallnet import SmallNet

if TYPE_CHECKING:
    import onnx

__all__ = ["INPUT", "OUTPUT", "onnx_bytes"]

INPUT, OUTPUT = "pixels", "features"
_OPSET, _IR_VERSION = 17, 8


def onnx_bytes(model: EfficientNetLite | SmallNet, *, half: bool) -> bytes:
    """Return the network from `pixels` float32 [N, 3, crop, crop] to `features` float32 [N, features] as ONNX.

    half: keep the weights as float16 and cast them to float32 in the graph. The file shrinks to one half, an
    engine folds the casts away when it loads, and all arithmetic stays float32; only the weights are rounded.
    The same model gives the same bytes. BundleError if a folded weight does not fit into float16.

    The graph is written node by node and not traced, so that its bytes do not change with the version of
    torch.
    """
    import onnx
    from onnx import helper

    crop = model.preprocessing.crop
    graph = _Graph(half)
    value, side = graph.conv("conv_stem", model.stem, INPUT, crop)
    for path, block in model.named_blocks():
        entry = value
        for name, layer in block.layers().items():
            value, side = graph.conv(f"{path}.{name}", layer, value, side)
        if block.skips:
            value = graph.node("Add", f"{path}.add", [entry, value])
    value, side = graph.conv("conv_head", model.head, value, side)
    graph.node("Flatten", OUTPUT, [graph.node("GlobalAveragePool", "pool", [value])], axis=1)
    channels = model.conv_head.out_channels
    made = helper.make_graph(
        graph.nodes,
        model.architecture,
        [helper.make_tensor_value_info(INPUT, onnx.TensorProto.FLOAT, ["N", 3, crop, crop])],
        [helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, ["N", channels])],
        graph.tensors,
    )
    whole = helper.make_model(made, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    onnx.checker.check_model(whole)
    data: bytes = whole.SerializeToString(deterministic=True)
    return data


@dataclass
class _Graph:
    """Nodes and stored tensors, in the order they were made; a value is known by the name of its node."""

    half: bool
    nodes: list["onnx.NodeProto"] = field(default_factory=list)
    tensors: list["onnx.TensorProto"] = field(default_factory=list)

    def node(self, operator: str, name: str, inputs: list[str], **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def constant(self, name: str, values: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def conv(self, name: str, layer: Layer, value: str, side: int) -> tuple[str, int]:
        """Add convolution, folded normalisation and ReLU6; return the value's new name and side in pixels."""
        kernel, stride = layer.conv.kernel_size[0], layer.conv.stride[0]
        after = -(-side // stride)
        padding = max((after - 1) * stride + kernel - side, 0)
        before, behind = padding // 2, padding - padding // 2
        weight, bias = _folded(layer)
        stored = self._weight(f"{name}.weight", weight)
        output = self.node(
            "Conv",
            name,
            [value, stored, self.constant(f"{name}.bias", bias)],
            group=layer.conv.groups,
            kernel_shape=[kernel, kernel],
            pads=[before, before, behind, behind],
            strides=[stride, stride],
        )
        if layer.active:
            output = self.node("Clip", f"{name}.relu6", [output, *self._bounds()])
        return output, after

    def _weight(self, name: str, weight: Float32[np.ndarray, "out in k k"]) -> str:
        if not self.half:
            return self.constant(name, weight)
        import onnx

        if float(np.abs(weight).max()) > float(np.finfo(np.float16).max):
            raise BundleError(f"weights of {name} do not fit into float16: export with half=False")
        return self.node(
            "Cast", f"{name}.f32", [self.constant(name, weight.astype(np.float16))], to=onnx.TensorProto.FLOAT
        )

    def _bounds(self) -> list[str]:
        if not any(tensor.name == "zero" for tensor in self.tensors):
            self.constant("zero", np.array(0, np.float32))
            self.constant("six", np.array(6, np.float32))
        return ["zero", "six"]


def _folded(layer: Layer) -> tuple[Float32[np.ndarray, "out in k k"], Float32[np.ndarray, " out"]]:
    """Fold a layer into weight and bias of one convolution, computed in float64."""
    norm = layer.norm
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    scale = norm.weight.detach().double() / (variance.double() + norm.eps).sqrt()
    weight = layer.conv.weight.detach().double() * scale[:, None, None, None]
    bias = norm.bias.detach().double() - mean.double() * scale
    return weight.float().cpu().numpy(), bias.float().cpu().numpy()
