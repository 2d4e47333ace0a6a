"""The figures of a report: each has a drawing, a description and its numbers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from devise.errors import counted
from devise.evaluation.confusion import Subtree
from devise.evaluation.hedging import SHOWN
from devise.evaluation.statistics import Measured
from devise.evaluation.tables import measure_cell
from devise.files import atomic_write
from devise.pages.report.charts import (
    Bar,
    Box,
    Dot,
    Drawing,
    Length,
    Line,
    Series,
    Shape,
    Track,
    Words,
    bar_groups,
    bar_rows,
    curves,
    png,
    series_colours,
    tracked,
)
from devise.pages.report.content import Calibration, ClassLine, Content, ReliabilityBin, ends_of
from devise.tabletext import csv_text

__all__ = ["Figure", "figures_of", "write_figures"]

_CLASSES = 40  # rows of a bar chart at most
_BRANCHES = 36

Row = tuple[str | int | float | None, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing with its texts and numbers.

    name: of its files. caption: what is drawn. description: what it shows, for those who do not see it.
    """

    name: str
    title: str
    caption: str
    description: str
    drawing: Drawing
    header: tuple[str, ...]
    rows: tuple[Row, ...]

    def csv(self) -> str:
        """Return the numbers as CSV with a header."""
        return csv_text([self.header, *self.rows])


def figures_of(content: Content) -> tuple[Figure, ...]:
    """Return all figures that have numbers, in the order of the page."""
    made: list[Figure] = []
    for measure, title in (("hit", "Flat hit@k"), ("hp", "Hierarchical precision@k")):
        made += _curves(content, measure, title)
    made += [_hedging(content)] if content.hedging else []
    made += [_distances(content)] if content.distances else []
    made += [_reliability(scorer, calibration) for scorer, calibration in content.reliability]
    made += [_classes(content.classes, content.model)] if content.classes and content.classes[0].shares else []
    made.append(_confusion(content))
    return tuple(made)


def write_figures(
    folder: Path, figures: Sequence[Figure], numbers: str = "", *, excel: bool = False
) -> tuple[Path, ...]:
    """Write each figure as NAME.png and NAME.csv; create the folder if missing.

    numbers: `Content.numbers`, written as measures.csv; "" for none. excel: each CSV begins with a byte order mark.
    """
    mark = "\ufeff" * excel
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    if numbers:
        with atomic_write(folder / "measures.csv") as file:
            file.write(mark + numbers)
        written.append(folder / "measures.csv")
    for figure in figures:
        with atomic_write(folder / f"{figure.name}.png", "wb") as picture:
            picture.write(png(figure.drawing))
        with atomic_write(folder / f"{figure.name}.csv") as file:
            file.write(mark + figure.csv())
        written += [folder / f"{figure.name}.png", folder / f"{figure.name}.csv"]
    return tuple(written)


def _curves(content: Content, measure: str, title: str) -> Iterator[Figure]:
    keys = [key for key in (content.curves[0][1] if content.curves else {}) if key.startswith(f"{measure}@")]
    ks = [int(key.partition("@")[2]) for key in keys]
    if len(ks) < 2:
        return
    colours = series_colours([scorer for scorer, _ in content.curves])
    none = Measured(None)
    found = {scorer: [values.get(key, none) for key in keys] for scorer, values in content.curves}
    series = [
        Series(scorer, tuple(one.value for one in row), *colours[scorer], tuple(one.images for one in row))
        for scorer, row in found.items()
    ]
    last = ", ".join(f"{one.name} {100 * one.values[-1]:.1f} percent" for one in series if one.values[-1] is not None)
    yield Figure(
        f"{measure}-at-k",
        title,
        (
            "Share of photos whose true label is among the first k guesses"
            if measure == "hit"
            else "Share of the first k guesses among the labels nearest to the true class in WordNet"
        )
        + "; vertical lines are 95 % intervals over photos.",
        f"{title} of each scorer over k. At k = {ks[-1]}: {last}.",
        curves(series, ks, "k", percent=measure == "hit"),
        ("scorer", "measure", "value", "photos low", "photos high", "classes low", "classes high"),
        tuple(
            (scorer, key, one.value, *(one.images or (None, None)), *(one.classes or (None, None)))
            for scorer, row in found.items()
            for key, one in zip(keys, row, strict=True)
        ),
    )


def _hedging(content: Content) -> Figure:
    colours = series_colours([scorer for scorer, _ in content.hedging])
    tracks = [
        Track(scorer, ((0.0, 1.0), *zip(of.curve.bits[::-1], of.curve.right[::-1], strict=True)), *colours[scorer])
        for scorer, of in content.hedging
    ]
    areas = ", ".join(
        f"{scorer} {measure_cell('hedging area', of.area.value)}"
        + (f" ({ends_of('hedging area', of.area.images)})" if of.area.images is not None else "")
        for scorer, of in content.hedging
    )
    sure = "; ".join(
        f"{scorer} {100 * right:.0f} percent right at {bits:.1f} bits"
        for scorer, of in content.hedging
        for threshold, bits, right in zip(*of.curve.columns(), strict=True)
        if threshold == SHOWN[1]
    )
    return Figure(
        "hedging",
        "Wider names",
        "Share of right answers against their mean information in bits. Each answer is the most informative name that "
        "reaches a threshold of the probability; one dot per threshold, from .99 at the left to .05. At the upper edge "
        f"all answers are right. Area under each curve (1 if always right) with its 95 % interval: {areas}.",
        f"Accuracy against information. At a threshold of {100 * SHOWN[1]:.0f} percent: {sure}.",
        tracked(tracks, "mean information of the answers, bits", percent=True),
        ("scorer", "threshold", "bits", "right"),
        tuple((scorer, *point) for scorer, of in content.hedging for point in zip(*of.curve.columns(), strict=True)),
    )


def _distances(content: Content) -> Figure:
    colours = series_colours([scorer for scorer, _ in content.distances])
    series = [Series(scorer, shares, *colours[scorer]) for scorer, shares in content.distances]
    count = len(content.distances[0][1])
    places = [str(edges) for edges in range(count - 1)] + [f"{count - 1}+"]
    first = "; ".join(f"{one.name}: {100 * sum(v or 0 for v in one.values[:4]):.0f} percent" for one in series)
    return Figure(
        "distance",
        "Distance from the true class",
        "WordNet edges from the true class through the lowest common ancestor to the first guess; 0 is right.",
        f"Share of photos by the distance of the first guess. At most 3 edges away: {first}.",
        bar_groups(series, places, "edges from the true class", percent=True),
        ("scorer", *places),
        tuple((one.name, *one.values) for one in series),
    )


def _reliability(scorer: str, calibration: Calibration) -> Figure:
    bins, error = calibration.bins, calibration.error
    ends = [
        f", 95 % over {over} {measure_cell('ece', end[0])} to {measure_cell('ece', end[1])}"
        for over, end in (("photos", error.images), ("classes", error.classes))
        if end is not None
    ]
    photos = sum(one.photos for one in bins)
    gap = sum(one.photos * (one.right - one.confidence) for one in bins) / max(photos, 1)
    side = "above the accuracy (overconfident)" if gap < 0 else "below the accuracy (underconfident)"
    return Figure(
        f"reliability-{''.join(c if c.isalnum() or c in '-_.' else '-' for c in scorer)}",
        f"Reliability of {scorer}'s score",
        "Share of right first guesses among photos with similar scores. The dashed line is perfect calibration; "
        "the numbers below are the photos per bin. "
        f"Expected calibration error {measure_cell('ece', error.value)}{''.join(ends)}.",
        f"Over {counted(photos, 'photo')} the mean score is {abs(100 * gap):.1f} percentage points {side}.",
        _reliability_drawing(bins),
        ("from", "to", "photos", "mean score", "share right"),
        tuple((one.low, one.high, one.photos, one.confidence, one.right) for one in bins),
    )


def _reliability_drawing(bins: tuple[ReliabilityBin, ...]) -> Drawing:
    left, right, top, bottom, floor = 52.0, 300.0, 12.0, 260.0, 330.0
    most = max((one.photos for one in bins), default=1) or 1

    def x_of(value: Length) -> Length:
        return left + (right - left) * value

    def y_of(value: Length) -> Length:
        return bottom - (bottom - top) * value

    shapes: list[Shape] = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        text = f"{100 * tick:g} %"
        shapes += [
            Line(((left, y_of(tick)), (right, y_of(tick))), "line"),
            Words(left - 6, y_of(tick) + 4, text, "soft", 12.5, "end"),
            Words(x_of(tick), floor + 16, text, "soft", 12.5, "middle"),
        ]
    for one in bins:
        if one.photos:
            wide = (right - left) * (one.high - one.low) - 2
            shapes.append(Box(x_of(one.low) + 1, y_of(one.right), wide, bottom - y_of(one.right), "s0"))
            high = 48 * one.photos / most
            shapes.append(Box(x_of(one.low) + 1, floor - high, wide, high, "s6"))
    shapes.append(Line(((x_of(0), y_of(0)), (x_of(1), y_of(1))), "ink", 1.5, (5.0, 4.0)))
    shapes += [Dot(x_of(one.confidence), y_of(one.right), 3.2, "s1") for one in bins if one.photos]
    shapes += [
        Line(((left, floor), (right, floor)), "soft"),
        Words((left + right) / 2, floor + 34, "score of the first guess", "soft", 12.5, "middle"),
        Words(right + 12, top + 10, "share right", "s0", 12.5),
        Words(right + 12, top + 28, "at mean score", "s1", 12.5),
        Words(right + 12, floor - 30, "photos,", "s6", 12.5),
        Words(right + 12, floor - 16, f"most {most:,}", "s6", 12.5),
    ]
    return Drawing(400, floor + 42, tuple(shapes))


def _classes(classes: Sequence[ClassLine], model: str) -> Figure:
    """Draw the first and the last share of each class: hit@1 over hit@k."""
    keys = [key for key, _ in classes[0].shares if key.startswith("hit@")]
    low, high = keys[0], keys[min(2, len(keys) - 1)]

    def share(one: ClassLine, key: str) -> float:
        return dict(one.shares).get(key) or 0.0

    ordered = sorted(classes, key=lambda one: (-share(one, high), -share(one, low), one.name))
    half = _CLASSES // 2
    shown = ordered if len(ordered) <= _CLASSES else [*ordered[:half], *ordered[-half:]]
    bars = [
        Bar(one.name, ((share(one, low), "s0"), (share(one, high) - share(one, low), "s5")), f"{share(one, high):.0%}")
        for one in shown
    ]
    trained = () if classes[0].seen is None else ("trained",)
    left_out = (
        "" if len(shown) == len(ordered) else f" The {half} best and {half} worst of {counted(len(ordered), 'class')}."
    )
    return Figure(
        "classes",
        f"{model}, class by class",
        f"Share of each class's photos whose true label is first, and among the first guesses ({high}).{left_out}",
        f"Best {high}: {shown[0].name} {share(shown[0], high):.0%}. "
        f"Worst: {shown[-1].name} {share(shown[-1], high):.0%}.",
        bar_rows(bars, ((low, "s0"), (high, "s5")), longest=1.0),
        ("class", "name", *trained, "photos", *(key for key, _ in classes[0].shares)),
        tuple(
            (one.class_id, one.name, *(int(bool(one.seen)) for _ in trained), one.photos, *(v for _, v in one.shares))
            for one in ordered
        ),
    )


def _confusion(content: Content) -> Figure:
    rows = list(_rows(_crown(content.confusion), 0))
    drawn = _largest(rows)
    bars = [
        Bar(
            _name(branch, content.names.__getitem__),
            (
                (branch.right, "good"),
                (branch.kept - branch.right, "s5"),
                (branch.photos - branch.kept, "bad"),
            ),
            f"{branch.photos:,}",
            depth,
        )
        for branch, depth in drawn
    ]
    tree = content.confusion
    more = "" if len(drawn) == len(rows) else f" The {len(drawn)} largest of {len(rows):,} branches."
    return Figure(
        "confusion",
        f"Wrong first guesses of {content.model}",
        "Each row is a WordNet branch with true classes: guesses that are right, wrong but in the branch, or in "
        f"another branch.{more}",
        f"{tree.right:,} of {counted(tree.photos, 'photo')} named right; the tree below gives the details as text.",
        bar_rows(bars, (("right", "good"), ("wrong, same branch", "s5"), ("another branch", "bad"))),
        ("branch", "from", "to", "photos"),
        tuple(_flow_rows(tree, content.names)),
    )


def _rows(branch: Subtree, depth: int) -> Iterator[tuple[Subtree, int]]:
    yield branch, depth
    for below in branch.branches:
        yield from _rows(below, depth + 1)


def _crown(branch: Subtree) -> Subtree:
    """Return the first branch with more than one child."""
    while len(branch.branches) == 1:
        branch = branch.branches[0]
    return branch


def _largest(rows: list[tuple[Subtree, int]]) -> list[tuple[Subtree, int]]:
    """Return the rows with the most photos, in tree order."""
    order = sorted(range(len(rows)), key=lambda i: (-rows[i][0].photos, rows[i][1], i))
    kept = set(order[:_BRANCHES])
    return [row for i, row in enumerate(rows) if i in kept]


def _name(branch: Subtree, name_of: Callable[[str], str]) -> str:
    return name_of(branch.path[-1]) if branch.path else "all"


def _flow_rows(branch: Subtree, names: dict[str, str]) -> Iterator[Row]:
    for flow in branch.flows:
        yield _name(branch, names.__getitem__), names[flow.source], names[flow.target], flow.photos
    for below in branch.branches:
        yield from _flow_rows(below, names)
