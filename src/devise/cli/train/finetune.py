"""devise train finetune: train the ranking loss through the network."""

from typing import Annotated

import typer

from devise.cli.options import ModelOption
from devise.cli.train import options, train

__all__ = ["finetune"]


@train.command(no_args_is_help=True)
def finetune(
    out: options.OutOption,
    photos: options.PhotosOption,
    model: ModelOption = None,
    loss: Annotated[
        str | None, typer.Option(help="Loss, as for devise train surgery. [default: softmax-cosine]")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Learning rate of the map. [default: 0.0001]")] = None,
    backbone_share: Annotated[
        float | None, typer.Option(help="Learning rate of the network, relative to the map's. [default: 0.1]")
    ] = None,
    epochs: Annotated[int | None, options.epochs_option(3)] = None,
    batch: Annotated[int | None, options.batch_option(64)] = None,
    bf16: options.Bf16Option = None,
    seed: options.SeedOption = None,
    classes: options.ClassesOption = None,
    config: options.ConfigOption = None,
    settings: options.SetOption = None,
    work: options.WorkOption = None,
    device: options.DeviceOption = "auto",
    tensorboard: options.TensorboardOption = None,
    overwrite: options.OverwriteOption = False,
) -> None:
    """Train network, map and classifier of a model further, and print the gain over the original model."""
    options.require_torch()
    from devise.model.parts import DEFAULT_BUNDLE
    from devise.training.classifier import ClassifierInputs
    from devise.training.finetune import FinetuneConfig, run_finetune

    asked = options.settled(FinetuneConfig, config, settings, locals())
    place = options.default_work(out, work)
    inputs = ClassifierInputs(DEFAULT_BUNDLE if model is None else model, place, tuple(photos), classes)
    options.carried_out(run_finetune, asked, inputs, out, device=device, overwrite=overwrite, tensorboard=tensorboard)
