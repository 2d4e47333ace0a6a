"""The charts of the figures: lines over k, grouped bars, bars in rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log, log10

from devise.pages.report.drawing import Box, Dot, Drawing, Length, Line, Point, Shape, Words

__all__ = ["Bar", "Series", "Track", "bar_groups", "bar_rows", "curves", "series_colours", "tick_values", "tracked"]

_WIDTH = 460.0
_HEIGHT = 270.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 72.0, 14.0, 40.0
_ROW = 19.0
_GAP = 13.0  # between two names at the end of lines
_LETTER = 6.3  # how wide one is in a row's name


@dataclass(frozen=True, slots=True)
class Series:
    """A named line or set of bars: y values at shared places, None for a gap.

    dash: see `Line`. ends: an interval per place or None; () for no intervals.
    """

    name: str
    values: tuple[Length | None, ...]
    colour: str
    dash: Point | None = None
    ends: tuple[Point | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Track:
    """A named line through its own points, in order. dash: see `Line`."""

    name: str
    points: tuple[Point, ...]
    colour: str
    dash: Point | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """A stacked bar: parts with length and colour. note: text at its end."""

    name: str
    parts: tuple[tuple[Length, str], ...]
    note: str
    indent: int = 0


def series_colours(names: Sequence[str]) -> dict[str, tuple[str, Point | None]]:
    """Assign a colour per name in order, a dash from the seventh on, and grey to chance.

    >>> series_colours(["fused", "chance"])
    {'fused': ('s0', None), 'chance': ('s6', (2.0, 3.0))}
    """
    luck: dict[str, Point] = {"random": (6.0, 3.0), "chance": (2.0, 3.0)}
    told = [name for name in names if name not in luck]
    colours = {name: (f"s{i % 6}", None if i < 6 else (8.0, 2.0)) for i, name in enumerate(told)}
    return {name: ("s6", luck[name]) if name in luck else colours[name] for name in names}


def tick_values(highest: Length) -> tuple[float, ...]:
    """Return three to six round values from 0 to at least `highest`.

    >>> tick_values(0.43)
    (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    """
    if highest < 1e-9:
        return (0.0, 0.5, 1.0)
    power = 10.0 ** floor(log10(highest))
    step = next(power * share for share in (0.2, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0) if highest / (power * share) <= 5)
    return tuple(round(step * place, 10) for place in range(ceil(round(highest / step, 9)) + 1))


def curves(series: Sequence[Series], places: Sequence[int], x_title: str, *, percent: bool) -> Drawing:
    """Draw lines over k on a logarithmic axis, named at their ends, with a dot per value."""
    known = [value for one in series for value in one.values if value is not None]
    known += [end[1] for one in series for end in one.ends if end is not None]
    ticks = tick_values(max(known, default=0.0))
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    spread = log(max(places) / min(places)) or 1.0

    def x_of(place: int) -> float:
        return _LEFT + 8 + (right - _LEFT - 16) * log(place / min(places)) / spread

    def y_of(value: Length) -> float:
        return bottom - (bottom - _TOP) * value / ticks[-1]

    shapes: list[Shape] = [*_grid(ticks, y_of(0), y_of(ticks[-1]), right, percent=percent)]
    shapes += [Words(x_of(place), bottom + 16, str(place), "soft", 12.5, "middle") for place in places]
    shapes.append(Words((_LEFT + right) / 2, _HEIGHT - 6, x_title, "soft", 12.5, "middle"))
    ends: list[tuple[float, Series]] = []
    for one in reversed(series):
        points = [
            (x_of(place), y_of(value)) for place, value in zip(places, one.values, strict=True) if value is not None
        ]
        if points:
            shapes.append(Line(tuple(points), one.colour, 2.0, one.dash))
            shapes += [Dot(x, y, 2.6, one.colour) for x, y in points]
            shapes += [
                Line(((x_of(place), y_of(end[0])), (x_of(place), y_of(end[1]))), one.colour, 1.0)
                for place, end in zip(places, one.ends, strict=False)
                if end is not None
            ]
            ends.append((points[-1][1], one))
    names = zip(_apart([y for y, _ in ends], bottom), ends, strict=True)
    shapes += [Words(right + 4, y + 4, one.name, one.colour, 12.5) for y, (_, one) in names]
    return Drawing(_WIDTH, _HEIGHT, tuple(shapes))


def tracked(tracks: Sequence[Track], x_title: str, *, percent: bool) -> Drawing:
    """Draw lines over a linear axis from 0, named at their ends, with dots after the first point."""
    points = [point for one in tracks for point in one.points]
    ticks = tick_values(max((y for _, y in points), default=0.0))
    across = tick_values(max((x for x, _ in points), default=0.0))
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def placed(x: Length, y: Length) -> Point:
        return _LEFT + 8 + (right - _LEFT - 16) * x / across[-1], bottom - (bottom - _TOP) * y / ticks[-1]

    shapes: list[Shape] = [*_grid(ticks, bottom, _TOP, right, percent=percent)]
    shapes += [Words(placed(tick, 0)[0], bottom + 16, f"{tick:g}", "soft", 12.5, "middle") for tick in across]
    shapes.append(Words((_LEFT + right) / 2, _HEIGHT - 6, x_title, "soft", 12.5, "middle"))
    drawn = [one for one in reversed(tracks) if one.points]
    for one in drawn:
        line = tuple(placed(x, y) for x, y in one.points)
        shapes += [Line(line, one.colour, 2.0, one.dash), *(Dot(x, y, 2.6, one.colour) for x, y in line[1:])]
    names = zip(_apart([placed(*one.points[-1])[1] for one in drawn], bottom), drawn, strict=True)
    shapes += [Words(right + 4, y + 4, one.name, one.colour, 12.5) for y, one in names]
    return Drawing(_WIDTH, _HEIGHT, tuple(shapes))


def bar_groups(series: Sequence[Series], places: Sequence[str], x_title: str, *, percent: bool) -> Drawing:
    """Draw one bar per series and place, with a legend above."""
    ticks = tick_values(max((value or 0.0 for one in series for value in one.values), default=0.0))
    right, top, bottom = _WIDTH - 10, _TOP + 20, _HEIGHT - _BOTTOM
    slot = (right - _LEFT) / max(len(places), 1)
    thick = 0.8 * slot / max(len(series), 1)
    shapes: list[Shape] = [*_grid(ticks, bottom, top, right, percent=percent)]
    legend = _LEFT
    for number, one in enumerate(series):
        shapes += [Box(legend, 6, 10, 10, one.colour), Words(legend + 14, 15, one.name, "ink", 12.5)]
        legend += 28 + 8 * len(one.name)
        for place, value in enumerate(one.values):
            high = (bottom - top) * (value or 0.0) / ticks[-1]
            shapes.append(
                Box(_LEFT + slot * (place + 0.1) + thick * number, bottom - high, max(thick - 1, 0.6), high, one.colour)
            )
    for place, name in enumerate(places):
        shapes.append(Words(_LEFT + slot * (place + 0.5), bottom + 15, name, "soft", 12.5, "middle"))
    shapes.append(Words((_LEFT + right) / 2, _HEIGHT - 6, x_title, "soft", 12.5, "middle"))
    return Drawing(_WIDTH, _HEIGHT, tuple(shapes))


def bar_rows(bars: Sequence[Bar], legend: Sequence[tuple[str, str]], longest: Length | None = None) -> Drawing:
    """Draw one row per bar, after its name. legend: meaning of the colours. longest: value of a full row."""
    full = longest or max((sum(length for length, _ in bar.parts) for bar in bars), default=1.0) or 1.0
    left, right = 196.0, _WIDTH - 56
    shapes: list[Shape] = []
    at = 4.0
    for name, colour in legend:
        shapes += [Box(at, 4, 10, 10, colour), Words(at + 14, 13, name, "soft", 12)]
        at += 28 + 7 * len(name)
    for number, bar in enumerate(bars):
        y = 24 + number * _ROW
        shapes.append(
            Words(4 + 9 * bar.indent, y + 12, _short(bar.name, int((left - 10 - 9 * bar.indent) / _LETTER)), "ink", 12)
        )
        shapes.append(Box(left, y + 2, right - left, _ROW - 6, "line"))
        start = left
        for length, colour in bar.parts:
            wide = (right - left) * length / full
            shapes.append(Box(start, y + 2, wide, _ROW - 6, colour))
            start += wide
        shapes.append(Words(right + 5, y + 12, bar.note, "soft", 11.5))
    return Drawing(_WIDTH, 28 + _ROW * len(bars), tuple(shapes))


def _grid(ticks: Sequence[float], bottom: Length, top: Length, right: Length, *, percent: bool) -> list[Shape]:
    shapes: list[Shape] = []
    for tick in ticks:
        y = bottom - (bottom - top) * tick / ticks[-1]
        text = f"{100 * tick:g} %" if percent else f"{tick:g}"
        shapes += [Line(((_LEFT, y), (right, y)), "line"), Words(_LEFT - 6, y + 4, text, "soft", 12.5, "end")]
    return shapes


def _apart(places: Sequence[Length], lowest: Length) -> list[Length]:
    """Move places apart by at least one line of text, keeping their order."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = list(places)
    for above, below in pairwise(order):
        moved[below] = max(moved[below], moved[above] + _GAP)
    limit = lowest + 3
    for place in reversed(order):
        moved[place] = min(moved[place], limit)
        limit = moved[place] - _GAP
    return moved


def _short(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: max(letters - 1, 1)].rstrip() + "…"
