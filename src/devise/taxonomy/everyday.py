"""Everyday words where WordNet misleads: the sense people mean, and the kinds a word includes."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from devise.taxonomy.wordnet import Taxonomy

__all__ = ["EVERYDAY_FILE", "everyday_kinds", "everyday_senses", "kinds"]

EVERYDAY_FILE = Path(__file__).with_name("everyday.txt")
"""The list, with its rule at the top of each section."""


@cache
def everyday_senses() -> Mapping[str, str]:
    """Return the id of the sense people mean, by word in lower case.

    >>> everyday_senses()["castle"]  # not the chessman
    'n02980441'
    """
    return MappingProxyType({word: sense for word, sense, _ in (line.split("\t") for line in _lines("senses"))})


@cache
def everyday_kinds() -> Mapping[str, tuple[str, ...]]:
    """Return the ids of further synsets that a synset's word includes, by synset id.

    >>> everyday_kinds()["n02858304"]  # boat: people call a schooner one, WordNet a vessel
    ('n04530566',)
    """
    found: dict[str, list[str]] = {}
    for line in _lines("kinds"):
        one, more = (side.split(" ", 1)[0] for side in line.split(" + "))
        found.setdefault(one, []).append(more)
    return MappingProxyType({one: tuple(more) for one, more in found.items()})


def kinds(taxonomy: Taxonomy, synset_id: str) -> frozenset[str]:
    """Return the ids of all kinds of what a synset's word means: its subtree, and those of `everyday_kinds`."""
    more = [one for one in everyday_kinds().get(synset_id, ()) if one in taxonomy]
    below = taxonomy.subtree(synset_id)
    return below | taxonomy.subtrees(more) if more else below


@cache
def _lines(section: str) -> tuple[str, ...]:
    found: list[str] = []
    current = ""
    for line in EVERYDAY_FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            current = line.strip("[]")
        elif current == section and line and not line.startswith("#"):
            found.append(line)
    return tuple(found)
