"""Options that commands on the label space share."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["PolicyOption", "VectorsOption"]

VectorsOption = Annotated[
    Path | None,
    typer.Option(
        help="Word vectors to make the labels of: .safetensors, .bin, .txt or .vec. [default: the model's own]",
        show_default=False,
    ),
]

PolicyOption = Annotated[
    str | None,
    typer.Option(
        help="How labels are made of words: first-term, mean-of-terms, sense-aware or another. "
        "[default: the model's own]",
        show_default=False,
    ),
]
