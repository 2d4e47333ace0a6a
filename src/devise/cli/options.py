"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["CacheOption", "CountsOption", "ModelOption", "SplitsOption"]

ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model", help="Directory of a model bundle. [default: the model in the package]", show_default=False
    ),
]

SplitsOption = Annotated[
    Path | None,
    typer.Option("--splits", help='JSON file of the published class lists: an object with "2-hops", "3-hops", "all".'),
]

CountsOption = Annotated[
    Path | None,
    typer.Option(
        "--counts", help="How many photos a class has, for most-N and least-N: id and number a line, or JSON."
    ),
]

CacheOption = Annotated[
    bool, typer.Option("--no-cache", help="Neither read nor write the correct sets kept in the user's cache folder.")
]
