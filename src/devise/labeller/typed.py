"""Labels typed by a user: "kick scooter, zedonk: offspring of a zebra and a donkey"."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from devise.errors import UsageError
from devise.text.phrases import term_key

__all__ = ["TypedLabel", "parse_labels", "parse_lines", "user_id"]


@dataclass(frozen=True, slots=True)
class TypedLabel:
    """A name and, if the user gave one, what it means."""

    name: str
    definition: str = ""


def parse_labels(*texts: str) -> tuple[TypedLabel, ...]:
    """Labels parted by semicolons and line ends or, where there are none of these, by commas; a colon starts a
    definition.

    Where commas part labels, what follows a comma behind a colon belongs to the definition unless it has a colon of
    its own; so use semicolons where a definition is followed by a label without one. Blank entries are passed over;
    a name that stands twice is kept once if both say the same. UsageError for an entry without a name, a name without
    a word, two definitions of one name, or no label at all.

    >>> [label.name for label in parse_labels("kick scooter, zedonk: offspring of a zebra and a donkey")]
    ['kick scooter', 'zedonk']
    """
    return _unique(_parsed(entry) for text in texts for entry in _entries(text) if entry.strip())


def parse_lines(lines: Iterable[str]) -> tuple[TypedLabel, ...]:
    """Labels one a line, so that commas and semicolons are part of it; all else as in `parse_labels`.

    >>> [label.name for label in parse_lines(["zedonk: part zebra, part donkey; sterile", "", "kick scooter"])]
    ['zedonk', 'kick scooter']
    """
    return _unique(_parsed(line) for line in lines if line.strip())


def user_id(name: str) -> str:
    """The id of a label that is no synset.

    >>> user_id("Kick Scooter")
    'user:kick_scooter'
    """
    return f"user:{term_key(name)}"


def _entries(text: str) -> list[str]:
    """Split at semicolons, or at commas that are not inside a definition.

    A comma is inside a definition when it stands behind a colon and the text up to the next comma or the end
    holds no colon: "a: b, c" is one label, "a: b, c: d" is two, "a, b: c" is two.
    """
    if ";" in text or "\n" in text:
        return re.split(r"[;\n]", text)
    entries: list[str] = []
    for piece in text.split(","):
        inside = bool(entries) and ":" in entries[-1] and ":" not in piece
        if inside:
            entries[-1] += "," + piece
        else:
            entries.append(piece)
    return entries


def _parsed(entry: str) -> TypedLabel:
    name, _, definition = entry.partition(":")
    name, definition = " ".join(name.split()), " ".join(definition.split())
    if not term_key(name):
        raise UsageError(f"a label needs a word in its name, got {entry.strip()!r}: write NAME or NAME: DEFINITION")
    return TypedLabel(name, definition)


def _unique(labels: Iterable[TypedLabel]) -> tuple[TypedLabel, ...]:
    found: dict[str, TypedLabel] = {}
    for label in labels:
        earlier = found.setdefault(term_key(label.name), label)
        if earlier.definition != label.definition:
            raise UsageError(f"label {label.name!r} is given twice with different definitions: give it once")
    if not found:
        raise UsageError("no label was given: write NAME or NAME: DEFINITION, parted by commas")
    return tuple(found.values())
