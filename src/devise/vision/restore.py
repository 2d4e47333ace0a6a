"""Convert a backbone's ONNX file back to a torch network, for further training."""

import numpy as np
import torch
from torch import nn

from devise.errors import BundleError
from devise.vision.efficientnet import VARIANTS, EfficientNetLite
from devise.vision.smallnet import SmallNet

__all__ = ["freeze_norms", "restored_network"]


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
    norm.running_var.fill_(1 - norm.eps)
    norm.weight.fill_(1)
    norm.bias.copy_(bias)
