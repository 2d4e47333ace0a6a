"""A small residual CNN for pictures of about 64 pixels, in plain torch."""

from dataclasses import dataclass

from torch import nn

from devise.vision.efficientnet import Block, ConvNet, Layer, SameConv2d
from devise.vision.preprocessing import Preprocessing

__all__ = ["SmallNet", "SmallNetSize"]


@dataclass(frozen=True, slots=True)
class SmallNetSize:
    """channels: per stage, each at half the side of the previous one. repeats: residual blocks per stage."""

    channels: tuple[int, ...] = (48, 96, 192, 384)
    repeats: tuple[int, ...] = (1, 1, 1, 1)
    features: int = 512
    crop: int = 64


class _Narrow(Block):
    """A convolution that halves the side, with its activation; without a shortcut."""

    skips = False

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv, self.bn = SameConv2d(inputs, outputs, 3, 2, bias=False), nn.BatchNorm2d(outputs)

    def layers(self) -> dict[str, Layer]:
        """The convolutions in order, by name."""
        return {"conv": Layer(self.conv, self.bn, True)}


class _Residual(Block):
    """Two convolutions whose result is added to the input; no activation after the sum."""

    skips = True

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = SameConv2d(channels, channels, 3, bias=False), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = SameConv2d(channels, channels, 3, bias=False), nn.BatchNorm2d(channels)
        nn.init.zeros_(self.bn2.weight)  # each block begins as doing nothing

    def layers(self) -> dict[str, Layer]:
        """The convolutions in order, by name."""
        return {"conv1": Layer(self.conv1, self.bn1, True), "conv2": Layer(self.conv2, self.bn2, False)}


class SmallNet(ConvNet):
    """The network. Input [n, 3, crop, crop], normalised as its preprocessing says. Starts with random weights.

    It uses the same layers as EfficientNet-Lite, so that the same export writes it as ONNX.
    """

    def __init__(self, classes: int, size: SmallNetSize | None = None) -> None:
        super().__init__()
        self.size = size or SmallNetSize()
        first = self.size.channels[0]
        self.conv_stem, self.bn1 = SameConv2d(3, first, 3, 2, bias=False), nn.BatchNorm2d(first)
        self.blocks = nn.Sequential()
        before = first
        for number, (channels, repeats) in enumerate(zip(self.size.channels, self.size.repeats, strict=True)):
            if number:
                self.blocks.append(_Narrow(before, channels))
            for _ in range(repeats):
                self.blocks.append(_Residual(channels))
            before = channels
        self.conv_head = SameConv2d(before, self.size.features, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(self.size.features)
        self.classifier = nn.Linear(self.size.features, classes)

    @property
    def architecture(self) -> str:
        """Return its name in a bundle, which describes its shape."""
        channels = "-".join(map(str, self.size.channels))
        return f"smallnet {channels} x {'-'.join(map(str, self.size.repeats))}"

    @property
    def preprocessing(self) -> Preprocessing:
        """Short side to the crop's; bytes to about [-1, 1]."""
        crop = self.size.crop
        return Preprocessing(crop, crop, "bicubic", (127.0, 127.0, 127.0), (128.0, 128.0, 128.0))

    @staticmethod
    def of_architecture(name: str, classes: int, crop: int, features: int) -> "SmallNet":
        """Return the network that `architecture` names; ValueError if it names none."""
        kind, channels, _, repeats = name.split(" ")
        if kind != "smallnet":
            raise ValueError(name)
        widths, depths = (tuple(map(int, text.split("-"))) for text in (channels, repeats))
        return SmallNet(classes, SmallNetSize(widths, depths, features, crop))
