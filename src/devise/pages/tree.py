"""Draw names as a WordNet tree: one SVG that loads nothing."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from devise.errors import UsageError, counted
from devise.labels import Label
from devise.model.answers import Answer
from devise.model.labeller import Model
from devise.model.sense_choice import Meanings
from devise.pages.frame import percent, printable
from devise.taxonomy.wordnet import Taxonomy

__all__ = ["Leaf", "NameTree", "Node", "drawn", "grown", "tree_svg"]

_ROW, _GAP, _MARGIN = 24, 34, 16  # pixels
_LETTER, _BOLD = 7.2, 8.2  # pixels that a letter of 13 px takes at most on average
_LONGEST = 40  # letters of a name that are drawn
_STYLE = """
svg { background: #fff; color: #1b1b1b; font: 13px system-ui, sans-serif }
path { fill: none; stroke: #9a9a9a } text { fill: currentColor } .wide { font-weight: 600 } .remark { fill: #5c5c5c }
@media (prefers-color-scheme: dark) { svg { background: #181818; color: #eee } .remark { fill: #b0b0b0 } }
"""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A name to draw.

    path: ids from the root of the taxonomy to the name. weight: at least 0. remark: text after the name.
    """

    path: tuple[str, ...]
    weight: float = 0.0
    remark: str = ""


@dataclass(slots=True)
class Node:
    """A node of the drawing. weight: of its whole subtree. children: the heaviest first."""

    id: str
    weight: float = 0.0
    remark: str = ""
    children: list["Node"] = field(default_factory=list)


def grown(leaves: Sequence[Leaf]) -> Node:
    """Return the tree of all leaves, without nodes that have a single branch; UsageError without leaves.

    The weights of two leaves with the same path are added.

    >>> tree = grown([Leaf(("animal", "cat", "tabby"), 2), Leaf(("animal", "dog"), 3)])
    >>> tree.id, [(one.id, one.weight) for one in tree.children]
    ('animal', [('dog', 3.0), ('tabby', 2.0)])
    """
    if not leaves:
        raise UsageError("a tree needs at least one name, got none")
    root, ends = Node(""), set[str]()
    for leaf in leaves:
        node = root
        node.weight += leaf.weight
        for one in leaf.path:
            child = next((found for found in node.children if found.id == one), None)
            if child is None:
                child = Node(one)
                node.children.append(child)
            node = child
            node.weight += leaf.weight
        node.remark = leaf.remark
        ends.add(node.id)
    return _pruned(root, ends)


def _pruned(node: Node, ends: set[str]) -> Node:
    while len(node.children) == 1 and node.id not in ends:
        node = node.children[0]
    node.children = sorted((_pruned(one, ends) for one in node.children), key=lambda one: -one.weight)
    return node


def tree_svg(tree: Node, names: Mapping[str, str], title: str) -> str:
    """Return the drawing, with the root at the left. names: of every id in it."""
    columns = list(_columns(tree))
    widths = [max(_width(one, names) for one in column) + _GAP for column in columns]
    starts = [_MARGIN + sum(widths[:depth]) for depth in range(len(widths))]
    lines: list[str] = []
    rows = _drawn(tree, 0, 0, starts, widths, names, lines)[1]
    width, height = round(starts[-1] + widths[-1]), 2 * _MARGIN + rows * _ROW
    shown = escape(printable(title))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img">\n<title>{shown}</title>\n<style>{_STYLE}</style>\n' + "\n".join(lines) + "\n</svg>\n"
    )


def _columns(tree: Node) -> Iterator[list[Node]]:
    column = [tree]
    while column:
        yield column
        column = [child for node in column for child in node.children]


def _label(node: Node, names: Mapping[str, str]) -> str:
    name = printable(names[node.id])
    name = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
    return f"{name} {node.remark}" if node.remark else name


def _width(node: Node, names: Mapping[str, str]) -> float:
    return len(_label(node, names)) * (_BOLD if node.children else _LETTER)


def _drawn(
    node: Node,
    depth: int,
    row: int,
    starts: Sequence[float],
    widths: Sequence[float],
    names: Mapping[str, str],
    lines: list[str],
) -> tuple[float, int]:
    """Draw the subtree from this row on; return its height in pixels and the next free row."""
    heights = []
    first = row
    for child in node.children:
        height, row = _drawn(child, depth + 1, row, starts, widths, names, lines)
        heights.append(height)
    row = max(row, first + 1)
    y = (heights[0] + heights[-1]) / 2 if heights else _MARGIN + (first + 0.5) * _ROW
    label = _label(node, names)
    name = label[: len(label) - len(node.remark)] if node.remark else label
    kind = ' class="wide"' if node.children else ""
    remark = f'<tspan class="remark">{escape(node.remark)}</tspan>' if node.remark else ""
    lines.append(f'<text x="{starts[depth]:g}" y="{y + 4.5:g}"{kind}>{escape(name)}{remark}</text>')
    begin = starts[depth] + _width(node, names) + 4
    bend = starts[depth] + widths[depth] - _GAP / 2
    lines += [f'<path d="M{begin:g} {y:g}H{bend:g}V{height:g}H{starts[depth + 1] - 5:g}"/>' for height in heights]
    return y, row


def drawn(taxonomy: Taxonomy, leaves: Sequence[Leaf], names: Mapping[str, str], title: str) -> str:
    """Return the drawing of all leaves. names: of ids that the taxonomy does not know or names differently."""
    above = {one for leaf in leaves for one in leaf.path if one in taxonomy}
    return tree_svg(grown(leaves), {one: taxonomy.synset(one).name for one in above} | dict(names), title)


class NameTree:
    """Collects the names of photos to draw: a count per name, and the first photo's guesses."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._first: Answer | None = None
        self._labels: dict[str, Label] = {}
        self._counts: Counter[str] = Counter()

    @property
    def photos(self) -> int:
        """Number of photos with a name."""
        return self._counts.total()

    def add(self, answer: Answer) -> None:
        """Add one photo."""
        if not answer.guesses:
            return
        best = answer.guesses[0].label
        self._first = self._first or answer
        self._labels[best.id] = best
        self._counts[best.id] += 1

    def drawing(self) -> str:
        """Return the drawing; UsageError if no photo has a name."""
        if self.photos == 1 and self._first is not None:
            labels = [guess.label for guess in self._first.guesses]
            leaves = [self._leaf(one.label, one.score, percent(one.score)) for one in self._first.guesses]
            title = f"What {self._first.source} may show"
        else:
            labels = list(self._labels.values())
            leaves = [self._leaf(self._labels[one], count, f"{count:,}") for one, count in self._counts.items()]
            title = f"The names of {counted(self.photos, 'photo')}"
        return drawn(self._model.parts.taxonomy, leaves, {label.id: label.name for label in labels}, title)

    def _leaf(self, label: Label, weight: float, remark: str) -> Leaf:
        """Return the path of a label; one that WordNet lacks is below its genus, else below the root."""
        taxonomy = self._model.parts.taxonomy
        if label.id in taxonomy:
            return Leaf(taxonomy.hypernym_paths(label.id)[0], weight, remark)
        kinds = Meanings(self._model.parts).kinds_of(label.name, label.gloss)
        above = taxonomy.hypernym_paths(kinds[0])[0] if kinds else taxonomy.hypernym_paths("n00001740")[0]
        return Leaf((*above, label.id), weight, remark)
