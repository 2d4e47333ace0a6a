"""Multi-word nouns as single terms: "snow leopard" is one term, as in Frome et al. (2013)."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from devise.errors import TextError, counted
from devise.text.streams import decoded, numbered_lines
from devise.text.tokens import tokenize

__all__ = ["JOINT", "LONGEST_PHRASE", "PhraseJoiner", "read_phrases", "term_key"]

JOINT = "_"
"""Stands between the words of a term; no token holds it."""

LONGEST_PHRASE = 32
"""Words of a phrase in a user's list at most: joining looks this far ahead at every word, and WordNet's longest noun
has 9."""

_END = None  # the key under which a node keeps the phrase that ends there

_Node = dict[str | None, Any]  # token -> _Node, and _END -> the joined term


def term_key(name: str) -> str:
    """Return a name as a vocabulary term: its tokens joined; "" if the name contains no word.

    >>> term_key("Snow Leopard"), term_key("snow_leopard"), term_key("St. Bernard")
    ('snow_leopard', 'snow_leopard', 'st_bernard')
    """
    return JOINT.join(tokenize(name))


def read_phrases(path: Path) -> tuple[str, ...]:
    """Read a list of phrases, one per line; blank lines and text after # are ignored.

    TextError names a line that is not UTF-8 or longer than LONGEST_PHRASE, which would make joining slow.
    """
    phrases = []
    for number, raw in numbered_lines(path, TextError):
        phrase = decoded(raw, path, number, TextError).partition("#")[0].strip()
        words = len(tokenize(phrase))
        if words > LONGEST_PHRASE:
            raise TextError(
                f"{path} line {number}: a phrase has at most {counted(LONGEST_PHRASE, 'word')}, got {words}: shorten it"
            )
        if phrase:
            phrases.append(phrase)
    return tuple(phrases)


class PhraseJoiner:
    """Joins its phrases wherever they occur in a list of tokens; immutable.

    A name of one word joins nothing and is not held; a name given twice is held once.

    >>> joiner = PhraseJoiner(["snow leopard", "Leopard", "leopard cat"])
    >>> joiner.join(["a", "snow", "leopard", "cat"]), len(joiner), "snow_leopard" in joiner
    (['a', 'snow_leopard', 'cat'], 2, True)
    """

    __slots__ = ("_longest", "_root", "_size")

    def __init__(self, phrases: Iterable[str]) -> None:
        self._grow(map(tokenize, phrases))

    @classmethod
    def of_terms(cls, terms: Iterable[str]) -> "PhraseJoiner":
        """Return the joiner of terms as `term_key` writes them, in less than half the time."""
        made = cls.__new__(cls)
        made._grow(term.split(JOINT) for term in terms)
        return made

    def _grow(self, phrases: Iterable[list[str]]) -> None:
        root: _Node = {}
        size = longest = 0
        for words in phrases:
            if len(words) < 2:
                continue
            node = root
            for word in words:
                node = node.setdefault(word, {})
            size += _END not in node
            node[_END] = JOINT.join(words)
            longest = max(longest, len(words))
        self._root = root
        self._size = size
        self._longest = longest

    @property
    def longest(self) -> int:
        """Words of the longest phrase; 0 if there are none."""
        return self._longest

    def join(self, tokens: Sequence[str]) -> list[str]:
        """Join each phrase in the tokens: leftmost first, and the longest that starts there.

        One pass; a position looks at no more than `longest` tokens from its own on, so the time is linear in the tokens
        whatever the phrases are.
        """
        first = self._root
        joined: list[str] = []
        add = joined.append
        position, count = 0, len(tokens)
        while position < count:
            token = tokens[position]
            position += 1
            if token not in first:
                add(token)
                continue
            node: _Node = first[token]
            ahead = position
            while ahead < count and (node := node.get(tokens[ahead], {})):
                ahead += 1
                if _END in node:
                    token, position = node[_END], ahead
            add(token)
        return joined

    def __contains__(self, key: object) -> bool:
        """Whether the term, written as `term_key` writes it, is one of the phrases."""
        if not isinstance(key, str):
            return False
        node: _Node = self._root
        for word in key.split(JOINT):
            node = node.get(word, {})
        return _END in node

    def __len__(self) -> int:
        return self._size
