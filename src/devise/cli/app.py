"""The command `devise`: arguments in, tables out."""

import sys
from importlib import import_module
from typing import Annotated

import typer

from devise.errors import DeviseError
from devise.version import __version__

__all__ = ["app", "main"]

app = typer.Typer(
    name="devise",
    help="Name what is in any photo, with any noun, also nouns no training photo carried. Works offline.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_COMMANDS = ("label", "labels", "info", "evaluate", "demo")


def _version(asked: bool) -> bool:
    if asked:
        print(f"devise-zsl {__version__}")
        raise typer.Exit
    return asked


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Set nothing up: each command loads what it needs."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. Exit codes: 0 done, 1 something failed, 2 wrong usage, 130 stopped by Ctrl-C."""
    for name in _COMMANDS:
        import_module(f"devise.cli.{name}")
    try:
        app(args=arguments)
    except DeviseError as error:
        print(f"devise: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("devise: stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        print(f"devise: {name}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)
