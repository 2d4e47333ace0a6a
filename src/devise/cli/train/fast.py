"""devise train fast: what `--fast` needs, for a model of one's own."""

from pathlib import Path
from typing import Annotated

import typer

from devise.cli.terminal import tell
from devise.cli.train import train

__all__ = ["fast"]


@train.command(no_args_is_help=True)
def fast(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Directory of the model bundle; changed in place.")],
    photos: Annotated[
        list[Path],
        typer.Option(
            "--photos", help="Photos or folders of the kind to be labelled; may be repeated. No labels needed."
        ),
    ],
    most: Annotated[int, typer.Option("--most", help="Photos to look at, spread evenly over all.")] = 300,
) -> None:
    """Measure on photos how a model's network runs in 8-bit integers, and add that to the model.

    Then --fast works with it. Exits with 1 if a photo could not be read; the others are measured.
    """
    from rich.console import Console
    from rich.progress import Progress

    from devise.training.fast import FastConfig, add_fast

    console = Console(stderr=True, soft_wrap=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("photos", total=None)
        bundle, made = add_fast(
            model, photos, FastConfig(most), lambda done, total: progress.update(task, completed=done, total=total)
        )
    for problem in made.problems:
        tell(problem)
    part = bundle.manifest.part("fast.safetensors")
    print(f"{model}: {part.name}, {part.bytes:,} bytes, from {made.facts['photos_read']} photos")
    if made.facts["photos_read"] != made.facts["photos_chosen"]:
        raise typer.Exit(1)
