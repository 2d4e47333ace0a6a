import doctest
from itertools import permutations
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devise.errors import UsageError
from devise.evaluation import measures
from devise.evaluation.measures import (
    ancestor_overlaps,
    chance_hit_at_k,
    chance_precisions,
    common_ancestor_heights,
    harmonic_mean,
    hierarchical_precisions,
    hit_at_k,
    mean_per_class,
    mean_per_image,
    possible_ks,
)
from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import Taxonomy


def row(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int64)


def test_hit_at_k_by_hand() -> None:
    ranking = np.array([[3, 1, 0], [0, 2, 1], [2, 0, 1], [1, 2, 0]])
    truth = row(3, 1, -1, 0)
    assert hit_at_k(ranking, truth, 1).tolist() == [1, 0, 0, 0]
    assert hit_at_k(ranking, truth, 2).tolist() == [1, 0, 0, 0]
    assert hit_at_k(ranking, truth, 3).tolist() == [1, 1, 0, 1]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_chance_is_the_mean_over_all_rankings(k: int) -> None:
    orders = np.array(list(permutations(range(4))))
    truth = np.full(len(orders), 2)
    assert mean_per_image(hit_at_k(orders, truth, k)) == pytest.approx(chance_hit_at_k(k, 4), rel=1e-14)


def test_chance_hit_stops_at_one() -> None:
    assert chance_hit_at_k(5, 20_842) == 5 / 20_842
    assert chance_hit_at_k(20, 12) == 1.0


@pytest.mark.parametrize(("k", "candidates"), [(0, 3), (1, 0)])
def test_chance_needs_something_to_choose(k: int, candidates: int) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        chance_hit_at_k(k, candidates)


def test_too_few_labels_say_what_to_do() -> None:
    ranking = np.arange(12)[None]
    with pytest.raises(UsageError, match="hit@20 needs at least 20 candidate labels, got 12: lower k or add labels"):
        hit_at_k(ranking, row(0), 20)
    assert possible_ks((20, 2, 12, 13), 12) == (2, 12)


def test_k_below_one_is_an_error() -> None:
    with pytest.raises(UsageError, match="at least 1, got 0"):
        hit_at_k(np.array([[0]]), row(0), 0)


def test_means_over_images_and_over_classes() -> None:
    values = np.array([1.0, 0.0, 0.0, 0.0, 0.5])
    classes = row(2, 2, 2, 2, 0)  # class 1 has no image and takes no part
    assert mean_per_image(values) == 0.3
    assert mean_per_class(values, classes) == (0.25 + 0.5) / 2


def test_means_of_nothing_are_errors() -> None:
    nothing = np.empty(0)
    with pytest.raises(UsageError, match="at least 1 image"):
        mean_per_image(nothing)
    with pytest.raises(UsageError, match="at least 1 image"):
        mean_per_class(nothing, np.empty(0, dtype=np.int64))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_the_order_of_the_images_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 21, 500) / 20
    assert mean_per_image(values) == mean_per_image(rng.permutation(values))


@pytest.mark.parametrize(
    ("seen", "unseen", "expected"), [(0.5, 0.5, 0.5), (0.8, 0.2, 0.32), (0.9, 0, 0), (0, 0.9, 0), (0, 0, 0)]
)
def test_harmonic_mean(seen: float, unseen: float, expected: float) -> None:
    assert harmonic_mean(float(seen), float(unseen)) == pytest.approx(expected, rel=1e-14, abs=0)


def test_examples_in_the_docstrings() -> None:
    failed, tried = doctest.testmod(measures)
    assert (failed, tried > 3) == (0, True)


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
def test_chance_precision_is_the_mean_over_all_rankings(nine: Taxonomy, valid: tuple[str, ...]) -> None:
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
    monkeypatch.setattr("devise.evaluation.measures._BLOCK", 1)
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
