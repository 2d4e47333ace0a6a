"""Pictures moved toward their nearest others: against slow loops, by hand, in any order, in flat memory."""

import tracemalloc
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.errors import UsageError
from devise.space import neighbours
from devise.space.labelspace import unit_rows
from devise.space.neighbours import NEIGHBOURS, in_context, neighbours_of


def random_queries(seed: int, images: int, dim: int = 6) -> np.ndarray:
    return unit_rows(np.random.default_rng(seed).standard_normal((images, dim), dtype=np.float32))


@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.integers(1, 12), st.floats(0, 4))
def test_against_slow_loops(slow: ModuleType, seed: int, images: int, neighbours: int, weight: float) -> None:
    queries = random_queries(seed, images)
    wanted = slow.in_context(queries.tolist(), neighbours, weight)
    # the sum that is brought to unit length may be short: its rounding error grows by as much
    np.testing.assert_allclose(in_context(queries, neighbours, weight), wanted, atol=2e-4)


def test_three_by_hand() -> None:
    """One neighbour each: the first two are each other's, the third's is the second."""
    queries = np.array([[1, 0], [0.8, 0.6], [0, 1]], np.float32)
    wanted = unit_rows(np.array([[1.8, 0.6], [1.8, 0.6], [0.8, 1.6]], np.float32))
    np.testing.assert_allclose(in_context(queries, 1), wanted, atol=1e-6)
    np.testing.assert_array_equal(in_context(queries, 1, weight=0.0), unit_rows(queries))


def test_ten_neighbours_or_all_others() -> None:
    assert [neighbours_of(n) for n in (2, 5, 11, 12, 1000)] == [1, 4, 10, 10, 10]
    queries = random_queries(4, 5)
    totals = queries.sum(axis=0, keepdims=True)
    np.testing.assert_allclose(in_context(queries), unit_rows(queries + (totals - queries) / 4), atol=1e-6)


def test_copies_of_a_picture_are_its_neighbours() -> None:
    query = random_queries(5, 1)
    others = random_queries(6, 20)
    found = in_context(np.concatenate([query.repeat(NEIGHBOURS + 1, axis=0), others]))
    np.testing.assert_allclose(found[: NEIGHBOURS + 1], query.repeat(NEIGHBOURS + 1, axis=0), atol=1e-6)


@pytest.mark.parametrize("images", [0, 1])
def test_there_must_be_others(images: int) -> None:
    with pytest.raises(UsageError, match=f"context needs at least 2 photos that can be read, got {images}"):
        in_context(random_queries(1, images))


def test_the_order_of_the_pictures_does_not_matter() -> None:
    queries = random_queries(2, 60)
    order = np.random.default_rng(3).permutation(60)
    np.testing.assert_allclose(in_context(queries[order]), in_context(queries)[order], atol=1e-6)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    queries = random_queries(7, 50)
    at_once = in_context(queries)
    for scores in (1, 50, 170, 2499):
        monkeypatch.setattr(neighbours, "_SCORES", scores)
        shapes = [cosines.shape for _, cosines in neighbours._blocks(queries)]
        assert sum(rows for rows, _ in shapes) == 50
        assert max(rows * images for rows, images in shapes) <= max(scores, 50)
        np.testing.assert_allclose(in_context(queries), at_once, atol=1e-6)


def test_never_all_pictures_against_all_others() -> None:
    """10,000 pictures: their cosines would take 400 MB; a block and its order take 8 and 17."""
    queries = random_queries(8, 10_000, dim=2)
    assert next(neighbours._blocks(queries))[1].size <= neighbours._SCORES
    few = random_queries(8, 4_000, dim=2)  # all against all: 64 MB, and 128 for their order
    tracemalloc.start()
    in_context(few)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 48_000_000
