"""Small tasks that are trained by one process or several; run by `test_distributed.py`, prints weights as JSON."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from test_engine import Line, config
from test_surgery import task as surgery_task
from test_surgery import vectors

from devise.space.evidence import Classifier
from devise.training.batches import Batch
from devise.training.config import RunConfig
from devise.training.distributed import joined_processes
from devise.training.engine import Task, train
from devise.training.finetune import FinetuneConfig, FinetuneTask, Tuned
from devise.training.surgery import SurgeryConfig
from devise.vision.smallnet import SmallNet, SmallNetSize

LOSSES = ("first-violator", "all-negatives", "hardest", "softmax-cosine", "softmax-dot", "l2")


class _Plain(Line):
    """Without dropout, which draws other numbers in each process."""

    def loss(self, network: Any, batch: Any) -> Any:
        noise = torch.from_numpy(batch.uniform(1))[:, 0]
        return (network(self.x[batch.rows])[:, 0] - self.y[batch.rows] - noise).square().mean()


class _Noise:
    """Pictures that were never decoded."""

    def __init__(self, count: int) -> None:
        made = torch.Generator().manual_seed(1)
        self.planes, self.truth = torch.randn(count, 3, 16, 16, generator=made), torch.arange(count) % 4

    def varied(
        self, rows: np.ndarray, batch: Batch, device: torch.device, side: None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        noise = torch.from_numpy(batch.uniform(1))[:, :, None, None]
        return self.planes[rows] + noise, self.truth[rows]

    def plain(self, rows: np.ndarray, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        return self.planes[rows], self.truth[rows]


def tasks(work: Path) -> Iterator[tuple[str, Callable[[], tuple[Task, RunConfig]]]]:
    """Name, and what makes the task and how it is trained."""
    yield "line", lambda: (_Plain(), config(optimizer="sgd"))
    for loss in LOSSES:
        how = SurgeryConfig(loss=loss, epochs=2, batch=32, rate=0.1, k=3, optimizer="sgd")  # type: ignore[arg-type]
        yield loss, lambda how=how: (surgery_task(work / how.loss, how, vectors()), how)
    yield "finetune", _finetune


def _finetune() -> tuple[Task, RunConfig]:
    """Through a network with convolutions, whose normalisations stay as they are."""
    torch.manual_seed(2)
    rng = np.random.default_rng(0)
    network = SmallNet(4, SmallNetSize((8, 8), (1, 1), 16, 16))
    classifier = Classifier(rng.standard_normal((4, 16)).astype(np.float32), np.zeros(4, np.float32))
    module = Tuned(network, 0.1 * rng.standard_normal((4, 16)).astype(np.float32), vectors()[:4], classifier)
    how = FinetuneConfig(epochs=2, batch=16, rate=0.05, optimizer="sgd", backbone_share=1.0)
    split = (np.arange(64), np.arange(64, 72))
    return FinetuneTask(_Noise(72), split, module, np.arange(4), how, "noise"), how  # type: ignore[arg-type]


def _weights(task: Task) -> list[float]:
    return [float(weight) for tensor in task.module.parameters() for weight in tensor.detach().flatten()]


if __name__ == "__main__":
    with joined_processes("cpu") as together:
        place = Path(sys.argv[1]) / str(together.rank)
        place.mkdir(parents=True)
        for name, make in tasks(place):
            task, how = make()
            before = _weights(task)
            train(task, how, Path(sys.argv[1]) / "runs" / name, processes=together)
            if together.first:
                print(json.dumps([name, together.world, before, _weights(task)]))
    sys.stdout.flush()
    os._exit(0)  # as the command does: torch's threads outlive the group, and now and then abort at the end of Python
