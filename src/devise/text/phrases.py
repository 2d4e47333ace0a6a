"""Multi-word nouns as single terms: "snow leopard" is one term, as in Frome et al. (2013)."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

from devise.errors import TextError, counted
from devise.text.streams import decoded, numbered_lines
from devise.text.tokens import tokenize

__all__ = ["JOINT", "LONGEST_PHRASE", "PhraseJoiner", "read_phrases", "term_key"]

JOINT = "_"
"""Joins the words of a term; no token contains it."""

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
    """Joins its phrases wherever they occur in a list of tokens. A name of one word joins nothing.

    >>> PhraseJoiner(["snow leopard", "Leopard", "leopard cat"]).join(["a", "snow", "leopard", "cat"])
    ['a', 'snow_leopard', 'cat']
    """

    __slots__ = ("_root",)

    def __init__(self, phrases: Iterable[str]) -> None:
        self._root = _by_first_word(map(term_key, phrases))

    @classmethod
    def of_terms(cls, terms: Iterable[str]) -> "PhraseJoiner":
        """Return the joiner of phrases as `term_key` writes them, in a fraction of the time."""
        made = cls.__new__(cls)
        made._root = _by_first_word(terms)
        return made

    def join(self, tokens: Sequence[str]) -> list[str]:
        """Join each phrase in the tokens: leftmost first, and the longest that starts there.

        One pass; a position looks at no more tokens than the longest phrase has, so the time is linear in the tokens
        whatever the phrases are.
        """
        root = self._root
        joined: list[str] = []
        add = joined.append
        position, count = 0, len(tokens)
        while position < count:
            token = tokens[position]
            position += 1
            if token not in root:
                add(token)
                continue
            node = root[token]
            if isinstance(node, list):  # most first words never come: a label's definition has a dozen words
                node = root[token] = _tree(node)
            ahead = position
            while ahead < count and (node := node.get(tokens[ahead], {})):
                ahead += 1
                if _END in node:
                    token, position = node[_END], ahead
            add(token)
        return joined


def _by_first_word(terms: Iterable[str]) -> dict[str, list[str] | _Node]:
    found: dict[str, list[str] | _Node] = {}
    for term in terms:
        first, joint, _ = term.partition(JOINT)
        if joint:
            cast(list[str], found.setdefault(first, [])).append(term)
    return found


def _tree(terms: Sequence[str]) -> _Node:
    """Return the tree of the words that follow the first one."""
    root: _Node = {}
    for term in terms:
        node = root
        for word in term.split(JOINT)[1:]:
            node = node.setdefault(word, {})
        node[_END] = term
    return root
