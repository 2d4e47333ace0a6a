"""Preprocessing: the steps from a decoded picture to the first layer of a backbone."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Literal, get_args

import numpy as np
from PIL import Image

from devise.arrays import Float32, Pixels, UInt8
from devise.errors import BundleError

__all__ = ["LONGEST", "Crop", "Crops", "Interpolation", "Planes", "Preprocessing", "Whole"]

Interpolation = Literal["bicubic", "bilinear", "lanczos"]
"""Pillow's filters of these names, which widen with the scale when a picture shrinks (no aliasing)."""

Crop = UInt8[np.ndarray, "crop crop 3"]
"""One picture as a backbone takes it: `Preprocessing.apply` makes it."""

Crops = UInt8[np.ndarray, "images crop crop 3"]
"""Several such pictures."""

Whole = UInt8[np.ndarray, "_high _wide 3"]
"""A whole picture to look at part by part: `Preprocessing.whole` makes it."""

Planes = Float32[np.ndarray, "images 3 _high _wide"]
"""Pictures as the file of a network takes them: channels first, normalised; `Preprocessing.normalised` makes them."""

LONGEST = 4
"""Largest width / height, or the reverse, of a picture that is looked at part by part: it bounds the cost."""

_FILTERS: dict[str, Image.Resampling] = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
}
_LARGEST = 2048  # pixels of the short side; the largest networks of timm take 1024
_FARTHEST = 1e4  # of bytes, which are at most 255
_STRIDE = 32  # pixels per cell of the last feature map of most networks
_ELONGATED = 8  # times as long as wide: from here on only the middle is resized


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Resize the short side to `resize` pixels and cut the middle `crop` x `crop`; the network takes (x - mean) / std.

    mean, std: one number per channel (red, green, blue) on the scale of the stored bytes, 0 to 255.
    squash: resize both sides to `resize`, whatever the picture's shape; many networks of transformers want this.
    The settings belong to the weights: others cost accuracy without any error, so a bundle keeps them.

    >>> lite2 = Preprocessing.of_lite(260)
    >>> lite2.resize, lite2.interpolation, lite2.mean[0], lite2.std[0]
    (297, 'bicubic', 127.0, 128.0)
    """

    resize: int
    crop: int
    interpolation: Interpolation
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    squash: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.crop <= self.resize:
            raise _mistake("crop", f"from 1 to resize, {self.resize}", self.crop)
        if self.resize > _LARGEST:
            raise _mistake("resize", f"at most {_LARGEST}", self.resize)
        if self.interpolation not in get_args(Interpolation):
            raise _mistake("interpolation", f"one of {', '.join(get_args(Interpolation))}", self.interpolation)
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != 3 or not all(math.isfinite(value) for value in values):
                raise _mistake(name, "three finite numbers", values)
            if max(map(abs, values)) > _FARTHEST:
                raise _mistake(name, f"at most {_FARTHEST:g}", values)
        if min(self.std) <= 0:
            raise _mistake("std", "above 0", self.std)
        if min(self.std) < 1 / _FARTHEST:
            raise _mistake("std", f"at least {1 / _FARTHEST:g}", self.std)

    @classmethod
    def of_lite(cls, crop: int) -> "Preprocessing":
        """Return the preprocessing of the EfficientNet-Lite weights, for a network input of `crop` pixels."""
        return cls(round(crop * 256 / 224), crop, "bicubic", (127.0, 127.0, 127.0), (128.0, 128.0, 128.0))

    @classmethod
    def from_dict(cls, stored: Mapping[str, object]) -> "Preprocessing":
        """Invert `to_dict`; BundleError on an unknown or missing key, or a value of another type."""
        names = {field.name for field in fields(cls)}
        unknown, missing = sorted(set(stored) - names), sorted(names - set(stored) - {"squash"})
        if unknown or missing:
            raise BundleError(f"preprocessing has unknown keys {unknown} and lacks {missing}: rebuild the bundle")
        return cls(
            _whole("resize", stored["resize"]),
            _whole("crop", stored["crop"]),
            _filter(stored["interpolation"]),
            _triple("mean", stored["mean"]),
            _triple("std", stored["std"]),
            _yes_or_no("squash", stored.get("squash", False)),
        )

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON; without `squash` where it is not wanted, as bundles before it have it."""
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        return plain if self.squash else {name: value for name, value in plain.items() if name != "squash"}

    @property
    def decode_side(self) -> int:
        """Return the shortest side, in pixels, for reduced decoding of a JPEG: `min_side` of `read_picture`.

        Twice `resize`: on photos of 1536 pixels this moved the features by 2.4 % of their length, a third
        of what storing the photos again at half the size and quality 85 did, and left every first answer
        the same.
        """
        return 2 * self.resize

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height after scaling the short side to `resize`; halves round to even.

        >>> Preprocessing.of_lite(224).resized(640, 480)
        (341, 256)
        """
        if self.squash:
            return self.resize, self.resize
        scale = self.resize / min(width, height)
        return round(width * scale), round(height * scale)

    def apply(self, pixels: Pixels) -> Crop:
        """Return the backbone's input for one picture: equal to Pillow's resize, then crop.

        Of a picture more than 8 times as long as wide only the middle is resized, so that a thin strip
        needs no more memory than a photo; those pixels may differ by a few levels out of 255.
        """
        height, width = pixels.shape[:2]
        wide, high = self.resized(width, height)
        left, top = (wide - self.crop) // 2, (high - self.crop) // 2
        middle = (left, top, left + self.crop, top + self.crop)
        image, kind = Image.fromarray(pixels), _FILTERS[self.interpolation]
        if max(width, height) <= _ELONGATED * min(width, height):
            cut = image.resize((wide, high), kind).crop(middle)
        else:
            across, down = width / wide, height / high
            box = (middle[0] * across, middle[1] * down, middle[2] * across, middle[3] * down)
            cut = image.resize((self.crop, self.crop), kind, box=box)
        return np.asarray(cut)

    def whole(self, pixels: Pixels) -> Whole:
        """Return a whole picture, its short side about `crop` pixels, the other at most LONGEST times as many.

        Both sides are `crop` plus a multiple of 32 pixels: with others, the paddings that a network stores for `crop`
        would be off by a pixel. So it is stretched by 6 % at most.
        """
        height, width = pixels.shape[:2]
        short = min(width, height)
        ratios = [min(side / short, LONGEST) for side in (width, height)]
        wide, high = (self.crop + _STRIDE * round((ratio - 1) * self.crop / _STRIDE) for ratio in ratios)
        return self.stretched(pixels, wide, high)

    def why_no_parts(self, size: tuple[int, int]) -> str:
        """Return why a picture of this width and height is not looked at part by part, or ""."""
        short, long = sorted(size)
        shown = f"{size[0]} x {size[1]} pixels"
        if 2 * short < self.crop:
            return f"no regions: {shown} are too small, the short side needs {-(-self.crop // 2)}"
        if long > LONGEST * short:
            return f"no regions: {shown} are more than {LONGEST} times as long as wide"
        return ""

    def stretched(self, pixels: Pixels, width: int, height: int) -> Whole:
        """Return the whole picture, resized to this size."""
        return np.asarray(Image.fromarray(pixels).resize((width, height), _FILTERS[self.interpolation]))

    def normalised(self, crops: UInt8[np.ndarray, "images _high _wide 3"]) -> Planes:
        """Return (x - mean) / std of pictures, in a new array."""
        values = (crops - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def _mistake(name: str, wanted: str, got: object) -> BundleError:
    return BundleError(f"preprocessing: {name} must be {wanted}, got {got!r}: rebuild the bundle")


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _mistake(name, "a whole number", value)
    return value


def _yes_or_no(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _mistake(name, "true or false", value)
    return value


def _filter(value: object) -> Interpolation:
    for known in get_args(Interpolation):
        if value == known:
            return known  # type: ignore[no-any-return]
    raise _mistake("interpolation", f"one of {', '.join(get_args(Interpolation))}", value)


def _triple(name: str, value: object) -> tuple[float, float, float]:
    if not isinstance(value, list | tuple) or len(value) != 3 or not all(type(x) in (int, float) for x in value):
        raise _mistake(name, "three numbers", value)
    try:
        return float(value[0]), float(value[1]), float(value[2])
    except OverflowError:
        raise _mistake(name, "three finite numbers", value) from None
