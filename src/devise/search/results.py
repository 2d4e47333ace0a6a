"""Queries to an index of photos, and their results."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from devise.errors import UsageError
from devise.labels import Label
from devise.model.labeller import Picture
from devise.model.rejection import Reject
from devise.model.typed import TypedLabel
from devise.vision.metadata import MOST_RATING, seconds_of

__all__ = [
    "LEAST_LIKE",
    "Filters",
    "Hit",
    "Hits",
    "Likeness",
    "Term",
    "Wanted",
    "filters_of",
    "likeness",
    "shown_score",
]

Likeness = Literal["very like", "quite like", "somewhat like", "hardly like"]
"""Similarity of a photo to the query, in words."""

LEAST_LIKE: dict[Literal["probability", "cosine"], tuple[float, float, float]] = {
    "probability": (0.5, 0.1, 0.01),
    "cosine": (0.6, 0.4, 0.25),
}
"""Thresholds of the first three. One random pair of photos in eleven has a cosine of 0.2 or more."""


@dataclass(frozen=True, slots=True)
class Term:
    """A part of a query: words, any of which count, or a photo to be near.

    weight: how much it counts; below 0, photos that show it come last.
    """

    weight: float = 1.0
    words: tuple[TypedLabel, ...] = ()
    photo: Picture | None = None

    def __post_init__(self) -> None:
        if bool(self.words) == (self.photo is not None):
            raise UsageError("a term of a query is words or a photo: give one of them")
        if not 0 < abs(self.weight) < float("inf"):
            raise UsageError(f"the weight of a term must be a number other than 0, got {self.weight}")


@dataclass(frozen=True, slots=True)
class Filters:
    """Which photos to search.

    since, until: seconds since 1970 by the camera's clock, both included; see `devise.vision.metadata.seconds_of`.
    folders: patterns as in .gitignore, or paths; a photo in any of these folders, or with such a name, is searched.
    rating: least number of stars. below: patterns are of paths below this folder, see `folder_filter`.
    """

    since: int | None = None
    until: int | None = None
    folders: tuple[str, ...] = ()
    rating: int | None = None
    below: str | None = None

    def __post_init__(self) -> None:
        if self.rating is not None and not 1 <= self.rating <= MOST_RATING:
            raise UsageError(f"a rating is a number of stars from 1 to {MOST_RATING}, got {self.rating}")
        if self.since is not None and self.until is not None and self.since > self.until:
            raise UsageError("since must not be after until: exchange them")


def filters_of(
    since: str | None,
    until: str | None,
    folders: Sequence[str],
    rating: int | None,
    *,
    below: str | None = None,
    prefix: str = "",
) -> Filters:
    """Read filters as people write them: dates are 2024, 2024-05 or 2024-05-31, both included.

    prefix: of the names in errors. UsageError for what is not a date.

    >>> filters_of("2024", "2024-05", ["rome"], 3).rating
    3
    """
    return Filters(
        _date(f"{prefix}since", since), _date(f"{prefix}until", until, end=True), tuple(folders), rating, below
    )


def _date(name: str, text: str | None, *, end: bool = False) -> int | None:
    """Parse a date; UsageError if it is none. end: the last second of it."""
    seconds = None if text is None else seconds_of(text, end=end)
    if text is not None and seconds is None:
        raise UsageError(f"{name} takes a date such as 2024, 2024-05 or 2024-05-31, got {text!r}")
    return seconds


@dataclass(frozen=True, slots=True)
class Wanted:
    """A query.

    words: labels, as for `devise label`: names, ids, or names with definitions. match: whether a photo should show
    any of them, or all. terms: words and photos with weights instead, which are joined: see `PhotoSearch.scores`.
    under: find anything below this noun of WordNet. like: a photo to be near; excludes the others.
    exact: a word means only its own label, without its kinds; an id always does.
    reject: threshold of the score, 0 keeps all photos; "auto" leaves out a photo that does not make one of the words
        (or `under`) more probable than before, and nothing if photos are ordered by a cosine.
    filters: photos to search at all, by `PhotoSearch.find`.
    by: "probability", or the bare "cosine" of photo and label; for several labels the highest (any) or lowest (all).
    """

    words: tuple[TypedLabel, ...] = ()
    match: Literal["any", "all"] = "any"
    under: str | None = None
    like: Picture | None = None
    by: Literal["probability", "cosine"] = "probability"
    exact: bool = False
    reject: Reject = 0.0
    terms: tuple[Term, ...] = ()
    filters: Filters = Filters()

    def __post_init__(self) -> None:
        if self.reject != "auto" and not 0 <= self.reject <= 1:
            raise UsageError(f"reject must be auto or a score from 0 to 1, got {self.reject}")
        if self.terms and (self.words or self.like is not None or self.match == "all" or self.by == "cosine"):
            raise UsageError(
                "a query with + and - joins all its parts by probability: leave out every, like and cosine"
            )
        if self.terms and all(term.weight < 0 for term in self.terms):
            raise UsageError("a query with - needs something to find: give a term with a weight above 0")
        if self.like is not None and (self.words or self.under is not None):
            raise UsageError("like excludes words and under: leave out like, or the others")
        if self.like is None and not self.words and self.under is None and not self.terms:
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

    photos: number searched. notes: on the words.
    """

    hits: tuple[Hit, ...]
    photos: int
    notes: tuple[str, ...] = ()


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
