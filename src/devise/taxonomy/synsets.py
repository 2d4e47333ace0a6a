"""Synset: one noun meaning, and the columns that store many of them."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from devise.arrays import Bool, Int64, UInt8
from devise.errors import TaxonomyError

__all__ = ["ID_PATTERN", "NounTables", "Synset", "definition_of", "ids_of", "tables_of"]

ID_PATTERN = re.compile(r"n\d{8}")
"""A synset id: `n` and the eight digits of the noun's offset in WordNet 3.0."""

_FIRST_EXAMPLE = re.compile(r'\s*[;:]\s*"')
_MOST_SENSES = 255

Offsets = Int64[np.ndarray, "synsets"]
Edges = Int64[np.ndarray, "edges"]
EdgeMask = Bool[np.ndarray, "edges"]
Senses = UInt8[np.ndarray, "lemmas"]


@dataclass(frozen=True, slots=True)
class Synset:
    """One meaning of a noun.

    id: "n02084071".
    lemmas: its terms with spaces and original case, the first one names it; never empty.
    definition: the gloss up to its first example.
    gloss: definition and examples as WordNet has them.
    hypernyms: ids of the kinds it is one of (a dog is a canine).
    instance_hypernyms: ids of the kinds it is an instance of (Lassie would be an instance of a dog).
    translations: names in another language, the one to show first; empty for English.

    >>> Synset("n02128757", ("snow leopard", "ounce", "Panthera uncia")).name
    'snow leopard'
    """

    id: str
    lemmas: tuple[str, ...]
    definition: str = ""
    gloss: str = ""
    hypernyms: tuple[str, ...] = ()
    instance_hypernyms: tuple[str, ...] = ()
    translations: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return the name to show: the first translation, else the first term."""
        return self.terms[0]

    @property
    def terms(self) -> tuple[str, ...]:
        """Return all names, those in another language first."""
        return (*self.translations, *self.lemmas) if self.translations else self.lemmas


@dataclass(frozen=True)
class NounTables:
    """Synsets as columns; a synset's *position* is its place in the ascending order of ids.

    offsets: the numbers in the ids, ascending.
    lemmas: one line per synset, its terms (spaces, original case) joined by tabs.
    senses: for each term, line after line, its sense number: 1 is the commonest meaning of that word.
    glosses: gives one line per synset; called when a gloss is first asked.
    child, parent: positions, one pair an is-a edge, child ascending, then in WordNet's order.
    instance: True where the edge says "is an instance of", not "is a kind of".
    exceptions: irregular plurals, one line each: the plural, a tab, its singulars joined by tabs.
    licence: the terms the data come under; empty for the user's own data.
    """

    offsets: Offsets
    lemmas: str
    senses: Senses
    glosses: Callable[[], str]
    child: Edges
    parent: Edges
    instance: EdgeMask
    exceptions: str = ""
    licence: str = ""


def ids_of(offsets: Offsets) -> tuple[str, ...]:
    """The ids of nouns' offsets, all at once: formatting 82,115 one by one takes three times as long.

    >>> ids_of(np.array([1740, 2084071]))
    ('n00001740', 'n02084071')
    """
    digits = offsets[:, None] // 10 ** np.arange(7, -1, -1) % 10 + ord("0")
    text = np.insert(digits, 0, ord("n"), axis=1).astype(np.uint8).tobytes().decode()
    return tuple([text[start : start + 9] for start in range(0, len(text), 9)])


def definition_of(gloss: str) -> str:
    """The gloss up to its first example; an example is a quotation after a semicolon or colon.

    >>> definition_of('a unit; "the team is a unit"; "one unit"')
    'a unit'
    """
    return _FIRST_EXAMPLE.split(gloss, maxsplit=1)[0].rstrip(" ;")


def tables_of(
    synsets: Iterable[Synset],
    exceptions: Mapping[str, Sequence[str]] | None = None,
    senses: Mapping[tuple[str, str], int] | None = None,
    licence: str = "",
) -> NounTables:
    """Build columns from synsets in any order.

    exceptions: irregular plurals and their singulars.
    senses: sense number of each (id, lemma); without it the senses of a word are in the order of the synsets.

    TaxonomyError if an id is malformed or a duplicate, or a hypernym is not among the synsets.
    """
    given = list(synsets)
    if senses is None:
        senses = _senses_by_order(given)
    ordered = sorted(given, key=lambda synset: synset.id)
    _check(ordered)
    position = {synset.id: place for place, synset in enumerate(ordered)}
    child, parent, instance = _edges(ordered, position)
    numbers = [senses[synset.id, lemma] for synset in ordered for lemma in synset.lemmas]
    if max(numbers, default=1) > _MOST_SENSES:
        raise TaxonomyError(f"a word has {max(numbers)} senses, at most {_MOST_SENSES} fit: merge some synsets")
    glosses = "\n".join(synset.gloss or synset.definition for synset in ordered)
    return NounTables(
        offsets=np.array([int(synset.id[1:]) for synset in ordered], dtype=np.int64),
        lemmas="\n".join("\t".join(synset.lemmas) for synset in ordered),
        senses=np.array(numbers, dtype=np.uint8),
        glosses=lambda: glosses,
        child=np.array(child, dtype=np.int64),
        parent=np.array(parent, dtype=np.int64),
        instance=np.array(instance, dtype=bool),
        exceptions="\n".join("\t".join((plural, *bases)) for plural, bases in sorted((exceptions or {}).items())),
        licence=licence,
    )


def _senses_by_order(synsets: Iterable[Synset]) -> dict[tuple[str, str], int]:
    """Number the senses of each word in the order of the synsets; case does not make another word."""
    seen: Counter[str] = Counter()
    senses = {}
    for synset in synsets:
        seen.update({lemma.lower() for lemma in synset.lemmas})
        senses.update({(synset.id, lemma): seen[lemma.lower()] for lemma in synset.lemmas})
    return senses


def _check(ordered: Sequence[Synset]) -> None:
    """Refuse ids, lemmas and glosses that the columns cannot store."""
    if not ordered:
        raise TaxonomyError("a taxonomy needs at least one synset, got none")
    for before, synset in zip([None, *ordered], ordered, strict=False):
        if not ID_PATTERN.fullmatch(synset.id):
            raise TaxonomyError(f"synset id {synset.id!r} is not n and 8 digits, such as n02084071")
        if before is not None and before.id == synset.id:
            raise TaxonomyError(f"duplicate synset {synset.id}: list each synset once")
        if not synset.lemmas or not all(map(_is_term, synset.lemmas)):
            raise TaxonomyError(f"synset {synset.id} needs terms with single spaces only, got {synset.lemmas}")
        if "\n" in synset.gloss + synset.definition:
            raise TaxonomyError(f"the gloss of synset {synset.id} has more than one line: join the lines")
        if synset.gloss and synset.definition and synset.definition != definition_of(synset.gloss):
            raise TaxonomyError(f"the definition of synset {synset.id} is not its gloss up to the first example")


def _is_term(lemma: str) -> bool:
    return bool(lemma) and lemma == " ".join(lemma.replace("_", " ").split())


def _edges(ordered: Sequence[Synset], position: Mapping[str, int]) -> tuple[list[int], list[int], list[bool]]:
    """Return child, parent and instance flag, one edge per row."""
    child, parent, instance = [], [], []
    for place, synset in enumerate(ordered):
        ids = (*synset.hypernyms, *synset.instance_hypernyms)
        if len(set(ids)) != len(ids):
            raise TaxonomyError(f"duplicate hypernym of synset {synset.id}: list each once")
        for hypernym in ids:
            if hypernym not in position:
                raise TaxonomyError(f"hypernym {hypernym} of synset {synset.id} is not among the synsets: add it")
            child.append(place)
            parent.append(position[hypernym])
        kinds = len(synset.hypernyms)
        instance.extend([False] * kinds + [True] * len(synset.instance_hypernyms))
    return child, parent, instance
