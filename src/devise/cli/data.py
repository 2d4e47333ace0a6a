"""devise data: arrange public photos for devise evaluate."""

from pathlib import Path
from typing import Annotated

import typer

from devise.cli.app import app
from devise.errors import counted

__all__ = ["caltech101", "data"]

data = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Arrange public photos for devise evaluate.")
app.add_typer(data, name="data")


@data.callback()
def _root() -> None:
    """Do no set-up: without this callback, typer would drop the name of a single command."""


@data.command(no_args_is_help=True)
def caltech101(
    source: Annotated[
        Path, typer.Option("--from", metavar="FILE", help="caltech-101.zip, or the 101_ObjectCategories.tar.gz in it.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="New or empty folder.")],
) -> None:
    """Make the folders seen, unseen and related from Caltech-101, with one subfolder per WordNet id.

    They contain the first photos of 76 classes, 2,664 in all: those of the tables in the documentation. The folder
    appears when it is complete; an interrupted run starts again.
    """
    from devise.evaluation.caltech101 import caltech_classes, write_caltech101

    ids = {kind: {one.id for one in caltech_classes() if one.set == kind} for kind in ("seen", "unseen", "related")}
    for kind, photos in write_caltech101(source, out).items():
        print(f"{out / kind}: {counted(photos, 'photo')} of {len(ids[kind])} classes")
