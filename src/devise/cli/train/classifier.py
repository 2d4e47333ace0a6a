"""devise train classifier: a network of one's own, from labelled photos."""

from pathlib import Path
from typing import Annotated

import typer

from devise.cli.options import ModelOption
from devise.cli.train import options, train

__all__ = ["classifier"]


@train.command(no_args_is_help=True)
def classifier(
    out: options.OutOption,
    photos: Annotated[
        list[Path], typer.Option("--photos", help="Folder of class folders, or .tar shard; may be repeated.")
    ],
    backbone: Annotated[str | None, typer.Option(help="small, lite0, lite1 or lite2. [default: small]")] = None,
    weights: Annotated[str | None, typer.Option(help="random, or pip for ImageNet's. [default: random]")] = None,
    optimizer: Annotated[str | None, typer.Option(help="sgd, adamw or adagrad. [default: sgd]")] = None,
    rate: Annotated[float | None, typer.Option(help="Largest learning rate. [default: 0.1]")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the photos. [default: 60]")] = None,
    batch: Annotated[int | None, typer.Option(help="Photos of a step, over all processes. [default: 128]")] = None,
    bf16: Annotated[bool | None, typer.Option(help="Convolutions in bfloat16. [default: no]")] = None,
    ema: Annotated[float | None, typer.Option(help="Running mean of the weights; 0 is none. [default: 0.998]")] = None,
    seed: Annotated[int | None, typer.Option(help="Of all that is random. [default: 0]")] = None,
    model: ModelOption = None,
    classes: options.ClassesOption = None,
    config: options.ConfigOption = None,
    settings: options.SetOption = None,
    work: options.WorkOption = None,
    device: options.DeviceOption = "auto",
    tensorboard: options.TensorboardOption = None,
    overwrite: options.OverwriteOption = False,
) -> None:
    """Train a softmax classifier, and write a model that has its network and the labels of --model."""
    options.require_torch()
    from devise.labeller.parts import DEFAULT_BUNDLE
    from devise.training.classifier import ClassifierConfig
    from devise.training.classifierjob import ClassifierInputs, run_classifier
    from devise.training.distributed import joined_processes

    flags = {
        "backbone": backbone, "weights": weights, "optimizer": optimizer, "rate": rate, "epochs": epochs,
        "batch": batch, "bf16": bf16, "ema": ema, "seed": seed,
    }  # fmt: skip
    asked = options.settled(ClassifierConfig, config, settings, flags)
    place = options.default_work(out, work)
    inputs = ClassifierInputs(DEFAULT_BUNDLE if model is None else model, place, tuple(photos), classes)
    with joined_processes(device) as together, options.shown_progress() as shown:
        result = run_classifier(
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
        for name, value in result.outcome.measures.items():
            print(f"{name} on photos held out: {value:.1f}")
        print(f"model in {out}")
