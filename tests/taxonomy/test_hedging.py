"""Sums up the tree, by hand and against a slow count of ancestor sets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.errors import TaxonomyError
from devise.taxonomy.hedging import (
    LabelTree,
    information,
    label_tree,
    labels_below,
    narrowing,
    pruned,
    shares_up,
    sure_node,
    sure_nodes,
)
from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import Taxonomy

from .conftest import farm_synsets, numbered

NAMES = {synset.name: synset.id for synset in farm_synsets()}


def by_name(tree: LabelTree, values: np.ndarray) -> dict[str, float]:
    names = {synset_id: name for name, synset_id in NAMES.items()}
    return {names.get(one, one): float(value) for one, value in zip(tree.ids, values, strict=True)}


@pytest.fixture(scope="module")
def tree(farm: Taxonomy) -> LabelTree:
    """dog and cat have two parents; dog is a label above two others."""
    return label_tree(farm, [NAMES[name] for name in ("puppy", "dog", "Lassie", "kitten", "tool")])


P = np.array([[0.4, 0.2, 0.1, 0.2, 0.1]])


def test_each_label_counts_once_although_two_ways_lead_up(tree: LabelTree) -> None:
    shares = by_name(tree, shares_up(tree, P)[0])
    assert shares == pytest.approx(
        {"entity": 1, "animal": 0.9, "pet": 0.9, "dog": 0.7, "cat": 0.2, "puppy": 0.4, "Lassie": 0.1, "kitten": 0.2}
        | {"tool": 0.1}
    )


def test_labels_below_each_node(tree: LabelTree) -> None:
    some = np.array([3, 0, 1])  # kitten, puppy, dog
    below = labels_below(tree, some)
    found = {name: below.row(tree.positions[one]).tolist() for name, one in NAMES.items() if one in tree.positions}
    assert found == {
        "entity": [0, 1, 2], "animal": [0, 1, 2], "pet": [0, 1, 2], "dog": [1, 2], "puppy": [1], "cat": [0],
        "kitten": [0], "Lassie": [], "tool": [],
    }  # fmt: skip


def test_information_is_what_is_left_out(tree: LabelTree) -> None:
    bits = by_name(tree, information(tree))
    assert bits["entity"] == 0
    assert bits["pet"] == bits["animal"] == pytest.approx(np.log2(5 / 4))
    assert bits["dog"] == pytest.approx(np.log2(5 / 3))
    assert bits["kitten"] == bits["cat"] == bits["puppy"] == pytest.approx(np.log2(5))


@pytest.mark.parametrize(
    ("threshold", "name"),
    [(0.05, "puppy"), (0.5, "dog"), (0.7, "dog"), (0.71, "animal"), (0.9, "animal"), (0.91, "entity"), (1.0, "entity")],
)
def test_the_most_informative_that_is_sure(tree: LabelTree, threshold: float, name: str) -> None:
    assert tree.ids[sure_node(tree, shares_up(tree, P)[0], threshold)] == NAMES[name]


def test_of_equal_information_the_higher_share_then_the_deeper_then_the_first(tree: LabelTree) -> None:
    shares = shares_up(tree, np.array([[0.0, 0.0, 0.0, 0.6, 0.4]]))[0]
    assert tree.ids[sure_node(tree, shares, 0.4)] == NAMES["kitten"]  # 0.6 before tool's 0.4; deeper than cat
    assert tree.ids[sure_node(tree, shares, 0.9)] == NAMES["entity"]
    pets = np.isin(np.array(tree.ids), [NAMES["pet"], NAMES["animal"]])
    assert tree.ids[sure_node(tree, shares, 0.5, pets)] == NAMES["animal"]  # as deep as pet; the lower id


def test_nothing_is_sure_where_nothing_may_be_said(tree: LabelTree) -> None:
    assert sure_node(tree, shares_up(tree, P)[0], 0.5, np.zeros(len(tree.ids), dtype=bool)) == -1


def test_one_label(farm: Taxonomy) -> None:
    tree = label_tree(farm, [NAMES["kitten"]])
    shares = shares_up(tree, np.ones((1, 1)))[0]
    assert shares.tolist() == [1] * len(tree.ids)
    assert information(tree).tolist() == [0] * len(tree.ids)
    assert tree.ids[sure_node(tree, shares, 1.0)] == NAMES["kitten"]


def test_a_label_that_is_no_synset(farm: Taxonomy) -> None:
    """Below its parent; without one below the only root, and of several roots below none."""
    rooted = Taxonomy.from_synsets(one for one in farm_synsets() if one.name not in ("idea", "plan", "plot"))
    labels = ["user:guard_dog", "user:thing", NAMES["kitten"]]
    tree = label_tree(rooted, labels, {"user:guard_dog": NAMES["dog"]})
    shares = by_name(tree, shares_up(tree, np.array([[0.5, 0.2, 0.3]]))[0])
    assert shares == pytest.approx(
        {"entity": 1, "animal": 0.8, "pet": 0.8, "dog": 0.5, "cat": 0.3, "kitten": 0.3}
        | {"user:guard_dog": 0.5, "user:thing": 0.2}
    )
    loose = label_tree(farm, ["user:thing", NAMES["kitten"]])
    assert by_name(loose, shares_up(loose, np.array([[0.4, 0.6]]))[0])["entity"] == pytest.approx(0.6)
    shares = shares_up(loose, np.array([[0.4, 0.6]]))
    assert sure_node(loose, shares[0], 0.7) == -1
    assert sure_nodes(loose, np.array([[0.4, 0.6]]), np.array([0.7, 0.5])).tolist() == [
        [-1, loose.positions[NAMES["kitten"]]]
    ]


def test_only_labels_that_hang_nowhere(farm: Taxonomy) -> None:
    tree = label_tree(farm, ["user:one", "user:two"])
    assert shares_up(tree, np.array([[0.25, 0.75]])).tolist() == [[0.25, 0.75]]


def test_the_way_from_wide_to_narrow(tree: LabelTree) -> None:
    shares = shares_up(tree, P)[0]
    way = narrowing(tree, shares, tree.positions[NAMES["dog"]], tree.positions[NAMES["puppy"]])
    assert [tree.ids[node] for node in way] == [NAMES[name] for name in ("entity", "animal", "dog", "puppy")]
    way = narrowing(tree, shares, tree.positions[NAMES["pet"]], tree.positions[NAMES["kitten"]])
    assert [tree.ids[node] for node in way] == [NAMES[name] for name in ("entity", "pet", "cat", "kitten")]


def test_refusals(farm: Taxonomy) -> None:
    with pytest.raises(TaxonomyError, match="without duplicates"):
        label_tree(farm, [NAMES["dog"], NAMES["dog"]])
    with pytest.raises(TaxonomyError, match="without duplicates"):
        label_tree(farm, [])
    with pytest.raises(TaxonomyError, match="no synset"):
        label_tree(farm, ["user:thing"], {"user:thing": "n99999999"})


@st.composite
def forests(draw: st.DrawFn) -> tuple[list[set[int]], list[int]]:
    """The parents of each node, which have smaller numbers, and some of the nodes as labels."""
    size = draw(st.integers(1, 12))
    parents = [draw(st.sets(st.integers(1, node - 1))) if node > 1 else set() for node in range(1, size + 1)]
    return parents, draw(st.lists(st.integers(1, size), min_size=1, unique=True))


@given(forests(), st.integers(0, 2**32 - 1))
def test_as_ancestor_sets_say(forest: tuple[list[set[int]], list[int]], seed: int) -> None:
    taxonomy = Taxonomy.from_synsets(
        Synset(numbered(node), (f"word {node}",), hypernyms=tuple(map(numbered, parents)))
        for node, parents in enumerate(forest[0], 1)
    )
    labels = list(map(numbered, forest[1]))
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(len(labels)), size=2)
    tree = label_tree(taxonomy, labels)
    above = [taxonomy.ancestors(label) | {label} for label in labels]
    assert set(tree.ids) == set().union(*above)
    member = np.array([[one in of for one in tree.ids] for of in above])
    np.testing.assert_array_equal(tree.counts, member.sum(axis=0))
    shares = shares_up(tree, probabilities)
    np.testing.assert_allclose(shares, probabilities @ member, atol=1e-12)
    thresholds = np.array([0.3, 0.05, 0.5, 0.9, 1.0])
    one_by_one = [[sure_node(tree, row, threshold) for threshold in thresholds.tolist()] for row in shares]
    assert sure_nodes(tree, probabilities, thresholds).tolist() == one_by_one


@given(forests(), st.data())
def test_a_pruned_tree_is_the_tree_of_its_labels(forest: tuple[list[set[int]], list[int]], data: st.DataObject) -> None:
    taxonomy = Taxonomy.from_synsets(
        Synset(numbered(node), (f"word {node}",), hypernyms=tuple(map(numbered, sorted(parents))))
        for node, parents in enumerate(forest[0], 1)
    )
    labels = [*map(numbered, forest[1]), "user:thing"]
    some = data.draw(st.permutations(range(len(labels))))[: data.draw(st.integers(1, len(labels)))]
    whole, wanted = label_tree(taxonomy, labels), label_tree(taxonomy, [labels[place] for place in some])
    got = pruned(whole, np.array(some))
    assert (got.ids, got.own.tolist(), got.counts.tolist()) == (wanted.ids, wanted.own.tolist(), wanted.counts.tolist())
    assert [got.graph.up.row(node).tolist() for node in range(len(got.ids))] == [
        wanted.graph.up.row(node).tolist() for node in range(len(wanted.ids))
    ]
    probabilities = np.random.default_rng(len(some)).dirichlet(np.ones(len(some)), size=2)
    np.testing.assert_allclose(shares_up(got, probabilities), shares_up(wanted, probabilities), atol=1e-12)
    thresholds = np.array([0.3, 0.9])
    assert sure_nodes(got, probabilities, thresholds).tolist() == sure_nodes(wanted, probabilities, thresholds).tolist()
    same = [tuple(labels_below(got, np.arange(len(got.own))).row(node).tolist()) for node in range(len(got.ids))]
    shares = shares_up(got, probabilities)
    for node, labels_of in enumerate(same):  # bit for bit, or rounding would choose between their names
        assert (shares[:, same.index(labels_of)] == shares[:, node]).all()


def test_of_the_whole_wordnet_in_float32(wordnet: Taxonomy) -> None:
    """All physical nouns: the shares of some nodes against their subtrees."""
    labels = wordnet.physical_nouns()[:30_000:3]
    raw = np.random.default_rng(1).exponential(size=(3, len(labels))).astype(np.float32)
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    tree = label_tree(wordnet, labels)
    shares = shares_up(tree, probabilities)
    for name in ("n00001930", "n02084071", "n00015388", "n03791235"):
        below = wordnet.subtree(name)
        inside = [place for place, label in enumerate(labels) if label in below]
        slow = probabilities[:, inside].astype(np.float64).sum(axis=1)
        np.testing.assert_allclose(shares[:, tree.positions[name]], slow, atol=1e-12)
        assert tree.counts[tree.positions[name]] == len(inside)
