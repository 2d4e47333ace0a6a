"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["ModelOption"]

ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model", help="Directory of a model bundle. [default: the model in the package]", show_default=False
    ),
]
