"""devise train fast: prepare your own model for `--fast`."""

from pathlib import Path
from typing import Annotated

import typer

from devise.cli.progress import showing
from devise.cli.terminal import tell
from devise.cli.train import train
from devise.errors import counted

__all__ = ["fast"]


@train.command(no_args_is_help=True)
def fast(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="Directory of the model bundle; it is changed in place.")
    ],
    photos: Annotated[
        list[Path],
        typer.Option("--photos", help="Photos or folders like those to be labelled, without labels; may be repeated."),
    ],
    most: Annotated[int, typer.Option("--most", help="Photos to use, spread evenly over all.")] = 300,
) -> None:
    """Calibrate a model's network for 8-bit integers on photos, and add the result to the model.

    Then --fast works with the model. Exits with 1 if a photo could not be read; the others are used.
    """
    from devise.training.fast import FastConfig, add_fast

    with showing() as bar:
        bundle, made = add_fast(model, photos, FastConfig(most), bar.at)
    for problem in made.problems:
        tell(problem)
    part = bundle.manifest.part("fast.safetensors")
    print(f"{model}: {part.name}, {counted(part.bytes, 'byte')}, from {made.facts['photos_read']} photos")
    if made.facts["photos_read"] != made.facts["photos_chosen"]:
        raise typer.Exit(1)
