from itertools import permutations
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devise.errors import UsageError
from devise.evaluation.hierarchy import (
    ancestor_overlaps,
    chance_precisions,
    common_ancestor_heights,
    hierarchical_precisions,
)
from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import Taxonomy

ANIMAL, DOG, CAT, PUPPY, HOUND, KITTEN, TABBY, TOOL, ENTITY = (f"n{number:08d}" for number in range(1, 10))
KS = tuple(range(1, 21))

Graph = dict[str, tuple[str, ...]]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Parents of every node; some graphs fall apart."""
    size = draw(st.integers(2, 14))
    names = [f"n{number:08d}" for number in range(1, size + 1)]
    return {
        name: tuple(sorted(draw(st.sets(st.sampled_from(names[:place]), max_size=2)))) if place else ()
        for place, name in enumerate(names)
    }


def taxonomy_of(graph: Graph) -> Taxonomy:
    return Taxonomy.from_synsets(Synset(name, (name,), hypernyms=above) for name, above in graph.items())


@given(graphs(), st.integers(0, 2**32 - 1))
@settings(max_examples=100)
def test_every_k_at_once_is_the_slow_reference(reference: ModuleType, graph: Graph, seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = list(graph)
    valid = rng.permutation(names)[: rng.integers(1, len(names) + 1)].tolist()
    candidates = int(rng.integers(1, len(valid) + 1))
    truth = rng.choice(names, 5).tolist()
    taxonomy = taxonomy_of(graph)
    ks = [k for k in KS if k <= candidates]
    ranking = np.array([rng.permutation(candidates) for _ in truth])
    classes = sorted(set(truth))
    correct = taxonomy.correct_sets(classes, KS, valid)
    rows = np.array([classes.index(one) for one in truth])
    found = hierarchical_precisions(ranking, rows, correct, len(valid), ks)
    chance = chance_precisions(rows, correct, candidates, ks)
    for k in ks:
        for image, (order, label) in enumerate(zip(ranking.tolist(), truth, strict=True)):
            predictions = [valid[place] for place in order]
            assert found[k][image] == float(reference.hp_at_k(graph, predictions, label, k, valid))
            right = reference.correct_set(graph, label, k, valid) & set(valid[:candidates])
            assert chance[k][image] == len(right) / candidates  # the mean over all rankings, in closed form


@pytest.mark.parametrize("valid", [(PUPPY, KITTEN, HOUND, TOOL, TABBY), (CAT, DOG, TOOL, ANIMAL, ENTITY)])
def test_chance_is_the_mean_over_all_rankings(nine: Taxonomy, valid: tuple[str, ...]) -> None:
    """Five valid labels, the first four are candidates: every order of these."""
    correct = nine.correct_sets([PUPPY, TABBY], (1, 2, 3), valid)
    orders = np.array(list(permutations(range(4))))
    for place in range(2):
        rows = np.full(len(orders), place)
        found = hierarchical_precisions(orders, rows, correct, 5, (1, 2, 3))
        chance = chance_precisions(rows[:1], correct, 4, (1, 2, 3))
        for k in (1, 2, 3):
            assert found[k].mean() == pytest.approx(chance[k][0], rel=1e-14)


def test_blocks_of_images_do_not_matter(nine: Taxonomy, monkeypatch: pytest.MonkeyPatch) -> None:
    correct = nine.correct_sets([PUPPY, KITTEN], (1, 2), [PUPPY, HOUND, KITTEN])
    ranking, rows = np.array([[0, 1], [1, 2], [2, 0]]), np.array([0, 0, 1])
    whole = hierarchical_precisions(ranking, rows, correct, 3, (1, 2))
    monkeypatch.setattr("devise.evaluation.hierarchy._BLOCK", 1)
    parted = hierarchical_precisions(ranking, rows, correct, 3, (1, 2))
    assert {k: of.tolist() for k, of in parted.items()} == {k: of.tolist() for k, of in whole.items()}
    assert whole[2].tolist() == [1.0, 0.5, 1.0]  # as far from the kitten, puppy and hound both count


def test_no_labels_to_answer_with(nine: Taxonomy) -> None:
    correct = nine.correct_sets([PUPPY], (2,), [PUPPY, HOUND])
    with pytest.raises(UsageError, match="hp@2 needs at least 2 candidate labels, got 1"):
        hierarchical_precisions(np.array([[0]]), np.array([0]), correct, 2, (2,))
    with pytest.raises(UsageError, match="chance needs at least 1 candidate"):
        chance_precisions(np.array([0]), correct, 0, (2,))


@pytest.mark.parametrize(
    ("truth", "predicted", "height"),
    [
        (PUPPY, PUPPY, np.nan),
        (PUPPY, HOUND, 1),  # they meet in the dog, over leaves
        (PUPPY, DOG, 1),  # one of the two itself
        (PUPPY, KITTEN, 2),  # animal
        (PUPPY, TOOL, 3),  # entity
    ],
)
def test_where_an_error_meets_the_truth(nine: Taxonomy, truth: str, predicted: str, height: float) -> None:
    np.testing.assert_equal(common_ancestor_heights(nine, [truth], [predicted]), [height])


@given(graphs(), st.data())
@settings(max_examples=100)
def test_heights_are_the_slow_reference(slow: ModuleType, graph: Graph, data: st.DataObject) -> None:
    one, other = (data.draw(st.lists(st.sampled_from(sorted(graph)), min_size=6, max_size=6)) for _ in range(2))
    found = common_ancestor_heights(taxonomy_of(graph), one, other)
    wanted = [np.nan if a == b else slow.common_ancestor_height(graph, a, b) for a, b in zip(one, other, strict=True)]
    np.testing.assert_equal(found, wanted)


def test_ancestor_overlaps_by_hand(nine: Taxonomy) -> None:
    """Without the root: puppy is {puppy, dog, animal}, cat {cat, animal}, tool {tool}, the root itself nothing."""
    truth, guesses = [PUPPY, PUPPY, CAT, PUPPY, PUPPY], [PUPPY, CAT, KITTEN, TOOL, ENTITY]
    found = ancestor_overlaps(nine, truth, guesses)
    assert found.tolist() == [[3, 3, 3], [1, 2, 3], [2, 3, 2], [0, 1, 3], [0, 0, 3]]


@given(graphs(), st.integers(0, 2**32 - 1))
def test_ancestor_overlaps_are_the_slow_ones(slow: ModuleType, graph: Graph, seed: int) -> None:
    rng = np.random.default_rng(seed)
    below = [name for name, above in graph.items() if above]
    if not below:
        return
    guesses, truth = ([rng.choice(below) for _ in range(4)] for _ in range(2))
    shared, named, true = ancestor_overlaps(taxonomy_of(graph), truth, guesses).sum(axis=0)
    precision, recall, f1 = slow.ancestor_scores(graph, list(zip(guesses, truth, strict=True)))
    assert (shared / named, shared / true) == (precision, recall)
    assert 2 * shared / (named + true) == pytest.approx(f1)
