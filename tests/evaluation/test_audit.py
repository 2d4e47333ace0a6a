from importlib import import_module
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devise.errors import UsageError
from devise.evaluation.audit import (
    NO_NEIGHBOUR,
    LabelSpaceConfig,
    correct_radii,
    k_occurrences,
    measure_label_space,
    nearest_others,
)
from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import Taxonomy

ANIMAL, DOG, CAT, PUPPY, HOUND, KITTEN, TABBY, TOOL, ENTITY = (f"n{number:08d}" for number in range(1, 10))
LEAVES = (PUPPY, HOUND, KITTEN, TABBY, TOOL)
CONFIG = LabelSpaceConfig(ks=(1, 2), hub_k=1, worst=2)


@pytest.fixture(scope="module")
def slow() -> ModuleType:
    return import_module("reference.label_space_audit")


def at_angles(*degrees: float) -> np.ndarray:
    turns = np.radians(degrees)
    return np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(np.float32)


def measured(nine: Taxonomy, vectors: np.ndarray, config: LabelSpaceConfig = CONFIG, ids=LEAVES):
    return measure_label_space(ids, vectors, nearest_others(vectors, max(*config.ks, config.hub_k)), nine, config)


def test_by_hand(nine: Taxonomy):
    """puppy at 0, hound 10, kitten 30, tabby 45, tool 100 degrees.

    Nearest two: puppy: hound, kitten. hound: puppy, kitten. kitten: tabby, hound. tabby: kitten, hound.
    tool: tabby, kitten. Correct set of 1: the sibling at 2 edges, for the tool all four leaves (at 4 edges, as
    tool - entity - animal - dog - puppy). Correct set of 2: a leaf's sibling is 1 of 2, then come the two cousins
    and the tool at 4 edges: all. So everything is right but the first of none.
    """
    found = measured(nine, at_angles(0, 10, 30, 45, 100))
    assert found.shares == {1: 1.0, 2: 1.0}
    # chance at 1: a sibling is 1 of 4, for the tool 4 of 4; at 2 always 1
    assert found.chance == {1: pytest.approx((4 * 1 / 4 + 1) / 5), 2: 1.0}
    # nearest one: puppy-hound, kitten-tabby each other, the tool names the tabby: N = 1 1 1 2 0
    assert [(hub.id, hub.count) for hub in found.hubs] == [(TABBY, 2), (PUPPY, 1)]
    assert found.never_near == 1
    assert found.hubness == pytest.approx(0.0)
    assert found.exact
    assert found.pairs == 10
    assert [case.id for case in found.far] == [TOOL, PUPPY]
    assert found.far[0].nearest == (TABBY,)
    assert found.far[0].edges == (4,)


def test_a_class_among_strangers(nine: Taxonomy):
    found = measured(nine, at_angles(0, 80, 5, 85, 180))
    # puppy's nearest is the kitten, hound's the tabby and the other way round: 4 edges each, wrong at 1
    assert found.shares[1] == pytest.approx(1 / 5)
    assert found.far[0].edges == (4,)


def test_a_class_without_a_vector_scores_nothing_and_is_counted(nine: Taxonomy):
    vectors = at_angles(0, 10, 30, 45, 100)
    vectors[2] = 0
    found = measured(nine, vectors)
    assert found.without_vector == 1
    assert found.pairs == 6
    assert found.shares[1] == pytest.approx(3 / 5)  # puppy, hound, tool; the tabby's nearest is the hound: wrong
    assert KITTEN not in {one for case in found.far for one in (case.id, *case.nearest)}


@st.composite
def spaces(draw: st.DrawFn) -> tuple[dict[str, list[str]], np.ndarray, int]:
    count = draw(st.integers(5, 9))
    names = [f"n{number:08d}" for number in range(1, count + 1)]
    parents = {
        name: sorted(draw(st.sets(st.sampled_from(names[:place]), max_size=2))) if place else []
        for place, name in enumerate(names)
    }
    seed = draw(st.integers(0, 2**32 - 1))
    vectors = np.random.default_rng(seed).standard_normal((count, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    if draw(st.booleans()):
        vectors[draw(st.integers(0, count - 1))] = 0
    return parents, vectors, draw(st.integers(1, 3))


@given(spaces())
@settings(max_examples=25)
def test_as_the_slow_reference(slow: ModuleType, space):
    parents, vectors, k = space
    taxonomy = Taxonomy.from_synsets(Synset(name, (name,), hypernyms=tuple(up)) for name, up in parents.items())
    config = LabelSpaceConfig(ks=(k,), hub_k=k)
    found = measured(taxonomy, vectors, config, ids=tuple(parents))
    named = {name: row.astype(float).tolist() for name, row in zip(parents, vectors, strict=True)}
    assert found.shares[k] == pytest.approx(float(slow.share(parents, named, k)), abs=1e-12)
    chances = [len(slow.correct_set(parents, one, k, list(parents))) / (len(parents) - 1) for one in parents]
    assert found.chance[k] == pytest.approx(sum(chances) / len(chances))
    assert found.hubness == pytest.approx(slow.skewness(slow.occurrences(named, k)), abs=1e-9)
    known = [one for one in named if any(named[one])]
    distances = {slow.edges(parents, a, b) for a in known for b in known if a < b} - {float("inf")}
    if len(distances) > 1:
        # float32 cosines: two that differ by less than their rounding may change places
        assert found.rank_correlation == pytest.approx(slow.rank_correlation(parents, named), abs=1e-6)
    else:
        assert found.rank_correlation is None
    for case in found.far:
        wanted = [slow.edges(parents, case.id, other) for other in case.nearest]
        assert [float("inf") if edges is None else edges for edges in case.edges] == wanted


def test_a_correct_set_is_that_of_the_taxonomy_without_the_class(wordnet_thousand):
    taxonomy, ids = wordnet_thousand
    rows = next(taxonomy.distances(ids, ids))
    radii = correct_radii(rows, (2, 20))
    sets = taxonomy.correct_sets(ids[:64], (3, 21), ids)
    for place, one in enumerate(ids[:64]):
        for column, k in enumerate((3, 21)):
            inside = np.flatnonzero(rows[place] <= radii[place, column])
            assert inside.tolist() == sets.members(one, k).tolist()


@pytest.fixture(scope="module")
def wordnet_thousand() -> tuple[Taxonomy, list[str]]:
    taxonomy = Taxonomy.load()
    return taxonomy, sorted(taxonomy.subtree("n02083346"))  # the canines: a few hundred


def test_a_sample_of_pairs_is_near_to_all_and_the_same_each_time(wordnet_thousand):
    taxonomy, ids = wordnet_thousand
    vectors = np.random.default_rng(0).standard_normal((len(ids), 8)).astype(np.float32)
    down = np.array([taxonomy.depth(one) for one in ids], dtype=np.float32)
    vectors[:, 0] += 3 * (down - down.mean())
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    every = measured(taxonomy, vectors, LabelSpaceConfig(), ids=ids)
    sample = [measured(taxonomy, vectors, LabelSpaceConfig(pairs=20_000, seed=3), ids=ids) for _ in range(2)]
    assert every.exact
    assert not sample[0].exact
    assert sample[0].pairs <= 20_000 < every.pairs
    assert sample[0] == sample[1]
    # the standard error of a rank correlation of 20,000 pairs is below 0.01
    assert sample[0].rank_correlation == pytest.approx(every.rank_correlation, abs=0.04)


def test_progress_reaches_the_end(nine: Taxonomy):
    seen: list[tuple[int, int]] = []
    vectors = at_angles(0, 10, 30, 45, 100)
    measure_label_space(
        LEAVES, vectors, nearest_others(vectors, 2), nine, CONFIG, lambda done, total: seen.append((done, total))
    )
    assert seen == [(5, 5)]


def test_too_few_classes(nine: Taxonomy):
    vectors = at_angles(0, 10)
    with pytest.raises(UsageError, match="needs 3 classes with vectors"):
        measure_label_space((PUPPY, HOUND), vectors, nearest_others(vectors, 2), nine, CONFIG)
    with pytest.raises(UsageError, match="give more classes, or smaller k"):
        measured(nine, at_angles(0, 10, 20), LabelSpaceConfig(ks=(5,), hub_k=5), ids=LEAVES[:3])


def test_occurrences_leave_out_what_has_no_neighbours():
    assert k_occurrences(np.array([[1, 2], [NO_NEIGHBOUR, NO_NEIGHBOUR], [1, 0]]), 4).tolist() == [1, 2, 1, 0]


def test_nearest_others_leaves_out_the_class_itself_even_among_twins():
    vectors = at_angles(0, 0, 0, 0, 90)
    found = nearest_others(vectors, 1)
    assert all(place not in row for place, row in enumerate(found.tolist()))
    assert found[4].tolist() == [0]
    assert nearest_others(vectors, 9).shape == (5, 4)
    assert nearest_others(np.zeros((3, 2), dtype=np.float32), 2).shape == (3, 0)
