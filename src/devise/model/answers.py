"""What the labeller says of a picture."""

from dataclasses import dataclass

from devise.labels import Label

__all__ = ["Answer", "Explanation", "Guess", "Hedge", "Level", "Standing", "TrainedShare", "typed_places"]

_TYPED = 5  # labels typed and not among the guesses, of which a photo's ranks are told


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
class Level:
    """A name on the way from wide to narrow.

    id: a synset's, or of a label typed by the user. share: a probability, in [0, 1].
    bits: log2 of all labels asked / those at or below this one. common: whether people use the name, or it is exact.
    """

    id: str
    name: str
    share: float
    bits: float
    common: bool


@dataclass(frozen=True, slots=True)
class Hedge:
    """As wide a name as is sure.

    threshold: the share asked for. name: the most informative name people use with at least this share, all that is
        below it counted; None if there is none.
    narrower: the likeliest labels below it (of all labels, if `name` is None), each with its own probability.
    way: from the root through `name` to the likeliest label at or below it, each with the share at or below it.
    """

    threshold: float
    name: Level | None
    narrower: tuple[Level, ...]
    way: tuple[Level, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """The guesses for one picture, best first, or the problem that kept it from having any.

    source: the picture's path, or its number in the batch when it came as bytes, an array or an image.
    rejected: it shows none of the labels asked, by the rule that was asked for: it has no guesses.
    standings: of every label typed that the method can rank, best first. hedge: as wide a name as is sure, if it was
        asked for. note: what was wrong with its file and did no harm; "" if nothing was. context: how many other
        pictures of the run helped; None if none were to.
    """

    source: str
    guesses: tuple[Guess, ...] = ()
    rejected: bool = False
    problem: str | None = None
    standings: tuple[Standing, ...] = ()
    note: str = ""
    hedge: Hedge | None = None
    context: int | None = None


def typed_places(answer: Answer) -> list[str]:
    """Where labels typed and not among the guesses came: a line for each of the best five, one for how many more."""
    shown = {guess.label.id for guess in answer.guesses}
    others = [standing for standing in answer.standings if standing.label.id not in shown]
    told = [f"{one.label.name}: number {one.rank:,}" for one in others[:_TYPED]]
    if others[_TYPED:]:
        told.append(f"{len(others) - _TYPED:,} more typed labels further down")
    return told
