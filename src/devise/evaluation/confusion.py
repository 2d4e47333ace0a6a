"""Confusion in the taxonomy: where the guesses leave the path to the truth, and how near a wrong guess is."""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from devise.taxonomy.wordnet import Taxonomy

__all__ = [
    "NEAR",
    "Flow",
    "Meeting",
    "Subtree",
    "Verdict",
    "confusion_tree",
    "first_path",
    "meeting",
]

_TOP = ""  # above all roots, so that there is always a common ancestor


@dataclass(frozen=True, slots=True)
class Flow:
    """Photos whose truth is in the branch `source` and whose guess is in `target`, a sibling branch.

    Either may be that synset itself: a guess that is too general, or more special than the truth.
    """

    source: str
    target: str
    photos: int


@dataclass(frozen=True, slots=True)
class Subtree:
    """A subtree that contains true classes.

    path: synset ids downward; a way without a fork is one branch, and its last id is what the branch is called.
        Empty only above several roots.
    photos: whose true class is in here. right: whose guess is their true class. kept: whose guess is in here too.
    flows: guesses that took the wrong way at this fork, most first, ties by id.
    branches: the branches below that contain true classes, most photos first, ties by id.
    """

    path: tuple[str, ...]
    photos: int
    right: int
    kept: int
    flows: tuple[Flow, ...]
    branches: tuple["Subtree", ...]


def first_path(taxonomy: Taxonomy, synset_id: str) -> tuple[str, ...]:
    """Return the path from a root to the synset over first hypernyms: one of several paths.

    WordNet lists a synset's main hypernym first. TaxonomyError for an unknown id.
    """
    path = [synset_id]
    while parents := taxonomy.parents(path[-1]):
        path.append(parents[0])
    return tuple(reversed(path))


def confusion_tree(pairs: Iterable[tuple[str, str]], path_of: Callable[[str], tuple[str, ...]]) -> Subtree:
    """Build the tree of (true class, guess) pairs, one pair per photo.

    path_of: the way from a root down to a synset, itself included, such as `first_path`. It has to be a tree: two
    synsets that share an ancestor share the whole way down to it.

    >>> paths = {"cat": ("animal", "cat"), "dog": ("animal", "dog")}
    >>> tree = confusion_tree([("cat", "dog"), ("cat", "cat")], paths.__getitem__)
    >>> tree.path, tree.photos, tree.right, tree.kept, [branch.path for branch in tree.branches]
    (('animal',), 2, 1, 2, [('cat',)])
    >>> tree.flows
    (Flow(source='cat', target='dog', photos=1),)
    """
    counts = _Counts()
    for (truth, guess), photos in Counter(pairs).items():
        counts.add((_TOP, *path_of(truth)), (_TOP, *path_of(guess)), photos)
    return counts.branch(_TOP)


@dataclass
class _Counts:
    """By synset: photos, right and kept ones, flows, and the children on the path to a true class."""

    photos: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    flows: dict[str, Counter[tuple[str, str]]] = field(default_factory=dict)
    below: dict[str, set[str]] = field(default_factory=dict)
    classes: set[str] = field(default_factory=set)

    def add(self, truth: tuple[str, ...], guess: tuple[str, ...], photos: int) -> None:
        shared = sum(1 for _ in _common(truth, guess))
        self.classes.add(truth[-1])
        for place, node in enumerate(truth):
            self.photos[node] += photos
            self.kept[node] += photos * (place < shared)
            self.right[node] += photos * (truth == guess)
            if place:
                self.below.setdefault(truth[place - 1], set()).add(node)
        if truth != guess:
            fork = truth[shared - 1]
            ways = tuple(path[shared] if len(path) > shared else fork for path in (truth, guess))
            self.flows.setdefault(fork, Counter())[ways[0], ways[1]] += photos

    def branch(self, top: str) -> Subtree:
        path = [top]
        while len(below := self.below.get(node := path[-1], ())) == 1 and not (
            node in self.classes or node in self.flows
        ):
            path.append(next(iter(below)))
        flows = sorted(self.flows.get(node, Counter()).items(), key=lambda one: (-one[1], one[0]))
        return Subtree(
            tuple(synset for synset in path if synset != _TOP),
            self.photos[node],
            self.right[node],
            self.kept[node],
            tuple(Flow(source, target, photos) for (source, target), photos in flows),
            tuple(self.branch(child) for child in sorted(below, key=lambda child: (-self.photos[child], child))),
        )


def _common(truth: tuple[str, ...], guess: tuple[str, ...]) -> Iterable[str]:
    for one, other in zip(truth, guess, strict=False):
        if one != other:
            return
        yield one


NEAR = 4
"""A wrong guess is near when it is at most so many edges from the truth: a cousin in the tree."""

Verdict = Literal["right", "near", "far"]


@dataclass(frozen=True, slots=True)
class Meeting:
    """The lowest common ancestor of truth and guess, and the shortest paths to it.

    up: from the truth to the ancestor, both included. down: from the ancestor to the guess, both included.
    """

    up: tuple[str, ...]
    down: tuple[str, ...]

    @property
    def ancestor(self) -> str:
        """Where they meet."""
        return self.up[-1]

    @property
    def edges(self) -> int:
        """Edges from the truth over the ancestor to the guess; 0 for the truth itself."""
        return len(self.up) + len(self.down) - 2

    @property
    def verdict(self) -> Verdict:
        """Right, near (see NEAR) or far."""
        if self.edges == 0:
            return "right"
        return "near" if self.edges <= NEAR else "far"


def meeting(taxonomy: Taxonomy, truth: str, guess: str) -> Meeting | None:
    """Find where truth and guess meet; None without a common ancestor. TaxonomyError for an unknown id."""
    ancestor = taxonomy.lowest_common_ancestor(truth, guess)
    if ancestor is None:
        return None
    return Meeting(_way_up(taxonomy, truth, ancestor), tuple(reversed(_way_up(taxonomy, guess, ancestor))))


def _way_up(taxonomy: Taxonomy, start: str, end: str) -> tuple[str, ...]:
    """Return the shortest path over hypernyms; of several, the one over the first parents."""
    came_from: dict[str, str | None] = {start: None}
    waiting = deque([start])
    while end not in came_from:
        here = waiting.popleft()
        for parent in taxonomy.parents(here):
            if parent not in came_from:
                came_from[parent] = here
                waiting.append(parent)
    way: list[str] = []
    step: str | None = end
    while step is not None:
        way.append(step)
        step = came_from[step]
    return tuple(reversed(way))
