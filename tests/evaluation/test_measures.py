import doctest
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devise.errors import UsageError
from devise.evaluation import measures
from devise.evaluation.measures import (
    chance_hit_at_k,
    harmonic_mean,
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
