"""Options, progress and job runner of the training commands."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar

import typer

from devise.cli.terminal import tell
from devise.errors import TrainingError, UsageError, counted
from devise.files import real_path, sole_writer

if TYPE_CHECKING:
    from devise.training.engine import TrainingResult

__all__ = [
    "Bf16Option",
    "ClassesOption",
    "ConfigOption",
    "DeviceOption",
    "OutOption",
    "OverwriteOption",
    "PhotosOption",
    "SeedOption",
    "SetOption",
    "Shown",
    "StoreOption",
    "TensorboardOption",
    "WorkOption",
    "batch_option",
    "carried_out",
    "default_work",
    "epochs_option",
    "lines_of_progress",
    "require_torch",
    "settled",
    "shown_progress",
]

_Job = TypeVar("_Job")
_LINE_SECONDS = 60.0

PhotosOption = Annotated[
    list[Path], typer.Option("--photos", help="Folder of class folders, or .tar shard; may be repeated.")
]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Random seed. [default: 0]")]
Bf16Option = Annotated[
    bool | None,
    typer.Option("--bf16/--no-bf16", help="Compute convolutions in bfloat16. [default: no]", show_default=False),
]

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="TOML file of settings; flags and --set override it.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Setting as KEY=VALUE; may be repeated. See docs/training.md.")
]
OutOption = Annotated[Path, typer.Option("--out", help="Directory of the bundle to write.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace an existing bundle.")]
WorkOption = Annotated[
    Path | None,
    typer.Option(
        "--work", help="Folder for checkpoints and logs; an interrupted run resumes from it. [default: OUT-training]"
    ),
]
StoreOption = Annotated[
    Path | None, typer.Option("--store", help="Folder to cache features of photos in. [default: WORK/features]")
]
ClassesOption = Annotated[
    Path | None,
    typer.Option("--classes", help="Review file of class names; written if a name has several senses or none."),
]
DeviceOption = Annotated[str, typer.Option("--device", help="Device: cpu, cuda or auto.")]
TensorboardOption = Annotated[
    Path | None, typer.Option("--tensorboard", help="Also write scalars to this folder (needs tensorboard).")
]


def epochs_option(default: int, more: str = "") -> Any:
    """Return the option `--epochs` with this default."""
    return typer.Option("--epochs", help=f"Passes over the photos{more}. [default: {default}]")


def batch_option(default: int) -> Any:
    """Return the option `--batch` with this default."""
    return typer.Option("--batch", help=f"Batch size in photos, over all processes. [default: {default}]")


def require_torch() -> None:
    """Raise UsageError if torch is not installed."""
    if find_spec("torch") is None:
        raise UsageError("training needs torch: pip install 'devise-zsl[train]'")


def default_work(out: Path, given: Path | None) -> Path:
    """Return the folder for checkpoints; raise UsageError if the bundle's parent folder is missing."""
    if not real_path(out).parent.is_dir():
        raise UsageError(f"--out needs an existing folder, got {out}: make {real_path(out).parent} first")
    return given or real_path(out).with_name(f"{real_path(out).name}-training")


@dataclass(frozen=True, slots=True)
class Shown:
    """Callbacks for the progress of a job."""

    photos: Callable[[int, int], None]
    step: Callable[[int, int, int, float], None]


@contextmanager
def shown_progress() -> Iterator[Shown]:
    """Show bars on standard error, or one line per minute if it is not a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lines_of_progress()
        return
    with Progress(console=console, transient=True) as progress:
        photos = progress.add_task("photos", total=None, visible=False)
        steps = progress.add_task("training", total=None, visible=False)

        def on_photos(done: int, total: int) -> None:
            progress.update(photos, completed=done, total=total, visible=True)

        def on_step(epoch: int, step: int, total: int, loss: float) -> None:
            text = f"epoch {epoch + 1}, loss {loss:.4f}"
            progress.update(steps, completed=step, total=total, description=text, visible=True)

        yield Shown(on_photos, on_step)


def lines_of_progress(clock: Callable[[], float] = time.monotonic) -> Shown:
    """Print a line if a minute has passed since the last one, or since now."""
    last = clock()

    def tell_now_and_then(line: str) -> None:
        nonlocal last
        if clock() - last >= _LINE_SECONDS:
            last = clock()
            tell(line)

    return Shown(
        lambda done, total: tell_now_and_then(f"{done} of {counted(total, 'photo')}"),
        lambda epoch, step, total, loss: tell_now_and_then(
            f"epoch {epoch + 1}, step {step} of {total}, loss {loss:.4f}"
        ),
    )


def settled(kind: type[_Job], file: Path | None, settings: list[str] | None, given: Mapping[str, object]) -> _Job:
    """Return the job's configuration: defaults, then the file, --set, and what is given and a field of it.

    given: values by name, such as the variables of a command; None counts as not given.
    """
    from devise.training.config import parse_settings, resolve

    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]  # a dataclass
    flags = {key: value for key, value in given.items() if key in names and value is not None}
    return resolve(kind, file, parse_settings(settings or []) | flags)


class _Inputs(Protocol):
    @property
    def work(self) -> Path: ...


def carried_out(
    job: "Callable[..., TrainingResult]",
    config: object,
    inputs: _Inputs,
    out: Path,
    *,
    device: str,
    overwrite: bool,
    tensorboard: Path | None,
) -> None:
    """Run the job with progress shown, and print its closing lines in the first process.

    job: a function like `run_surgery`, which takes config, inputs, out and a `Session`. TrainingError if
    another process trains in the folder `inputs.work`.
    """
    from devise.bundle.writer import check_target
    from devise.training.distributed import joined_processes
    from devise.training.engine import Session

    check_target(real_path(out), overwrite)
    with joined_processes(device) as together, ExitStack() as held, shown_progress() as shown:
        if together.first:
            held.enter_context(sole_writer(inputs.work, TrainingError))
        if together.first and together.lacks_bf16 and getattr(config, "bf16", False):
            tell("this processor has no bfloat16 instructions: training is faster without --bf16")
        session = Session(together, lambda line: None, overwrite=overwrite, tensorboard=tensorboard)
        if together.first:
            session = replace(session, say=tell, report=shown.step, on_photos=shown.photos)
        result = job(config, inputs, out, session)
    if not together.first:
        return
    print(f"{counted(result.photos, 'photo')} of {counted(result.classes, 'class')}; best epoch {result.outcome.epoch}")
    for name, value in result.outcome.measures.items():
        before = result.before.get(name)
        gain = "" if before is None else f"{before:.1f} before, {value:.1f} after, gain {value - before:+.1f}"
        print(f"{name} on held-out photos: {gain or f'{value:.1f}'}")
    print(f"model in {out}")
