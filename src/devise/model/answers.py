"""Answers of the labeller for a picture."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from devise.labels import Label

if TYPE_CHECKING:
    from devise.vision.pipeline import Box

__all__ = [
    "Answer",
    "Explanation",
    "Guess",
    "Hedge",
    "Level",
    "Region",
    "Regions",
    "Standing",
    "TrainedShare",
    "typed_places",
]

_TYPED = 5  # labels typed and not among the guesses, whose ranks are reported


@dataclass(frozen=True, slots=True)
class TrainedShare:
    """A trained label that a guess leans on, with its share, in [0, 1]."""

    label: Label
    share: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Explanation of a guess.

    path: names from the root of the taxonomy down to the label; empty for a label typed by the user.
    leans_on: the trained labels that contribute most to the guess, by probability and nearness, at most three, largest
        first.
    """

    path: tuple[str, ...]
    leans_on: tuple[TrainedShare, ...]


@dataclass(frozen=True, slots=True)
class Guess:
    """A label and its probability.

    score: probability among the candidates, in [0, 1]: temperature-scaled, see the model card.
    """

    label: Label
    score: float
    explanation: Explanation | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Rank of a typed label among all candidates of one picture; 1 is best, ties share a rank."""

    label: Label
    rank: int


@dataclass(frozen=True, slots=True)
class Level:
    """A name on the path from wide to narrow.

    id: of a synset, or of a typed label. share: a probability, in [0, 1].
    bits: log2 of candidates / candidates at or below this one. common: whether people use the name, or it is exact.
    """

    id: str
    name: str
    share: float
    bits: float
    common: bool


@dataclass(frozen=True, slots=True)
class Hedge:
    """The most informative name that reaches a threshold of the probability.

    threshold: the requested share. name: the most informative common name whose subtree has at least this share; None
        if there is none.
    narrower: the most probable labels below it (of all labels, if `name` is None), each with its own probability.
    way: from the root through `name` to the most probable label at or below it, each with the share of its subtree.
    """

    threshold: float
    name: Level | None
    narrower: tuple[Level, ...]
    way: tuple[Level, ...]


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a photo that has a sure name.

    way: from the root to the name, each with its share in the part where the name is most probable.
    """

    box: "Box"
    name: Level
    way: tuple[Level, ...]


@dataclass(frozen=True, slots=True)
class Regions:
    """The parts of a photo with sure names, the most probable first. width, height: of the upright photo, in pixels."""

    width: int
    height: int
    found: tuple[Region, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """The guesses for one picture, best first, or the problem that prevented them.

    source: the picture's path, or its number in the batch if it was bytes, an array or an image.
    rejected: the picture shows none of the candidates by the requested rule: it has no guesses.
    standings: of every typed label that the method can rank, best first. hedge: the wider name, if requested.
        note: a harmless fault of its file, or "". context: number of other pictures that helped; None without context.
    regions: parts of the picture with sure names; None if not requested. A rejected picture may have some.
    """

    source: str
    guesses: tuple[Guess, ...] = ()
    rejected: bool = False
    problem: str | None = None
    standings: tuple[Standing, ...] = ()
    note: str = ""
    hedge: Hedge | None = None
    context: int | None = None
    regions: Regions | None = None


def typed_places(answer: Answer) -> list[str]:
    """Return lines on typed labels that are not guesses: the ranks of the best five, and the number of others."""
    shown = {guess.label.id for guess in answer.guesses}
    others = [standing for standing in answer.standings if standing.label.id not in shown]
    lines = [f"{one.label.name}: rank {one.rank:,}" for one in others[:_TYPED]]
    if others[_TYPED:]:
        lines.append(f"{len(others) - _TYPED:,} more typed labels at lower ranks")
    return lines
