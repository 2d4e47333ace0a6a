"""Checkpoints: a run's complete state as one safetensors file, written whole or not at all."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from devise.errors import TrainingError
from devise.files import atomic_write, open_tensors, parse_json, reason_of

__all__ = ["Progress", "load_checkpoint", "load_model", "save_checkpoint"]

_VERSION = 1


@dataclass(slots=True)
class Progress:
    """The progress of a run, which together with its seed determines all random numbers.

    epoch, step: of the next step. best: the best measure so far, None before the first. stale: epochs since then.
    loss_sum, loss_steps: over the steps of the epoch that are done.
    """

    epoch: int = 0
    step: int = 0
    best: float | None = None
    best_epoch: int = -1
    stale: int = 0
    loss_sum: float = 0.0
    loss_steps: int = 0
    measures: dict[str, float] = field(default_factory=dict)


def save_checkpoint(
    path: Path,
    identity: str,
    progress: Progress,
    model: dict[str, Tensor],
    optimizer: torch.optim.Optimizer | None = None,
    average: dict[str, Tensor] | None = None,
) -> None:
    """Write the state. identity: a hash of configuration and data: a checkpoint of another run is refused."""
    from safetensors.torch import save

    tensors = {f"model.{name}": tensor for name, tensor in model.items()}
    tensors |= {f"average.{name}": tensor for name, tensor in (average or {}).items()}
    if optimizer is not None:
        for number, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": torch.as_tensor(value) for name, value in state.items()}
    facts = {
        "version": _VERSION,
        "identity": identity,
        "progress": {name: getattr(progress, name) for name in Progress.__slots__},
    }
    held = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with atomic_write(path, "wb") as file:
        file.write(save(held, metadata={"devise": json.dumps(facts)}))


def load_checkpoint(
    path: Path,
    identity: str,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    average: dict[str, Tensor] | None = None,
) -> Progress:
    """Load model, optimiser and average, and return the progress; TrainingError if it is another run's."""
    facts, tensors = _read(path)
    if facts.get("identity") != identity:
        raise TrainingError(f"{path} belongs to a run with another configuration or other photos: give another --work")
    state: dict[int, dict[str, Tensor]] = {}
    try:
        model.load_state_dict(_under(tensors, "model."))
        for name, tensor in _under(tensors, "optimizer.").items():
            number, _, key = name.partition(".")
            state.setdefault(int(number), {})[key] = tensor
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        if average is not None:
            average.update(_under(tensors, "average."))
        progress = Progress(**facts["progress"])
        for name in ("epoch", "step", "stale", "loss_steps"):
            if type(getattr(progress, name)) is not int or getattr(progress, name) < 0:
                raise ValueError(f"{name} is not a count")
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise TrainingError(f"{path} is not a checkpoint ({reason_of(error)}): remove it to start again") from None
    return progress


def load_model(path: Path) -> dict[str, Tensor]:
    """Load only the model's tensors: the average's if there is one."""
    _, tensors = _read(path)
    return _under(tensors, "model.") | _under(tensors, "average.")


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with open_tensors(path, "pt") as file:
            facts: dict[str, Any] = parse_json((file.metadata() or {})["devise"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path} is not a checkpoint ({reason_of(error)}): remove it to start again") from None
    if not isinstance(facts, dict) or facts.get("version") != _VERSION:
        form = facts.get("version") if isinstance(facts, dict) else None
        raise TrainingError(f"{path} is a checkpoint of format {form}, not {_VERSION}: start again")
    return facts, tensors


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
