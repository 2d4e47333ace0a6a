"""Lexicon: from a typed name to the positions of its synsets."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from devise.arrays import UInt8

__all__ = ["Lexicon", "NameIndex", "Reading", "base_forms", "normalise"]

Senses = UInt8[np.ndarray, "lemmas"]
_JOINERS = " -_'./,"
_SEARCHED = 30  # names
_AROUND = re.compile(r"^[^\w.']+|[^\w.'+#]+$")  # "lion!", "*lion*"; but C++ and C# are not C
_ARTICLE = re.compile(
    r"(?:(?:(?:an?|the) )?(?:[\w-]+ ){0,4}(?:photo|photograph|picture|image|snapshot|itap) of )?"
    r"(?:(?:an?|the|my|one|many) )?(?P<noun>.*?)(?:, a type of .*)?"
)


class Reading(NamedTuple):
    """One synset that a name can mean.

    position: of the synset. rank: of the sense among those of the term that matched, from 1, commonest first.
    place: of that term among the terms of the synset, from 1; the first one names it.
    """

    position: int
    rank: int
    place: int


class NameIndex:
    """Names and the positions of their synsets, smaller sense numbers first.

    The first names are searched for in the text (half a millisecond each); only a program that looks up more pays for
    a table of all 117,798 names (a fifth of a second and 25 MB). The table has chains in flat lists: a list for each
    name takes longer to make than to use.
    """

    def __init__(self, lemmas: str, senses: Senses) -> None:
        text = f"\n{lemmas}\n".encode()
        self._text = text.replace(b"\n", b"\t")
        letters = np.frombuffer(text, dtype=np.uint8)
        self._tabs = np.flatnonzero((letters == ord("\t")) | (letters == ord("\n")))
        self._owners = np.cumsum(letters[self._tabs] == ord("\n")) - 1
        self._begins = np.searchsorted(self._owners, np.arange(self._owners[-1]))
        self._senses = senses
        self._searched = 0

    def readings(self, names: Iterable[str]) -> tuple[Reading, ...]:
        """Return the readings of the names, name after name, each position once."""
        found: dict[int, Reading] = {}
        for name in names:
            for rank, entry in enumerate(self._entries(name), start=1):
                owner = int(self._owners[entry])
                found.setdefault(owner, Reading(owner, rank, entry - int(self._begins[owner]) + 1))
        return tuple(found.values())

    def _entries(self, name: str) -> Iterable[int]:
        """Return the places of a name among all terms, smaller sense numbers first."""
        self._searched += 1
        if self._searched > _SEARCHED:
            return self._chain(name)
        found, at, term = [], -1, f"\t{name}\t".encode(errors="surrogatepass")
        while term.count(b"\t") == 2 and len(term) > 2 and (at := self._text.find(term, at + 1)) >= 0:
            found.append(int(np.searchsorted(self._tabs, at)))
        return sorted(found, key=self._senses.__getitem__)

    def _chain(self, name: str) -> Iterator[int]:
        first, following = self._table
        entry = first.get(name, -1)
        while entry >= 0:
            yield entry
            entry = following[entry]

    @cached_property
    def _table(self) -> tuple[dict[str, int], list[int]]:
        """The first entry of each name, and the entry after each; -1: none."""
        names = self._text[1:-1].decode().split("\t")
        first: dict[str, int] = {}
        following = [-1] * len(names)
        for entry in np.argsort(self._senses, kind="stable")[::-1].tolist():
            following[entry] = first.get(names[entry], -1)
            first[names[entry]] = entry
        first.pop("", None)
        return first, following


class Lexicon:
    """The terms of the synsets, found by name.

    lemmas, senses, exceptions: columns of `NounTables`.
    """

    def __init__(self, lemmas: str, senses: Senses, exceptions: str = "") -> None:
        self._lemmas = lemmas
        self._senses = senses
        self._exception_lines = exceptions

    def readings(self, name: str) -> tuple[Reading, ...]:
        """Return the synsets of the name, most common sense first; empty if there is none.

        A name that is a plural too stands for what it is and, after that, for what its singulars are ("tigers" is
        an army, and more than one tiger). Where neither is a term, its spaces, hyphens, points, apostrophes and
        accents are passed over: first in the name, then in its singulars. Where that fails too, so are signs around
        it, an article, and the words that CLIP's prompts put before it ("a photo of a lion.").
        """
        exact = normalise(name)
        found = self._readings(exact)
        if found:
            return found
        bare = _AROUND.sub("", exact)
        prompt = _ARTICLE.fullmatch(bare)
        noun = prompt["noun"] if prompt else bare
        return (self._readings(bare) if bare != exact else ()) or (self._readings(noun) if noun != bare else ())

    def _readings(self, exact: str) -> tuple[Reading, ...]:
        singulars = base_forms(exact, self._exceptions)
        return (
            self._by_name.readings(dict.fromkeys((exact, *singulars)))
            or self._by_squeezed.readings([_squeeze(exact)])
            or self._by_squeezed.readings(dict.fromkeys(map(_squeeze, singulars)))
        )

    def sense(self, term: str, number: int) -> int | None:
        """Return the position of the numbered sense of a term, spelled exactly; None if there is none."""
        found = self._by_name.readings([normalise(term)])
        return found[number - 1].position if 1 <= number <= len(found) else None

    @cached_property
    def _exceptions(self) -> dict[str, list[str]]:
        lines = (line.split("\t") for line in self._exception_lines.split("\n") if line)
        return {normalise(plural): [normalise(base) for base in bases] for plural, *bases in lines}

    @cached_property
    def _by_name(self) -> NameIndex:
        return NameIndex(self._lemmas.lower(), self._senses)

    @cached_property
    def _by_squeezed(self) -> NameIndex:
        return NameIndex(_squeeze(self._lemmas.lower()), self._senses)


def _squeeze(text: str) -> str:
    """Remove accents and the characters that join compounds; tabs and line ends stay."""
    if not text.isascii():
        text = "".join(mark for mark in unicodedata.normalize("NFKD", text) if not unicodedata.combining(mark))
    for joiner in _JOINERS:
        text = text.replace(joiner, "")
    return text


_ENDINGS = (
    ("s", ""),
    ("ses", "s"),
    ("xes", "x"),
    ("zes", "z"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("men", "man"),
    ("ies", "y"),
)
"""A plural's ending and the singular's, in the order of WordNet's manual page `morphy(7WN)`."""

_WORD = re.compile(r"[^ -]+")


def normalise(name: str) -> str:
    """Normalise a name: lower case, single spaces, no underscores.

    >>> normalise("  Snow_Leopard ")
    'snow leopard'
    """
    return " ".join(name.replace("_", " ").lower().split())


def base_forms(name: str, exceptions: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return possible singulars of a normalised name, most likely first; they need not be words.

    In a phrase the last word is tried first, then each other word ("heads of state"). A word with irregular
    singulars (`exceptions`) has only these.

    >>> base_forms("snow leopards", {}), base_forms("mice", {"mice": ["mouse"]})
    (('snow leopard',), ('mouse',))
    """
    if name in exceptions:
        return tuple(exceptions[name])
    forms = [
        name[: word.start()] + form + name[word.end() :]
        for word in reversed(list(_WORD.finditer(name)))
        for form in _singulars(word.group(), exceptions)
    ]
    return tuple(dict.fromkeys(forms))


def _singulars(word: str, exceptions: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Return singulars of one word; "boxesful" is a boxful, "glass" and "as" are not plurals."""
    if word in exceptions:
        yield from exceptions[word]
    elif word.endswith("ful"):
        yield from (form + "ful" for form in _singulars(word[:-3], exceptions))
    elif len(word) > 2 and not word.endswith("ss"):
        yield from (word[: -len(old)] + new for old, new in _ENDINGS if word.endswith(old) and word != old)
