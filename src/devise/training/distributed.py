"""Processes that train together: one, or those of `torchrun`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn

from devise.errors import TrainingError, UsageError

__all__ = ["Processes", "joined_processes"]

_PATIENCE = timedelta(days=7)  # the others wait while the first makes features, or measures
_ADDRESS = ("RANK", "MASTER_ADDR", "MASTER_PORT")
_LEFT = ("Connection closed by peer", "Connection reset by peer")  # what gloo says of a process that is gone


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those that train together.

    rank: its number, from 0. world: how many there are. device: where it computes.
    """

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        """Whether this is the process that measures and writes."""
        return self.rank == 0

    @property
    def lacks_bf16(self) -> bool:
        """Whether its processor is known to lack bfloat16 instructions, so that they are emulated slowly."""
        capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # not there before torch 2.12
        known = [has for name, has in capabilities.items() if "bf16" in name]
        return self.device.type == "cpu" and bool(known) and not any(known)

    def wrapped(self, module: nn.Module) -> nn.Module:
        """The module; with other processes, one whose gradients are the mean over all of them."""
        if self.world == 1:
            return module
        return nn.parallel.DistributedDataParallel(
            module, device_ids=[self.device] if self.device.type == "cuda" else None
        )

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in any process."""
        if self.world == 1:
            return flag
        raised = torch.tensor([float(flag)], device=self.device)
        dist.all_reduce(raised)
        return bool(raised.item() > 0)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.world > 1:
            dist.barrier()


@contextmanager
def joined_processes(device: str = "auto") -> Iterator[Processes]:
    """Join the processes that `torchrun` started, by its environment; alone without it.

    device: "cpu", "cuda", or "auto", which is a GPU if the machine has one: each process on the machine its own.
    UsageError for another device, a GPU that is absent, or an incomplete environment. TrainingError if another process
    ends while this one waits for it.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device must be cpu, cuda or auto, got {device}")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda needs a GPU that torch can use, and there is none: use cpu or auto")
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    on_gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if on_gpu else torch.device("cpu")
    if world == 1:
        yield Processes(device=place)
        return
    missing = [name for name in _ADDRESS if name not in os.environ]
    if missing:
        raise UsageError(
            f"WORLD_SIZE is {world}, but {missing[0]} is not set: start the processes with torchrun, or unset it"
        )
    if on_gpu:
        torch.cuda.set_device(place)
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=_PATIENCE)
    try:
        yield Processes(rank, world, place)
    except RuntimeError as error:
        if not any(one in str(error) for one in _LEFT):
            raise
        raise TrainingError("another process of this run has ended: its message says why") from None
    finally:
        dist.destroy_process_group()
