"""The content of a report, ready to draw and write: no arrays, no ids to look up."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from devise.errors import counted
from devise.evaluation import statistics
from devise.evaluation.confusion import Subtree, Verdict
from devise.evaluation.hedging import HedgingCurve
from devise.evaluation.statistics import Interval, Measured
from devise.evaluation.summary import Summary
from devise.evaluation.tables import CHANCE, EvaluationResult, Generalised, measure_cell
from devise.tabletext import csv_text

__all__ = [
    "Calibration",
    "Cell",
    "ClassLine",
    "Competing",
    "Content",
    "Curve",
    "Fact",
    "GuessLine",
    "HedgingResult",
    "PhotoCard",
    "ReliabilityBin",
    "Results",
    "Side",
    "Step",
    "Table",
    "ends_of",
    "measure_tables",
    "measures_csv",
]

Competing = Literal["trained", "other", "both", "none"]
"""Kinds of candidate labels: trained, not trained, both, or `none` if the model was trained on no labels."""

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

    rank: of the true label, counted from 1; None where unknown. trail: names that are more likely right than wrong.
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

    seen: trained on; None if the model was trained on no labels.
    often: that guess and how often it was given; None where all first guesses are right.
    """

    class_id: str
    name: str
    seen: bool | None
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
class HedgingResult:
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
    confusion: Subtree
    names: dict[str, str]
    distances: tuple[tuple[str, tuple[float, ...]], ...]
    reliability: tuple[tuple[str, Calibration], ...]
    cards: tuple[PhotoCard, ...]
    total: int
    rules: tuple[str, ...]
    missing: int = 0
    competing: Competing = "both"
    hedging: tuple[tuple[str, HedgingResult], ...] = ()


_NONE = Measured(None)
_NOTE = "hit@k in percent, hp@k from 0 to 1; the best value of a column is bold; 95 % intervals below each value"
_OTHERS = (
    "rank: of the true label, over photos whose label the scorer ranks; lca height: height in the tree of the lowest "
    "common ancestor of a wrong first guess and the true class; branch hit@1: among the trained labels of one branch "
    "alone; brier, log loss, ece, auroc, fpr95: quality of the scores. Lower is better for ranks, heights, brier, "
    "log loss, ece and fpr95; 95 % intervals below each value"
)
_WIDER = (
    "right@t in percent and bits@t: accuracy and information of the most informative name with at least the share t "
    "of the probability; hedging area: area under accuracy against information over all t, 1 if always right; "
    "ancestor precision, recall and f1: overlap of the ancestors of the first guess and of the true class; 95 % "
    "intervals below each value"
)
_OF_WIDER = ("right@", "bits@", "hedging", "ancestor")
_SIDES = {
    "seen": "Photos of trained classes",
    "unseen": "Photos of other classes",
    "harmonic": "Harmonic mean of the two",
}

_Values = Mapping[str, Mapping[str, Measured]]
"""Values by row and metric."""


@dataclass(frozen=True, slots=True)
class Results:
    """Results of a record; split: None unless it has trained and other classes."""

    table: EvaluationResult
    summary: Summary
    split: Generalised | None = None

    def chance(self) -> dict[str, Measured]:
        """Return the row of chance, which has no intervals, also per side if there are two."""
        found = {name: Measured(value) for name, value in self.table.rows[-1].per_image.items()}
        if self.split is not None:
            sides = (
                self.split.seen.rows[-1].per_image,
                self.split.unseen.rows[-1].per_image,
                self.split.harmonic()[-1],
            )
            for side, means in zip(_SIDES, sides, strict=True):
                found |= {f"{side} {name}": Measured(means[name]) for name in self.table.settings.measures}
        return found

    def class_chance(self) -> dict[str, Measured]:
        """Return the same results as means over classes."""
        return {name: Measured(value) for name, value in self.table.rows[-1].per_class.items()}


def measure_tables(results: Results) -> Iterator[Table]:
    """Return means over photos and over classes, both sides if there are two, and other metrics."""
    names, summary = results.table.settings.measures, results.summary
    whole = f"{counted(results.table.images, 'photo')} of {counted(results.table.classes, 'class')}"
    over_photos = {**summary.measures, CHANCE: results.chance()}
    over_classes = {**summary.class_means, CHANCE: results.class_chance()}
    yield _best(_table("Means over the photos", f"{whole}; {_NOTE}", over_photos, {name: name for name in names}))
    yield _best(_table("Means over the classes", f"{whole}; {_NOTE}", over_classes, {name: name for name in names}))
    if results.split is not None:
        split = results.split
        counts = (split.seen, split.unseen, results.table)
        for (side, title), of in zip(_SIDES.items(), counts, strict=True):
            note = f"{counted(of.images, 'photo')} of {counted(of.classes, 'class')}; {_NOTE}"
            yield _best(_table(title, note, over_photos, {f"{side} {name}": name for name in names}))
    others = dict.fromkeys(name for row in summary.measures.values() for name in row)
    shown = [name for name in others if name == "branch hit@1" or not ("hit@" in name or "hp@" in name)]
    for title, note, wider in (("Ranks, errors and scores", _OTHERS, False), ("Wider names", _WIDER, True)):
        if columns := {name: name for name in shown if name.startswith(_OF_WIDER) == wider}:
            yield _table(title, f"{whole}; {note}", summary.measures, columns)


def measures_csv(results: Results) -> str:
    """Return CSV with one line per scorer and metric: value and ends of the intervals, or empty."""
    summary = results.summary
    rows = [["scorer", "measure", "means over", "value", "photos low", "photos high", "classes low", "classes high"]]
    tables: dict[str, _Values] = {
        "photos": {**summary.measures, CHANCE: results.chance()},
        "classes": {**summary.class_means, CHANCE: results.class_chance()},
    }
    for over, table in tables.items():
        for scorer, row in table.items():
            rows += [[scorer, name, over, *_numbers(of)] for name, of in row.items()]
    return csv_text(rows)


def _numbers(of: Measured) -> list[str]:
    """Return the value and the four ends as text that round-trips."""
    ends = [end for pair in (of.images, of.classes) for end in (pair or (None, None))]
    return ["" if number is None else repr(number) for number in (of.value, *ends)]


def ends_of(name: str, ends: Interval | None) -> str:
    """Format an interval with the digits of its metric.

    >>> ends_of("hit@1", (0.407, 0.448)), ends_of("hp@5", None)
    ('40.7\u201344.8', '')
    """
    return "" if ends is None else f"{measure_cell(name, ends[0])}\u2013{measure_cell(name, ends[1])}"


def _table(title: str, note: str, values: _Values, columns: Mapping[str, str]) -> Table:
    """Return a table. columns: metrics and their heads; a row without any of them is left out."""
    rows = [
        (scorer, tuple(_cell(name, row.get(name, _NONE)) for name in columns))
        for scorer, row in values.items()
        if not columns.keys().isdisjoint(row)
    ]
    return Table(title, note, ("scorer", *columns.values()), tuple(rows))


def _cell(name: str, of: Measured) -> Cell:
    return Cell(measure_cell(name, of.value), ends_of(name, of.images), ends_of(name, of.classes))


def _best(table: Table) -> Table:
    """Mark the highest value of each column, unless chance reaches it or there is one row."""
    named = [(name, cells) for name, cells in table.rows if name != CHANCE]
    highest = [_highest([cell.text for cell in column]) for column in zip(*(cells for _, cells in named), strict=True)]
    marked = [
        (name, tuple(replace(cell, best=cell.text == best) for cell, best in zip(cells, highest, strict=True)))
        for name, cells in named
    ]
    return replace(table, rows=(*marked, *(row for row in table.rows if row[0] == CHANCE)))


def _highest(texts: Sequence[str]) -> str | None:
    numbers = [(float(text), text) for text in texts if text != "-"]
    value, text = max(numbers, default=(0.0, ""))
    return text if value > 0 and len(numbers) > 1 else None
