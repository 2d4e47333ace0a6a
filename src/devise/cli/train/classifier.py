"""devise train classifier: train a network from labelled photos."""

from typing import Annotated

import typer

from devise.cli.options import ModelOption
from devise.cli.train import options, train

__all__ = ["classifier"]


@train.command(no_args_is_help=True)
def classifier(
    out: options.OutOption,
    photos: options.PhotosOption,
    backbone: Annotated[
        str | None, typer.Option(help="Network: small, lite0, lite1, lite2 or timm:NAME. [default: small]")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Initial weights: random; pip or timm, trained on ImageNet; or a file with "
            "timm's names. [default: random]"
        ),
    ] = None,
    optimizer: Annotated[str | None, typer.Option(help="Optimiser: sgd, adamw or adagrad. [default: sgd]")] = None,
    rate: Annotated[float | None, typer.Option(help="Largest learning rate. [default: 0.1]")] = None,
    epochs: Annotated[int | None, options.epochs_option(60)] = None,
    batch: Annotated[int | None, options.batch_option(128)] = None,
    bf16: options.Bf16Option = None,
    ema: Annotated[
        float | None, typer.Option(help="Decay of the running mean of the weights; 0 for none. [default: 0.998]")
    ] = None,
    seed: options.SeedOption = None,
    model: ModelOption = None,
    classes: options.ClassesOption = None,
    config: options.ConfigOption = None,
    settings: options.SetOption = None,
    work: options.WorkOption = None,
    device: options.DeviceOption = "auto",
    tensorboard: options.TensorboardOption = None,
    overwrite: options.OverwriteOption = False,
) -> None:
    """Train a softmax classifier, and write a model with its network and the labels of --model."""
    options.require_torch()
    from devise.model.parts import DEFAULT_BUNDLE
    from devise.training.classifier import ClassifierConfig, ClassifierInputs, run_classifier

    asked = options.settled(ClassifierConfig, config, settings, locals())
    place = options.default_work(out, work)
    inputs = ClassifierInputs(DEFAULT_BUNDLE if model is None else model, place, tuple(photos), classes)
    options.carried_out(run_classifier, asked, inputs, out, device=device, overwrite=overwrite, tensorboard=tensorboard)
