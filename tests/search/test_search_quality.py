"""Average precision by hand and by a slow count."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.errors import UsageError
from devise.search.search_quality import retrieval


def test_by_hand():
    found = retrieval(np.float32([0.1, 0.9, 0.5, 0.7]), np.array([True, False, True, False]))
    assert found.average_precision == pytest.approx((1 / 3 + 2 / 4) / 2)
    assert found.precision_at_10 == 0.5
    assert found.relevant == 2


def test_ties_go_by_place():
    scores = np.zeros(3, np.float32)
    assert retrieval(scores, np.array([True, False, False])).average_precision == 1
    assert retrieval(scores, np.array([False, False, True])).average_precision == pytest.approx(1 / 3)


def test_nothing_right_is_an_error():
    with pytest.raises(UsageError, match="at least one right photo"):
        retrieval(np.zeros(2, np.float32), np.zeros(2, bool))


@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30).filter(
        lambda rows: any(right for _, right in rows)
    )
)
def test_against_a_slow_count(rows: list[tuple[int, bool]]):
    order = sorted(range(len(rows)), key=lambda i: (-rows[i][0], i))
    hits = [rows[i][1] for i in order]
    precisions = [sum(hits[: i + 1]) / (i + 1) for i, hit in enumerate(hits) if hit]
    found = retrieval(np.float32([score for score, _ in rows]), np.array([right for _, right in rows]))
    assert found.average_precision == pytest.approx(sum(precisions) / len(precisions))
    assert found.precision_at_5 == pytest.approx(sum(hits[:5]) / len(hits[:5]))
    assert found.precision_at_10 == pytest.approx(sum(hits[:10]) / len(hits[:10]))
