"""devise reproduce: reprint the tables of Frome et al. 2013 on your own photos."""

from importlib import import_module

import typer

from devise.cli.app import app

__all__ = ["reproduce"]

_COMMANDS = ("zeroshot", "table1")

reproduce = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Reprint the tables of the DeViSE paper on your own photos.",
)
app.add_typer(reproduce, name="reproduce")
for _name in _COMMANDS:
    import_module(f"devise.cli.reproduce.{_name}")
