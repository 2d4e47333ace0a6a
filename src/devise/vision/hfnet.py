"""Image classifiers in a folder of transformers; nothing is downloaded and no code of the folder runs."""

import os
import re
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from devise.arrays import Float
from devise.errors import UsageError
from devise.files import parse_json, read_text

__all__ = ["hf_classifier", "hf_licence", "hf_model", "hf_processor", "json_of", "transformers_here"]

_LICENCE = re.compile(r"^license:\s*[\"']?([\w.+-]+)", re.MULTILINE)


class _Logits(nn.Module):
    """The model from pixels to logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n classes"]:
        logits: Tensor = self.model(pixel_values=pixels).logits
        return logits


def hf_classifier(folder: Path) -> tuple[nn.Module, str, dict[str, str]]:
    """Return the module from pixels to logits, the kind of model, and the classes by row number.

    UsageError if the folder is not a classifier with safetensors weights that fit it.
    """
    model, config = hf_model(folder, "AutoModelForImageClassification", "an image classifier")
    classes = config.get("id2label") or {}
    return _Logits(model), str(config.get("model_type")), classes


def hf_model(folder: Path, reader: str, what: str) -> tuple[Any, dict[str, Any]]:
    """Return the model in a folder and its configuration. reader: the class of transformers; what: a model of it.

    UsageError if the folder is not such a model with safetensors weights that fit it.
    """
    config = json_of(folder, "config.json")
    if not any(folder.glob("*.safetensors")):
        pickled = " has pickled weights, which may contain code, and" if any(folder.glob("*.bin")) else ""
        raise UsageError(f"{folder}{pickled} has no *.safetensors: convert the weights")
    if "auto_map" in config:
        raise UsageError(f"{folder} needs code of its own, which is not run: export the network as ONNX")
    transformers = transformers_here()
    try:
        model, loading = getattr(transformers, reader).from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            attn_implementation="eager",
            ignore_mismatched_sizes=True,  # reported below, in one line
        )
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{folder} is not {what} of transformers ({reason[:200]})") from None
    wrong = sorted({str(one) for key in ("missing_keys", "mismatched_keys") for one in loading[key]})
    if wrong:
        raise UsageError(
            f"{folder}: its weights are of another network: {len(wrong)} tensors are missing or of another shape, such "
            f"as {wrong[0]}"
        )
    return model.eval(), config


def hf_processor(folder: Path) -> dict[str, Any]:
    """Return the settings of the image processor, with its defaults filled in."""
    json_of(folder, "preprocessor_config.json")
    try:
        processor = transformers_here().AutoImageProcessor.from_pretrained(folder, local_files_only=True)
    except (OSError, RuntimeError, ValueError, KeyError, ImportError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{folder}: its image processor cannot be read ({reason[:200]})") from None
    settings: dict[str, Any] = processor.to_dict() | {"image_processor_type": type(processor).__name__}
    return settings


def hf_licence(folder: Path) -> str | None:
    """Return the licence at the top of the folder's README.md, if it says one."""
    try:
        head = read_text(folder / "README.md", UsageError)[:4000]
    except (OSError, UsageError):
        return None
    found = _LICENCE.search(head) if head.startswith("---") else None
    return found[1] if found else None


def json_of(folder: Path, name: str) -> dict[str, Any]:
    """Read a configuration in a folder; UsageError if it is none."""
    try:
        stored = parse_json(read_text(folder / name, UsageError, cure="give a folder of a model"))
    except ValueError as error:
        raise UsageError(f"{folder / name} is not JSON ({error})") from None
    if not isinstance(stored, dict):
        raise UsageError(f"{folder / name} is not a configuration: give a folder of a model")
    return stored


def transformers_here() -> Any:
    """Import transformers without its progress bars; UsageError if it is not installed."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        import transformers
    except ModuleNotFoundError:
        raise UsageError("this source needs transformers: pip install transformers") from None
    logging: Any = transformers.utils.logging
    logging.disable_progress_bar()
    return transformers
