"""The command `devise`: arguments in, tables out."""

import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from devise.cli.terminal import tell
from devise.errors import DeviseError
from devise.version import __version__
from devise.vision.runtime import leave_out_conversion

__all__ = ["app", "main", "one_blas_thread", "stoppable"]

_COMMANDS = {
    "label": "Name what is in photos.",
    "unlabel": "Remove the keywords that label --xmp wrote.",
    "labels": "Look up a name: its senses and nearest labels.",
    "info": "Show the model: labels, network, scoring, licences.",
    "index": "Make photos searchable.",
    "search": "Find photos in an index.",
    "duplicates": "List or move near-duplicates in an index.",
    "watch": "Index photos as they come, change and go.",
    "serve": "Serve the model: a web page and an API.",
    "corrections": "List or export accepted and rejected names.",
    "train": "Train a model from labelled photos.",
    "build": "Make a model of a classifier trained elsewhere.",
    "evaluate": "Measure hit@k, hierarchical precision@k and more.",
    "also": "Score the photos of a record with other models.",
    "compare": "Print the differences of two evaluations.",
    "report": "Write an evaluation as one HTML file.",
    "reproduce": "Reprint the tables of the DeViSE paper.",
    "data": "Arrange public photos for devise evaluate.",
    "demo": "Compare all methods on real photos.",
    "text": "Train, measure and inspect word vectors.",
}
"""The commands in the order of `devise --help`, with their lines there."""

_STOPPED = 130  # by Ctrl-C, as shells count it
_PIPE_CLOSED = 141


class _Stop(SystemExit):
    """The end of a command that a signal stopped: it waits for nobody, for the reader may have stopped reading."""


class _Commands(TyperGroup):
    """The commands. `_reported` turns their errors into exit codes, before typer turns a closed pipe into a failure."""

    def make_context(self, *arguments: Any, **more: Any) -> Any:
        """Parse the arguments, and print `--help` and `--version`."""
        with _reported():
            return super().make_context(*arguments, **more)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        with _reported():
            return super().invoke(ctx)


class _Closed(io.TextIOBase):
    """Standard output that is closed (`devise ... >&-`): like a full disk, an error as soon as text is flushed."""

    _written = False

    def __init__(self) -> None:
        # Else the next file that is opened would be standard output for libraries in C.
        self._place = os.open(os.devnull, os.O_RDONLY)

    def write(self, text: str, /) -> int:
        """Remember that there was a text."""
        self._written |= bool(text)
        return len(text)

    def flush(self) -> None:
        """Raise a DeviseError if there was a text since the last one."""
        if self._written:
            self._written = False
            raise DeviseError("standard output is closed: open it, or redirect it to a file")


def _program() -> typer.Typer:
    return typer.Typer(
        name="devise",
        cls=_Commands,
        help="Name what is in any photo with any noun, including nouns without training photos. Works offline.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # which would take [brackets] in a help text for a style, and leave them out
        context_settings={"help_option_names": ["-h", "--help"]},
    )


app = _program()


def _version(asked: bool) -> bool:
    if asked:
        print(f"devise-zsl {__version__}")
        raise typer.Exit
    return asked


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Do no set-up: each command loads what it needs."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; with None, read the arguments of the process and exit it.

    Exit codes: 0 success, 1 failure, 2 usage error, 130 stopped by Ctrl-C, 141 closed output pipe; 143 and 129: see
    `stoppable`.
    """
    if sys.stdout is None:
        sys.stdout = _Closed()
    if sys.stderr is None:  # where print would take standard output instead
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that is not UTF-8 is written as `text_name` has it
    if arguments is None:
        leave_out_conversion()
        _name_output()
    try:
        with _reported():
            program = _loaded(sys.argv[1:] if arguments is None else arguments)
            _run(program, arguments)
    except SystemExit as stop:
        at_once = isinstance(stop, _Stop) or sys.argv[1:2] in (["label"], ["search"]) or _among_several()
        if arguments is None and at_once:
            _flushed_or_silent()
            _leave(stop.code if isinstance(stop.code, int) else int(stop.code is not None))
        raise


def _run(program: typer.Typer, arguments: list[str] | None) -> None:
    """Run the program; a full disk must be reported now, not when Python ends."""
    try:
        program(args=arguments, prog_name="devise")
    except SystemExit as stop:
        if not isinstance(stop, _Stop):
            sys.stdout.flush()
        raise


def _name_output() -> None:
    """Let errors of standard output name it, for without a name they could be those of any file."""

    def named(call: Callable[..., Any]) -> Callable[..., Any]:
        def attempt(*arguments: Any) -> Any:
            try:
                return call(*arguments)
            except BrokenPipeError:
                raise
            except OSError as error:
                raise DeviseError(f"standard output cannot be written: {error.strerror or error}") from None

        return attempt

    for name in ("write", "flush"):
        setattr(sys.stdout, name, named(getattr(sys.stdout, name)))


def _loaded(arguments: list[str]) -> typer.Typer:
    """Return the program with the requested command, or with all for a shell's completion or an error."""
    if arguments in ([], ["--help"], ["-h"]) and "_DEVISE_COMPLETE" not in os.environ:
        return _overview()
    for name in [arguments[0]] if arguments and arguments[0] in _COMMANDS else _COMMANDS:
        import_module(f"devise.cli.{name}")
    return app


def _overview() -> typer.Typer:
    """Return the program for `devise --help` alone, without loading a command."""
    overview = _program()
    overview.callback()(_root)
    for name, line in _COMMANDS.items():
        overview.command(name, help=line)(_root)
    return overview


@contextmanager
def _reported() -> Iterator[None]:
    """Turn every error except our own bugs into a line on standard error and an exit code."""
    try:
        yield
    except DeviseError as error:
        tell(f"{error}: {error.hint}" if error.hint else str(error))
        code = error.exit_code
    except KeyboardInterrupt as stop:
        tell("stopped")
        raise _Stop(stop.args[0] if stop.args else _STOPPED) from None
    except BrokenPipeError:
        _silence()
        code = _PIPE_CLOSED
    except MemoryError:
        tell("out of memory: close other programs, or give fewer labels")
        code = 1
    except OSError as error:
        tell(f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error))
        code = 1
    else:
        return
    _flushed_or_silent()
    sys.exit(code)


def one_blas_thread() -> None:
    """Let NumPy's products run on one thread; to be called before it is imported.

    The photos keep all cores busy, and idle threads of OpenBLAS would only spin.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM and a closed terminal stop the block as Ctrl-C does, with exit code 143 or 129.

    What is ignored (`nohup`) stays ignored.
    """

    def stop(number: int, _: object) -> None:
        raise KeyboardInterrupt(128 + number)

    found = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows: SIGTERM
    taken = [number for number in found if signal.getsignal(number) is signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread():
        taken = []
    for number in taken:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _flushed_or_silent() -> None:
    try:
        sys.stdout.flush()
    except (OSError, DeviseError):
        _silence()


def _silence() -> None:
    """Write nothing more to standard output, even when Python flushes it at exit."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def _among_several() -> bool:
    """Whether `torchrun` started this process as one of several."""
    return os.environ.get("WORLD_SIZE", "1") != "1"


def _leave(code: int) -> None:
    """End the process now. Otherwise Python waits for a thread in the middle of a large picture, freeing the network
    takes 0.2 s, and torch's threads between processes, which outlive their group, now and then abort at the end.
    """
    os._exit(code)
