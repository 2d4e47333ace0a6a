"""devise data: public photos, laid out as the evaluation takes them."""

from pathlib import Path
from typing import Annotated

import typer

from devise.cli.app import app
from devise.cli.terminal import counted

__all__ = ["caltech101", "data"]

data = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Lay out public photos as devise evaluate takes them."
)
app.add_typer(data, name="data")


@data.callback()
def _root() -> None:
    """Set nothing up: without this, one command alone would be no command."""


@data.command(no_args_is_help=True)
def caltech101(
    source: Annotated[
        Path, typer.Option("--from", metavar="FILE", help="caltech-101.zip, or the 101_ObjectCategories.tar.gz in it.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="A folder that is new or empty.")],
) -> None:
    """Make the folders seen, unseen and related of Caltech-101, each with a folder per WordNet id.

    They hold the first photos of 76 of its classes, 2,664 in all, those of the tables in the documentation. The folder
    appears when it is whole; a run that was stopped is begun again.
    """
    from devise.evaluation.caltech101 import caltech_classes, write_caltech101

    ids = {kind: {one.id for one in caltech_classes() if one.set == kind} for kind in ("seen", "unseen", "related")}
    for kind, photos in write_caltech101(source, out).items():
        print(f"{out / kind}: {counted(photos, 'photo')} of {len(ids[kind])} classes")
