"""devise text neighbors: list the nearest words and labels of a name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Annotated, Any

import typer

from devise.cli.options import LabelPolicyOption, LabelVectorsOption, ModelOption, OnBadOption
from devise.cli.terminal import tell
from devise.cli.text import text
from devise.errors import counted

if TYPE_CHECKING:
    from devise.meaning.relations import NearWords, Neighbour
    from devise.meaning.senses import Asked
    from devise.model.parts import ModelParts

__all__ = ["neighbors"]


@text.command(no_args_is_help=True)
def neighbors(
    names: Annotated[
        list[str], typer.Argument(metavar="NAMES...", help="Words, phrases or synset ids.", show_default=False)
    ],
    top: Annotated[int, typer.Option("--top", "-k", min=1, help="Number of words, and of labels.")] = 10,
    words: Annotated[bool, typer.Option("--words", help="List only words.")] = False,
    labels: Annotated[bool, typer.Option("--labels", help="List only labels.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    label_vectors: LabelVectorsOption = None,
    on_bad: OnBadOption = "error",
    label_policy: LabelPolicyOption = None,
    model: ModelOption = None,
) -> None:
    """List the nearest words and the nearest labels of each name, side by side.

    A word has one vector for all its senses; a label has one per sense. `devise labels NAME` describes the senses.
    Where an encoder or a text tower places labels, words have no vectors: only labels are listed.

    Examples: devise text neighbors "tiger shark" car --words; devise text neighbors sorrel --labels.
    """
    import json

    from devise.errors import UsageError
    from devise.model.other_space import open_in_space

    if words and labels:
        raise UsageError("--words and --labels exclude each other: give at most one of them")
    parts = open_in_space(model, label_vectors, label_policy, on_bad=on_bad, say=tell)
    if words and not parts.has_words:
        raise UsageError("an encoder or a text tower places the labels, and words have no vectors: leave out --words")
    of_words = parts.has_words and not labels
    found = [_near(parts, name, top, words=of_words, labels=not words) for name in names]
    if as_json:
        print(json.dumps([_record(one) for one in found], indent=1))
    else:
        _print(found)


def _near(parts: "ModelParts", name: str, top: int, *, words: bool, labels: bool) -> "_Near":
    """Look up a name; DeviseError only if it is neither a word nor a label."""
    from devise.errors import LabelError
    from devise.meaning.relations import NearWords, near_words, nearest_labels
    from devise.meaning.senses import ask
    from devise.taxonomy.synsets import ID_PATTERN

    asked = ask(parts, name) if labels else None
    near = None if asked is None else nearest_labels(parts, asked, top).labels
    word = asked.chosen.name if asked is not None and ID_PATTERN.fullmatch(name.strip().lower()) else name
    try:
        found = near_words(parts.words, parts.taxonomy, word, top) if words else None
    except LabelError:
        if not labels:
            raise
        found = NearWords((), ())
    return _Near(name, found, asked, near)


_SENSES = 6


@dataclass(frozen=True, eq=False, slots=True)
class _Near:
    """The neighbours of a name; None for what was not requested."""

    name: str
    words: "NearWords | None"
    asked: "Asked | None"
    labels: tuple["Neighbour", ...] | None


def _print(found: Sequence[_Near]) -> None:
    """Print one table with two columns per kind, and notes on how each name was read."""
    from rich.table import Table
    from rich.text import Text

    from devise.cli.printing import page, plain

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    columns: list[list[tuple[str, str]]] = []
    for one in found:
        for title, cells in _columns(one):
            table.add_column("", justify="right", no_wrap=True, style="dim")
            table.add_column(title, overflow="fold")
            columns.append(cells)
    for row in zip_longest(*columns, fillvalue=("", "")):
        table.add_row(*(plain(cell) for pair in row for cell in pair))
    notes = [plain(*line) for one in found for line in _notes(one)]
    page([table, *([Text()] if notes else []), *notes])


def _record(one: _Near) -> dict[str, Any]:
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


def _columns(one: _Near) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    if one.words is not None:
        pairs = zip(one.words.words, one.words.cosines, strict=True)
        yield f"{one.name}: words", [(_number(cosine), word.replace("_", " ")) for word, cosine in pairs]
    if one.labels is not None:
        yield f"{one.name}: labels", [(_number(near.cosine), near.label.name) for near in one.labels]


def _notes(one: _Near) -> Iterator[tuple[str, str]]:
    if one.words is not None and one.words.made_of:
        yield f"{one.name!r} has no word vector: composed of {', '.join(one.words.made_of)}", "yellow"
    if one.words is not None and not one.words.words:
        yield f"{one.name!r} has no word vector", "yellow"
    if one.asked is None:
        return
    for note in one.asked.notes:
        yield note, "yellow"
    if len(one.asked.senses) > 1:
        taken = one.asked.chosen
        yield f"{one.name!r} has {counted(len(one.asked.senses), 'sense')}; labels near to {taken.id}:", "dim"
        for sense in one.asked.senses[:_SENSES]:
            mark = "*" if sense.id == taken.id else " "
            yield f"  {mark} {sense.id}  {sense.gloss}", "dim"
        if len(one.asked.senses) > _SENSES:
            yield f"    and {len(one.asked.senses) - _SENSES} more: devise labels {one.name!r}", "dim"


def _number(cosine: float) -> str:
    return f"{cosine:.3f}".replace("0.", ".", 1)
