"""Nouns that are an answer only on request: kinds of person, insults, and things that no photo shows."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

from devise.taxonomy.wordnet import Taxonomy

__all__ = ["REASONS", "WITHHELD_FILE", "Reason", "withheld_nouns"]

WITHHELD_FILE = Path(__file__).with_name("withheld.txt")
"""The list, with its rule in its head."""

Reason = Literal["people", "names", "unseen"]
"""Why a noun is withheld: a kind of person that no photo shows, a name that insults, or nothing that a camera sees."""
REASONS: tuple[Reason, ...] = get_args(Reason)


@cache
def withheld_nouns(taxonomy: Taxonomy) -> Mapping[str, Reason]:
    """Return the id of every withheld noun of the taxonomy, with the reason; unknown ids in the list are skipped.

    >>> from devise.taxonomy.wordnet import default_taxonomy
    >>> found = withheld_nouns(default_taxonomy())
    >>> found["n09879144"], "n10565667" in found  # an insult for a police officer; scuba diver
    ('people', False)
    """
    marked: dict[tuple[str, str], list[str]] = {}
    reason = ""
    for line in WITHHELD_FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            reason = line.strip("[]")
        elif line and not line.startswith("#"):
            mark, noun, _ = line.split(maxsplit=2)
            if noun in taxonomy:
                marked.setdefault((reason, mark), []).append(noun)
    stays = {noun for why in REASONS for noun in marked.get((why, "+"), ())}
    found: dict[str, Reason] = {}
    for why in reversed(REASONS):
        below = taxonomy.subtrees(marked.get((why, "--"), ()))
        found |= dict.fromkeys((below | set(marked.get((why, "-"), ()))) - stays, why)
    return MappingProxyType(found)
