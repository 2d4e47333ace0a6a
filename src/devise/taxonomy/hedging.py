"""Hedging: the probability below each node of the is-a graph, and the most informative node that is sure.

Deng, Krause, Berg and Fei-Fei 2012, "Hedging your bets: optimizing accuracy-specificity trade-offs in large scale
visual recognition": an answer higher up in the hierarchy is right more often and says less.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from devise.arrays import Bool, Float, Float64, Int64
from devise.errors import TaxonomyError
from devise.taxonomy.graph import Adjacency, IsaGraph, Nodes, distinct
from devise.taxonomy.wordnet import Taxonomy

__all__ = [
    "LabelTree",
    "information",
    "label_tree",
    "labels_below",
    "narrowing",
    "pruned",
    "shares_up",
    "sure_node",
    "sure_nodes",
]

Probabilities = Float[np.ndarray, "images labels"]
"""Of each label for each picture; each row sums to 1."""
Shares = Float64[np.ndarray, "images nodes"]
"""The probability at or below each node, in [0, 1]."""
Bits = Float64[np.ndarray, "nodes"]
Answers = Int64[np.ndarray, "images thresholds"]
"""Nodes of a tree, -1 for none."""

_ROUNDING = 1e-9  # by how much a share may miss the threshold: sums of 40,000 float64 are off by less


@dataclass(frozen=True, eq=False)
class LabelTree:
    """Some labels and all their ancestors in the is-a graph.

    ids: of the nodes: synsets ascending, then labels that are not synsets. own: the node of each label.
    counts: how many of the labels are at or below each node; each label counts once, whichever ways lead up from it.
    graph: the is-a edges between the nodes.
    """

    ids: tuple[str, ...]
    own: Nodes
    counts: Int64[np.ndarray, "nodes"]
    graph: IsaGraph
    _runs: "_Runs"

    @cached_property
    def positions(self) -> dict[str, int]:
        """The node of each id."""
        return dict(zip(self.ids, range(len(self.ids)), strict=True))


@dataclass(frozen=True, eq=False)
class _Runs:
    """The labels in the order of a walk down the graph, in which the labels below a node form one or a few runs.

    A sum up the tree is then a difference of running sums: 11,587 runs for the 9,223 nodes above WordNet's 39,558
    physical nouns, where adding up the labels below each takes 102,497 terms even of sums over siblings.

    labels: positions of labels, in the order of the walk. inner: nodes that have a label below them or are above one.
    starts, ends: of the runs in that order, node after node of `inner`; first: the first run of each.
    """

    labels: Nodes
    inner: Nodes
    starts: Nodes
    ends: Nodes
    first: Nodes

    @cached_property
    def single(self) -> tuple[Nodes, Nodes]:
        """Places in `inner` of nodes with one label at or below them, and the position of that label."""
        lengths = np.add.reduceat(self.ends - self.starts, self.first) if len(self.first) else self.first
        places = np.flatnonzero(lengths == 1)
        return places, self.labels[self.starts[self.first[places]]]


def label_tree(taxonomy: Taxonomy, labels: Sequence[str], parents: Mapping[str, str] | None = None) -> LabelTree:
    """The nodes at or above the labels.

    labels: ids, synsets or not.
    parents: the synset above each label that is not a synset. One that is not in it is put below the root of the
        taxonomy; if it has several roots, below nothing.

    TaxonomyError for a duplicate label, without labels, or if a parent is not a synset of the taxonomy.
    """
    if not labels or len(set(labels)) != len(labels):
        raise TaxonomyError("a tree needs labels without duplicates")
    up = taxonomy.upward
    own = taxonomy.places(labels)
    strange = [labels[place] for place in np.flatnonzero(own < 0).tolist()]
    own[own < 0] = len(taxonomy) + np.arange(len(strange))
    whole = _with_leaves(up, [_parents_of(taxonomy, label, parents or {}) for label in strange])
    inner = _at_or_above(whole, whole.after(own))
    nodes = np.union1d(inner, own)
    child = np.repeat(nodes, np.diff(whole.starts)[nodes])
    graph = IsaGraph(len(nodes), np.searchsorted(nodes, child), np.searchsorted(nodes, whole.after(nodes)))
    own = np.searchsorted(nodes, own)
    runs = _runs_of(graph, own, np.searchsorted(nodes, inner))
    all_ids = (*taxonomy.ids, *strange) if strange else taxonomy.ids
    ids = tuple([all_ids[place] for place in nodes.tolist()])
    counts = _summed(runs, own, len(nodes), np.ones((1, len(labels))))[0].astype(np.int64)
    return LabelTree(ids, own, counts, graph, runs)


def pruned(tree: LabelTree, labels: Nodes) -> LabelTree:
    """The tree of some of its labels, in a fraction of the time of `label_tree`.

    labels: distinct positions among the labels of the tree.
    """
    place = np.full(len(tree.own), -1, dtype=np.int64)
    place[labels] = np.arange(len(labels))
    is_kept = place >= 0
    runs = tree._runs
    counts = _summed(runs, tree.own, len(tree.ids), is_kept[None].astype(float))[0].astype(np.int64)
    nodes = np.flatnonzero(counts)
    moved = np.cumsum(counts > 0) - 1
    of_kept = counts[tree.graph.child] > 0  # all parents of such a child are kept too
    graph = IsaGraph(len(nodes), moved[tree.graph.child[of_kept]], moved[tree.graph.parent[of_kept]])
    walk = place[runs.labels]
    before = np.concatenate([[0], np.cumsum(walk >= 0)])
    starts, ends = before[runs.starts], before[runs.ends]
    full = np.flatnonzero(starts < ends)
    of_node = np.repeat(runs.inner, np.diff(runs.first, append=len(starts)))[full]
    starts, ends = starts[full], ends[full]
    # Runs that meet become one: nodes above the same labels then have the same sums, to the last bit.
    opens = np.flatnonzero(
        (np.diff(of_node, prepend=-1) != 0) | (starts != np.concatenate([[-1], ends[:-1]])[: len(starts)])
    )
    closes = np.append(opens[1:], len(starts))[: len(opens)] - 1
    inner = runs.inner[counts[runs.inner] > 0]
    first = np.searchsorted(of_node[opens], inner)
    kept = _Runs(walk[walk >= 0], moved[inner], starts[opens], ends[closes], first)
    ids = tuple([tree.ids[node] for node in nodes.tolist()])
    return LabelTree(ids, moved[tree.own[labels]], counts[nodes], graph, kept)


def information(tree: LabelTree) -> Bits:
    """Compute the bits of each node: log2(all labels / labels at or below it), for the labels of the tree.

    It is 0 for what is above all labels, and log2 of the number of labels for one that has no other below it: what
    remains open when one knows no more than that the right label is one of these.

    >>> from devise.taxonomy.wordnet import default_taxonomy
    >>> tree = label_tree(default_taxonomy(), ["n02123045", "n02123159", "n02391049", "n03467517"])
    >>> information(tree)[tree.positions["n02121808"]]  # domestic cat: two of four labels
    np.float64(1.0)
    """
    return np.log2(len(tree.own) / tree.counts)


def shares_up(tree: LabelTree, probabilities: Probabilities) -> Shares:
    """Compute the probability of each node: the sum over the labels at or below it, each counted once."""
    return _summed(tree._runs, tree.own, len(tree.ids), probabilities)


def sure_node(
    tree: LabelTree,
    shares: Float64[np.ndarray, "nodes"],
    threshold: float,
    allowed: Bool[np.ndarray, "nodes"] | None = None,
) -> int:
    """Find the most informative node with at least this share of the probability; -1 if there is none.

    shares: of one picture. allowed: nodes that may be the answer; None is all. Of equally informative nodes the one
    with the higher share wins, then the deeper one, then the first.
    """
    enough = shares >= threshold - _ROUNDING
    nodes = np.flatnonzero(enough if allowed is None else enough & allowed)
    if not len(nodes):
        return -1
    return int(nodes[_by_information(tree, shares[nodes], nodes)[0]])


def sure_nodes(tree: LabelTree, probabilities: Probabilities, thresholds: Float64[np.ndarray, "thresholds"]) -> Answers:
    """Find `sure_node` of each picture at each threshold, in a third of the time per picture."""
    found = np.full((len(probabilities), len(thresholds)), -1, dtype=np.int64)
    lowest = thresholds.min(initial=np.inf) - _ROUNDING
    is_inner = np.zeros(len(tree.ids), dtype=bool)
    is_inner[tree._runs.inner] = True
    for row, of_image in zip(found, probabilities, strict=True):
        sums = _inner_sums(tree._runs, of_image)
        wide = np.flatnonzero(sums >= lowest)
        likely = np.flatnonzero(of_image >= lowest)
        narrow = likely[~is_inner[tree.own[likely]]]
        nodes = np.concatenate([tree._runs.inner[wide], tree.own[narrow]])
        shares = np.concatenate([sums[wide], of_image[narrow]])
        order = _by_information(tree, shares, nodes)
        for column, threshold in enumerate(thresholds.tolist()):
            enough = np.flatnonzero(shares[order] >= threshold - _ROUNDING)
            if len(enough):
                row[column] = nodes[order[enough[0]]]
    return found


def labels_below(tree: LabelTree, labels: Nodes) -> Adjacency:
    """From each node to those of some labels that are at or below it.

    labels: positions among the labels of the tree. A row has places in `labels`, ascending.
    """
    nodes, places = np.divmod(
        _closure(tree.graph.up, [(node,) for node in tree.own[labels].tolist()]), max(1, len(labels))
    )
    return Adjacency.of_pairs(len(tree.ids), nodes, places)


def narrowing(tree: LabelTree, shares: Float64[np.ndarray, "nodes"], node: int, label: int) -> list[int]:
    """Return the path from a root through a node to a label at or below it, over the most likely parents.

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


def _by_information(tree: LabelTree, shares: Float64[np.ndarray, "_nodes"], nodes: Nodes) -> Nodes:
    """Sort these nodes, with the given shares, by the rule of `sure_node`."""
    return np.lexsort((nodes, -tree.graph.depths[nodes], -shares, tree.counts[nodes]))


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


def _runs_of(graph: IsaGraph, own: Nodes, inner: Nodes) -> _Runs:
    """A label begins at its own node if that is above another label, else at its parents; those that begin alike form
    a group, and groups lie in the order in which a walk from the roots down first meets where they begin.
    """
    is_inner = np.zeros(graph.size, dtype=bool)
    is_inner[inner] = True
    starts, counts = graph.up.starts[own], np.diff(graph.up.starts)[own]
    itself = is_inner[own]
    alone = np.flatnonzero(itself | (counts == 1))  # nearly all labels begin at one node
    alone_at = own.copy()
    alone_at[~itself & (counts == 1)] = graph.up.targets[starts[~itself & (counts == 1)]]
    others = np.flatnonzero(~itself & (counts != 1)).tolist()
    others_at = [tuple(sorted(graph.up.row(node).tolist())) for node in own[others].tolist()]
    met = _walk(graph, is_inner)
    ones = [(met[node], (node,)) for node in distinct(alone_at[alone]).tolist()]
    several = [(min((met[node] for node in of), default=-1), of) for of in set(others_at)]
    ordered = [of for _, of in sorted(ones + several)]
    group = dict(zip(ordered, range(len(ordered)), strict=True))
    of_node = np.zeros(graph.size, dtype=np.int64)
    of_node[[of[0] for _, of in ones]] = [group[of] for _, of in ones]
    of_label = of_node[alone_at]
    of_label[others] = [group[of] for of in others_at]
    labels = np.argsort(of_label, kind="stable")
    edges = np.searchsorted(of_label[labels], np.arange(len(ordered) + 1))
    pairs = _closure(graph.up, ordered)
    nodes, members = np.divmod(pairs, len(ordered))
    opens = np.flatnonzero((np.diff(members, prepend=-2) != 1) | (np.diff(nodes, prepend=-1) != 0))
    closes = np.append(opens[1:], len(pairs))[: len(opens)] - 1
    first = np.searchsorted(nodes[opens], inner)
    return _Runs(labels, inner, edges[members[opens]], edges[members[closes] + 1], first)


def _walk(graph: IsaGraph, inner: Bool[np.ndarray, "nodes"]) -> list[int]:
    """Return the step at which a depth-first walk from the roots over inner nodes first visits each; -1 for others."""
    met = [-1] * graph.size
    roots = np.diff(graph.up.starts) == 0
    left = np.flatnonzero(roots & inner)[::-1].tolist()
    is_edge = inner[graph.child]
    down = Adjacency.of_pairs(graph.size, graph.parent[is_edge], graph.child[is_edge])
    starts, targets = down.starts.tolist(), down.targets.tolist()
    count = 0
    while left:
        node = left.pop()
        if met[node] < 0:
            met[node] = count
            count += 1
            left.extend(reversed(targets[starts[node] : starts[node + 1]]))
    return met


def _closure(up: Adjacency, begins: Sequence[tuple[int, ...]]) -> Nodes:
    """node x groups + group for each node at or above one where the group begins, ascending."""
    size = max(1, len(begins))
    wave = np.array([node * size + group for group, of in enumerate(begins) for node in of], dtype=np.int64)
    found = [wave]
    while len(wave):  # the graph has no circle, so it ends
        nodes, groups = np.divmod(wave, size)
        wave = distinct(up.after(nodes) * size + np.repeat(groups, np.diff(up.starts)[nodes]))
        found.append(wave)
    return distinct(np.concatenate(found))


def _summed(runs: _Runs, own: Nodes, nodes: int, values: Float[np.ndarray, "images labels"]) -> Shares:
    sums = np.zeros((len(values), nodes))
    sums[:, own] = values  # right for labels that have none below them; the others are overwritten
    for row, of_image in zip(sums, values, strict=True):  # one by one they stay in the processor's cache
        row[runs.inner] = _inner_sums(runs, of_image)
    return sums


def _inner_sums(runs: _Runs, values: Float[np.ndarray, "labels"]) -> Float64[np.ndarray, "inner"]:
    if not len(runs.inner):
        return np.zeros(0)
    running = np.zeros(len(values) + 1)
    np.cumsum(values[runs.labels], out=running[1:])
    sums: Float64[np.ndarray, "inner"] = np.add.reduceat(running[runs.ends] - running[runs.starts], runs.first)
    places, labels = runs.single
    sums[places] = values[labels]  # exactly, or rounding would choose between a label and the only noun above it
    return sums
