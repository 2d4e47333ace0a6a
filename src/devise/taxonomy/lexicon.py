"""Lexicon: from what a person types to the positions of the synsets it names."""

import unicodedata
from collections.abc import Iterable, Iterator
from functools import cached_property

import numpy as np
from jaxtyping import UInt8

from devise.taxonomy.morphology import base_forms, normalise

__all__ = ["Lexicon", "NameIndex"]

Senses = UInt8[np.ndarray, "lemmas"]
_JOINERS = " -_'./,"


class NameIndex:
    """Names and the positions each stands for, those with the smaller sense number first.

    Kept as chains in two flat tables: a list for each of 117,798 names takes longer to make than to use.
    """

    def __init__(self, lemmas: str, senses: Senses) -> None:
        lines = lemmas.split("\n")
        names = lemmas.replace("\n", "\t").split("\t")
        self._owners = np.repeat(np.arange(len(lines)), [line.count("\t") + 1 for line in lines]).tolist()
        self._first: dict[str, int] = {}
        self._following = [-1] * len(names)
        for entry in np.argsort(senses, kind="stable")[::-1].tolist():
            self._following[entry] = self._first.get(names[entry], -1)
            self._first[names[entry]] = entry
        self._first.pop("", None)

    def positions(self, names: Iterable[str]) -> tuple[int, ...]:
        """What any of the names stands for, name after name, each position once."""
        return tuple(dict.fromkeys(self._owners[entry] for name in names for entry in self._chain(name)))

    def _chain(self, name: str) -> Iterator[int]:
        entry = self._first.get(name, -1)
        while entry >= 0:
            yield entry
            entry = self._following[entry]


class Lexicon:
    """The terms of the synsets, found by name.

    lemmas, senses, exceptions: columns of `NounTables`.
    """

    def __init__(self, lemmas: str, senses: Senses, exceptions: str = "") -> None:
        self._lemmas = lemmas
        self._senses = senses
        self._exception_lines = exceptions

    def positions(self, name: str) -> tuple[int, ...]:
        """Synsets the name stands for, commonest sense first; empty when there is none.

        The first of these that finds anything decides: the name as it is; its singulars; the name whatever
        its spaces, hyphens, points, apostrophes and accents; its singulars in that way.
        """
        exact = normalise(name)
        singulars = base_forms(exact, self._exceptions)
        return (
            self._by_name.positions([exact])
            or self._by_name.positions(singulars)
            or self._by_squeezed.positions([_squeeze(exact)])
            or self._by_squeezed.positions(dict.fromkeys(map(_squeeze, singulars)))
        )

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
    """Without what joins the parts of a compound and without accents; tabs and line ends stay."""
    if not text.isascii():
        text = "".join(mark for mark in unicodedata.normalize("NFKD", text) if not unicodedata.combining(mark))
    for joiner in _JOINERS:
        text = text.replace(joiner, "")
    return text
