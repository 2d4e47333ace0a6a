"""Export a backbone as ONNX: the network up to its features, with BatchNorms folded."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from devise.arrays import Float32
from devise.errors import BundleError
from devise.vision.efficientnet import VARIANTS, EfficientNetLite, Layer
from devise.vision.smallnet import SmallNet

__all__ = [
    "INPUT",
    "OUTPUT",
    "freeze_norms",
    "onnx_bytes",
    "restored_network",
]

if TYPE_CHECKING:
    import onnx


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
        # The padding of TensorFlow's SAME: what is odd goes to the right and the bottom.
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


def restored_network(onnx_file: bytes, architecture: str, classes: int, features: int) -> EfficientNetLite | SmallNet:
    """Return the network with the convolutions of a file written by `onnx_bytes`.

    There the normalisations are folded into the convolutions, so here they do nothing but add the bias: keep
    them so with `freeze_norms`. The classifier has `classes` random rows.
    BundleError if the file is not of this architecture.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_from_string(onnx_file).graph
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    crop = graph.input[0].type.tensor_type.shape.dim[2].dim_value
    network = _network(architecture, classes, crop, features)
    convolutions = {"conv_stem": network.stem, "conv_head": network.head}
    for path, block in network.named_blocks():
        convolutions |= {f"{path}.{name}": layer for name, layer in block.layers().items()}
    with torch.no_grad():
        for name, layer in convolutions.items():
            weight, bias = arrays.get(f"{name}.weight"), arrays.get(f"{name}.bias")
            if weight is None or bias is None or weight.shape != tuple(layer.conv.weight.shape):
                raise BundleError(f"backbone network lacks {name} of {architecture}: rebuild the bundle")
            layer.conv.weight.copy_(torch.from_numpy(weight.astype(np.float32)))
            _pass_through(layer.norm, torch.from_numpy(bias.astype(np.float32)))
    return network


def freeze_norms(network: nn.Module) -> None:
    """Keep normalisations in evaluation mode; call it after every `train()`."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def _network(architecture: str, classes: int, crop: int, features: int) -> EfficientNetLite | SmallNet:
    variant = architecture.removeprefix("efficientnet-")
    if variant in VARIANTS:
        return EfficientNetLite(variant, classes)
    try:
        return SmallNet.of_architecture(architecture, classes, crop, features)
    except ValueError:
        raise BundleError(f"the network {architecture!r} cannot be trained further: train another backbone") from None


def _pass_through(norm: nn.BatchNorm2d, bias: torch.Tensor) -> None:
    """weight (x - 0) / sqrt(var + eps) + bias with weight = sqrt(var + eps) = 1."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.zero_()
    norm.running_var.fill_(1 - norm.eps)  # so that var + eps is 1
    norm.weight.fill_(1)
    norm.bias.copy_(bias)
