"""From a plural to its possible singulars: WordNet's rules for nouns."""

import re
from collections.abc import Iterator, Mapping, Sequence

__all__ = ["base_forms", "normalise"]

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
