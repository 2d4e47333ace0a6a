"""A first look in 8 bits: never further off than it says, and not so careful that it is of no use."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from devise.search.coarse import Coarse, may_be_first


def vectors(kind: str, rows: int = 3000, dim: int = 40) -> np.ndarray:
    rng = np.random.default_rng(7)
    found = rng.standard_normal((rows, dim), dtype=np.float32)
    if kind == "one large number":
        found[:, 3] *= 1000
    if kind == "of many lengths":
        found *= np.geomspace(1e-6, 1e6, rows, dtype=np.float32)[:, None]
    if kind != "of many lengths":
        found /= np.linalg.norm(found, axis=1, keepdims=True)
    found[5] = 0
    found[9] = found[8]
    return found.astype(np.float16) if kind == "16 bits" else found


@pytest.mark.parametrize("kind", ["16 bits", "32 bits", "one large number", "of many lengths"])
def test_no_product_is_further_off_than_its_slack(kind: str):
    """Queries: random ones, a vector itself, and what was rounded away of a vector, which is the worst there is."""
    rows = vectors(kind)
    coarse = Coarse(rows)
    scale = np.abs(rows[17].astype(np.float32)).max() / np.float32(127)
    worst = rows[17].astype(np.float32) - scale * np.rint(rows[17].astype(np.float32) / scale)
    queries = np.stack([*np.random.default_rng(1).standard_normal((6, rows.shape[1])), rows[17], worst])
    queries = (queries / np.linalg.norm(queries, axis=1, keepdims=True)).astype(np.float32)
    for some in (queries, *queries[:, None]):
        off = np.abs(coarse.products(some) - some.astype(np.float64) @ rows.T.astype(np.float64))
        slack = coarse.slack(some)
        assert (off <= slack).all()
        assert slack[5] == 0
        assert np.array_equal(off[:, 8], off[:, 9])
    assert off[-1, 17] > 0.4 * slack[17]  # so the bound cannot be much smaller: the query is rounded too


def test_unit_vectors_of_300_numbers_are_off_by_a_hundredth():
    """A step of 3.3 deviations / 127, evenly rounded: 3.3 / 127 / sqrt(12) of the length, of a vector and a query."""
    rows = vectors("16 bits", 500, 300)
    slack = Coarse(rows).slack(rows[:1].astype(np.float32))
    assert slack.mean() == pytest.approx(2 * 0.0075, rel=0.1)
    assert slack.max() < 0.03


@pytest.mark.parametrize(("rows", "dim"), [(500, 300), (3000, 40)])
def test_products_are_those_of_the_integers(rows: int, dim: int):
    """Also where OpenVINO rounds the queries itself, which are integers already."""
    found = vectors("32 bits", rows, dim)
    queries = np.random.default_rng(1).standard_normal((7, dim)).astype(np.float32)
    wide, asked = (
        np.rint(some / scale) * scale for some in (found, queries) if (scale := _step(some.astype(np.float64))).any()
    )
    np.testing.assert_allclose(Coarse(found).products(queries), asked @ wide.T, atol=2e-5)


def _step(rows: np.ndarray) -> np.ndarray:
    scale = np.abs(rows).max(axis=1, keepdims=True) / 127
    return np.where(scale == 0, 1, scale)


def test_many_threads_get_the_same_as_one():
    coarse = Coarse(vectors("32 bits"))
    queries = np.random.default_rng(2).standard_normal((24, 1, 40)).astype(np.float32)
    alone = [coarse.products(query) for query in queries]
    with ThreadPoolExecutor(6) as pool:
        for one, other in zip(alone, pool.map(coarse.products, queries), strict=True):
            np.testing.assert_array_equal(one, other)


_TENTHS = st.integers(-20, 20).map(lambda tenths: tenths / 8)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), count=st.integers(1, 6))
def test_what_is_among_the_first_is_never_left_out(data: st.DataObject, count: int):
    """Scores that tie often, each moved by up to its slack, even to the very end of it."""
    true = data.draw(hnp.arrays(np.float32, st.integers(count, 30), elements=_TENTHS))
    slack = data.draw(hnp.arrays(np.float32, len(true), elements=st.integers(0, 8).map(lambda eighths: eighths / 8)))
    moved = true + slack * data.draw(
        hnp.arrays(np.float32, len(true), elements=st.sampled_from([-1.0, -0.5, 0.0, 1.0]))
    )
    found = may_be_first(moved.astype(np.float32), slack, count)
    assert np.array_equal(found, np.unique(found))
    least = np.sort(true)[-count]
    assert set(np.flatnonzero(true >= least)) <= set(found.tolist())


def test_what_is_certainly_lower_is_left_out():
    scores = np.array([0.5, 0.9, 0.1, 0.8, 0.75], np.float32)
    assert may_be_first(scores, np.full(5, 0.03, np.float32), 2).tolist() == [1, 3, 4]
    assert may_be_first(scores, np.full(5, 0.0, np.float32), 2).tolist() == [1, 3]
    assert may_be_first(np.array([-np.inf, 1], np.float32), np.zeros(2, np.float32), 1).tolist() == [1]
    assert may_be_first(np.array([-np.inf, -np.inf], np.float32), np.zeros(2, np.float32), 1).tolist() == [0, 1]


def test_rows_whose_true_score_may_be_above_are_kept():
    rng = np.random.default_rng(3)
    scores, slack = rng.standard_normal(500).astype(np.float32), np.full(500, 0.1, np.float32)
    for above in (0.0, 0.7):
        true = scores + rng.uniform(-0.1, 0.1 + above, 500)
        best = np.argsort(-true)[:20]
        assert set(best) <= set(may_be_first(scores, slack, 20, above))
