"""Hedging: how much probability is below each node of the is-a graph, and the most informative node that is sure.

Deng, Krause, Berg and Fei-Fei 2012, "Hedging your bets: optimizing accuracy-specificity trade-offs in large scale
visual recognition": an answer higher up in the hierarchy is right more often and says less.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from devise.errors import TaxonomyError
from devise.taxonomy.graph import Adjacency, IsaGraph, Nodes
from devise.taxonomy.wordnet import Taxonomy

__all__ = ["LabelTree", "information", "label_tree", "narrowing", "shares_up", "sure_node"]

Probabilities = Float[np.ndarray, "images labels"]
"""Of each label for each picture; each row sums to 1."""
Shares = Float64[np.ndarray, "images nodes"]
"""The probability at or below each node, in [0, 1]."""
Bits = Float64[np.ndarray, "nodes"]

_ROUNDING = 1e-9  # by how much a share may miss the threshold: sums of 40,000 float64 are off by less
_BLOCK = 16  # pictures summed at once: 12 MB for WordNet's 40,000 labels


@dataclass(frozen=True, eq=False)
class LabelTree:
    """Some labels and all that is above them in the is-a graph.

    ids: of the nodes: synsets ascending, then labels that are no synset. own: the node of each label.
    counts: how many of the labels are at or below each node; each label counts once, whichever ways lead up from it.
    graph: the is-a edges between the nodes.
    """

    ids: tuple[str, ...]
    own: Nodes
    counts: Int64[np.ndarray, "nodes"]
    graph: IsaGraph
    _groups: "_Groups"

    @cached_property
    def positions(self) -> dict[str, int]:
        """The node of each id."""
        return dict(zip(self.ids, range(len(self.ids)), strict=True))


@dataclass(frozen=True, eq=False)
class _Groups:
    """Labels with the same strict ancestors are summed once: 9,838 groups for WordNet's 40,000 labels.

    labels: positions of labels, group after group. starts: the first of each group. inner: nodes that have a label
    below them or are above one. members: the groups at or below each inner node, node after node, from `first` on.
    """

    labels: Nodes
    starts: Nodes
    inner: Nodes
    members: Nodes
    first: Nodes


def label_tree(taxonomy: Taxonomy, labels: Sequence[str], parents: Mapping[str, str] | None = None) -> LabelTree:
    """The nodes at or above the labels.

    labels: ids, synsets or not.
    parents: the synset above each label that is no synset. One that is not in it hangs below the root of the
        taxonomy; where there are several roots, below nothing.

    TaxonomyError if a label is given twice, there is none, or a parent is no synset of the taxonomy.
    """
    if not labels or len(set(labels)) != len(labels):
        raise TaxonomyError("a tree needs labels, each of them once")
    up = taxonomy.upward
    strange = [label for label in labels if label not in taxonomy]
    places = {label: len(taxonomy) + number for number, label in enumerate(strange)}
    whole = _with_leaves(up, [_parents_of(taxonomy, label, parents or {}) for label in strange])
    own = np.array([places[one] if one in places else taxonomy.place(one) for one in labels], dtype=np.int64)
    inner = _at_or_above(whole, whole.after(own))
    nodes = np.union1d(inner, own)
    child = np.repeat(nodes, np.diff(whole.starts)[nodes])
    graph = IsaGraph(len(nodes), np.searchsorted(nodes, child), np.searchsorted(nodes, whole.after(nodes)))
    own = np.searchsorted(nodes, own)
    groups = _grouped(graph.up, own, np.searchsorted(nodes, inner))
    ids = tuple(taxonomy.ids[place] if place < len(taxonomy) else strange[place - len(taxonomy)] for place in nodes)
    counts = _summed(groups, own, len(nodes), np.ones((1, len(labels))))[0].astype(np.int64)
    return LabelTree(ids, own, counts, graph, groups)


def information(tree: LabelTree) -> Bits:
    """Bits that each node tells: log2(labels in all / labels at or below it), the labels being those of the tree.

    It is 0 for what is above all labels, and log2 of the number of labels for one that has no other below it: what
    remains open when one knows no more than that the right label is one of these.

    >>> from devise.taxonomy.wordnet import default_taxonomy
    >>> tree = label_tree(default_taxonomy(), ["n02123045", "n02123159", "n02391049", "n03467517"])
    >>> information(tree)[tree.positions["n02121808"]]  # domestic cat: two of four labels
    np.float64(1.0)
    """
    return np.log2(len(tree.own) / tree.counts)


def shares_up(tree: LabelTree, probabilities: Probabilities) -> Shares:
    """The probability of each node: the sum over the labels at or below it, each label counted once."""
    blocks = [probabilities[at : at + _BLOCK] for at in range(0, len(probabilities), _BLOCK)]
    sums = [_summed(tree._groups, tree.own, len(tree.ids), block) for block in blocks]
    return np.concatenate(sums) if sums else np.zeros((0, len(tree.ids)))


def sure_node(
    tree: LabelTree,
    shares: Float64[np.ndarray, "nodes"],
    threshold: float,
    allowed: Bool[np.ndarray, "nodes"] | None = None,
) -> int:
    """The most informative node with at least this share of the probability; -1 if there is none.

    shares: of one picture. allowed: nodes that may be the answer; None is all. Of equally informative nodes the one
    with the higher share wins, then the deeper one, then the first.
    """
    enough = shares >= threshold - _ROUNDING
    nodes = np.flatnonzero(enough if allowed is None else enough & allowed)
    if not len(nodes):
        return -1
    order = np.lexsort((nodes, -tree.graph.depths[nodes], -shares[nodes], tree.counts[nodes]))
    return int(nodes[order[0]])


def narrowing(tree: LabelTree, shares: Float64[np.ndarray, "nodes"], node: int, label: int) -> list[int]:
    """The way from a root through a node down to a label at or below it; each step up takes the likeliest parent.

    label: its node.
    """
    below = np.zeros(len(tree.ids), dtype=bool)
    below[tree.graph.reach(tree.graph.down, node)] = True
    assert below[label], "the label is at or below the node"
    way = [label]
    while way[-1] != node:
        way.append(_likeliest(shares, [one for one in tree.graph.up.row(way[-1]).tolist() if below[one]]))
    while parents := tree.graph.up.row(way[-1]).tolist():
        way.append(_likeliest(shares, parents))
    return way[::-1]


def _likeliest(shares: Float64[np.ndarray, "nodes"], nodes: Sequence[int]) -> int:
    return max(nodes, key=lambda node: float(shares[node]))


def _parents_of(taxonomy: Taxonomy, label: str, parents: Mapping[str, str]) -> list[int]:
    if label in parents:
        return [taxonomy.place(parents[label])]
    roots = np.flatnonzero(np.diff(taxonomy.upward.starts) == 0)
    return roots.tolist() if len(roots) == 1 else []


def _with_leaves(up: Adjacency, parents: Sequence[Sequence[int]]) -> Adjacency:
    """The graph with one more node for each entry of `parents`."""
    ends = up.starts[-1] + np.cumsum([len(row) for row in parents], dtype=np.int64)
    more = np.array([one for row in parents for one in row], dtype=np.int64)
    return Adjacency(np.concatenate([up.starts, ends]), np.concatenate([up.targets, more]))


def _at_or_above(up: Adjacency, nodes: Nodes) -> Nodes:
    return np.flatnonzero(up.steps(nodes) >= 0)


def _grouped(up: Adjacency, own: Nodes, inner: Nodes) -> _Groups:
    """Labels by where their sums begin: at their own node if that is above another label, else at their parents."""
    is_inner = np.zeros(up.size, dtype=bool)
    is_inner[inner] = True
    begins: dict[tuple[int, ...], int] = {}
    of_label = []
    for node, itself in zip(own.tolist(), is_inner[own].tolist(), strict=True):
        begin = (node,) if itself else tuple(sorted(up.row(node).tolist()))
        of_label.append(begins.setdefault(begin, len(begins)))
    groups = np.array(of_label, dtype=np.int64)
    labels = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[labels], np.arange(len(begins)))
    pairs = _closure(up, list(begins))
    nodes, members = np.divmod(pairs, max(1, len(begins)))
    return _Groups(labels, starts, inner, members, np.searchsorted(nodes, inner))


def _closure(up: Adjacency, begins: Sequence[tuple[int, ...]]) -> Nodes:
    """node x groups + group for each node at or above one where the group begins, ascending."""
    size = max(1, len(begins))
    wave = np.array([node * size + group for group, of in enumerate(begins) for node in of], dtype=np.int64)
    found = [wave]
    while len(wave):  # the graph has no circle, so it ends
        nodes, groups = np.divmod(wave, size)
        wave = _distinct(up.after(nodes) * size + np.repeat(groups, np.diff(up.starts)[nodes]))
        found.append(wave)
    return _distinct(np.concatenate(found))


def _distinct(pairs: Nodes) -> Nodes:
    """Ascending, each once; np.unique hashes, and on these multiples of one number that took 50 times as long."""
    pairs = np.sort(pairs)
    return pairs[np.diff(pairs, prepend=-1) > 0]


def _summed(groups: _Groups, own: Nodes, nodes: int, values: Float[np.ndarray, "images labels"]) -> Shares:
    sums = np.zeros((len(values), nodes))
    sums[:, own] = values  # right for labels that have none below them; the others are overwritten
    if len(groups.inner):
        of_group = np.add.reduceat(values[:, groups.labels].astype(np.float64), groups.starts, axis=1)
        sums[:, groups.inner] = np.add.reduceat(of_group[:, groups.members], groups.first, axis=1)
    return sums
