"""Bars and counters on standard error; nothing is shown where that is not a terminal.

rich is imported at first use, so that `--help` and answers to a pipe do not load it.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, TaskID

__all__ = ["Bar", "counting", "progress", "showing"]


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, moved by what the work reports."""

    shown: "Progress"
    task: "TaskID"

    def step(self, more: int = 1) -> None:
        """Move on by this many photos."""
        self.shown.advance(self.task, more)

    def at(self, done: int, total: int | None) -> None:
        """Show how many of all are done."""
        self.shown.update(self.task, completed=done, total=total)

    def stage(self, what: str, done: int, total: int | None) -> None:
        """Show the same of a part of the work, by name."""
        self.shown.update(self.task, description=what, completed=done, total=total)


def progress(*columns: "ProgressColumn") -> "Progress":
    """Return rich's progress, which is removed at the end and hidden without a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    hidden = not _on_terminal()
    console = Console(stderr=True, soft_wrap=True)
    return Progress(*columns, console=console, disable=hidden, redirect_stdout=False, transient=True)


@contextmanager
def showing(what: str = "photos", total: int | None = None) -> Iterator[Bar]:
    """Show a bar while the block runs."""
    with progress() as shown:
        yield Bar(shown, shown.add_task(what, total=total))


@contextmanager
def counting(what: str = "photos", *, hidden: bool = False) -> Iterator[Callable[..., None]]:
    """Show a counter while the block runs; yield the function that adds 1, or as many as it is given."""
    if hidden or not _on_terminal():
        yield lambda more=1: None
        return
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    with progress(SpinnerColumn(), TextColumn(f"{{task.completed:,}} {what}"), TimeElapsedColumn()) as shown:
        task = shown.add_task("", total=None)
        yield lambda more=1: shown.advance(task, more)


def _on_terminal() -> bool:
    """Return whether standard error is a terminal; rich also takes FORCE_COLOR for one."""
    return sys.stderr.isatty()
