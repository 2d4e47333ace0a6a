"""The nearness of a wrong guess: where the paths up from truth and guess meet."""

from collections import deque
from dataclasses import dataclass
from typing import Literal

from devise.taxonomy.wordnet import Taxonomy

__all__ = ["NEAR", "Meeting", "Verdict", "meeting"]

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
