"""Bars and counters on standard error; nothing is shown where that is not a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

__all__ = ["Bar", "counting", "showing"]


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, moved by what the work reports."""

    shown: Progress
    task: TaskID

    def step(self, more: int = 1) -> None:
        """Move on by this many photos."""
        self.shown.advance(self.task, more)

    def at(self, done: int, total: int | None) -> None:
        """Show how many of all are done."""
        self.shown.update(self.task, completed=done, total=total)

    def stage(self, what: str, done: int, total: int | None) -> None:
        """Show the same of a part of the work, by name."""
        self.shown.update(self.task, description=what, completed=done, total=total)


@contextmanager
def showing(what: str = "photos", total: int | None = None) -> Iterator[Bar]:
    """Show a bar while the block runs."""
    console = Console(stderr=True, soft_wrap=True)
    with Progress(console=console, transient=True, disable=not _on_terminal()) as shown:
        yield Bar(shown, shown.add_task(what, total=total))


@contextmanager
def counting(what: str = "photos", *, hidden: bool = False) -> Iterator[Callable[..., None]]:
    """Show a counter while the block runs; yield the function that adds 1, or as many as it is given."""
    console = Console(stderr=True, soft_wrap=True)
    columns = (SpinnerColumn(), TextColumn(f"{{task.completed:,}} {what}"), TimeElapsedColumn())
    hidden |= not _on_terminal()
    with Progress(*columns, console=console, disable=hidden, redirect_stdout=False, transient=True) as shown:
        task = shown.add_task("", total=None)
        yield lambda more=1: shown.advance(task, more)


def _on_terminal() -> bool:
    """Return whether standard error is a terminal; unlike rich, also where FORCE_COLOR says that it is one."""
    return sys.stderr is not None and sys.stderr.isatty()
