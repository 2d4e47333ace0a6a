"""Common code of readers and writers of vector files: wanted words and valid words."""

from array import array
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Literal

import numpy as np

from devise.errors import VectorsError, counted
from devise.text.vectors import WordTable

__all__ = ["OnBad", "WordRows", "check_writable", "decode_word"]

OnBad = Literal["error", "skip"]
"""What becomes of a word that cannot be read: the file is refused, or the word is left out and counted."""


class WordRows:
    """Collects the rows of a file: the first of each word, and only the words asked for.

    notes: what was odd in the file and did no harm; a reader adds to them.
    """

    def __init__(self, only: Collection[str] | None = None, on_bad: OnBad = "error") -> None:
        self._only = None if only is None else frozenset(only)
        self._words: dict[str, None] = {}
        self._duplicates = 0
        self._on_bad = on_bad
        self._bad: list[str] = []  # why, of those left out
        self.notes: list[str] = []
        self.values = array("f")
        """The numbers of all rows so far; a reader adds those of a wanted word."""

    def wants(self, word: str) -> bool:
        """Whether the reader must add the numbers of this word now; counts duplicates."""
        if self._only is not None and word not in self._only:
            return False
        if word in self._words:
            self._duplicates += 1
            return False
        self._words[word] = None
        return True

    def bad(self, problem: VectorsError) -> None:
        """Count an unreadable word; raise the error unless unreadable words are skipped."""
        if self._on_bad == "error":
            raise VectorsError(f"{problem}; --on-bad skip leaves such words out") from None
        self._bad.append(str(problem))

    def take_back(self, word: str, dim: int) -> None:
        """Remove the last wanted word and its numbers: it was not a word."""
        del self._words[word]
        del self.values[len(self._words) * dim :]

    def table(self, path: Path, dim: int) -> WordTable:
        """Return the collected table; VectorsError names the file if a value is not finite."""
        words = tuple(self._words)
        vectors = np.frombuffer(self.values, dtype=np.float32).reshape(len(words), dim)
        if self._on_bad == "skip":
            finite = np.flatnonzero(np.isfinite(vectors).all(axis=1))
            kept = tuple(words[row] for row in finite.tolist())
            broken = sorted(set(words).difference(kept))
            self._bad += [f"{path}: the vector of {word!r} contains a value that is not finite" for word in broken]
            words, vectors = kept, vectors[finite]
        if self._bad:
            self.notes.append(f"{path}: left out {counted(len(self._bad), 'bad word')}, the first: {self._bad[0]}")
        try:
            return WordTable(words, vectors, duplicates=self._duplicates, bad=len(self._bad), notes=tuple(self.notes))
        except VectorsError as problem:
            raise VectorsError(f"{path}: {problem}") from None


def decode_word(raw: bytes, path: Path, place: str) -> str:
    """A word's bytes as text; VectorsError names the place if they are empty, not UTF-8 or have a NUL byte."""
    if not raw:
        raise VectorsError(f"{path} {place}: expected a word, got nothing before the numbers")
    if b"\0" in raw:
        raise VectorsError(f"{path} {place}: the word {raw[:40]!r} contains a NUL byte")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise VectorsError(f"{path} {place}: the word {raw[:40]!r} is not UTF-8") from None


def check_writable(words: Iterable[str], forbidden: str) -> None:
    """Raise VectorsError if a word is empty, cannot be UTF-8 or contains a forbidden character."""
    for word in words:
        bad = next((c for c in forbidden if c in word), None)
        if not word or bad is not None or any("\ud800" <= c <= "\udfff" for c in word):
            why = f"it contains {bad!r}" if bad else "it is not text" if word else "it is empty"
            raise VectorsError(f"word {word!r} cannot be written in this form: {why}; rename it or leave it out")
