"""Which synset each row of a foreign classifier stands for: a file of ids or names, in the order of the rows."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from devise.bundle.bundle import open_bundle
from devise.errors import UsageError, counted
from devise.files import parse_json, read_text, reason_of
from devise.model.parts import DEFAULT_BUNDLE
from devise.taxonomy.wordnet import Taxonomy
from devise.training.classes import map_classes

__all__ = [
    "IMAGENET",
    "id_or_name",
    "imagenet_ids",
    "in_imagenets_order",
    "names_of_json",
    "read_class_list",
    "row_ids",
]

IMAGENET = "imagenet"
"""As a class list: ImageNet's 1,000 in their order, which is that of their ids."""

_ID_FIRST = re.compile(r"(n\d{8})(?:[\s,:]|$)", re.ASCII)
_MOST_AGREE = 0.9  # of the 1,000 names, some are spelled in other ways than in WordNet


def read_class_list(path: Path) -> tuple[str, ...]:
    """Read one class per line, or JSON: a list, or an object from the numbers of the rows to names.

    A line that begins with a synset id ("n01440764 tench, Tinca tinca") is that id. UsageError for an empty line in
    the middle, which would move all that follow.
    """
    try:
        text = read_text(path, UsageError)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({reason_of(error)}): give a file with one class per line") from None
    if text.lstrip().startswith(("[", "{")):
        try:
            return names_of_json(parse_json(text), path)
        except ValueError as error:
            raise UsageError(f"{path} is not JSON ({error}): give a list of classes") from None
    lines = [line.strip() for line in text.rstrip().split("\n")]
    for number, line in enumerate(lines, start=1):
        if not line:
            raise UsageError(f"{path}, line {number}: empty: every line is one row of the classifier")
    return tuple(map(id_or_name, lines))


def names_of_json(stored: object, path: Path) -> tuple[str, ...]:
    """The classes of a JSON list, of an object by row number, or of transformers' `id2label`; UsageError otherwise.

    path: of the file, for the error.
    """
    if isinstance(stored, Mapping):
        stored = stored.get("id2label", stored)
    if isinstance(stored, Mapping):
        rows = [stored.get(str(row)) for row in range(len(stored))]
        if any(row is None for row in rows):
            raise UsageError(f"{path}: its keys are not the rows 0 to {len(rows) - 1}: give a list of classes")
        stored = rows
    if not isinstance(stored, Sequence) or isinstance(stored, str) or not stored:
        raise UsageError(f"{path} is not a list of classes: give one class per line")
    firsts = [row[0] if isinstance(row, list) and row else row for row in stored]
    for number, first in enumerate(firsts):
        if not isinstance(first, str) or not first.strip():
            raise UsageError(f"{path}, row {number}: {first!r} is not a class: give a name or a synset id")
    return tuple(id_or_name(str(first).strip()) for first in firsts)


def row_ids(
    names: Sequence[str], rows: int, taxonomy: Taxonomy, imagenet: Sequence[str], review: Path | None
) -> tuple[tuple[str | None, ...], str]:
    """The synset of each row of the classifier, None where the row is left out; and a line on how it was found.

    rows: of the classifier. imagenet: the 1,000 ids in order. review: see `map_classes`.
    UsageError if there are not as many names as rows, a name is a duplicate, or a name is unclear.
    """
    if len(names) != rows:
        raise UsageError(
            f"the class list has {counted(len(names), 'class')}, the network {rows:,}: give one line per output"
        )
    if in_imagenets_order(names, taxonomy, imagenet):
        return tuple(imagenet), "classes: ImageNet's 1,000 in their order, told by their names"
    first: dict[str, int] = {}
    for row, name in enumerate(names):
        if first.setdefault(name, row) != row:
            raise UsageError(
                f"duplicate class {name!r} in rows {first[name] + 1} and {row + 1} of the list: write the synset id of "
                "each"
            )
    mapped = map_classes(names, taxonomy, review, "--review")
    ids = tuple(mapped.ids[name] for name in names)
    left = sum(one is None for one in ids)
    told = f"classes: {len(ids) - left:,} synsets, {mapped.named:,} of them by a name with one sense"
    return ids, f"{told}, {counted(left, 'row')} left out" if left else told


def imagenet_ids() -> tuple[str, ...]:
    """ImageNet's 1,000 ids in their order: the trained labels of the model in the package."""
    own = open_bundle(DEFAULT_BUNDLE)
    return tuple(sorted(own.labels.ids[place] for place in own.trained.tolist()))


def in_imagenets_order(names: Sequence[str], taxonomy: Taxonomy, imagenet: Sequence[str]) -> bool:
    """Whether 1,000 names are those of ImageNet's classes, row by row; nine of ten must be a name of their class."""
    if len(names) != len(imagenet) or any(name in taxonomy for name in names):
        return False
    agree = sum(
        one in {sense.id for term in name.split(",") for sense in taxonomy.find(term.replace("_", " ").strip())}
        for name, one in zip(names, imagenet, strict=True)
    )
    return agree >= _MOST_AGREE * len(names)


def id_or_name(line: str) -> str:
    """Return the synset id that a line of a class list begins with, or the whole line."""
    found = _ID_FIRST.match(line)
    return found[1] if found else line
