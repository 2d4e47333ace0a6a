"""Classifiers of torchvision: the network by name, its weights from a file, the preprocessing of these weights."""

from pathlib import Path
from typing import Any

from torch import nn

from devise.errors import UsageError
from devise.vision.efficientnet import read_weights
from devise.vision.foreign import Settings

__all__ = ["torchvision_classifier"]

_DEFAULT_CLASSES = 1000


def torchvision_classifier(name: str, file: Path, classes: int | None = None) -> tuple[nn.Module, Settings]:
    """Return the network and the preprocessing that its weights were published with, by their file's name.

    The settings are empty if torchvision publishes weights with several kinds of preprocessing for this network, and
    none of them has this file's name. UsageError if torchvision is not installed, or the weights are another network's.
    """
    models = _models()
    state = read_weights(file)
    if name not in models.list_models():
        raise UsageError(f"torchvision has no network {name!r}: see torchvision.models.list_models()")
    try:
        network: nn.Module = models.get_model(name, weights=None, num_classes=classes or _DEFAULT_CLASSES)
        network.load_state_dict(state)
    except (RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{file} does not fit torchvision's {name} ({reason[:200]}): give its own weights") from None
    return network.eval(), _settings(models.get_model_weights(name), file.name)


def _settings(published: Any, file: str) -> Settings:
    """Of the weights whose address ends in this file's name, or of all where they agree."""
    by_weights = {one: _preset(one.transforms()) for one in published}
    for one, settings in by_weights.items():
        if one.url.rpartition("/")[2] == file:
            return settings
    kinds = list(by_weights.values())
    return kinds[0] if kinds and all(one == kinds[0] for one in kinds) else {}


def _preset(preset: Any) -> Settings:
    mean, std = (tuple(255 * float(value) for value in values) for values in (preset.mean, preset.std))
    return {
        "resize": preset.resize_size[0], "crop": preset.crop_size[0], "interpolation": preset.interpolation.value,
        "mean": mean, "std": std,
    }  # fmt: skip


def _models() -> Any:
    try:
        import torchvision.models
    except ModuleNotFoundError:
        raise UsageError("this source needs torchvision: pip install a torchvision that fits torch") from None
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f"torchvision cannot be loaded ({reason}): install one that fits torch") from None
    return torchvision.models
