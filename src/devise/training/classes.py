"""Class names to synsets, without guessing: names with several senses go to a review file for a person."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from devise.arrays import Int64, Truth
from devise.bundle.bundle import open_bundle
from devise.errors import UsageError, counted
from devise.files import atomic_write, exact_name, parse_json, read_text, text_name
from devise.model.parts import DEFAULT_BUNDLE
from devise.tabletext import cell_text, shown_text
from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import Taxonomy

__all__ = [
    "IMAGENET",
    "ClassMap",
    "id_or_name",
    "imagenet_ids",
    "in_imagenets_order",
    "kept_photos",
    "map_classes",
    "names_of_json",
    "read_class_list",
    "read_review",
    "row_ids",
    "write_review",
]

_SYNSET_ID = re.compile(r"n\d{8}", re.ASCII)
_LEFT_OUT = "-"
_HEAD = """\
# Class names and the synsets they mean: a name, a tab, a synset id. Text after a second tab is only for you to read.
# Lines that begin with # are ignored. For each name with several lines, remove the # from one of them, or replace the
# id by - to leave the class out. Then give the file again.
"""


@dataclass(frozen=True, slots=True)
class ClassMap:
    """The synsets of class names.

    ids: by name, the synset; None where the class is left out. named: how many names were not ids themselves and
    mean the one noun sense they have.
    """

    ids: dict[str, str | None]
    named: int = 0

    @property
    def kept(self) -> dict[str, str]:
        """Those that are not left out."""
        return {name: synset_id for name, synset_id in self.ids.items() if synset_id is not None}


def map_classes(
    names: Sequence[str], taxonomy: Taxonomy, review: Path | None = None, option: str = "--classes"
) -> ClassMap:
    """Map each class name to a synset: its own id, the review file's choice, or its only sense.

    review: read if it exists; if names stay open it is written, with their senses and all that it said before, and
    UsageError says so. A name without a letter stays open: it is some list's number, not the noun for it.
    Two names may not mean one synset. option: of the review file, for the error.
    """
    reviewed = read_review(review, taxonomy) if review is not None and review.exists() else {}
    ids: dict[str, str | None] = {}
    unclear: list[str] = []
    for name in names:
        senses = _senses(name, taxonomy)
        if name in reviewed:
            ids[name] = reviewed[name]
        elif _SYNSET_ID.fullmatch(name) and name in taxonomy:
            ids[name] = name
        elif len(senses) == 1 and re.search(
            r"[^\W\d_]", name
        ):  # the class of many shards is a number, not the noun for it
            ids[name] = senses[0].id
        else:
            unclear.append(name)
    if unclear:
        raise _open(unclear, reviewed | ids, taxonomy, review, option)
    _refuse_twins(ids)
    return ClassMap(ids, sum(name != synset_id and name not in reviewed for name, synset_id in ids.items()))


def kept_photos(
    names: Sequence[str], truth: Truth, taxonomy: Taxonomy, review: Path | None, say: Callable[[str], None]
) -> tuple[tuple[str, ...], Truth, Int64[np.ndarray, "kept"]]:
    """Map the classes of photos to synsets, and leave out the photos of classes that are left out.

    names: of the classes. truth: which of them each photo shows. review: see `map_classes`. say: hears what was decided
    and left out. Returns the synset ids, ascending; which of them each photo shows; and which photos these are.
    """
    mapped = map_classes(names, taxonomy, review)
    kept = mapped.kept
    ids = tuple(sorted(kept.values()))
    places = np.array([ids.index(kept[name]) if name in kept else -1 for name in names], dtype=np.int64)
    shown = places[truth]
    inside = np.flatnonzero(shown >= 0)
    if mapped.named:
        say(f"{mapped.named} class names have one sense in WordNet and were taken for it")
    if left := len(shown) - len(inside):
        say(f"left out {counted(left, 'photo')} of {counted(len(mapped.ids) - len(kept), 'class')}")
    return ids, shown[inside], inside


def read_review(path: Path, taxonomy: Taxonomy) -> dict[str, str | None]:
    """Read a review file; UsageError names the wrong line."""
    reviewed: dict[str, str | None] = {}
    text = read_text(path, UsageError, cure="give a file of class names")
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        text, _, rest = line.partition("\t")
        name = exact_name(cell_text(text))
        synset_id = rest.partition("\t")[0].strip()
        if synset_id != _LEFT_OUT and synset_id not in taxonomy:
            raise UsageError(f"{path}, line {number}: {synset_id!r} is not a WordNet 3.0 synset: write n and 8 digits")
        if name in reviewed:
            raise UsageError(f"{path}, line {number}: duplicate class {name!r}: keep one line of it")
        reviewed[name] = None if synset_id == _LEFT_OUT else synset_id
    return reviewed


def write_review(path: Path, ids: dict[str, str | None], unclear: Sequence[str], taxonomy: Taxonomy) -> None:
    """Write the review file: settled names, and every sense of the others."""
    with atomic_write(path) as file:
        file.write(_HEAD)
        for one in unclear:
            senses, name = _senses(one, taxonomy), shown_text(text_name(one))
            file.write(f"\n# {name}: {counted(len(senses), 'sense')}\n" if senses else f"\n# {name}: not in WordNet\n")
            for sense in senses:
                file.write(f"#{name}\t{sense.id}\t{', '.join(sense.lemmas)}: {sense.definition}\n")
            if not senses:
                file.write(f"#{name}\t{_LEFT_OUT}\n")
        file.write("\n")
        for name, synset_id in ids.items():
            note = "" if synset_id is None else taxonomy.synset(synset_id).definition
            file.write(f"{shown_text(text_name(name))}\t{synset_id or _LEFT_OUT}\t{note}\n")


def _require_writable(names: Sequence[str]) -> None:
    for name in names:
        if name.startswith("#") or not {"\t", "\n", "\r"}.isdisjoint(name):
            raise UsageError(f"the class {name!r} cannot be in a review file: rename it, without # at its beginning")


def _open(
    unclear: Sequence[str], ids: dict[str, str | None], taxonomy: Taxonomy, review: Path | None, option: str
) -> UsageError:
    listed = ", ".join(unclear[:5]) + (", ..." if len(unclear) > 5 else "")
    names = "1 class name has" if len(unclear) == 1 else f"{len(unclear)} class names have"
    problem = f"{names} several senses or none in WordNet ({listed})"
    if review is None:
        return UsageError(f"{problem}: give {option} FILE, and their senses are written there for you to choose")
    _require_writable(unclear)
    write_review(review, ids, unclear, taxonomy)
    return UsageError(f"{problem}: choose in {review}, which lists them, and give it again")


def _refuse_twins(ids: dict[str, str | None]) -> None:
    first: dict[str, str] = {}
    for name, synset_id in ids.items():
        if synset_id is not None and first.setdefault(synset_id, name) != name:
            raise UsageError(f"{first[synset_id]!r} and {name!r} both mean {synset_id}: merge the two or leave one out")


def _senses(name: str, taxonomy: Taxonomy) -> tuple[Synset, ...]:
    """The senses of a name; of several terms ("tench, Tinca tinca") those that all have, or else that any has.

    A term that WordNet lacks says nothing.
    """
    senses = taxonomy.find(_words(name))
    if senses or "," not in name:
        return senses
    by_term = [found for term in name.split(",") if (found := taxonomy.find(_words(term)))]
    known = {one.id: one for found in by_term for one in found}
    common = [one for one in known.values() if all(one in found for found in by_term)]
    return tuple(common or known.values())


def _words(name: str) -> str:
    return name.replace("_", " ").strip()


IMAGENET = "imagenet"
"""As a class list: ImageNet's 1,000 in their order, which is that of their ids."""

_ID_FIRST = re.compile(r"(n\d{8})(?:[\s,:]|$)", re.ASCII)
_MOST_AGREE = 0.9  # of the 1,000 names, some are spelled in other ways than in WordNet


def read_class_list(path: Path) -> tuple[str, ...]:
    """Read one class per line, or JSON: a list, or an object from the numbers of the rows to names.

    A line that begins with a synset id ("n01440764 tench, Tinca tinca") is that id. UsageError for an empty line in
    the middle, which would move all that follow.
    """
    text = read_text(path, UsageError, cure="give a file with one class per line")
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
        return tuple(imagenet), "classes: ImageNet's 1,000 in their order, recognised by their names"
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
    line = f"classes: {len(ids) - left:,} synsets, {mapped.named:,} of them by a name with one sense"
    return ids, f"{line}, {counted(left, 'row')} left out" if left else line


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
