"""The charts of the figures: lines over k, grouped bars, bars in rows; drawn as SVG and PNG."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from io import BytesIO
from itertools import pairwise
from math import ceil, floor, hypot, log, log10
from typing import Literal, TypeAlias

from PIL import Image, ImageDraw, ImageFont

__all__ = [
    "PALETTE",
    "Anchor",
    "Bar",
    "Box",
    "Dot",
    "Drawing",
    "Length",
    "Line",
    "Point",
    "Series",
    "Shape",
    "Track",
    "Words",
    "bar_groups",
    "bar_rows",
    "curves",
    "png",
    "series_colours",
    "svg",
    "tick_values",
    "tracked",
]

PALETTE = {
    "card": "#ffffff",
    "ink": "#1c1b19",
    "soft": "#5c5952",
    "line": "#dcd9d0",
    "good": "#22663a",
    "bad": "#a11616",
    "s0": "#2f5f9e",
    "s1": "#b4530b",
    "s2": "#22793f",
    "s3": "#8a3fa0",
    "s4": "#0b7a85",
    "s5": "#8c6d00",
    "s6": "#7a7770",
}
"""Colours by name; on the page each is the CSS variable of its name, so that it follows light and dark."""

Length: TypeAlias = int | float
"""A length in units of the drawing."""
Point: TypeAlias = tuple[Length, Length]
Anchor = Literal["start", "middle", "end"]

_SCALE = 3  # pixels of a PNG for one unit of the drawing
_SAMPLES = 2  # drawn so much larger than that, and made smaller: smooth edges


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points, in order. dash: lengths of ink and gap; empty is one unbroken line."""

    points: tuple[Point, ...]
    colour: str
    width: Length = 1.0
    dash: Point | None = None


@dataclass(frozen=True, slots=True)
class Box:
    """A filled rectangle; x and y are its upper left corner."""

    x: Length
    y: Length
    width: Length
    height: Length
    colour: str


@dataclass(frozen=True, slots=True)
class Dot:
    """A filled circle."""

    x: Length
    y: Length
    radius: Length
    colour: str


@dataclass(frozen=True, slots=True)
class Words:
    """Text on a base line at y, that starts, is centred or ends at x."""

    x: Length
    y: Length
    text: str
    colour: str = "ink"
    size: Length = 12.0
    anchor: Anchor = "start"


Shape: TypeAlias = Line | Box | Dot | Words


@dataclass(frozen=True, slots=True)
class Drawing:
    """Shapes, the later ones over the earlier, in a frame of width x height; y goes down. Colours: see PALETTE."""

    width: Length
    height: Length
    shapes: tuple[Shape, ...]


def svg(drawing: Drawing, *, name: str, title: str, description: str) -> str:
    """Return the drawing as an SVG element; the page defines its colours as CSS variables.

    name: a word that no other drawing of the page has. title, description: what a screen reader says.
    """
    shapes = "\n".join(_svg_shape(shape) for shape in drawing.shapes)
    return (
        f'<svg viewBox="0 0 {_n(drawing.width)} {_n(drawing.height)}" width="{_n(drawing.width)}" '
        f'height="{_n(drawing.height)}" role="img" aria-labelledby="{name}-t {name}-d">\n'
        f'<title id="{name}-t">{escape(title)}</title>\n<desc id="{name}-d">{escape(description)}</desc>\n'
        f"{shapes}\n</svg>"
    )


def png(drawing: Drawing) -> bytes:
    """Return the drawing in light colours as a PNG file, three pixels per unit."""
    factor = _SCALE * _SAMPLES
    size = (round(drawing.width * factor), round(drawing.height * factor))
    image = Image.new("RGB", size, PALETTE["card"])
    canvas = ImageDraw.Draw(image)
    for shape in drawing.shapes:
        _draw(canvas, shape, factor)
    small = image.resize((size[0] // _SAMPLES, size[1] // _SAMPLES), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    small.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _n(value: Length) -> str:
    """Format with at most two decimals.

    >>> _n(3.0), _n(0.125)
    ('3', '0.12')
    """
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _svg_shape(shape: Shape) -> str:
    paint = f"var(--{shape.colour})"
    match shape:
        case Line(points, _, width, dash):
            places = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
            dashes = f' stroke-dasharray="{_n(dash[0])} {_n(dash[1])}"' if dash else ""
            return (
                f'<polyline points="{places}" fill="none" style="stroke:{paint}" stroke-width="{_n(width)}"'
                f' stroke-linejoin="round"{dashes}/>'
            )
        case Box(x, y, width, height):
            size = f'width="{_n(width)}" height="{_n(height)}"'
            return f'<rect x="{_n(x)}" y="{_n(y)}" {size} style="fill:{paint}"/>'
        case Dot(x, y, radius):
            return f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}" style="fill:{paint}"/>'
    anchor = "" if shape.anchor == "start" else f' text-anchor="{shape.anchor}"'
    return (
        f'<text x="{_n(shape.x)}" y="{_n(shape.y)}" font-size="{_n(shape.size)}"{anchor} '
        f'style="fill:{paint}">{escape(shape.text)}</text>'
    )


def _draw(canvas: ImageDraw.ImageDraw, shape: Shape, factor: Length) -> None:
    paint = PALETTE[shape.colour]
    match shape:
        case Line(points, _, width, dash):
            scaled = [(x * factor, y * factor) for x, y in points]
            for part in _dashed(scaled, dash[0] * factor, dash[1] * factor) if dash else [scaled]:
                canvas.line(part, fill=paint, width=max(1, round(width * factor)), joint="curve")
        case Box(x, y, width, height):
            if width > 0 and height > 0:
                corners = [x * factor, y * factor, (x + width) * factor, (y + height) * factor]
                canvas.rectangle(corners, fill=paint)
        case Dot(x, y, radius):
            canvas.circle((x * factor, y * factor), radius * factor, fill=paint)
        case Words(x, y, text, _, size, anchor):
            font = ImageFont.load_default(size * factor)
            place = {"start": "ls", "middle": "ms", "end": "rs"}[anchor]
            canvas.text((x * factor, y * factor), text, fill=paint, font=font, anchor=place)


def _dashed(points: Sequence[Point], ink: Length, gap: Length) -> Iterator[list[Point]]:
    """Return the inked parts of a line; the pattern continues around corners."""
    done = 0.0
    for (x, y), (to_x, to_y) in pairwise(points):
        length = hypot(to_x - x, to_y - y)
        at = 0.0
        while at < length:
            phase = (done + at) % (ink + gap)
            step = min((ink if phase < ink else ink + gap) - phase, length - at) or ink
            if phase < ink:
                share, end = at / length, (at + step) / length
                yield [
                    (x + share * (to_x - x), y + share * (to_y - y)),
                    (x + end * (to_x - x), y + end * (to_y - y)),
                ]
            at += step
        done += length


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
    scorers = [name for name in names if name not in luck]
    colours = {name: (f"s{i % 6}", None if i < 6 else (8.0, 2.0)) for i, name in enumerate(scorers)}
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
    spread = log(max(places) / min(places)) or 1.0
    across = [log(place / min(places)) / spread for place in places]
    tracks, bars = [], {}
    for one in series:
        points = tuple((x, value) for x, value in zip(across, one.values, strict=True) if value is not None)
        tracks.append(Track(one.name, points, one.colour, one.dash))
        bars[one.name] = [(x, end) for x, end in zip(across, one.ends, strict=False) if end is not None]
    marks = list(zip(across, map(str, places), strict=True))
    return _lines(tracks, tick_values(max(known, default=0.0)), marks, x_title, percent=percent, bars=bars)


def tracked(tracks: Sequence[Track], x_title: str, *, percent: bool) -> Drawing:
    """Draw lines over a linear axis from 0, named at their ends, with dots after the first point."""
    points = [point for one in tracks for point in one.points]
    across = tick_values(max((x for x, _ in points), default=0.0))
    scaled = [replace(one, points=tuple((x / across[-1], y) for x, y in one.points)) for one in tracks]
    marks = [(tick / across[-1], f"{tick:g}") for tick in across]
    ticks = tick_values(max((y for _, y in points), default=0.0))
    return _lines(scaled, ticks, marks, x_title, percent=percent, dots_from=1)


def _lines(
    tracks: Sequence[Track],
    ticks: Sequence[float],
    marks: Sequence[tuple[float, str]],
    x_title: str,
    *,
    percent: bool,
    bars: Mapping[str, Sequence[tuple[float, Point]]] | None = None,
    dots_from: int = 0,
) -> Drawing:
    """Draw lines whose x is a share of the axis. marks: of the axis. bars: by line, its intervals at some places."""
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def placed(x: Length, y: Length) -> Point:
        return _LEFT + 8 + (right - _LEFT - 16) * x, bottom - (bottom - _TOP) * y / ticks[-1]

    shapes: list[Shape] = [*_grid(ticks, bottom, _TOP, right, percent=percent)]
    shapes += [Words(placed(x, 0)[0], bottom + 16, text, "soft", 12.5, "middle") for x, text in marks]
    shapes.append(Words((_LEFT + right) / 2, _HEIGHT - 6, x_title, "soft", 12.5, "middle"))
    drawn = [one for one in reversed(tracks) if one.points]
    for one in drawn:
        line = tuple(placed(x, y) for x, y in one.points)
        shapes += [Line(line, one.colour, 2.0, one.dash), *(Dot(x, y, 2.6, one.colour) for x, y in line[dots_from:])]
        ends = (bars or {}).get(one.name, ())
        shapes += [Line((placed(x, low), placed(x, high)), one.colour, 1.0) for x, (low, high) in ends]
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
