"""Group labels by WordNet subtree, to colour a map."""

from collections.abc import Sequence
from dataclasses import dataclass

from devise.taxonomy.wordnet import Taxonomy

__all__ = ["Branch", "branches"]

_LEAST = 0.02  # of all labels: a smaller subtree is not worth a colour

_Way = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Branch:
    """A group of labels below one synset.

    id: of the synset; "" for labels in no subtree large enough. name: of it, or "other"; if subtrees of it are separate
    branches, its name and "other". members: positions in the given list, ascending.
    """

    id: str
    name: str
    members: tuple[int, ...]


def branches(taxonomy: Taxonomy, ids: Sequence[str], most: int = 10) -> tuple[Branch, ...]:
    """Group labels into at most `most` branches, largest first, "other" last; each label in one.

    Repeatedly split the largest subtree off the branch with the most labels. A subtree of less than a fiftieth of all
    labels is not split off; a rest as small goes to the others. Each label uses its first path to the root.
    """
    ways = [taxonomy.hypernym_paths(one)[0] for one in ids]
    least = max(2.0, _LEAST * len(ids))
    groups: dict[_Way, list[int]] = {(): list(range(len(ids)))}
    whole: set[_Way] = set()
    cut: set[_Way] = set()
    others: list[int] = []
    while len(groups) + 1 < most and len(whole) < len(groups):
        key = max((one for one in groups if one not in whole), key=lambda one: (len(groups[one]), one))
        child, subtree = _largest_subtree(groups[key], ways, key)
        if len(subtree) < least:
            whole.add(key)
            continue
        rest = sorted(set(groups.pop(key)).difference(subtree))
        groups[child] = subtree
        if len(rest) >= least:
            groups[key] = rest
            cut.add(key)
        else:
            others += rest
    others += groups.pop((), [])
    found = [
        Branch(key[-1], taxonomy.synset(key[-1]).name + (", other" if key in cut else ""), tuple(groups[key]))
        for key in sorted(groups, key=lambda key: (-len(groups[key]), key))
    ]
    return (*found, Branch("", "other", tuple(sorted(others)))) if others else tuple(found)


def _largest_subtree(members: Sequence[int], ways: Sequence[_Way], key: _Way) -> tuple[_Way, list[int]]:
    """Return the child with the most labels below it, and these; ties go to the smaller id."""
    below: dict[_Way, list[int]] = {}
    for place in members:
        if len(ways[place]) > len(key):
            below.setdefault(ways[place][: len(key) + 1], []).append(place)
    child = min(below, key=lambda one: (-len(below[one]), one), default=())
    return child, below.get(child, [])
