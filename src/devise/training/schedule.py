"""Optimisers and learning rates; the rate follows from the step alone."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from devise.training.config import RunConfig

if TYPE_CHECKING:
    from devise.training.engine import Group

__all__ = ["make_optimizer", "rate_share", "set_rates"]


def make_optimizer(config: RunConfig, groups: "Sequence[Group]") -> torch.optim.Optimizer:
    """The optimiser over the groups, each with its share of the rate."""
    told: list[dict[str, Any]] = [
        {
            "params": list(group.parameters),
            "lr": config.rate * group.share,
            "weight_decay": config.weight_decay if group.decays else 0.0,
        }
        for group in groups
    ]
    match config.optimizer:
        case "adagrad":
            return torch.optim.Adagrad(told, lr=config.rate)
        case "adamw":
            return torch.optim.AdamW(told, lr=config.rate)
        case "sgd":
            return torch.optim.SGD(told, lr=config.rate, momentum=config.momentum, nesterov=config.momentum > 0)


def rate_share(config: RunConfig, epoch: float, steps: int) -> float:
    """Share of the largest rate after so many epochs, parts of them counted: a rise, then half a cosine or none.

    steps: of an epoch; the first step has a rate above 0.

    >>> config = RunConfig(epochs=3, warmup=1.0)
    >>> [round(rate_share(config, epoch, 10), 3) for epoch in (0.0, 0.5, 1.0, 2.0, 3.0)]
    [0.1, 0.6, 1.0, 0.5, 0.0]
    """
    if epoch < config.warmup:
        return min((epoch + 1 / steps) / config.warmup, 1.0)
    if config.schedule == "constant":
        return 1.0
    left = config.epochs - config.warmup
    done = min((epoch - config.warmup) / left, 1.0) if left > 0 else 1.0
    return 0.5 * (1 + math.cos(math.pi * done))


def set_rates(optimizer: torch.optim.Optimizer, groups: "Sequence[Group]", rate: float) -> None:
    """Give every group its share of the rate."""
    for group, own in zip(optimizer.param_groups, groups, strict=True):
        group["lr"] = rate * own.share
