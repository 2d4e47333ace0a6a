"""The content of a report, ready to draw and write: no arrays, no ids to look up."""

from dataclasses import dataclass
from typing import Literal

from devise.evaluation import statistics
from devise.evaluation.confusion import Branch, Verdict
from devise.evaluation.hedging import HedgingCurve

__all__ = [
    "Calibration",
    "Cell",
    "ClassLine",
    "Competing",
    "Content",
    "Curve",
    "Fact",
    "GuessLine",
    "Hedging",
    "PhotoCard",
    "ReliabilityBin",
    "Side",
    "Step",
    "Table",
]


Competing = Literal["trained", "other", "both"]
"""Kinds of candidate labels: trained, not trained, or both."""

Curve = dict[str, statistics.Measured]
"""Metric name such as "hit@1" to value with intervals."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A number as text with its 95 % intervals, "" if absent. best: of its column."""

    text: str
    over_photos: str = ""
    over_classes: str = ""
    best: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table: the header names the columns; the first column has the row names."""

    title: str
    note: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


@dataclass(frozen=True, slots=True)
class Fact:
    """A number at the top of the page. ends: its interval, or ""."""

    what: str
    much: str
    ends: str = ""


@dataclass(frozen=True, slots=True)
class GuessLine:
    """One guess for a photo.

    score: of the scorer, as text; "" if people cannot read it. way: the names from the truth up to
    the common ancestor and down to the guess, with arrows; "" for the truth itself. turn: the same in short, without
    the truth and the guess. meets: the ancestor's name. seen: trained on, or not to be marked (see `Content`).
    """

    name: str
    gloss: str
    seen: bool
    verdict: Verdict
    score: str = ""
    way: str = ""
    turn: str = ""
    meets: str = ""
    edges: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """A name on the way from wide to narrow. sure: the highest threshold its probability reaches, as text."""

    name: str
    sure: str
    right: bool


@dataclass(frozen=True, slots=True)
class Side:
    """One scorer's guesses for a photo, best first.

    rank: of the true label, counted from 1; None where unknown. trail: names that are likelier right than wrong.
    """

    title: str
    guesses: tuple[GuessLine, ...]
    rank: int | None = None
    trail: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class PhotoCard:
    """A photo with its true class and the guesses of two scorers. picture: a data URI, "" if missing."""

    name: str
    picture: str
    truth: str
    truth_id: str
    gloss: str
    seen: bool
    sides: tuple[Side, ...]

    @property
    def verdict(self) -> Verdict:
        """Return the verdict on the first scorer's first guess."""
        return self.sides[0].guesses[0].verdict if self.sides and self.sides[0].guesses else "far"


@dataclass(frozen=True, slots=True)
class ClassLine:
    """One true class: photos, shares in [0, 1] per metric, and its most frequent wrong guess.

    often: that guess and how often it was given; None where all first guesses are right.
    """

    class_id: str
    name: str
    seen: bool
    photos: int
    shares: tuple[tuple[str, float | None], ...]
    often: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Photos whose top score is in (low, high]: mean score and number right."""

    low: float
    high: float
    photos: int
    confidence: float
    right: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Calibration of one scorer: bins, and the expected calibration error over them."""

    bins: tuple[ReliabilityBin, ...]
    error: statistics.Measured


@dataclass(frozen=True, slots=True)
class Hedging:
    """Accuracy against information of a scorer's wider names, and the area under that curve."""

    curve: HedgingCurve
    area: statistics.Measured


@dataclass(frozen=True, slots=True)
class Content:
    """The content of the report.

    model: the scorer called "our model" in the gallery. numbers: every measure with its intervals, as CSV.
    distances: by scorer, the share of photos whose first guess is so many edges from the truth; the last is "or more".
    names: of every synset the confusion tree shows. total: photos measured; `cards` may be fewer.
    rules: sentences on how it was measured. missing: cards whose picture was not found. competing: which
    labels are candidates; if both kinds are, those that no training photo carried are marked. hedging: by scorer.
    """

    title: str
    summary: str
    model: str
    facts: tuple[Fact, ...]
    tables: tuple[Table, ...]
    numbers: str
    curves: tuple[tuple[str, Curve], ...]
    classes: tuple[ClassLine, ...]
    confusion: Branch
    names: dict[str, str]
    distances: tuple[tuple[str, tuple[float, ...]], ...]
    reliability: tuple[tuple[str, Calibration], ...]
    cards: tuple[PhotoCard, ...]
    total: int
    rules: tuple[str, ...]
    missing: int = 0
    competing: Competing = "both"
    hedging: tuple[tuple[str, Hedging], ...] = ()
