"""Print nearest words and labels as a table or as JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from devise.cli.printing import page, plain
from devise.errors import counted
from devise.meaning.relations import NearWords, Neighbour
from devise.meaning.senses import Asked

__all__ = ["Near", "print_near", "record"]

_SENSES = 6


@dataclass(frozen=True, eq=False, slots=True)
class Near:
    """The neighbours of a name; None for what was not requested."""

    name: str
    words: NearWords | None
    asked: Asked | None
    labels: tuple[Neighbour, ...] | None


def print_near(found: Sequence[Near]) -> None:
    """Print one table with two columns per kind, and notes on how each name was read."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    columns: list[list[tuple[str, str]]] = []
    for one in found:
        for title, cells in _columns(one):
            table.add_column("", justify="right", no_wrap=True, style="dim")
            table.add_column(title, overflow="fold")
            columns.append(cells)
    for row in zip_longest(*columns, fillvalue=("", "")):
        table.add_row(*(plain(cell) for pair in row for cell in pair))
    notes = [line for one in found for line in _notes(one)]
    page([table, *([Text()] if notes else []), *notes])


def record(one: Near) -> dict[str, Any]:
    """Return a record for JSON; null for what was not requested."""
    words, asked = one.words, one.asked
    return {
        "name": one.name,
        "words": None
        if words is None
        else [{"cosine": round(c, 6), "word": w} for w, c in zip(words.words, words.cosines, strict=True)],
        "made_of": None if words is None else list(words.made_of),
        "chosen": None if asked is None else asked.chosen.id,
        "senses": None if asked is None else [{"id": s.id, "gloss": s.gloss} for s in asked.senses],
        "labels": None
        if one.labels is None
        else [{"cosine": round(n.cosine, 6), **n.label.to_dict()} for n in one.labels],
    }


def _columns(one: Near) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    if one.words is not None:
        pairs = zip(one.words.words, one.words.cosines, strict=True)
        yield f"{one.name}: words", [(_number(cosine), word.replace("_", " ")) for word, cosine in pairs]
    if one.labels is not None:
        yield f"{one.name}: labels", [(_number(near.cosine), near.label.name) for near in one.labels]


def _notes(one: Near) -> Iterator[RenderableType]:
    if one.words is not None and one.words.made_of:
        yield plain(f"{one.name!r} has no word vector: composed of {', '.join(one.words.made_of)}", "yellow")
    if one.words is not None and not one.words.words:
        yield plain(f"{one.name!r} has no word vector", "yellow")
    if one.asked is None:
        return
    for note in one.asked.notes:
        yield plain(note, "yellow")
    if len(one.asked.senses) > 1:
        taken = one.asked.chosen
        yield plain(f"{one.name!r} has {counted(len(one.asked.senses), 'sense')}; labels near to {taken.id}:", "dim")
        for sense in one.asked.senses[:_SENSES]:
            mark = "*" if sense.id == taken.id else " "
            yield plain(f"  {mark} {sense.id}  {sense.gloss}", "dim")
        if len(one.asked.senses) > _SENSES:
            yield plain(f"    and {len(one.asked.senses) - _SENSES} more: devise labels {one.name!r}", "dim")


def _number(cosine: float) -> str:
    return f"{cosine:.3f}".replace("0.", ".", 1)
