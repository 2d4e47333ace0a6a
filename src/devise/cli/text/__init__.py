"""devise text: make and measure word vectors and label vectors."""

from importlib import import_module

import typer

from devise.cli.app import app

__all__ = ["text"]

_COMMANDS: tuple[str, ...] = ("corpus", "train", "eval", "audit", "policies", "neighbors", "plot")

text = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Gather text, train word vectors, measure and inspect the label space.",
)
app.add_typer(text, name="text")
for _name in _COMMANDS:
    import_module(f"devise.cli.text.{_name}")
