"""Words of a text: one rule for the corpus, the names of labels and typed text."""

import re
import sys
import unicodedata
from functools import cache
from itertools import islice

__all__ = ["tokenize"]

_WORD = r"[^\W_]++"
_PLAIN = re.compile(rf"{_WORD}(?:['-]{_WORD})*+")
_MAY_HOLD_MARKS = re.compile("[\u0300-\u1fff\u2070-\U0010ffff]")
_LAST_MARK = 0xE01EF


def tokenize(text: str, lead: int | None = None) -> list[str]:
    """Lower-case words of `text` in order; only the first `lead` of them if that is given.

    A word is a run of letters and digits of any script with their diacritics. One apostrophe or hyphen
    between two such runs stays inside the word. All else, the underscore too, separates words and is left out.
    The text is first brought to Unicode's composed form (NFC); typographic apostrophes and hyphens
    become `'` and `-`, soft hyphens go. So no token contains a space or `_`, none is empty, and
    tokenising joined tokens again gives the same tokens.

    >>> tokenize("A Chihuahua's forget-me-nots -- 'naïve', snow_leopard: 2.5 kg")
    ['a', "chihuahua's", 'forget-me-nots', 'naïve', 'snow', 'leopard', '2', '5', 'kg']
    """
    text = text.lower()
    pattern = _PLAIN
    if not text.isascii():
        text = text.replace("’", "'").replace("\u2010", "-").replace("\u2011", "-").replace("\u00ad", "")
        text = unicodedata.normalize("NFC", text)  # last: a soft hyphen that goes may join a letter and its mark
        if _MAY_HOLD_MARKS.search(text) and not _marks().isdisjoint(text):
            pattern = _with_marks()
    if lead is None:
        return pattern.findall(text)
    return [match.group() for match in islice(pattern.finditer(text), lead)]


@cache
def _marks() -> frozenset[str]:
    """All combining marks: they belong to a word in many scripts, but `\\w` does not match them."""
    last = min(sys.maxunicode, _LAST_MARK)
    return frozenset(c for c in map(chr, range(0x300, last + 1)) if unicodedata.category(c)[0] == "M")


@cache
def _with_marks() -> re.Pattern[str]:
    """The pattern for texts with combining marks; elsewhere the same as the plain one, but slower."""
    word = rf"(?:{_WORD}[{''.join(sorted(_marks()))}]*+)++"
    return re.compile(rf"{word}(?:['-]{word})*+")
