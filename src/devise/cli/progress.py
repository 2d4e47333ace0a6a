"""Progress on a terminal, none elsewhere: a bar for work whose size is known, a counter for the rest.

rich is imported at first use, so that `--help` and answers to a pipe do not load it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

__all__ = ["Advance", "Move", "bar", "counter", "progress"]


class Move(Protocol):
    """Callback: what is done, of how much (None: as before), and the name of the work (None: as before)."""

    def __call__(self, done: int, total: int | None = None, what: str | None = None, /) -> None:
        """Move the bar."""


class Advance(Protocol):
    """Callback: how much more is done."""

    def __call__(self, count: int = 1, /) -> None:
        """Add to the count."""


def progress(*columns: "ProgressColumn") -> "Progress":
    """Return rich's progress on standard error, which is removed at the end and hidden without a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True, soft_wrap=True)
    hidden = sys.stderr is None or not console.is_terminal
    return Progress(*columns, console=console, disable=hidden, redirect_stdout=False, transient=True)


@contextmanager
def bar(what: str = "photos") -> Iterator[Move]:
    """Show a bar; yield the function that moves it."""
    with progress() as shown:
        task = shown.add_task(what, total=None)
        yield lambda done, total=None, what=None: shown.update(task, completed=done, total=total, description=what)


@contextmanager
def counter(what: str = "photos", total: int | None = None, *, hidden: bool = False) -> Iterator[Advance]:
    """Show a counter, or a bar if there is a total; yield the function that adds to it. hidden: never show it."""
    if hidden or sys.stderr is None or not sys.stderr.isatty():
        yield lambda count=1: None
        return
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    counted = (SpinnerColumn(), TextColumn(f"{{task.completed:,}} {what}"), TimeElapsedColumn())
    with progress(*(counted if total is None else ())) as shown:
        task = shown.add_task(what, total=total)
        yield lambda count=1: shown.advance(task, count)
