"""The map of the label space as one self-contained, interactive HTML page."""

from collections.abc import Iterator
from html import escape
from importlib.resources import files
from io import BytesIO
from typing import TYPE_CHECKING

from devise.errors import DeviseError
from devise.meaning.atlas import Panel, Picture, Point, placed_names
from devise.pages.frame import printable

__all__ = [
    "COLOURS",
    "picture_html",
    "picture_png",
]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_WIDTH = 1000.0
_MARGIN = 40.0


def picture_html(picture: Picture) -> str:
    """Return the page. Without its script it still shows names on hover and lists all points."""
    style, script = (files("devise.pages").joinpath(f"atlas.{kind}").read_text("utf-8") for kind in ("css", "js"))
    title = _text(picture.title)
    left_out = "".join(f"<li>{_text(one)}</li>" for one in picture.left_out)
    panels = "\n".join(_panel(panel, place) for place, panel in enumerate(picture.panels))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p class="soft">{_text(picture.note)}</p>
<p class="finder"><label for="find">Find</label> <input id="find" type="search" autocomplete="off">
<span class="soft">or click on a map and move from point to point with the arrow keys</span></p>
<p id="told" role="status" aria-live="polite">&nbsp;</p>
</header>
<main class="{"several" if len(picture.panels) > 1 else "one"}">
{panels}
</main>
{f"<aside><h2>Left out</h2><ul>{left_out}</ul></aside>" if left_out else ""}
<div id="tip" aria-hidden="true" hidden></div>
<script>
{script}</script>
</body>
</html>
"""


class _Plane:
    """Convert positions on the plane to positions in the drawing."""

    def __init__(self, panel: Panel) -> None:
        self._edge = 130.0 if panel.lines else 50.0  # names at the right must have room
        self._scale = _WIDTH - 2 * self._edge
        self._highest = max(point.y for point in panel.points)
        lowest = min(point.y for point in panel.points)
        self.height = (self._highest - lowest) * self._scale + 2 * _MARGIN

    def __call__(self, point: Point) -> tuple[float, float]:
        return self._edge + point.x * self._scale, _MARGIN + (self._highest - point.y) * self._scale

    def units(self, pixels: float) -> float:
        return pixels / self._scale


def _panel(panel: Panel, number: int) -> str:
    plane = _Plane(panel)
    label = _text(panel.title or "Map of the labels")
    heading = f"<h2>{_text(panel.title)}</h2>" if panel.title else ""
    return f"""<section>
{heading}
<svg viewBox="0 0 {_WIDTH:.0f} {plane.height:.0f}" tabindex="0" role="application" aria-label="{label}: arrow keys \
move from point to point" aria-describedby="told">
<defs><marker id="head{number}" viewBox="0 0 8 8" refX="13" refY="4" markerWidth="8" markerHeight="8" orient="auto">\
<path d="M0 0 8 4 0 8z"/></marker></defs>
<g class="lines">{"".join(_lines(panel, plane, number))}</g>
<g class="dots">{"".join(_dots(panel, plane))}</g>
<g class="names" aria-hidden="true">{"".join(_names(panel, plane))}</g>
</svg>
<div class="legend" role="group" aria-label="Show one group">{"".join(_legend(panel))}</div>
<details><summary>All {len(panel.points):,} as a list</summary>{"".join(_lists(panel))}</details>
</section>"""


def _lines(panel: Panel, plane: _Plane, number: int) -> Iterator[str]:
    for start, end in panel.lines:
        (x1, y1), (x2, y2) = plane(panel.points[start]), plane(panel.points[end])
        yield f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" marker-end="url(#head{number})"/>'


def _dots(panel: Panel, plane: _Plane) -> Iterator[str]:
    radius = 7 if panel.lines else 5
    for point in panel.points:
        x, y = plane(point)
        told = "\n".join((point.name, panel.groups[point.group], point.detail))
        yield (
            f'<circle class="g{_colour(panel, point.group)}" data-group="{point.group}" cx="{x:.1f}" cy="{y:.1f}" '
            f'r="{radius}"><title>{_text(told)}</title></circle>'
        )


def _names(panel: Panel, plane: _Plane) -> Iterator[str]:
    size = 20.0 if panel.lines else 13.0  # as in the style sheet
    for name in placed_names(panel, plane.units(0.56 * size), plane.units(size)):
        x, y = plane(name.point)
        down = -0.25 * size if name.above > 0 else 0.95 * size
        anchor = "start" if name.right > 0 else "end"
        yield (
            f'<text x="{x + 0.45 * size * name.right:.1f}" y="{y + down:.1f}" text-anchor="{anchor}">'
            f"{_text(name.point.name)}</text>"
        )


def _legend(panel: Panel) -> Iterator[str]:
    for group, name in enumerate(panel.groups):
        yield (
            f'<button type="button" aria-pressed="false" data-group="{group}">'
            f'<span class="swatch g{_colour(panel, group)}"></span>{_text(name)}</button>'
        )


def _lists(panel: Panel) -> Iterator[str]:
    for group, name in enumerate(panel.groups):
        rows = sorted((point.name, point.detail) for point in panel.points if point.group == group)
        items = "".join(f"<li><b>{_text(one)}</b> {_text(detail)}</li>" for one, detail in rows)
        yield f"<h3>{_text(name)}</h3><ul>{items}</ul>"


def _colour(panel: Panel, group: int) -> int:
    """Return one of ten colours in turn; the eleventh is for the others."""
    last = group == len(panel.groups) - 1 and panel.groups[group].startswith("other")
    return 10 if last else group % 10


def _text(text: str) -> str:
    return escape("\n".join(printable(line) for line in text.split("\n")))


if TYPE_CHECKING:
    from matplotlib.axes import Axes


COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#aa3377", "#b08900", "#5b4fc4", "#7a4a2b", "#3fa0d8", "#6c8f1f", "#e0709a",
    "#8b8b8b",
)  # fmt: skip
"""One colour per group, in order, distinct for most colour-blind people. The last is for the others."""

_INK, _SOFT = "#1c1b19", "#77736a"
_DPI = 110
_PIXELS = (970, 600)  # of one unit of the plane: a map's, a panel's of words


def picture_png(picture: Picture) -> bytes:
    """Return the bytes of the file, equal for equal pictures. DeviseError if matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise DeviseError("a PNG needs matplotlib: pip install 'devise-zsl[plots]', or write .html") from None
    several = len(picture.panels) > 1
    figure = Figure(
        figsize=(13, 6.6) if several else (10, _height(picture.panels[0])),
        dpi=_DPI,
        layout="constrained",
        facecolor="white",
    )
    FigureCanvasAgg(figure)
    for place, panel in enumerate(picture.panels):
        _draw(figure.add_subplot(1, len(picture.panels), place + 1), panel)
    figure.suptitle(picture.title, color=_INK, fontsize=15)
    figure.supxlabel(picture.note, color=_SOFT, fontsize=8.5)
    data = BytesIO()
    figure.savefig(data, format="png", metadata={"Software": None}, pil_kwargs={"optimize": True})
    return data.getvalue()


def _height(panel: Panel) -> float:
    """Return the size in inches: the points' extent plus title, legend and note."""
    rows = [point.y for point in panel.points]
    return 1.8 + 9 * min(0.85, max(0.35, max(rows) - min(rows) + 0.1))


def _draw(axes: "Axes", panel: Panel) -> None:
    for group, name in enumerate(panel.groups):
        members = [point for point in panel.points if point.group == group]
        last = group == len(panel.groups) - 1 and name.startswith("other")
        colour = COLOURS[-1] if last else COLOURS[group % (len(COLOURS) - 1)]
        places = [point.x for point in members], [point.y for point in members]
        axes.scatter(*places, s=34 if panel.lines else 13, color=colour, label=name, linewidths=0, alpha=0.85, zorder=3)
    for start, end in panel.lines:
        here, there = panel.points[start], panel.points[end]
        arrow = {"arrowstyle": "-|>", "color": _SOFT, "lw": 1.0, "shrinkA": 5, "shrinkB": 5, "alpha": 0.8}
        axes.annotate("", (there.x, there.y), (here.x, here.y), arrowprops=arrow, zorder=2)
    _name(axes, panel)
    if panel.title:
        axes.set_title(panel.title, color=_INK, fontsize=11)
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.09, 0.06)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#dcd9d0")
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.01),
        ncols=3 if panel.lines else 4,
        frameon=False,
        fontsize=9,
        markerscale=1 if panel.lines else 2,
        handletextpad=0.3,
    )


def _name(axes: "Axes", panel: Panel) -> None:
    """Draw names next to their points, with a halo."""
    from matplotlib import patheffects

    halo = [patheffects.withStroke(linewidth=2.5, foreground="white")]
    size, pixels = (9.0, _PIXELS[1]) if panel.lines else (7.0, _PIXELS[0])
    unit = size * _DPI / 72 / pixels
    for name in placed_names(panel, 0.6 * unit, 1.2 * unit):
        axes.annotate(
            name.point.name,
            (name.point.x, name.point.y),
            xytext=(4 * name.right, 2 * name.above),
            textcoords="offset points",
            ha="left" if name.right > 0 else "right",
            va="bottom" if name.above > 0 else "top",
            color=_INK,
            fontsize=size,
            path_effects=halo,
            zorder=4,
        )
