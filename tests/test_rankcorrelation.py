import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise import ranking
from devise.errors import UsageError
from devise.ranking import average_ranks, skewness, spearman

NUMBERS = st.lists(st.integers(-5, 5), min_size=2, max_size=30)


def test_examples():
    assert doctest.testmod(ranking).failed == 0


def test_by_hand():
    # ranks 1 2 3 4 and 2 1 4 3: 1 - 6 * 4 / (4 * 15) = 0.6
    assert spearman(np.array([1, 2, 3, 4]), np.array([20, 10, 40, 30])) == pytest.approx(0.6)
    # N = 0 0 0 4: mean 1, third moment (3 * -1 + 27) / 4 = 6, variance 3
    assert skewness(np.array([0, 0, 0, 4])) == pytest.approx(6 / 3**1.5)
    assert skewness(np.array([2, 2])) == 0


@given(NUMBERS)
def test_ranks_are_places(values: list[int]):
    wanted = [sum(o < v for o in values) + (sum(o == v for o in values) + 1) / 2 for v in values]
    assert average_ranks(np.array(values)).tolist() == wanted


@given(NUMBERS, st.randoms(use_true_random=False))
def test_as_scipy(values: list[int], random):
    stats = pytest.importorskip("scipy.stats")
    other = [random.randint(-3, 3) for _ in values]
    if len(set(values)) < 2 or len(set(other)) < 2:
        assert spearman(np.array(values), np.array(other)) is None
        return
    assert spearman(np.array(values), np.array(other)) == pytest.approx(stats.spearmanr(values, other)[0], abs=1e-12)
    assert skewness(np.array(values)) == pytest.approx(float(stats.skew(values)), abs=1e-9)


def test_too_few():
    assert spearman(np.array([1]), np.array([1])) is None
    assert spearman(np.array([]), np.array([])) is None
    with pytest.raises(UsageError, match="at least 1 value"):
        skewness(np.array([]))
