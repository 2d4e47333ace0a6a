"""The map of the label space as one self-contained, interactive HTML page."""

from io import BytesIO
from typing import TYPE_CHECKING

from devise.errors import DeviseError
from devise.meaning.atlas import Panel, Picture, Point, placed_names
from devise.pages.frame import page

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLOURS", "picture_html", "picture_png"]

_WIDTH = 1000.0
_MARGIN = 40.0


def picture_html(picture: Picture) -> str:
    """Return the page. Without its script it still shows names on hover and lists all points."""
    return page(
        "atlas.html",
        css=("atlas.css",),
        script="atlas.js",
        title=picture.title,
        note=picture.note,
        panels=[_shown(panel) for panel in picture.panels],
        left_out=picture.left_out,
    )


def _shown(panel: Panel) -> dict[str, object]:
    """Return a panel for the template, with positions in units of the drawing."""
    edge = 130.0 if panel.lines else 50.0  # names at the right must have room
    size = 20.0 if panel.lines else 13.0  # of letters, as in the style sheet
    scale = _WIDTH - 2 * edge
    rows = [point.y for point in panel.points]

    def placed(point: Point) -> tuple[float, float]:
        return edge + point.x * scale, _MARGIN + (max(rows) - point.y) * scale

    names = []
    for name in placed_names(panel, 0.56 * size / scale, size / scale):
        x, y = placed(name.point)
        down = -0.25 * size if name.above > 0 else 0.95 * size
        names.append((name.point.name, x + 0.45 * size * name.right, y + down, "start" if name.right > 0 else "end"))
    groups = range(len(panel.groups))
    return {
        "title": panel.title,
        "width": _WIDTH,
        "height": (max(rows) - min(rows)) * scale + 2 * _MARGIN,
        "radius": 7 if panel.lines else 5,
        "lines": [(*placed(panel.points[start]), *placed(panel.points[end])) for start, end in panel.lines],
        "dots": [(point, *placed(point)) for point in panel.points],
        "names": names,
        "groups": panel.groups,
        "colours": [_colour(panel, group) for group in groups],
        "members": [sorted((one.name, one.detail) for one in panel.points if one.group == group) for group in groups],
    }


def _colour(panel: Panel, group: int) -> int:
    """Return one of ten colours in turn; the eleventh is for the others."""
    last = group == len(panel.groups) - 1 and panel.groups[group].startswith("other")
    return 10 if last else group % 10


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
        colour = COLOURS[_colour(panel, group)]
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
