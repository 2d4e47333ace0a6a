"""devise train finetune: the ranking loss through the network."""

from pathlib import Path
from typing import Annotated

import typer

from devise.cli.options import ModelOption
from devise.cli.train import options, train

__all__ = ["finetune"]


@train.command(no_args_is_help=True)
def finetune(
    out: options.OutOption,
    photos: Annotated[
        list[Path], typer.Option("--photos", help="Folder of class folders, or .tar shard; may be repeated.")
    ],
    model: ModelOption = None,
    loss: Annotated[str | None, typer.Option(help="As for surgery. [default: softmax-cosine]")] = None,
    rate: Annotated[float | None, typer.Option(help="Learning rate of the map. [default: 0.0001]")] = None,
    backbone_share: Annotated[
        float | None, typer.Option(help="The network's learning rate, as a share of the map's. [default: 0.1]")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the photos. [default: 3]")] = None,
    batch: Annotated[int | None, typer.Option(help="Photos of a step, over all processes. [default: 64]")] = None,
    bf16: Annotated[bool | None, typer.Option(help="Convolutions in bfloat16. [default: no]")] = None,
    seed: Annotated[int | None, typer.Option(help="Of all that is random. [default: 0]")] = None,
    classes: options.ClassesOption = None,
    config: options.ConfigOption = None,
    settings: options.SetOption = None,
    work: options.WorkOption = None,
    device: options.DeviceOption = "auto",
    tensorboard: options.TensorboardOption = None,
    overwrite: options.OverwriteOption = False,
) -> None:
    """Train network, map and classifier of a model further, and say what was gained over the model as it was."""
    options.require_torch()
    from devise.labeller.parts import DEFAULT_BUNDLE
    from devise.training.classifierjob import ClassifierInputs
    from devise.training.distributed import joined_processes
    from devise.training.finetune import FinetuneConfig
    from devise.training.finetunejob import run_finetune

    flags = {
        "loss": loss, "rate": rate, "backbone_share": backbone_share, "epochs": epochs, "batch": batch, "bf16": bf16,
        "seed": seed,
    }  # fmt: skip
    asked = options.settled(FinetuneConfig, config, settings, flags)
    place = options.default_work(out, work)
    inputs = ClassifierInputs(DEFAULT_BUNDLE if model is None else model, place, tuple(photos), classes)
    with joined_processes(device) as together, options.shown_progress() as shown:
        result = run_finetune(
            asked,
            inputs,
            out,
            processes=together,
            report=shown.step,
            on_photos=shown.photos,
            say=options.say if together.first else options.say_nothing,
            overwrite=overwrite,
            tensorboard=tensorboard,
        )
    if together.first:
        print(f"{result.photos} photos of {result.classes} classes; best epoch {result.outcome.epoch}")
        for name, after in result.outcome.measures.items():
            before = result.before[name]
            print(f"{name} on photos held out: {before:.1f} before, {after:.1f} after, gain {after - before:+.1f}")
        print(f"model in {out}")
