"""Drawings of lines, boxes, dots and text, as SVG for the page and as PNG files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from itertools import pairwise
from math import hypot
from typing import Literal, TypeAlias

from PIL import Image, ImageDraw, ImageFont

__all__ = ["PALETTE", "Anchor", "Box", "Dot", "Drawing", "Length", "Line", "Point", "Shape", "Words", "png", "svg"]

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
