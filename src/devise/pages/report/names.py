"""Names of the synsets of a report, and paths from the true class to guesses."""

from collections.abc import Sequence
from functools import cache

from devise.evaluation.confusion import Meeting, first_path, meeting
from devise.pages.report.content import GuessLine
from devise.taxonomy.wordnet import Taxonomy

__all__ = ["Names"]


class Names:
    """Names, paths and common ancestors of synsets, each computed once.

    mixed: whether trained and other labels compete, so that the others are marked.
    """

    def __init__(self, taxonomy: Taxonomy, trained: frozenset[str], *, mixed: bool) -> None:
        self.taxonomy = taxonomy
        self.trained = trained
        self.mixed = mixed
        self.path_of = cache(lambda synset_id: first_path(taxonomy, synset_id))
        self.meeting = cache(lambda truth, guess: meeting(taxonomy, truth, guess))

    def name(self, synset_id: str) -> str:
        """Return the first term of a synset."""
        return self.taxonomy.synset(synset_id).name

    def told_apart(self, synset_ids: Sequence[str]) -> list[str]:
        """Return the names; equal names are followed by another term of their synset."""
        names = [self.name(one) for one in synset_ids]
        others = [self.taxonomy.synset(one).lemmas[-1] for one in synset_ids]
        return [
            f"{name} ({other})" if names.count(name) > 1 and other != name else name
            for name, other in zip(names, others, strict=True)
        ]

    def guess(self, truth: str, guess: str, score: str, name: str) -> GuessLine:
        """Return a guess with its path from the true class. score, name: as shown."""
        met: Meeting | None = self.meeting(truth, guess)
        synset = self.taxonomy.synset(guess)
        seen = guess in self.trained or not self.mixed
        if met is None:
            return GuessLine(name, synset.definition, seen, "far", score)
        if met.edges == 0:
            return GuessLine(name, synset.definition, seen, "right", score)
        up = "".join(f"{self.name(one)} ↑ " for one in met.up[:-1])
        down = "".join(f" ↓ {self.name(one)}" for one in met.down[1:])
        meets = self.name(met.ancestor)
        short = [*(f"↑ {self.name(one)}" for one in met.up[1:]), *(f"↓ {self.name(one)}" for one in met.down[1:-1])]
        turn = "a kind of it" if len(met.up) == 1 else " ".join(short)
        return GuessLine(
            name, synset.definition, seen, met.verdict, score, f"{up}{meets}{down}", turn, meets, met.edges
        )
