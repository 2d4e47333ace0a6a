"""Figures: repeated readings of a clock, their medians and ratios, and a table of them."""

import resource
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Figure", "Reading", "interleaved", "median", "number", "ratio", "spread", "table", "timed"]


@dataclass(frozen=True, slots=True)
class Reading:
    """Seconds of one run: on the wall, and of all cores together (this process and the children it waited for)."""

    wall: float
    core: float

    def per(self, count: int) -> "Reading":
        """Seconds for one of `count` things."""
        return Reading(self.wall / count, self.core / count)


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    low, high: the least and the greatest of the runs. runs: how many. limit: what the value must not exceed, or,
    where `at_least`, not fall below; None where nothing is asked of it.
    """

    section: str
    what: str
    value: float
    unit: str
    low: float | None = None
    high: float | None = None
    runs: int = 1
    limit: float | None = None
    at_least: bool = False
    note: str = ""

    @classmethod
    def of(cls, section: str, what: str, values: Sequence[float], unit: str, **more: Any) -> "Figure":
        """The median of some values, with their range."""
        return cls(section, what, median(values), unit, min(values), max(values), len(values), **more)

    @property
    def met(self) -> bool | None:
        """Whether the limit holds; None where there is none."""
        if self.limit is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"met": self.met}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "Figure":
        """What `to_dict` gave; `met` follows from the rest."""
        return cls(**{name: value for name, value in stored.items() if name != "met"})


def median(values: Iterable[float]) -> float:
    """The middle value; the mean of the two middle ones of an even number.

    >>> median([3, 1, 2]), median([4, 1, 2, 3])
    (2.0, 2.5)
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("the median of no values was asked: run at least one round")
    middle = len(ordered) // 2
    return float(ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2)


def ratio(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Round by round, one over the other: what disturbs a round disturbs both.

    >>> ratio([2.0, 9.0], [4.0, 18.0])
    [0.5, 0.5]
    """
    return [one / other for one, other in zip(above, below, strict=True)]


def spread(values: Sequence[float]) -> float:
    """Range over median: how far the machine's noise throws a figure."""
    return (max(values) - min(values)) / median(values)


def timed(work: Callable[[], object]) -> Reading:
    """Run it once."""
    wall, core = time.perf_counter(), _core_seconds()
    work()
    return Reading(time.perf_counter() - wall, _core_seconds() - core)


def interleaved(
    cases: Mapping[str, Callable[[], object]], rounds: int, *, warm: bool = True
) -> dict[str, list[Reading]]:
    """Run every case once a round, forwards and backwards in turn, so that a disturbance meets all alike.

    warm: run each once before, without reading the clock.
    """
    if warm:
        for work in cases.values():
            work()
    readings: dict[str, list[Reading]] = {name: [] for name in cases}
    for number in range(rounds):
        for name in list(cases)[:: -1 if number % 2 else 1]:
            readings[name].append(timed(cases[name]))
    return readings


def table(figures: Sequence[Figure]) -> str:
    """For people: one line a figure, a heading where a section begins."""
    cells = [_cells(figure) for figure in figures]
    widths = [max(len(row[i]) for row in cells) for i in range(4)] if cells else []
    lines: list[str] = []
    section = ""
    for figure, row in zip(figures, cells, strict=True):
        if figure.section != section:
            section = figure.section
            lines += ["", section]
        what, value, runs, target = row
        line = f"  {what:<{widths[0]}}  {value:>{widths[1]}}  {runs:<{widths[2]}}  {target:<{widths[3]}}  {figure.note}"
        lines.append(line.rstrip())
    return "\n".join(lines).strip("\n")


def _cells(figure: Figure) -> tuple[str, str, str, str]:
    """What it is, its value, its range, its target."""
    runs = ""
    if figure.runs > 1 and figure.low is not None and figure.high is not None:
        runs = f"{number(figure.low)} to {number(figure.high)}, {figure.runs} runs"
    target = ""
    if figure.limit is not None:
        target = f"{'>=' if figure.at_least else '<='} {number(figure.limit)} {'met' if figure.met else 'MISSED'}"
    return figure.what, f"{number(figure.value)} {figure.unit}".strip(), runs, target


def number(value: float) -> str:
    """Three digits that count, without an exponent.

    >>> number(1234.5), number(12.345), number(0.012345)
    ('1234', '12.3', '0.0123')
    """
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3 if size >= 0.1 else 4
    return f"{value:.{digits}f}"


def _core_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
