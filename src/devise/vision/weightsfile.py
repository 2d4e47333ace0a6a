"""Read a network's weights from a PyTorch or safetensors file, like published checkpoints."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from devise.errors import UsageError
from devise.files import require_regular

__all__ = ["read_weights"]


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
