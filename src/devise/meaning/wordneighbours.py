"""Nearest words of a name: one word vector for all its senses."""

import difflib
from dataclasses import dataclass

import numpy as np

from devise.errors import LabelError
from devise.meaning.senses import close_spellings
from devise.taxonomy.wordnet import Taxonomy
from devise.text.phrases import JOINT, term_key
from devise.text.vectors import WordTable

__all__ = ["NearWords", "close_words", "near_words"]

_SUGGESTIONS = 3
_CLOSE = 0.75


@dataclass(frozen=True, slots=True)
class NearWords:
    """Words and terms by their cosine with a name, best first.

    made_of: the words whose unit vectors were summed, if the name has no vector; else empty.
    """

    words: tuple[str, ...]
    cosines: tuple[float, ...]
    made_of: tuple[str, ...] = ()


def near_words(table: WordTable, taxonomy: Taxonomy, name: str, top: int) -> NearWords:
    """Return at most `top` words near a word or phrase, without itself and its own words.

    LabelError, with close spellings, if neither it nor any of its words has a vector.
    """
    key = term_key(name)
    if key in table:
        found = table.nearest(key, top)
        return NearWords(found.words, found.similarities)
    pieces = tuple(piece for piece in key.replace("-", JOINT).split(JOINT) if piece in table)
    if not pieces:
        close = close_words(table, taxonomy, key)
        raise LabelError(
            f"no word vector for {name!r}" + (f"; close spellings: {', '.join(close)}" if close else ": check it")
        )
    rows = table.unit()[[table.position(piece) or 0 for piece in pieces]]
    found = table.nearest(np.asarray(rows.sum(axis=0), dtype=np.float32), top + len(pieces))
    kept = [pair for pair in zip(found.words, found.similarities, strict=True) if pair[0] not in pieces][:top]
    return NearWords(tuple(word for word, _ in kept), tuple(cosine for _, cosine in kept), pieces)


def close_words(table: WordTable, taxonomy: Taxonomy, key: str) -> tuple[str, ...]:
    """Return at most three similarly spelt words of the table, or nouns."""
    among = [word for word in table.words if word[:1] == key[:1] and abs(len(word) - len(key)) <= 2]
    found = difflib.get_close_matches(key, among, n=_SUGGESTIONS, cutoff=_CLOSE)
    return tuple(word.replace(JOINT, " ") for word in found) or close_spellings(taxonomy, key)
