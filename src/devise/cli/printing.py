"""Printing for people: fitted to the terminal, or plain unwrapped lines in a pipe."""

import sys
from collections.abc import Collection, Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

__all__ = ["columns", "facts", "indented", "page", "plain"]

_UNBOUNDED = 10_000  # columns of what is not a terminal: no line is broken


def page(blocks: Iterable[RenderableType], console: Console | None = None) -> None:
    """Print blocks below each other. console: for tests, else standard output."""
    if console is None:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")
        console = Console(highlight=False, width=None if sys.stdout.isatty() else _UNBOUNDED)
    if console.width != _UNBOUNDED:
        console.print(*blocks, sep="\n")
        return
    with console.capture() as written:
        console.print(*blocks, sep="\n")
    for line in written.get().splitlines():
        print(line.rstrip())


def plain(text: str, style: str = "") -> Text:
    """Return text without markup; long words fold, control characters are escaped."""
    shown = "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
    return Text(shown, style=style, overflow="fold")


def indented(*lines: Text) -> RenderableType:
    """Indent lines and their continuations by four columns."""
    return Padding(Group(*lines), (0, 0, 0, 4), expand=False)


def columns(heads: Sequence[str], rows: Iterable[Sequence[str | Text]], right: Collection[int] = ()) -> Table:
    """Lay out rows below their heads. right: the columns that are aligned right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(plain(cell) if isinstance(cell, str) else cell for cell in row))
    return table


def facts(rows: Iterable[tuple[str, str]]) -> Table:
    """Lay out facts in two columns: name and value."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(overflow="fold", style="dim")
    table.add_column(overflow="fold")
    for head, value in rows:
        table.add_row(plain(head), plain(value))
    return table
