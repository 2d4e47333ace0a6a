"""Use any image network of timm as a backbone: pooled features, preprocessing, ONNX."""

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from devise.arrays import Float
from devise.errors import UsageError
from devise.vision.efficientnet import read_weights
from devise.vision.export import INPUT, OUTPUT
from devise.vision.foreign import of_timm, settled_preprocessing

__all__ = ["TIMM", "TimmNet", "exported", "timm_classifier", "traced", "traced_onnx"]

TIMM = "timm:"
"""Prefix of the names of these backbones."""

_OPSET = 17


class TimmNet(nn.Module):
    """timm's network with a new classifier on its pooled features.

    name: as timm knows it, without "timm:". pretrained: start from the weights that timm downloads, or from a file of
    them.
    UsageError if timm is not installed, cannot be loaded, or does not know the name.
    """

    def __init__(self, name: str, classes: int, *, pretrained: bool | Path) -> None:
        super().__init__()
        timm = _timm()
        self.network = _created(timm, name, pretrained, num_classes=0)
        self.architecture = f"{TIMM}{name}"
        self.preprocessing = settled_preprocessing(of_timm(timm.data.resolve_model_data_config(self.network)), {})
        self.classifier = nn.Linear(_features(self.network, self.preprocessing.crop), classes)

    def forward_features(self, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n features"]:
        """Pooled features."""
        features: Tensor = self.network(pixels)
        return features

    def forward(self, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n classes"]:
        """Logits."""
        logits: Tensor = self.classifier(self.forward_features(pixels))
        return logits


def traced_onnx(network: TimmNet) -> bytes:
    """Export the network up to its features as ONNX, traced by torch; leaves it in evaluation mode.

    Its inputs, outputs and meaning are those of `onnx_bytes`; its bytes may change with the version of torch.
    """
    network.eval()
    return traced(network.network, network.preprocessing.crop)


def traced(module: nn.Module, crop: int) -> bytes:
    """Export a module from pixels [n, 3, crop, crop] to one output as ONNX; see `exported`."""
    return exported(module, torch.zeros(1, 3, crop, crop), INPUT, OUTPUT)


def exported(module: nn.Module, sample: Tensor, takes: str, makes: str) -> bytes:
    """Export a module of one input as ONNX, for any number of rows, as it answers in evaluation mode.

    takes, makes: names of input and output. UsageError if torch cannot write one of its layers as ONNX.
    """
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the older exporter (the newer needs one more package) and of fixed sizes
        path = Path(folder) / "network.onnx"
        try:
            torch.onnx.export(
                module.eval(),
                (sample,),
                str(path),
                input_names=[takes],
                output_names=[makes],
                dynamic_axes={takes: {0: "N"}, makes: {0: "N"}},
                opset_version=_OPSET,
                dynamo=False,
            )
        except (RuntimeError, ValueError, TypeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UsageError(f"torch cannot write the network as ONNX ({reason}): use another network") from None
        return path.read_bytes()


def timm_classifier(name: str, pretrained: bool | Path) -> tuple[nn.Module, dict[str, Any]]:
    """timm's network with its own classifier, and timm's data configuration; see `TimmNet`."""
    timm = _timm()
    network = _created(timm, name, pretrained)
    return network.eval(), timm.data.resolve_model_data_config(network)


def _created(timm: Any, name: str, pretrained: bool | Path, **more: Any) -> nn.Module:
    if isinstance(pretrained, Path):
        read_weights(pretrained)  # timm's own errors do not name the file
        more |= {"pretrained_cfg_overlay": {"file": str(pretrained)}}
    try:
        network: nn.Module = timm.create_model(name, pretrained=bool(pretrained), **more)
    except (RuntimeError, ValueError, OSError, LookupError) as error:
        reason = str(error).strip().splitlines()[0]
        if isinstance(error, KeyError):  # of the functions with which timm renames tensors
            reason = f"unexpected tensor {reason}"
        what = f"with {pretrained} " if isinstance(pretrained, Path) else ""
        raise UsageError(f"timm has no network {name!r} ready {what}({reason}): see timm.list_models()") from None
    return network


def _timm() -> Any:
    try:
        import timm
        import timm.data
    except ModuleNotFoundError:
        raise UsageError("timm's backbones need timm: pip install 'devise-zsl[gpu]'") from None
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f"timm cannot be loaded ({reason}): install a torchvision that fits torch") from None
    return timm


def _features(network: nn.Module, crop: int) -> int:
    """Return the number of features: not always `num_features`, if a layer follows."""
    with torch.no_grad():
        features = network.eval()(torch.zeros(1, 3, crop, crop))
    network.train()
    if features.ndim != 2:
        raise UsageError(f"the network makes features of shape {tuple(features.shape[1:])}: use one that pools them")
    return int(features.shape[1])
