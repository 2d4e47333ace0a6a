import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from devise import ranking as exact
from devise.errors import UsageError, VectorsError
from devise.ranking import Matches, average_ranks, nearest, ranks, skewness, spearman, top_k

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 400))


def oracle(scores: np.ndarray, k: int) -> np.ndarray:
    """A plain stable sort: among equal scores the lower position comes first."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def assert_like_oracle(found: Matches, scores: np.ndarray, k: int) -> None:
    expected = oracle(scores, k)
    np.testing.assert_array_equal(found.positions, expected)
    np.testing.assert_array_equal(found.scores, np.take_along_axis(scores, expected, axis=1))


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_same_as_stable_sort_with_many_ties(data: st.DataObject) -> None:
    few = st.sampled_from([-np.inf, -1.0, -0.0, 0.0, 0.5, 0.5000001, 2.0, np.inf])
    scores = data.draw(hnp.arrays(np.float32, SHAPES, elements=few.map(np.float32), fill=st.just(np.float32(0.5))))
    k = data.draw(st.integers(1, scores.shape[1]))
    assert_like_oracle(top_k(scores, k), scores, k)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_ranks_count_the_higher_scores(data: st.DataObject) -> None:
    few = st.sampled_from([-np.inf, -1.0, -0.0, 0.0, 0.5, 0.5000001, 2.0, np.inf])
    scores = data.draw(hnp.arrays(np.float32, SHAPES, elements=few.map(np.float32)))
    asked = data.draw(st.lists(st.integers(0, scores.shape[1] - 1), max_size=6))
    wanted = [[1 + sum(other > row[place] for other in row) for place in asked] for row in scores.tolist()]
    assert ranks(scores, asked).tolist() == wanted


@given(st.integers(0, 2**32 - 1), st.integers(1, 3000), st.sampled_from([1, 3, 50, 10_000]))
@settings(max_examples=100, deadline=None)
def test_same_as_stable_sort_on_wide_rows(seed: int, labels: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, (3, labels)).astype(np.float32)
    for k in {1, min(20, labels), labels}:
        assert_like_oracle(top_k(scores, k), scores, k)


def test_forty_thousand_labels_over_several_cache_blocks() -> None:
    scores = np.random.default_rng(7).standard_normal((20, 39_990)).astype(np.float32)
    assert_like_oracle(top_k(scores, 20), scores, 20)
    best = np.argpartition(scores, -20, axis=1)[:, -20:]
    np.testing.assert_array_equal(np.sort(best, axis=1), np.sort(top_k(scores, 20).positions, axis=1))


def test_rows_that_are_not_contiguous() -> None:
    scores = np.random.default_rng(8).standard_normal((700, 30)).astype(np.float32).T
    assert_like_oracle(top_k(scores, 4), scores, 4)


def test_all_scores_equal_gives_the_first_positions() -> None:
    found = top_k(np.zeros((2, 5_000), dtype=np.float32), 3)
    assert found.positions.tolist() == [[0, 1, 2], [0, 1, 2]]


def test_no_images_gives_no_matches() -> None:
    assert top_k(np.empty((0, 9), dtype=np.float32), 2).positions.shape == (0, 2)


@pytest.mark.parametrize("position", [0, 200, 4_999])  # 4,999 is in the rest behind the strips
def test_nan_is_an_error_that_names_the_image(position: int) -> None:
    scores = np.zeros((300, 5_000), dtype=np.float32)
    scores[217, position] = np.nan
    with pytest.raises(VectorsError, match="got NaN for image 217:"):
        top_k(scores, 20)


@pytest.mark.parametrize("k", [0, -1])
def test_k_below_one_is_an_error(k: int) -> None:
    with pytest.raises(UsageError, match=f"at least 1, got {k}"):
        top_k(np.zeros((1, 4), dtype=np.float32), k)


def test_k_above_the_labels_says_what_to_do() -> None:
    with pytest.raises(UsageError, match="the best 5 were requested of 4 labels: lower k or add labels"):
        top_k(np.zeros((1, 4), dtype=np.float32), 5)


@pytest.fixture
def vectors() -> tuple[np.ndarray, np.ndarray]:
    """Small whole numbers: every sum is exact in float32, so blocks cannot change a score and ties abound."""
    rng = np.random.default_rng(3)
    return (rng.integers(-2, 3, (37, 6)).astype(np.float32), rng.integers(-2, 3, (500, 6)).astype(np.float32))


@pytest.mark.parametrize("block", [None, 1, 5, 37, 1000])
def test_nearest_does_not_depend_on_the_block(vectors: tuple[np.ndarray, np.ndarray], block: int | None) -> None:
    queries, label_vectors = vectors
    scores = np.array([[float(q @ t) for t in label_vectors] for q in queries], dtype=np.float32)
    assert_like_oracle(nearest(queries, label_vectors, 20, block=block), scores, 20)


def test_nearest_adds_the_bias_to_each_label(vectors: tuple[np.ndarray, np.ndarray]) -> None:
    queries, label_vectors = vectors
    bias = np.random.default_rng(4).integers(-3, 4, 500).astype(np.float32)
    bias[100:] = -np.inf
    found = nearest(queries, label_vectors, 20, bias=bias, block=8)
    assert_like_oracle(found, queries @ label_vectors.T + bias, 20)
    assert found.positions.max() < 100


def test_nearest_names_the_image_with_nan_across_blocks(vectors: tuple[np.ndarray, np.ndarray]) -> None:
    queries, label_vectors = vectors
    queries[30, 2] = np.nan
    with pytest.raises(VectorsError, match="image 30"):
        nearest(queries, label_vectors, 3, block=7)


def test_nearest_of_infinity_times_zero_is_an_error(vectors: tuple[np.ndarray, np.ndarray]) -> None:
    queries, label_vectors = vectors
    queries[0], label_vectors[9] = np.inf, 0
    with pytest.raises(VectorsError, match="image 0"):
        nearest(queries, label_vectors, 3)


@pytest.mark.parametrize(("k", "block", "message"), [(501, None, "of 500"), (0, None, "got 0"), (3, 0, "got 0")])
def test_nearest_refuses_bad_settings(
    vectors: tuple[np.ndarray, np.ndarray], k: int, block: int | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        nearest(*vectors, k, block=block)


def test_memory_of_a_block_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    kept = exact._top_k

    def spy(scores: np.ndarray, k: int, first_image: int) -> Matches:
        seen.append(scores.nbytes)
        return kept(scores, k, first_image)

    monkeypatch.setattr(exact, "_top_k", spy)
    nearest(np.ones((1000, 2), dtype=np.float32), np.ones((40_000, 2), dtype=np.float32), 1)
    assert len(seen) > 1
    assert max(seen) <= 64 * 2**20


def test_examples_in_the_docstrings() -> None:
    failed, tried = doctest.testmod(exact, extraglobs={"np": np})
    assert (failed, tried > 0) == (0, True)


NUMBERS = st.lists(st.integers(-5, 5), min_size=2, max_size=30)


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
