"""A table of words and their vectors."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from devise.arrays import Float32, Int8, Int64, WordVectors
from devise.errors import VectorsError, counted

__all__ = ["Neighbours", "QuantizedRows", "WordCounts", "WordTable", "WordVector", "check_writable", "decoded"]

WordCounts = Int64[np.ndarray, "_"]
"""How often each word occurs in the corpus; `WordTable` checks that there is one per word."""
WordVector = Float32[np.ndarray, "dim"]

_PerWord = Float32[np.ndarray, "words"]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Words and their cosine similarities to the query, nearest first."""

    words: tuple[str, ...]
    similarities: tuple[float, ...]


@dataclass(frozen=True, eq=False, slots=True)
class QuantizedRows:
    """Vectors in 8 bits: row i is codes[i] * scales[i].

    codes: from -127 to 127. scales: what one step of a row's codes is worth; 0 for a row of zeros.
    """

    codes: Int8[np.ndarray, "rows dim"]
    scales: Float32[np.ndarray, "rows"]

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: slice | Int64[np.ndarray, "some"]) -> "QuantizedRows":
        return QuantizedRows(self.codes[rows], self.scales[rows])


def decoded(rows: WordVectors | QuantizedRows) -> WordVectors:
    """Return the rows as float32, in one pass and without a further copy."""
    if not isinstance(rows, QuantizedRows):
        return rows
    values: WordVectors = np.multiply(rows.codes, rows.scales[:, None], dtype=np.float32)
    return values


@dataclass(frozen=True, eq=False)
class WordTable:
    """Words in a fixed order (most frequent first, as a rule), one vector each.

    words: without duplicates.
    rows: one finite row per word; not scaled to unit length unless the maker did. Rows in 8 bits are decoded at first
    use of `vectors`; the vector of one word needs no other.
    counts: how often each word occurs in the corpus, or None where the file does not say.
    duplicates: rows left out by the reader because their word occurs earlier in the file. bad: those left out because
    they could not be read. notes: what was odd in the file, one line each.

    >>> table = WordTable(("cat", "dog", "car"), np.array([[2, 0], [1, 1], [0, 1]], dtype=np.float32))
    >>> "cat" in table, table.dim, table.get("cow"), table.nearest("cat", 1).words
    (True, 2, None, ('dog',))
    """

    words: tuple[str, ...]
    rows: WordVectors | QuantizedRows
    counts: WordCounts | None = None
    duplicates: int = 0
    bad: int = 0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rows = len(self.rows)
        if len(self.words) != rows:
            raise VectorsError(
                f"{counted(len(self.words), 'word')} but {counted(rows, 'vector')}: give one vector per word"
            )
        if self.counts is not None and len(self.counts) != rows:
            raise VectorsError(
                f"{counted(rows, 'word')} but {counted(len(self.counts), 'count')}: give one count per word"
            )
        if len(self._positions) != rows:
            twice = next(word for i, word in enumerate(self.words) if self._positions[word] != i)
            raise VectorsError(f"duplicate word {twice!r} in a table of vectors: list each word once")
        # A row's sum is finite only if no value is NaN; infinities show as inf or NaN.
        with np.errstate(invalid="ignore"):
            sums = self.rows.scales if isinstance(self.rows, QuantizedRows) else self.rows.sum(axis=1, dtype=np.float64)
        broken = np.flatnonzero(~np.isfinite(sums))
        if len(broken):
            raise VectorsError(f"the vector of {self.words[broken[0]]!r} contains a value that is not finite")

    @cached_property
    def vectors(self) -> WordVectors:
        """All rows, as float32."""
        return decoded(self.rows)

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {word: position for position, word in enumerate(self.words)}

    @cached_property
    def _inverse_norms(self) -> _PerWord:
        norms = np.sqrt(np.einsum("wd,wd->w", self.vectors, self.vectors, dtype=np.float64))
        inverse: _PerWord = np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0).astype(np.float32)
        return inverse

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return int((self.rows.codes if isinstance(self.rows, QuantizedRows) else self.rows).shape[1])

    def position(self, word: str) -> int | None:
        """Return the position of the word, or None."""
        return self._positions.get(word)

    def get(self, word: str) -> WordVector | None:
        """The word's vector, or None."""
        position = self._positions.get(word)
        if position is None:
            return None
        vector: WordVector = decoded(self.rows[position : position + 1])[0]
        return vector

    def unit(self) -> WordVectors:
        """All vectors at unit length; a vector of zeros stays zeros."""
        vectors: WordVectors = self.vectors * self._inverse_norms[:, None]
        return vectors

    def nearest(self, query: str | WordVector, k: int = 10) -> Neighbours:
        """The k words of highest cosine to a vector, or to a word (then without the word itself).

        Equal cosines go by position. Fewer than k if the table has fewer. VectorsError for a word that
        is not in the table, or a vector of another length.
        """
        vector = self.get(query) if isinstance(query, str) else query
        if vector is None:
            raise VectorsError(f"word {query!r} is not among the {counted(len(self), 'word')} of the table")
        if len(vector) != self.dim:
            raise VectorsError(f"the query vector has {len(vector)} numbers, those of the table have {self.dim}")
        norm = float(np.linalg.norm(vector))
        scores = (self.vectors @ vector) * self._inverse_norms / np.float32(norm if norm > 0 else 1)
        if isinstance(query, str):
            scores[self._positions[query]] = -np.inf
        wanted = max(0, min(k, len(self) - isinstance(query, str)))
        best = np.argsort(-scores, kind="stable")[:wanted].tolist()
        return Neighbours(tuple(self.words[i] for i in best), tuple(float(scores[i]) for i in best))

    def subset(self, positions: Sequence[int]) -> "WordTable":
        """The rows at these positions, in the order given."""
        rows = np.asarray(positions, dtype=np.int64)
        counts = None if self.counts is None else self.counts[rows]
        return WordTable(tuple(self.words[i] for i in positions), self.vectors[rows], counts)

    def missing(self, words: Iterable[str]) -> tuple[str, ...]:
        """Return the words without a vector, in the given order."""
        return tuple(word for word in words if word not in self._positions)

    def __contains__(self, word: object) -> bool:
        return word in self._positions

    def __len__(self) -> int:
        return len(self.words)


def check_writable(words: Iterable[str], forbidden: str) -> None:
    """Raise VectorsError if a word is empty, cannot be UTF-8 or contains a forbidden character."""
    for word in words:
        bad = next((c for c in forbidden if c in word), None)
        if not word or bad is not None or any("\ud800" <= c <= "\udfff" for c in word):
            why = f"it contains {bad!r}" if bad else "it is not text" if word else "it is empty"
            raise VectorsError(f"word {word!r} cannot be written in this form: {why}; rename it or leave it out")
