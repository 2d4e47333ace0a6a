import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.errors import TaxonomyError
from devise.taxonomy.graph import UNREACHED, Adjacency, IsaGraph, distance_rows
from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import Taxonomy


def test_by_hand(farm: Taxonomy):
    names = {farm.synset(one).name: one for one in farm.ids}
    sources, targets = ("puppy", "plan"), ("puppy", "dog", "hound", "kitten", "tool", "idea")
    (rows,) = farm.distances([names[one] for one in sources], [names[one] for one in targets])
    # puppy - dog - animal - cat - kitten; puppy - dog - animal - entity - tool; the idea is not joined
    assert rows.tolist() == [[0, 1, 2, 4, 4, UNREACHED], [UNREACHED] * 5 + [1]]


def test_as_one_search_after_the_other(wordnet: Taxonomy):
    ids = [wordnet.ids[place] for place in np.random.default_rng(1).integers(0, len(wordnet), 130).tolist()]
    blocks = list(wordnet.distances(ids, ids[:5]))
    assert [len(block) for block in blocks] == [64, 64, 2]
    found = np.concatenate(blocks)
    for row, source in list(enumerate(ids))[::13]:
        wanted = [wordnet.distance(source, target) for target in ids[:5]]
        assert [None if one == UNREACHED else one for one in found[row].tolist()] == wanted


def test_one_source_twice_and_a_node_without_edges():
    alone = Taxonomy.from_synsets([Synset("n00000001", ("one",)), Synset("n00000002", ("two",))])
    (rows,) = alone.distances(["n00000001", "n00000001"], alone.ids)
    assert rows.tolist() == [[0, UNREACHED]] * 2
    assert list(alone.distances([], alone.ids)) == []


def test_a_path_too_long():
    count = 300
    here, there = np.arange(count - 1), np.arange(1, count)
    around = Adjacency.of_pairs(count, np.concatenate([here, there]), np.concatenate([there, here]))
    with pytest.raises(TaxonomyError, match="more than 254 edges apart"):
        next(distance_rows(around, np.array([0]), np.arange(count)))


@given(st.integers(1, 12), st.randoms(use_true_random=False))
def test_any_forest_and_some_circles_as_one_search_after_the_other(size: int, random) -> None:
    """Leaves, leaves of leaves, two nodes that have only each other, nodes without edges."""
    edges = {(node, random.randrange(node)) for node in range(1, size) if random.random() < 0.7}
    edges |= {(node, random.randrange(node)) for node in range(1, size) if random.random() < 0.2}
    pairs = np.array(sorted(edges), dtype=np.int64).reshape(-1, 2)
    graph = IsaGraph(size, pairs[:, 0], pairs[:, 1])
    (found,) = distance_rows(graph.around, np.arange(size), np.arange(size))
    wanted = [[graph.distance(one, other) for other in range(size)] for one in range(size)]
    assert found.tolist() == [[UNREACHED if edge is None else edge for edge in row] for row in wanted]


@pytest.mark.parametrize("count", [254, 255])
def test_the_longest_path_that_can_be_told(count: int) -> None:
    here, there = np.arange(count - 1), np.arange(1, count)
    around = Adjacency.of_pairs(count, np.concatenate([here, there]), np.concatenate([there, here]))
    rows = next(distance_rows(around, np.array([0]), np.arange(count)))
    assert rows.tolist() == [list(range(count))]
