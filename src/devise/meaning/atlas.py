"""The label space on a plane: a map of labels, and offsets between pairs of words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from devise.arrays import Float32, Float64
from devise.errors import DeviseError, LabelError, UsageError, counted
from devise.space.labelspace import LabelSpace
from devise.taxonomy.wordnet import Taxonomy
from devise.text.vectors import WordTable

__all__ = [
    "METHODS",
    "OFFSETS",
    "LabelGroup",
    "Panel",
    "Picture",
    "PlacedName",
    "Point",
    "branches",
    "label_map",
    "offset_consistency",
    "offset_picture",
    "placed_names",
]

METHODS = ("tsne", "pca")
"""Projections of vectors on a plane."""

OFFSETS: dict[str, tuple[tuple[str, ...], ...]] = {
    name: tuple(tuple(row.split()) for row in rows.split(", "))
    for name, rows in (
        (
            "gender",
            "man woman, king queen, uncle aunt, brother sister, father mother, son daughter, husband wife, "
            "prince princess, actor actress, nephew niece",
        ),
        (
            "comparative and superlative",
            "big bigger biggest, small smaller smallest, large larger largest, high higher highest, low lower lowest, "
            "long longer longest, strong stronger strongest, old older oldest, fast faster fastest",
        ),
    )
}
"""Word pairs and triples whose offsets are drawn."""

_Plane = Float64[np.ndarray, "points 2"]
_Rows = Float32[np.ndarray, "points dim"]
_NAMED = 3  # of each branch, on the map itself
_LEAST = 8  # points that t-SNE can lay out


@dataclass(frozen=True, slots=True)
class Point:
    """A name on the plane. group: position among the groups of its panel. named: whether its name is always shown."""

    x: float
    y: float
    name: str
    group: int
    detail: str = ""
    named: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One plane. lines: pairs of positions among the points, an arrow from the first to the second."""

    title: str
    points: tuple[Point, ...]
    groups: tuple[str, ...]
    lines: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """Panels side by side. note: an explanation for readers. left_out: what could not be shown, and why."""

    title: str
    note: str
    panels: tuple[Panel, ...]
    left_out: tuple[str, ...] = ()


def label_map(
    space: LabelSpace,
    taxonomy: Taxonomy,
    *,
    method: str = "tsne",
    most: int = 2000,
    colours: int = 10,
    seed: int = 0,
) -> Picture:
    """Place labels on a plane, coloured by WordNet subtree; count labels without a vector.

    most: number of labels above which a sample is shown. colours: most subtrees. The same seed gives the same
    picture on the same machine. UsageError for an unknown method, LabelError if fewer than eight labels have vectors.
    """
    known = np.flatnonzero(space.vectors.any(axis=1))
    outside = [place for place in known.tolist() if space.labels.ids[place] not in taxonomy]
    known = np.setdiff1d(known, outside)
    left_out = [f"{counted(len(space.without_vector), 'label')} without a vector"] if len(space.without_vector) else []
    left_out += [f"{counted(len(outside), 'label')} outside WordNet"] if outside else []
    if len(known) < _LEAST:
        raise LabelError(f"a map needs {_LEAST} labels with vectors, got {len(known)}: use a wider list")
    if len(known) > most:
        left_out.append(f"{len(known) - most:,} of {len(known):,} labels, outside the random sample (seed {seed})")
        known = np.sort(np.random.default_rng(seed).choice(known, most, replace=False))
    shown = space.subset(known)
    plane = _laid_out(shown.vectors, method, seed)
    parted = branches(taxonomy, shown.labels.ids, colours)
    group = {place: number for number, branch in enumerate(parted) for place in branch.members}
    named = {place for branch in parted for place in _spread(plane, branch.members)}
    points = tuple(
        Point(
            x=float(plane[place, 0]),
            y=float(plane[place, 1]),
            name=label.name,
            group=group[place],
            detail=taxonomy.synset(label.id).definition,
            named=place in named,
        )
        for place, label in enumerate(shown.labels)
    )
    how = "t-SNE of cosines" if method == "tsne" else "the two main axes (PCA)"
    note = (
        f"{counted(len(points), 'label')}, {how}; colours: branches of WordNet. Near points have "
        "similar meanings; long "
        "distances mean little."
    )
    panel = Panel("", points, tuple(f"{branch.name} ({len(branch.members)})" for branch in parted))
    return Picture("The label space", note, (panel,), tuple(left_out))


def offset_picture(words: WordTable) -> Picture:
    """Draw one panel per relation, with arrows between forms; the mean offset points right.

    The titles show how similar the offsets are. Rows with a word that has no vector are left out and named; LabelError
    if fewer than two rows of each relation are left.
    """
    panels, left_out = [], []
    for relation, rows in OFFSETS.items():
        missing = {row: [word for word in row if word not in words] for row in rows}
        known = [row for row in rows if not missing[row]]
        left_out += [f"{' - '.join(row)} (no vector: {', '.join(gone)})" for row, gone in missing.items() if gone]
        if len(known) >= 2:
            panels.append(_offsets(words, relation, known))
    if not panels:
        raise LabelError("no relation has two rows of words with vectors: use other word vectors")
    note = (
        "Right: the mean offset. Up: the axis of the largest remaining difference. In brackets: the cosine of a "
        "row's offset and the mean offset of the other rows; 1 is perfectly parallel, 0 is chance."
    )
    return Picture("Linear offsets", note, tuple(panels), tuple(left_out))


def offset_consistency(offsets: Float64[np.ndarray, "rows dim"]) -> float:
    """Average the cosine of each row's offset and the mean offset of the others, in [-1, 1].

    >>> round(offset_consistency(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])), 4)
    0.4714
    """
    others = offsets.sum(axis=0) - offsets
    lengths = np.linalg.norm(offsets, axis=1) * np.linalg.norm(others, axis=1)
    cosines = np.divide((offsets * others).sum(axis=1), lengths, out=np.zeros(len(offsets)), where=lengths > 0)
    return float(cosines.mean())


def _offsets(words: WordTable, relation: str, rows: Sequence[tuple[str, ...]]) -> Panel:
    unit = words.unit().astype(np.float64)
    places = [[words.position(word) or 0 for word in row] for row in rows]
    forms = unit[np.array(places)]  # rows, forms, dim
    count = forms.shape[1]
    plane = _along(forms.reshape(-1, forms.shape[2]), (forms[:, 1:] - forms[:, :-1]).mean(axis=(0, 1)))
    names = [word for row in rows for word in row]
    points = tuple(
        Point(float(x), float(y), name, group=place % count, detail=" - ".join(rows[place // count]), named=True)
        for place, ((x, y), name) in enumerate(zip(plane, names, strict=True))
    )
    lines = tuple((place, place + 1) for place in range(len(points)) if place % count < count - 1)
    alike = [offset_consistency(forms[:, form + 1] - forms[:, form]) for form in range(count - 1)]
    titles = ("male", "female") if count == 2 else ("positive", "comparative", "superlative")
    return Panel(f"{relation} ({', '.join(f'{one:.2f}' for one in alike)})", points, titles, lines)


def _laid_out(vectors: _Rows, method: str, seed: int) -> _Plane:
    if method == "pca":
        return _main_axes(vectors.astype(np.float64))
    if method != "tsne":
        raise UsageError(f"--method must be one of {', '.join(METHODS)}, got {method!r}")
    try:
        from sklearn.manifold import TSNE
        from threadpoolctl import threadpool_limits
    except ImportError:
        raise DeviseError("t-SNE needs scikit-learn: pip install 'devise-zsl[plots]', or use --method pca") from None
    perplexity = min(30.0, (len(vectors) - 1) / 3)
    with threadpool_limits(1):  # sums in one order, so that a seed gives one picture
        laid = TSNE(perplexity=perplexity, init="pca", metric="cosine", random_state=seed, n_jobs=1).fit_transform(
            vectors
        )
    return _framed(np.asarray(laid, dtype=np.float64))


def _main_axes(rows: Float64[np.ndarray, "points dim"]) -> _Plane:
    """Return principal components, with the largest entry of each axis positive to avoid mirroring."""
    centred = rows - rows.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2] * np.sign(axes[:2][[0, 1], np.abs(axes[:2]).argmax(axis=1)])[:, None]
    return _framed(centred @ axes.T)


def _along(rows: Float64[np.ndarray, "points dim"], direction: Float64[np.ndarray, "dim"]) -> _Plane:
    """Return x along the direction, and y along the first principal component of the rest."""
    axis = direction / (np.linalg.norm(direction) or 1.0)
    x = rows @ axis
    rest = rows - np.outer(x, axis)
    rest -= rest.mean(axis=0)
    _, _, axes = np.linalg.svd(rest, full_matrices=False)
    return _framed(np.column_stack([x, rest @ axes[0] * np.sign(axes[0][np.abs(axes[0]).argmax()])]))


def _framed(plane: _Plane) -> _Plane:
    """Move and scale both axes equally: the wider one from 0 to 1, the other centred."""
    low, high = plane.min(axis=0), plane.max(axis=0)
    width = float((high - low).max()) or 1.0
    return np.asarray((plane - (low + high) / 2) / width + 0.5)


def _spread(plane: _Plane, members: Sequence[int]) -> list[int]:
    """Choose a few distant members: the first, then repeatedly the farthest from those chosen."""
    rows = plane[list(members)]
    chosen = [0]
    while len(chosen) < min(_NAMED, len(members)):
        away = np.linalg.norm(rows[:, None] - rows[chosen][None], axis=2).min(axis=1)
        chosen.append(int(away.argmax()))
    return [members[place] for place in chosen]


_SIDES = ((1, 1), (1, -1), (-1, 1), (-1, -1))
"""Sides of a point for its name, best first: right or left, above or below."""

_Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class PlacedName:
    """A name and its side of the point: 1 is right and above, -1 left and below."""

    point: Point
    right: int
    above: int


def placed_names(panel: Panel, letter: float, line: float) -> tuple[PlacedName, ...]:
    """Place each name that fits, in the order of the points.

    letter, line: width of a letter and height of a line, in units of the plane. A map leaves out names that do not fit;
    a picture of words shows every name, and keeps names off the points too.
    """
    words = bool(panel.lines)
    taken: list[_Box] = [_dot(point, line / 2) for point in panel.points] if words else []
    placed = []
    for point in panel.points:
        if not point.named:
            continue
        boxes = {side: _box(point, side, len(point.name) * letter, line) for side in _SIDES}
        free = [side for side, box in boxes.items() if not any(_meet(box, other) for other in taken)]
        if free or words:
            side = free[0] if free else _SIDES[0]
            taken.append(boxes[side])
            placed.append(PlacedName(point, *side))
    return tuple(placed)


def _dot(point: Point, size: float) -> _Box:
    return point.x - size / 2, point.y - size / 2, size, size


def _box(point: Point, side: tuple[int, int], width: float, line: float) -> _Box:
    """Return left, bottom, width and height."""
    away = line / 3
    left = point.x + away if side[0] > 0 else point.x - away - width
    return left, point.y + away / 2 if side[1] > 0 else point.y - away / 2 - line, width, line


def _meet(one: _Box, other: _Box) -> bool:
    return all(one[i] < other[i] + other[i + 2] and other[i] < one[i] + one[i + 2] for i in (0, 1))


_LEAST_LABELS = 0.02  # of all labels: a smaller subtree is not worth a colour

_Way = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LabelGroup:
    """A group of labels below one synset.

    id: of the synset; "" for labels in no subtree large enough. name: of it, or "other"; if subtrees of it are separate
    branches, its name and "other". members: positions in the given list, ascending.
    """

    id: str
    name: str
    members: tuple[int, ...]


def branches(taxonomy: Taxonomy, ids: Sequence[str], most: int = 10) -> tuple[LabelGroup, ...]:
    """Group labels into at most `most` branches, largest first, "other" last; each label in one.

    Repeatedly split the largest subtree off the branch with the most labels. A subtree of less than a fiftieth of all
    labels is not split off; a rest as small goes to the others. Each label uses its first path to the root.
    """
    ways = [taxonomy.hypernym_paths(one)[0] for one in ids]
    least = max(2.0, _LEAST_LABELS * len(ids))
    groups: dict[_Way, list[int]] = {(): list(range(len(ids)))}
    whole: set[_Way] = set()
    cut: set[_Way] = set()
    others: list[int] = []
    while len(groups) + 1 < most and len(whole) < len(groups):
        key = max((one for one in groups if one not in whole), key=lambda one: (len(groups[one]), one))
        child, subtree = _largest_subtree(groups[key], ways, key)
        if len(subtree) < least:
            whole.add(key)
            continue
        rest = sorted(set(groups.pop(key)).difference(subtree))
        groups[child] = subtree
        if len(rest) >= least:
            groups[key] = rest
            cut.add(key)
        else:
            others += rest
    others += groups.pop((), [])
    found = [
        LabelGroup(key[-1], taxonomy.synset(key[-1]).name + (", other" if key in cut else ""), tuple(groups[key]))
        for key in sorted(groups, key=lambda key: (-len(groups[key]), key))
    ]
    return (*found, LabelGroup("", "other", tuple(sorted(others)))) if others else tuple(found)


def _largest_subtree(members: Sequence[int], ways: Sequence[_Way], key: _Way) -> tuple[_Way, list[int]]:
    """Return the child with the most labels below it, and these; ties go to the smaller id."""
    below: dict[_Way, list[int]] = {}
    for place in members:
        if len(ways[place]) > len(key):
            below.setdefault(ways[place][: len(key) + 1], []).append(place)
    child = min(below, key=lambda one: (-len(below[one]), one), default=())
    return child, below.get(child, [])
