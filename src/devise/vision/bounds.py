"""Bounds: the data of a network's 8-bit form, measured on photos."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from devise.arrays import Float32
from devise.errors import BundleError

__all__ = ["Bounds", "Shift", "network_of"]


Shift = Float32[np.ndarray, "_"]
"""One number per channel."""


@dataclass(frozen=True, eq=False, slots=True)
class Bounds:
    """Rounding bounds of each value of one network, and corrections of its mean.

    network: SHA-256 of the network's ONNX file, in lower-case hexadecimal digits. of: by the value's name in the
    graph, its least and its greatest; values outside are clipped. shifts: by the convolution's name,
    what is added to each of its output channels, which rounding the weights moved by as much in the mean.
    narrow_shifts: the same for weights rounded for narrow sums (`devise.vision.quantised.sums_are_narrow`); empty if
    that was not measured, and then `shifts` are used.
    """

    network: str
    of: Mapping[str, tuple[float, float]]
    shifts: Mapping[str, Shift]
    narrow_shifts: Mapping[str, Shift] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, (low, high) in self.of.items():
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise BundleError(
                    f"bounds of {name} must be finite and ascend, got {low:g} and {high:g}: measure them again"
                )


def network_of(onnx: bytes) -> str:
    """Return the SHA-256 of a network's file, for `Bounds.network`."""
    return hashlib.sha256(onnx).hexdigest()
