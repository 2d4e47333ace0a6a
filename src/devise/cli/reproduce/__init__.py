"""devise reproduce: the tables of the paper."""

from importlib import import_module

import typer

from devise.cli.app import app

__all__ = ["reproduce"]

_COMMANDS: tuple[str, ...] = ("table1",)

reproduce = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Make the tables of the paper, its own rows beside."
)
app.add_typer(reproduce, name="reproduce")
for _name in _COMMANDS:
    import_module(f"devise.cli.reproduce.{_name}")
