"""The engine: one training loop for one or many processes that can be stopped, killed and resumed."""

import hashlib
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from devise.bundle.bundle import Bundle
from devise.errors import TrainingError, TrainingStoppedError
from devise.files import atomic_write, open_tensors, parse_json, reason_of
from devise.resumable import differing
from devise.training.batches import Batch, Sampler
from devise.training.config import RunConfig, recorded
from devise.training.distributed import Processes

__all__ = [
    "Outcome",
    "ParameterGroup",
    "Progress",
    "Reporter",
    "Session",
    "Task",
    "TrainingResult",
    "load_checkpoint",
    "load_model",
    "save_checkpoint",
    "train",
]

LAST, BEST, LOG = "last.safetensors", "best.safetensors", "log.jsonl"
_NAMED = 5  # samples of a batch that an error names


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """Parameters that share a learning rate. share: of the run's rate."""

    parameters: Sequence[nn.Parameter]
    share: float = 1.0
    decays: bool = True


@runtime_checkable
class Task(Protocol):
    """The interface of a training task, which is all that the engine knows."""

    @property
    def module(self) -> nn.Module:
        """What is trained."""

    @property
    def identity(self) -> str:
        """Names the data: another text where the samples are others."""

    def __len__(self) -> int:
        """Samples that are trained on."""

    def groups(self) -> Sequence[ParameterGroup]:
        """All parameters that are trained."""

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """The mean loss over the batch. network: `module`, perhaps wrapped; the loss must go through its call."""

    def measures(self) -> dict[str, float]:
        """Measures of `module` on held-out samples. The first selects the best epoch; higher is better."""

    def name(self, row: int) -> str:
        """Return the name of a sample for people."""


Reporter = Callable[[int, int, int, float], object]
"""Called after every step with the epoch (from 0), the step (from 1), the steps per epoch, and the loss."""


@dataclass(frozen=True, slots=True)
class Session:
    """How a job runs: in which processes, and what it reports to; only the first process reports.

    on_photos: called with photos done and photos in all. overwrite: an existing bundle. tensorboard: folder of scalars.
    """

    together: Processes
    say: Callable[[str], None]
    report: Reporter | None = None
    on_photos: Callable[[int, int], None] | None = None
    overwrite: bool = False
    tensorboard: Path | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The state of the best epoch by the task's first measure; without measures, of the last epoch."""

    measures: Mapping[str, float]
    epoch: int
    epochs: int


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The bundle that a job wrote, the numbers of its photos and classes, and its measures on the photos held out.

    before: the measures before training; empty if the job does not compare them.
    """

    bundle: Bundle
    photos: int
    classes: int
    outcome: Outcome
    before: Mapping[str, float] = field(default_factory=dict)


def train(
    task: Task,
    config: RunConfig,
    work: Path,
    *,
    processes: Processes | None = None,
    sampler: Sampler | None = None,
    report: Reporter | None = None,
    tensorboard: Path | None = None,
) -> Outcome:
    """Train until the last epoch, from the checkpoint in `work` if there is one; leaves the best weights in the module.

    `work` then has the last and best checkpoint, and `log.jsonl`, a line per epoch. On SIGTERM the state is saved and
    TrainingStoppedError is raised: the same call resumes there. TrainingError for a loss that is not finite.
    """
    together = processes or Processes()
    sampler = sampler or Sampler(len(task), config.batch, config.seed, together.rank, together.world)
    run = _Run(task, config, work, together, sampler, report or (lambda *_: None))
    work.mkdir(parents=True, exist_ok=True)
    with _stop_requests() as stop_requested, _board(tensorboard, together) as board:
        run.train(stop_requested, board)
    return run.outcome()


class _Run:
    """One run: its module, optimiser and progress."""

    def __init__(
        self, task: Task, config: RunConfig, work: Path, together: Processes, sampler: Sampler, report: Reporter
    ) -> None:
        self.task, self.config, self.work = task, config, work
        self.together, self.sampler, self.report = together, sampler, report
        task.module.to(together.device)
        self.optimizer = _make_optimizer(config, task.groups())
        self.average = (
            {name: tensor.detach().clone() for name, tensor in task.module.state_dict().items()} if config.ema else None
        )
        self.settings = recorded(config)
        facts = json.dumps(self.settings, sort_keys=True) + task.identity + str(len(task))
        self.identity = hashlib.sha256(facts.encode()).hexdigest()
        self.progress = Progress()
        self.saved_at = time.monotonic()
        if (work / LAST).exists():
            found = load_checkpoint(
                work / LAST, self.identity, task.module, self.optimizer, self.average, settings=self.settings
            )
            self.progress = found
        self.network = together.wrapped(task.module)

    def train(self, stop_requested: Callable[[], bool], board: Any) -> None:
        """Train until the last epoch, or until the first measure has not improved for `patience` epochs."""
        patience = self.config.patience or math.inf
        while self.progress.epoch < self.config.epochs and self.progress.stale < patience:
            began, first_step = time.monotonic(), self.progress.step
            self._epoch(stop_requested)
            seconds = time.monotonic() - began
            if self.together.first:
                speed = (self.progress.step - first_step) * self.sampler.size / seconds
                self._log(self._measures(), seconds, speed, board)
            self._share_best()
            self.progress.start_next_epoch()
            self._save_if_due()
        self._save()

    def outcome(self) -> Outcome:
        """Load the best weights into the module, and return their measures."""
        best = self.work / BEST
        self.together.wait()
        if self.progress.measures:
            if not best.exists():
                raise TrainingError(f"{best} with the best weights is missing: remove {self.work} to start again")
            self.task.module.load_state_dict(load_model(best))
        elif self.average is not None:
            self.task.module.load_state_dict(self.average)
        at = self.progress.best_epoch if self.progress.measures else self.progress.epoch - 1
        return Outcome(self.progress.measures, at + 1, self.progress.epoch)

    def _epoch(self, stop_requested: Callable[[], bool]) -> None:
        """Take the remaining steps of the epoch; TrainingStoppedError, with the state saved, if a stop is requested."""
        progress = self.progress
        self.task.module.train()
        for batch in self.sampler.batches(progress.epoch, progress.step):
            loss = self._step(batch)
            progress.step += 1
            progress.loss_sum += loss
            progress.loss_steps += 1
            self.report(progress.epoch, progress.step, self.sampler.steps, loss)
            if self.together.any(stop_requested()):
                self._save()
                raise TrainingStoppedError(
                    f"stopped by a signal: epoch {progress.epoch + 1}, step {progress.step} of {self.sampler.steps} is "
                    f"in {self.work}: the same command resumes there"
                )
            self._save_if_due()

    def _step(self, batch: Batch) -> float:
        """Update the weights by one batch, and return its loss; TrainingError if that is not finite."""
        config, device = self.config, self.together.device.type
        done = (batch.epoch * self.sampler.steps + batch.step) / self.sampler.steps
        rate = config.rate * _rate_share(config, done, self.sampler.steps)
        for group, own in zip(self.optimizer.param_groups, self.task.groups(), strict=True):
            group["lr"] = rate * own.share
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(batch.torch_seed)
            with torch.autocast(device, torch.bfloat16) if config.bf16 else nullcontext():
                loss = self.task.loss(self.network, batch)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(self._not_finite(batch, f"the loss is {value}"))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if config.clip:
            nn.utils.clip_grad_norm_(self.task.module.parameters(), config.clip)
        self.optimizer.step()
        last = batch.step == self.sampler.steps - 1  # the weights of an epoch's last step are measured and saved next
        if last and not all(bool(torch.isfinite(tensor).all()) for tensor in self.task.module.parameters()):
            raise TrainingError(self._not_finite(batch, "weights are no longer finite"))
        if self.average is not None:
            _blend(
                self.average, self.task.module.state_dict(), config.ema, batch.epoch * self.sampler.steps + batch.step
            )
        return value

    def _not_finite(self, batch: Batch, what: str) -> str:
        names = ", ".join(self.task.name(int(row)) for row in batch.rows[:_NAMED])
        return (
            f"{what} at epoch {batch.epoch + 1}, step {batch.step + 1}, in a batch of {len(batch.rows)} "
            f"samples ({names}, ...): lower the rate, or look at these samples"
        )

    def _measures(self) -> dict[str, float]:
        """Measure the weights, or their running mean if there is one; they are saved if they are the best so far."""
        module = self.task.module
        trained = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
        if self.average is not None:
            module.load_state_dict(self.average)
        module.eval()
        with torch.no_grad():
            measures = self.task.measures()
        self._save_if_best(measures)
        module.load_state_dict(trained)
        return measures

    def _save_if_best(self, measures: dict[str, float]) -> None:
        progress = self.progress
        value = next(iter(measures.values()), None)
        if value is None:
            return
        progress.stale += 1
        if progress.best is None or value > progress.best:
            progress.best, progress.best_epoch, progress.stale = value, progress.epoch, 0
            progress.measures = measures
            save_checkpoint(self.work / BEST, self.identity, progress, self.task.module.state_dict())

    def _log(self, measures: dict[str, float], seconds: float, speed: float, board: Any) -> None:
        """Add the epoch to the log and to TensorBoard's scalars. speed: samples per second."""
        progress = self.progress
        line: dict[str, Any] = {"epoch": progress.epoch + 1, "loss": progress.loss_sum / max(progress.loss_steps, 1)}
        line |= {"seconds": round(seconds, 2), "samples_a_second": round(speed, 1), **measures}
        with (self.work / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if board is not None:
            for name in ("loss", *measures):
                board.add_scalar(name, line[name], progress.epoch + 1)

    def _share_best(self) -> None:
        """Give all processes the first one's best measures, and the number of epochs since; only it has measured."""
        if self.together.world == 1:
            return
        shared: list[Any] = [self.progress]
        torch.distributed.broadcast_object_list(shared, src=0, device=self.together.device)
        for name in ("best", "best_epoch", "measures", "stale"):
            setattr(self.progress, name, getattr(shared[0], name))

    def _save_if_due(self) -> None:
        if time.monotonic() - self.saved_at > self.config.save_seconds:
            self._save()

    def _save(self) -> None:
        self.saved_at = time.monotonic()
        if self.together.first:
            state = self.task.module.state_dict()
            save_checkpoint(
                self.work / LAST,
                self.identity,
                self.progress,
                state,
                self.optimizer,
                self.average,
                settings=self.settings,
            )


def _blend(average: dict[str, Tensor], state: Mapping[str, Tensor], keep: float, step: int) -> None:
    """Update the running mean of the weights: `keep` of it stays at each step, less in the first steps.

    So the mean soon forgets the untrained weights: at most (1 + step) / (10 + step) of it stays.
    """
    share = min(keep, (1 + step) / (10 + step))
    for name, tensor in state.items():
        if tensor.dtype.is_floating_point:
            average[name].lerp_(tensor.detach().to(average[name].dtype), 1 - share)
        else:
            average[name].copy_(tensor)


@contextmanager
def _stop_requests() -> Iterator[Callable[[], bool]]:
    """Return a function that says whether SIGTERM came; outside the main thread, where Python has no signals, never."""
    requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield requested.is_set
        return
    before = signal.signal(signal.SIGTERM, lambda *_: requested.set())
    try:
        yield requested.is_set
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _board(folder: Path | None, together: Processes) -> Iterator[Any]:
    if folder is None or not together.first:
        yield None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError:
        raise TrainingError(
            "TensorBoard is not installed: pip install 'devise-zsl[tensorboard]', or leave the option out"
        ) from None
    with SummaryWriter(str(folder)) as board:
        yield board


def _make_optimizer(config: RunConfig, groups: Sequence[ParameterGroup]) -> torch.optim.Optimizer:
    """Build the optimiser over the groups, each with its share of the rate."""
    settings: list[dict[str, Any]] = [
        {
            "params": list(group.parameters),
            "lr": config.rate * group.share,
            "weight_decay": config.weight_decay if group.decays else 0.0,
        }
        for group in groups
    ]
    match config.optimizer:
        case "adagrad":
            return torch.optim.Adagrad(settings, lr=config.rate)
        case "adamw":
            return torch.optim.AdamW(settings, lr=config.rate)
        case "sgd":
            return torch.optim.SGD(settings, lr=config.rate, momentum=config.momentum, nesterov=config.momentum > 0)


def _rate_share(config: RunConfig, epoch: float, steps: int) -> float:
    """Return the share of the largest rate: it rises during the warm-up, then stays or falls along half a cosine.

    epoch: since the start, with fractions. steps: per epoch; the first step has a rate above 0.

    >>> config = RunConfig(epochs=3, warmup=1.0)
    >>> [round(_rate_share(config, epoch, 10), 3) for epoch in (0.0, 0.5, 1.0, 2.0, 3.0)]
    [0.1, 0.6, 1.0, 0.5, 0.0]
    """
    if epoch < config.warmup:
        return min((epoch + 1 / steps) / config.warmup, 1.0)
    if config.schedule == "constant":
        return 1.0
    left = config.epochs - config.warmup
    done = min((epoch - config.warmup) / left, 1.0) if left > 0 else 1.0
    return 0.5 * (1 + math.cos(math.pi * done))


_VERSION = 1


@dataclass(slots=True)
class Progress:
    """The progress of a run, which together with its seed determines all random numbers.

    epoch, step: of the next step. best: the best measure so far, None before the first. stale: epochs since then.
    loss_sum, loss_steps: over the steps of the epoch that are done. measures: of the best epoch.
    """

    epoch: int = 0
    step: int = 0
    best: float | None = None
    best_epoch: int = -1
    stale: int = 0
    loss_sum: float = 0.0
    loss_steps: int = 0
    measures: dict[str, float] = field(default_factory=dict)

    def start_next_epoch(self) -> None:
        """Move to the first step of the next epoch."""
        self.epoch, self.step = self.epoch + 1, 0
        self.loss_sum, self.loss_steps = 0.0, 0


def save_checkpoint(
    path: Path,
    identity: str,
    progress: Progress,
    model: dict[str, Tensor],
    optimizer: torch.optim.Optimizer | None = None,
    average: dict[str, Tensor] | None = None,
    *,
    settings: Mapping[str, object] | None = None,
) -> None:
    """Write the state.

    identity: a hash of configuration and data: a checkpoint of another run is refused. settings: the configuration, by
    which the refusal names what differs.
    """
    from safetensors.torch import save

    tensors = {f"model.{name}": tensor for name, tensor in model.items()}
    tensors |= {f"average.{name}": tensor for name, tensor in (average or {}).items()}
    if optimizer is not None:
        for number, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": torch.as_tensor(value) for name, value in state.items()}
    facts = {
        "version": _VERSION,
        "identity": identity,
        "settings": settings,
        "progress": {name: getattr(progress, name) for name in Progress.__slots__},
    }
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with atomic_write(path, "wb") as file:
        file.write(save(copies, metadata={"devise": json.dumps(facts)}))


def load_checkpoint(
    path: Path,
    identity: str,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    average: dict[str, Tensor] | None = None,
    *,
    settings: Mapping[str, object] | None = None,
) -> Progress:
    """Load model, optimiser and average, and return the progress; TrainingError if it is another run's."""
    facts, tensors = _read(path)
    if facts.get("identity") != identity:
        kept = facts.get("settings")  # older checkpoints have none
        if not isinstance(kept, dict) or settings is None:
            other = "another configuration or other photos"
        elif changed := differing(kept, json.loads(json.dumps(settings))):
            other = f"other settings ({', '.join(changed)})"
        else:
            other = "other photos, labels or another network"
        raise TrainingError(f"{path} belongs to a run with {other}: give another --work")
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
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is not a mapping
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path} is not a checkpoint ({reason_of(error)}): remove it to start again") from None
    if not isinstance(facts, dict) or facts.get("version") != _VERSION:
        form = facts.get("version") if isinstance(facts, dict) else None
        raise TrainingError(f"{path} is a checkpoint of format {form}, not {_VERSION}: start again")
    return facts, tensors


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
