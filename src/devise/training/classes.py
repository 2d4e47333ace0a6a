"""Class names to synsets, without guessing: names with several senses go to a review file for a person."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from devise.arrays import Int64, Truth
from devise.errors import UsageError, counted
from devise.files import atomic_write, exact_name, read_text, reason_of, text_name
from devise.tabletext import cell_text, shown_text
from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import Taxonomy

__all__ = ["ClassMap", "kept_photos", "map_classes", "read_review", "write_review"]

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
    told = read_review(review, taxonomy) if review is not None and review.exists() else {}
    ids: dict[str, str | None] = {}
    unclear: list[str] = []
    for name in names:
        senses = _senses(name, taxonomy)
        if name in told:
            ids[name] = told[name]
        elif _SYNSET_ID.fullmatch(name) and name in taxonomy:
            ids[name] = name
        elif len(senses) == 1 and re.search(
            r"[^\W\d_]", name
        ):  # the class of many shards is a number, not the noun for it
            ids[name] = senses[0].id
        else:
            unclear.append(name)
    if unclear:
        raise _open(unclear, told | ids, taxonomy, review, option)
    _refuse_twins(ids)
    return ClassMap(ids, sum(name != synset_id and name not in told for name, synset_id in ids.items()))


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
    told: dict[str, str | None] = {}
    try:
        text = read_text(path, UsageError)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({reason_of(error)}): give a file of class names") from None
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        text, _, rest = line.partition("\t")
        name = exact_name(cell_text(text))
        synset_id = rest.partition("\t")[0].strip()
        if synset_id != _LEFT_OUT and synset_id not in taxonomy:
            raise UsageError(f"{path}, line {number}: {synset_id!r} is not a WordNet 3.0 synset: write n and 8 digits")
        if name in told:
            raise UsageError(f"{path}, line {number}: duplicate class {name!r}: keep one line of it")
        told[name] = None if synset_id == _LEFT_OUT else synset_id
    return told


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
    told = f"{names} several senses or none in WordNet ({listed})"
    if review is None:
        return UsageError(f"{told}: give {option} FILE, and their senses are written there for you to choose")
    _require_writable(unclear)
    write_review(review, ids, unclear, taxonomy)
    return UsageError(f"{told}: choose in {review}, which lists them, and give it again")


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
