"""devise train surgery: train the map from features to the label space on photos."""

from pathlib import Path
from typing import Annotated

import typer

from devise.cli.options import ModelOption
from devise.cli.train import options, train

__all__ = ["surgery"]

_LOSS = (
    "Loss: first-violator (the paper's), all-negatives, hardest, softmax-cosine, softmax-dot or l2. [default: "
    "softmax-cosine]"
)


@train.command(no_args_is_help=True)
def surgery(
    out: options.OutOption,
    photos: Annotated[
        list[Path] | None, typer.Option("--photos", help="Folder of class folders, or .tar shard; may be repeated.")
    ] = None,
    features: Annotated[
        Path | None, typer.Option("--features", help="Finished feature store to use instead of photos.")
    ] = None,
    model: ModelOption = None,
    loss: Annotated[str | None, typer.Option(help=_LOSS)] = None,
    k: Annotated[int | None, typer.Option("--k", help="Number of labels for the loss `hardest`.")] = None,
    margin: Annotated[float | None, typer.Option(help="Margin of the hinge losses. [default: 0.1]")] = None,
    start: Annotated[str | None, typer.Option(help="Initial map: random or image-free. [default: image-free]")] = None,
    optimizer: Annotated[str | None, typer.Option(help="Optimiser: adagrad, adamw or sgd. [default: adamw]")] = None,
    rate: Annotated[float | None, typer.Option(help="Learning rate. [default: 0.001]")] = None,
    epochs: Annotated[int | None, options.epochs_option(20, " at most")] = None,
    batch: Annotated[int | None, options.batch_option(1024)] = None,
    labels: Annotated[
        str | None, typer.Option(help="Label vectors: frozen, or tuned with a pull towards their start.")
    ] = None,
    vectors: Annotated[
        Path | None, typer.Option("--vectors", help="Word vectors to compose label vectors from.")
    ] = None,
    random_embeddings: Annotated[
        int | None, typer.Option("--random-embeddings", help="Use random label vectors of this dimension instead.")
    ] = None,
    seed: options.SeedOption = None,
    classes: options.ClassesOption = None,
    config: options.ConfigOption = None,
    settings: options.SetOption = None,
    store: options.StoreOption = None,
    work: options.WorkOption = None,
    device: options.DeviceOption = "auto",
    tensorboard: options.TensorboardOption = None,
    overwrite: options.OverwriteOption = False,
) -> None:
    """Train the map from a model's features to its label space, and write the model that has it."""
    options.require_torch()
    from devise.model.parts import DEFAULT_BUNDLE
    from devise.training.surgery import SurgeryConfig
    from devise.training.surgeryjob import SurgeryInputs, run_surgery

    asked = options.settled(SurgeryConfig, config, settings, locals())
    place = options.default_work(out, work)
    base = DEFAULT_BUNDLE if model is None else model
    inputs = SurgeryInputs(base, place, store or place / "features", tuple(photos or ()), features, classes, vectors)
    options.carried_out(run_surgery, asked, inputs, out, device=device, overwrite=overwrite, tensorboard=tensorboard)
