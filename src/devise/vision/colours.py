"""Convert any Pillow picture to upright sRGB: modes, transparency, 16 bits, profiles, orientation."""

from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from devise.arrays import Pixels, UInt8
from devise.errors import PictureError

__all__ = ["bytes_of_unit", "has_orientation", "on_white", "orientation_of", "to_srgb", "upright"]

_ORIENTATION = 0x0112  # the EXIF tag
_BAND = 2_000_000  # pixels converted at once: some 40 MB, where a large picture whole takes 16 bytes per pixel


def to_srgb(image: Image.Image, factor: int = 1) -> Pixels:
    """Convert every mode of Pillow to sRGB, band by band.

    factor: each side is divided by it, rounded up; a pixel is then the mean of factor x factor.

    Transparency is laid on white. 16-bit greys are scaled, not clipped; floats must be in [0, 1]. Colours
    are converted from an embedded profile; one that littlecms cannot use is left out, as browsers do.
    PictureError for numbers whose range is not known.
    """
    width, height = image.size
    if factor == 1 and width * height <= _BAND:
        return _band_to_srgb(image)
    # A band is a multiple of the factor high, so that no mean spans two bands.
    rows = max(1, _BAND // (width * factor)) * factor
    pixels = np.empty((-(-height // factor), -(-width // factor), 3), np.uint8)
    for top in range(0, height, rows):
        band = _band_to_srgb(image.crop((0, top, width, min(height, top + rows))))
        if factor > 1:
            band = np.asarray(Image.fromarray(band).reduce(factor))
        pixels[top // factor : top // factor + len(band)] = band
    return pixels


def _band_to_srgb(image: Image.Image) -> Pixels:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _deep_grey(image)
    profile = image.info.get("icc_profile")
    if image.mode == "La":  # for which Pillow knows no other way
        image = image.convert("LA")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    elif image.mode not in ("L", "CMYK"):
        image = image.convert("RGB")
    transform = _transform(profile, image.mode) if profile else None
    if transform is not None:
        from PIL import ImageCms

        converted = ImageCms.applyTransform(image, transform)
        assert converted is not None
        return np.asarray(converted)
    return np.asarray(image.convert("RGB"))


def upright(pixels: Pixels, orientation: int) -> UInt8[np.ndarray, "high wide 3"]:
    """Turn the picture upright, for EXIF orientation 1 to 8; any other number means 1."""
    turned = {
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: a.swapaxes(0, 1)[:, ::-1],
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: a.swapaxes(0, 1)[::-1],
    }
    return np.ascontiguousarray(turned[orientation](pixels)) if orientation in turned else pixels


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 (upright) if missing or broken."""
    value = _orientation(image)
    return value if isinstance(value, int) else 1


def has_orientation(image: Image.Image) -> bool:
    """Return whether the EXIF data has an orientation."""
    return _orientation(image) is not None


def _orientation(image: Image.Image) -> Any:
    try:
        return image.getexif().get(_ORIENTATION)
    except Exception:  # EXIF blocks are written by anything, and Pillow lets any error through
        return None


def on_white(pixels: UInt8[np.ndarray, "height width 4"]) -> Pixels:
    """Blend colours with (straight) transparency on white."""
    return to_srgb(Image.fromarray(np.ascontiguousarray(pixels), "RGBA"))


def bytes_of_unit(values: NDArray[Any]) -> NDArray[Any]:
    """Convert floats in [0, 1] to bytes, rounded; PictureError for other values and NaN."""
    if not (values.size and values.min() >= 0 and values.max() <= 1):
        raise PictureError("floats that are not all in [0, 1]: divide them by their largest possible value first")
    return (values * 255 + 0.5).astype(np.uint8)


def _deep_grey(image: Image.Image) -> Pixels:
    values = np.asarray(image)
    if image.mode == "F":
        grey = bytes_of_unit(values)
    elif values.min() < 0 or values.max() > 0xFFFF:
        raise PictureError(
            f"grey values from {values.min()} to {values.max()} do not fit into 16 bits: save it with 16"
        )
    else:
        # 65,535 = 257 x 255; half of 257 rounds to the nearest, in 32 bits so that 65,535 + 128 does not wrap.
        grey = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> Any:
    """Return the transform from the profile to sRGB; None if unnecessary or impossible."""
    from PIL import ImageCms

    try:
        embedded = ImageCms.ImageCmsProfile(BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(embedded):
            return None
        return ImageCms.buildTransform(embedded, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError):
        return None
