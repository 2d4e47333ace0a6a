"""What a command prints for people: fits the terminal, and comes as plain whole lines when piped."""

import sys
from collections.abc import Iterable

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

__all__ = ["facts", "indented", "page", "plain"]

_UNBOUNDED = 10_000  # columns of what is not a terminal: no line is broken


def page(blocks: Iterable[RenderableType], console: Console | None = None) -> None:
    """Print blocks one below the other; console: for tests, else standard output."""
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
    """Text as it is, whatever brackets it holds; long words are folded, control characters are escaped."""
    shown = "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
    return Text(shown, style=style, overflow="fold")


def indented(*lines: Text) -> RenderableType:
    """Lines moved in by four columns, their continuations too."""
    return Padding(Group(*lines), (0, 0, 0, 4), expand=False)


def facts(rows: Iterable[tuple[str, str]]) -> Table:
    """Two columns: what, and what is said of it."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(overflow="fold", style="dim")
    table.add_column(overflow="fold")
    for head, value in rows:
        table.add_row(plain(head), plain(value))
    return table
