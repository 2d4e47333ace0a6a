"""devise text: the language model, from text to label vectors."""

from importlib import import_module

import typer

from devise.cli.app import app

__all__ = ["text"]

_COMMANDS: tuple[str, ...] = ("corpus", "train", "eval", "audit", "policies", "neighbors", "plot")

text = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="The language model: gather text, train word vectors, measure and look at the label space they make.",
)
app.add_typer(text, name="text")
for _name in _COMMANDS:
    import_module(f"devise.cli.text.{_name}")
