"""Queries to an index of photos, and their results."""

from dataclasses import dataclass
from typing import Literal

from devise.errors import UsageError
from devise.labels import Label
from devise.model.labeller import Picture
from devise.model.rejection import Reject
from devise.model.typed import TypedLabel

__all__ = ["LEAST_LIKE", "Hit", "Hits", "Likeness", "Wanted", "likeness", "shown_score"]

Likeness = Literal["very like", "quite like", "somewhat like", "hardly like"]
"""Similarity of a photo to the query, in words."""

LEAST_LIKE: dict[Literal["probability", "cosine"], tuple[float, float, float]] = {
    "probability": (0.5, 0.1, 0.01),
    "cosine": (0.6, 0.4, 0.25),
}
"""Thresholds of the first three. One random pair of photos in eleven has a cosine of 0.2 or more."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A query.

    words: labels, as for `devise label`: names, ids, or names with definitions. match: whether a photo should show
    any of them, or all. under: find anything below this noun of WordNet. like: a photo to be near; excludes the others.
    exact: a word means only its own label, without its kinds; an id always does.
    reject: threshold of the score, 0 keeps all photos; "auto" leaves out a photo that does not make one of the words
        (or `under`) more probable than before, and nothing if photos are ordered by a cosine.
    by: "probability", or the bare "cosine" of photo and label; for several labels the highest (any) or lowest (all).
    """

    words: tuple[TypedLabel, ...] = ()
    match: Literal["any", "all"] = "any"
    under: str | None = None
    like: Picture | None = None
    by: Literal["probability", "cosine"] = "probability"
    exact: bool = False
    reject: Reject = 0.0

    def __post_init__(self) -> None:
        if self.reject != "auto" and not 0 <= self.reject <= 1:
            raise UsageError(f"reject must be auto or a score from 0 to 1, got {self.reject}")
        if self.like is not None and (self.words or self.under is not None):
            raise UsageError("like excludes words and under: leave out like, or the others")
        if self.like is None and not self.words and self.under is None:
            raise UsageError("nothing to search for: give words, a noun as under, or a photo as like")


@dataclass(frozen=True, slots=True)
class Hit:
    """A photo that was found.

    score: for words the probability that `devise label` gives them, in [0, 1]; for a photo, or by "cosine", the cosine.
    label: the photo's top label among all labels of the model.
    """

    path: str
    score: float
    label: Label


@dataclass(frozen=True, slots=True)
class Hits:
    """Photos best first; equal scores are ordered by path.

    photos: number searched. notes: on the words. exact: whether all photos were compared.
    """

    hits: tuple[Hit, ...]
    photos: int
    notes: tuple[str, ...] = ()
    exact: bool = True


def likeness(score: float, by: Literal["probability", "cosine"] = "probability") -> Likeness:
    """Describe a score in words, by `LEAST_LIKE`; two photos are compared by cosine.

    >>> likeness(0.5), likeness(0.0301), likeness(0.0301, "cosine")
    ('very like', 'somewhat like', 'hardly like')
    """
    very, quite, somewhat = LEAST_LIKE[by]
    if score >= quite:
        return "very like" if score >= very else "quite like"
    return "somewhat like" if score >= somewhat else "hardly like"


def shown_score(score: float) -> str:
    """Format with four decimals; a score above 0 is never shown as 0.

    >>> shown_score(0.5), shown_score(0.00002), shown_score(0.0)
    ('0.5000', '< 0.0001', '0.0000')
    """
    return "< 0.0001" if 0 < score < 0.0001 else f"{score:.4f}"
