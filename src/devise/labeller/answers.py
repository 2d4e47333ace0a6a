"""What the labeller says of a picture."""

from dataclasses import dataclass

from devise.labels import Label

__all__ = ["Answer", "Explanation", "Guess", "Standing", "TrainedShare"]


@dataclass(frozen=True, slots=True)
class TrainedShare:
    """A trained label that a guess leans on, and its share of the lean, in [0, 1]."""

    label: Label
    share: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a label was guessed.

    path: names from the root of the taxonomy down to the label; empty for a label typed by the user.
    leans_on: the trained labels whose probability and nearness to the guess brought the picture to it, at most
        three, largest first.
    """

    path: tuple[str, ...]
    leans_on: tuple[TrainedShare, ...]


@dataclass(frozen=True, slots=True)
class Guess:
    """A label and how sure the model is of it.

    score: a probability over the labels asked, in [0, 1]: temperature-scaled, see the model card.
    """

    label: Label
    score: float
    explanation: Explanation | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a typed label came among all that competed for one picture; 1 is best, equal scores share a rank."""

    label: Label
    rank: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The guesses for one picture, best first, or the problem that kept it from having any.

    source: the picture's path, or its number in the batch when it came as bytes, an array or an image.
    rejected: the best score was below the threshold asked: none of these. standings: of every label typed that the
        method can rank, best first. note: what was wrong with its file and did no harm; "" if nothing was.
    """

    source: str
    guesses: tuple[Guess, ...] = ()
    rejected: bool = False
    problem: str | None = None
    standings: tuple[Standing, ...] = ()
    note: str = ""
