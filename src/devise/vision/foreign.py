"""Preprocessing as other programs write it: timm's data configuration, the processor of transformers, options."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from devise.errors import BundleError, UsageError
from devise.files import parse_json, read_text
from devise.vision.preprocessing import Preprocessing

__all__ = ["Settings", "of_processor", "of_timm", "read_preprocessing", "settled_preprocessing"]

Settings = dict[str, Any]
"""Fields of `Preprocessing` by name, as many as are known; mean and std on the scale of bytes."""

_PILLOW = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
_BY_SIDES = ("BeitImageProcessor", "DeiTImageProcessor", "SiglipImageProcessor", "ViTImageProcessor")
_BY_SHORT_SIDE = ("BitImageProcessor", "CLIPImageProcessor", "MobileNetV1ImageProcessor", "MobileNetV2ImageProcessor")
_CONVNEXT = "ConvNextImageProcessor"
_WHOLE_FROM = 384  # transformers squashes pictures for a ConvNeXt of this side or more
_OPTIONS = {"resize": "--resize", "crop": "--crop", "interpolation": "--interpolation", "mean": "--mean",
            "std": "--std"}  # fmt: skip


def settled_preprocessing(found: Mapping[str, Any], given: Mapping[str, Any]) -> Preprocessing:
    """Options over what the source says; UsageError names what neither says, for nothing is guessed."""
    whole = {**found, **given}
    if missing := [option for name, option in _OPTIONS.items() if name not in whole]:
        raise UsageError(
            f"the source does not say how pictures are prepared: give {', '.join(missing)}, or --preprocessing FILE"
        )
    try:
        return Preprocessing.from_dict(whole)
    except BundleError as error:
        raise UsageError(str(error).removesuffix(": rebuild the bundle")) from None


def read_preprocessing(path: Path) -> Settings:
    """Read a JSON file of devise, of timm (config.json) or of transformers (preprocessor_config.json)."""
    try:
        stored = parse_json(read_text(path, UsageError, cure="give a JSON file"))
    except ValueError as error:
        raise UsageError(f"{path} is not JSON ({error}): give a file of preprocessing") from None
    if isinstance(stored, dict):
        stored = stored.get("preprocessing", stored.get("pretrained_cfg", stored))
    if isinstance(stored, dict) and "crop" in stored:
        try:
            made = Preprocessing.from_dict(stored)
        except BundleError as error:
            raise UsageError(f"{path}: {str(error).removesuffix(': rebuild the bundle')}") from None
        return {name: getattr(made, name) for name in ("resize", "crop", "interpolation", "mean", "std", "squash")}
    if isinstance(stored, dict) and "input_size" in stored:
        return of_timm(stored)
    if isinstance(stored, dict) and {"image_processor_type", "feature_extractor_type"} & set(stored):
        return of_processor(stored)
    raise UsageError(
        f"{path} is not a file of preprocessing: give crop, resize, interpolation, mean and std, or the file of "
        "timm or of transformers"
    )


def of_timm(config: Mapping[str, Any]) -> Settings:
    """Convert timm's data configuration; its mean and std are on the scale from 0 to 1."""
    try:
        height, crop = (int(side) for side in config["input_size"][-2:])
        mean, std = (_bytes(config[key], 255.0) for key in ("mean", "std"))
        share = float(config.get("crop_pct") or 1.0)
        mode, kind = config.get("crop_mode") or "center", str(config.get("interpolation", "bicubic"))
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"timm's data configuration lacks or garbles {error}: give --preprocessing FILE") from None
    if height != crop or mode not in ("center", "squash"):
        raise UsageError(
            f"timm prepares pictures of {height}x{crop} by {mode}: only square ones, center or squash, work"
        )
    resize = max(crop, math.floor(crop / share))
    return _plain(resize, crop, kind, mean, std, mode == "squash")


def of_processor(config: Mapping[str, Any]) -> Settings:
    """Convert the configuration of an image processor of transformers with all its keys.

    UsageError for a kind that is not known here, or settings that `Preprocessing` has no form for.
    """
    kind = str(config.get("image_processor_type") or config.get("feature_extractor_type"))
    for ending in ("Fast", "Pil"):
        kind = kind.removesuffix(ending)
    kind = kind.replace("FeatureExtractor", "ImageProcessor")
    if kind not in (*_BY_SIDES, *_BY_SHORT_SIDE, _CONVNEXT):
        raise UsageError(
            f"the image processor {kind} is not known: give --resize, --crop, --interpolation, --mean, --std"
        )
    if missing := [key for key in ("size", "resample") if config.get(key) is None]:
        raise UsageError(f"{kind} does not say {' and '.join(missing)}: give --preprocessing FILE")
    for key in ("do_resize", "do_rescale", "do_normalize"):
        if not config.get(key, True):
            raise UsageError(f"{kind} has {key} = false: give --resize, --crop, --interpolation, --mean, --std")
    sides, squash = _sides(config["size"], kind)
    crop = sides
    if kind == _CONVNEXT:
        share = float(config.get("crop_pct") or 224 / 256)
        squash = sides >= _WHOLE_FROM
        sides = sides if squash else int(sides / share)
    elif config.get("do_center_crop"):
        crop = _square(config.get("crop_size"), kind)
    elif not squash:
        raise UsageError(f"{kind} crops nothing, so its pictures are not square: give --resize and --crop")
    factor = float(config.get("rescale_factor") or 1 / 255)
    mean, std = (_bytes(config[key], 1 / factor) for key in ("image_mean", "image_std"))
    filters = config["resample"]
    return _plain(sides, crop, _PILLOW.get(filters, str(filters)), mean, std, squash)


def _sides(size: Any, kind: str) -> tuple[int, bool]:
    """The side that is resized to, and whether both are."""
    if isinstance(size, Mapping) and size.get("shortest_edge"):
        return int(size["shortest_edge"]), False
    if isinstance(size, Mapping):
        return _square(size, kind), True
    return int(size), kind in _BY_SIDES


def _square(size: Any, kind: str) -> int:
    pair = (size.get("height"), size.get("width")) if isinstance(size, Mapping) else (size, size)
    if pair[0] != pair[1] or not isinstance(pair[0], int):
        raise UsageError(f"{kind} makes pictures of {pair[0]} x {pair[1]} pixels: only square ones work")
    return pair[0]


def _bytes(values: Sequence[float], scale: float) -> tuple[float, ...]:
    return tuple(float(value) * scale for value in values)


def _plain(
    resize: int, crop: int, interpolation: str, mean: tuple[float, ...], std: tuple[float, ...], squash: bool
) -> Settings:
    return {
        "resize": resize, "crop": crop, "interpolation": interpolation, "mean": mean, "std": std, "squash": squash,
    }  # fmt: skip
