"""devise train ensemble: choose how much each of several models counts."""

from pathlib import Path
from typing import Annotated

import typer

from devise.cli.options import bundles_of, check_place
from devise.cli.progress import showing
from devise.cli.terminal import tell
from devise.cli.train import train
from devise.errors import counted

__all__ = ["ensemble"]


@train.command(no_args_is_help=True)
def ensemble(
    models: Annotated[
        list[Path], typer.Option("--model", help="Directory of a model bundle, or default; give it twice or more.")
    ],
    photos: Annotated[
        list[Path],
        typer.Option(
            "--photos",
            help="Folder of class folders (n02084071), best of classes that the models were not trained on; may be "
            "repeated.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="File of the weights, for --weights.")],
) -> None:
    """Choose the weights of several models, which name photos together by --model A --model B --weights FILE.

    Up to 500 photos are used. The row of chosen weights is measured on each half of the classes with the weights of the
    other half. Exits with 1 if a photo could not be read; the others are used.
    """
    from devise.cli.evaluation_output import print_rows
    from devise.model.labeller import load
    from devise.training.ensemble import choose_weights

    check_place("--out", out)
    loaded = [load(path) for path in bundles_of(models)]
    with showing() as bar:
        made = choose_weights(loaded, photos, out, on_progress=bar.at)
    for problem in made.problems:
        tell(problem)
    rows = [
        [row.name, *(f"{share:.1f}" for share in row.hits.values()), f"{row.surprise:.2f}", f"{row.milliseconds:.0f}"]
        for row in made.rows
    ]
    print_rows([["", "hit@1", "hit@5", "hit@20", "surprise, nats", "ms per photo"], *rows])
    print(f"{counted(made.photos, 'photo')} of {counted(made.classes, 'class')}, all labels as candidates")
    weights = ", ".join(
        f"{one.parts.bundle.manifest.name} {weight:.3f}" for one, weight in zip(loaded, made.weights, strict=True)
    )
    print(f"weights: {weights}; in {out}")
    if made.problems:
        raise typer.Exit(1)
