"""devise reproduce table1: train softmax, DeViSE and random embeddings on the same photos."""

from pathlib import Path
from typing import Annotated

import typer

from devise.cli.options import ModelOption
from devise.cli.reproduce import reproduce
from devise.cli.terminal import tell
from devise.cli.train import options
from devise.errors import TrainingError, UsageError

__all__ = ["table1"]


@reproduce.command(no_args_is_help=True)
def table1(
    train: Annotated[
        list[Path], typer.Option("--train", help="Training photos: folder of class folders, or .tar file.")
    ],
    test: Annotated[list[Path], typer.Option("--test", help="Test photos of the same classes, used once.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for table1.md, .tex, .csv and .json.")],
    model: ModelOption = None,
    vectors: Annotated[
        list[Path] | None,
        typer.Option(
            "--vectors",
            help="Word vectors: a file, or a folder of `devise text train`; may be repeated. [default: the model's "
            "own]",
        ),
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Runs per row. [default: 3]")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs, the same for every row.")] = None,
    loss: Annotated[
        list[str] | None,
        typer.Option(help="Margins to try for DeViSE and random embeddings; may be repeated. [default: five]"),
    ] = None,
    classes: options.ClassesOption = None,
    config: options.ConfigOption = None,
    settings: options.SetOption = None,
    store: options.StoreOption = None,
    work: options.WorkOption = None,
) -> None:
    """Train the models of the paper's Table 1, and print them next to the paper's rows."""
    options.require_torch()
    from devise.files import atomic_write, sole_writer
    from devise.model.parts import DEFAULT_BUNDLE
    from devise.training import table1 as report
    from devise.training.table1 import Table1Config, Table1Inputs, run_table1

    asked = options.settled(Table1Config, config, settings, {"seeds": seeds, "epochs": epochs, "losses": loss or None})
    place = options.default_work(out, work)
    base = DEFAULT_BUNDLE if model is None else model
    inputs = Table1Inputs(
        base, tuple(train), tuple(test), place, store or place / "features", tuple(vectors or ()), classes
    )
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out needs a folder, got the file {out}")
    with sole_writer(place, TrainingError), sole_writer(out, TrainingError), options.shown_progress() as shown:
        found = run_table1(asked, inputs, on_photos=shown.photos, say=tell)
        forms = {"md": report.as_markdown, "tex": report.as_latex, "csv": report.as_csv, "json": report.as_json}
        for ending, form in forms.items():
            with atomic_write(out / f"table1.{ending}") as file:
                file.write(form(found))
    print(report.as_markdown(found))
