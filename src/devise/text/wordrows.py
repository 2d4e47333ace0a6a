"""What all readers and writers of vector files share: which words are wanted, and which can be written."""

from array import array
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np

from devise.errors import VectorsError
from devise.text.vectors import WordTable

__all__ = ["WordRows", "check_writable", "decode_word"]


class WordRows:
    """Collects the rows of a file: the first of each word, and only the words asked for."""

    def __init__(self, only: Collection[str] | None = None) -> None:
        self._only = None if only is None else frozenset(only)
        self._words: dict[str, None] = {}
        self._duplicates = 0
        self.values = array("f")
        """The numbers of all rows so far; a reader adds those of a wanted word."""

    def wants(self, word: str) -> bool:
        """Whether the reader must add the numbers of this word now; counts words that come again."""
        if self._only is not None and word not in self._only:
            return False
        if word in self._words:
            self._duplicates += 1
            return False
        self._words[word] = None
        return True

    def table(self, path: Path, dim: int) -> WordTable:
        """All that was collected; VectorsError names the file if a value is not finite."""
        vectors = np.frombuffer(self.values, dtype=np.float32).reshape(len(self._words), dim)
        try:
            return WordTable(tuple(self._words), vectors, duplicates=self._duplicates)
        except VectorsError as problem:
            raise VectorsError(f"{path}: {problem}") from None


def decode_word(raw: bytes, path: Path, place: str) -> str:
    """A word's bytes as text; VectorsError names the place if they are empty or not UTF-8."""
    if not raw:
        raise VectorsError(f"{path} {place}: expected a word, got nothing before the numbers")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise VectorsError(f"{path} {place}: the word {raw[:40]!r} is not UTF-8") from None


def check_writable(words: Iterable[str], forbidden: str) -> None:
    """VectorsError if a word is empty, cannot be UTF-8 or holds one of the forbidden characters."""
    for word in words:
        bad = next((c for c in forbidden if c in word), None)
        if not word or bad is not None or any("\ud800" <= c <= "\udfff" for c in word):
            why = f"it holds {bad!r}" if bad else "it is not text" if word else "it is empty"
            raise VectorsError(f"word {word!r} cannot be written in this form: {why}; rename it or leave it out")
