import doctest
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devise.errors import UsageError
from devise.evaluation import measures
from devise.evaluation.measures import (
    CorrectLabels,
    chance_hit_at_k,
    chance_hp_at_k,
    harmonic_mean,
    hierarchical_precision_at_k,
    hit_at_k,
    mean_per_class,
    mean_per_image,
    possible_ks,
)


def row(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int64)


def test_hit_at_k_by_hand() -> None:
    ranking = np.array([[3, 1, 0], [0, 2, 1], [2, 0, 1], [1, 2, 0]])
    truth = row(3, 1, -1, 0)
    assert hit_at_k(ranking, truth, 1).tolist() == [1, 0, 0, 0]
    assert hit_at_k(ranking, truth, 2).tolist() == [1, 0, 0, 0]
    assert hit_at_k(ranking, truth, 3).tolist() == [1, 1, 0, 1]


def test_hierarchical_precision_by_hand() -> None:
    correct = CorrectLabels.of([[0, 3], [1, 2, 4], []], valid=5)
    ranking = np.array([[3, 0, 1], [4, 0, 2], [0, 1, 2], [1, 2, 3]])
    classes = row(0, 1, 2, 0)
    assert hierarchical_precision_at_k(ranking, classes, correct, 1).tolist() == [1, 1, 0, 0]
    assert hierarchical_precision_at_k(ranking, classes, correct, 2).tolist() == [1, 0.5, 0, 0]
    np.testing.assert_allclose(
        hierarchical_precision_at_k(ranking, classes, correct, 3), [2 / 3, 2 / 3, 0, 1 / 3], rtol=1e-15
    )


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_precision_is_the_set_arithmetic(data: st.DataObject) -> None:
    valid = data.draw(st.integers(1, 12))
    sets = data.draw(st.lists(st.frozensets(st.integers(0, valid - 1)), min_size=1, max_size=5))
    classes = data.draw(st.lists(st.integers(0, len(sets) - 1), min_size=1, max_size=6))
    rankings = [data.draw(st.permutations(range(valid))) for _ in classes]
    k = data.draw(st.integers(1, valid))
    correct = CorrectLabels.of([sorted(members) for members in sets], valid)
    found = hierarchical_precision_at_k(np.array(rankings), row(*classes), correct, k)
    expected = [len(set(r[:k]) & sets[c]) / k for r, c in zip(rankings, classes, strict=True)]
    assert found.tolist() == expected
    assert correct.sizes.tolist() == [len(members) for members in sets]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_chance_is_the_mean_over_all_rankings(k: int) -> None:
    """Valid labels 0 to 5, candidates 0 to 3; every order of the candidates, exactly."""
    correct = CorrectLabels.of([[0, 2, 5], [1]], valid=6)
    orders = np.array(list(permutations(range(4))))
    candidates = np.arange(6) < 4
    for place, hand in ((0, 2 / 4), (1, 1 / 4)):
        classes = np.full(len(orders), place)
        mean = mean_per_image(hierarchical_precision_at_k(orders, classes, correct, k))
        assert mean == pytest.approx(hand, rel=1e-14)
        assert chance_hp_at_k(row(place), correct, candidates).tolist() == [hand]
    truth = np.full(len(orders), 2)
    assert mean_per_image(hit_at_k(orders, truth, k)) == pytest.approx(chance_hit_at_k(k, 4), rel=1e-14)


def test_chance_agrees_with_random_rankings() -> None:
    """A mean of many draws is more than 4 standard errors off once in 16,000 times; the seed is fixed."""
    rng = np.random.default_rng(11)
    valid, candidates, k, images = 60, 40, 5, 20_000
    correct = CorrectLabels.of([rng.choice(valid, size, replace=False) for size in (1, 7, 30)], valid)
    classes = rng.integers(0, 3, images)
    ranking = np.argsort(rng.random((images, candidates)), axis=1)
    values = hierarchical_precision_at_k(ranking, classes, correct, k)
    chance = mean_per_image(chance_hp_at_k(classes, correct, np.arange(valid) < candidates))
    error = values.std() / np.sqrt(images)
    assert 0 < error < 0.003
    assert abs(mean_per_image(values) - chance) < 4 * error
    hits = hit_at_k(ranking, np.zeros(images, dtype=np.int64), k)
    expected = chance_hit_at_k(k, candidates)
    assert abs(mean_per_image(hits) - expected) < 4 * np.sqrt(expected * (1 - expected) / images)


def test_chance_hit_stops_at_one() -> None:
    assert chance_hit_at_k(5, 20_842) == 5 / 20_842
    assert chance_hit_at_k(20, 12) == 1.0


@pytest.mark.parametrize(("k", "candidates"), [(0, 3), (1, 0)])
def test_chance_needs_something_to_choose(k: int, candidates: int) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        chance_hit_at_k(k, candidates)


def test_chance_hp_needs_a_candidate() -> None:
    with pytest.raises(UsageError, match="at least 1 candidate, got 0"):
        chance_hp_at_k(row(0), CorrectLabels.of([[0]], 2), np.zeros(2, dtype=bool))


def test_too_few_labels_say_what_to_do() -> None:
    ranking = np.arange(12)[None]
    with pytest.raises(UsageError, match="hp@20 needs at least 20 candidate labels, got 12: lower k or add labels"):
        hierarchical_precision_at_k(ranking, row(0), CorrectLabels.of([[0]], 12), 20)
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
