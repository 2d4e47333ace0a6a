import math
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from devise.errors import LabelError
from devise.labels import Label, LabelSet
from devise.space.labelspace import DeferredSpace, LabelSpace, centre_of, placed, unit_rows

ROWS = arrays(np.float32, st.tuples(st.integers(0, 5), st.integers(1, 4)), elements=st.floats(-8, 8, width=16))


def labels(*names: str) -> LabelSet:
    return LabelSet(Label(name, name) for name in names)


@pytest.fixture
def four() -> LabelSpace:
    """Three directions and a label without a vector."""
    vectors = np.array([[1, 0], [0, 0], [0.6, 0.8], [0, -1]], np.float32)
    return LabelSpace(labels("east", "nowhere", "northeast", "south"), vectors)


def test_cosines_by_hand_and_without_vector_last(four: LabelSpace):
    scores = four.cosines(np.array([[0, 1], [0.8, -0.6], [0, 0]], np.float32))
    np.testing.assert_allclose(
        scores, [[0, -math.inf, 0.8, -1], [0.8, -math.inf, 0, 0.6], [0, -math.inf, 0, 0]], atol=1e-7
    )
    assert four.without_vector.tolist() == [1]


@pytest.mark.parametrize("queries", [1, 2, 7, 8, 9, 130])
@pytest.mark.parametrize("count", [1, 149, 150, 2401])
def test_cosines_are_right_in_strips_and_in_one_product(queries: int, count: int):
    rng = np.random.default_rng(queries + count)
    asked, vectors = (unit_rows(rng.standard_normal((rows, 37), dtype=np.float32)) for rows in (queries, count))
    space = LabelSpace(labels(*(f"label {number}" for number in range(count))), vectors)
    oracle = np.einsum("qd,ld->ql", asked.astype(np.float64), vectors.astype(np.float64))
    scores = space.cosines(asked)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, oracle, atol=1e-6)


def test_cosines_are_a_new_array_each_time(four: LabelSpace):
    query = np.array([[1, 0]], np.float32)
    four.cosines(query)[:] = 7
    assert four.cosines(query)[0, 0] == 1
    assert four.vectors[0].tolist() == [1, 0]


def test_subset_keeps_the_order_asked(four: LabelSpace):
    part = four.subset([3, 1])
    assert part.labels.ids == ("south", "nowhere")
    assert part.vectors.tolist() == [[0, -1], [0, 0]]
    assert part.without_vector.tolist() == [1]
    empty = four.subset([])
    assert len(empty.labels) == 0
    assert empty.vectors.shape == (0, 2)
    assert empty.cosines(np.ones((3, 2), np.float32)).shape == (3, 0)
    assert four.subset(np.array([2])).labels.ids == ("northeast",)


def test_joined(four: LabelSpace):
    both = four.subset([0]).joined(four.subset([1, 2]))
    assert both.labels.ids == ("east", "nowhere", "northeast")
    np.testing.assert_array_equal(both.vectors, four.vectors[:3])
    with pytest.raises(LabelError, match="duplicate label south"):
        four.joined(four.subset([3]))


def test_one_vector_a_label():
    with pytest.raises(AssertionError, match="one vector per label"):
        LabelSpace(labels("a", "b"), np.eye(1, 2, dtype=np.float32))


@given(ROWS)
def test_unit_rows_by_loops(rows: np.ndarray):
    before = rows.copy()
    found = unit_rows(rows)
    assert (rows == before).all()
    assert found.dtype == np.float32
    for row, unit in zip(rows.tolist(), found.tolist(), strict=True):
        length = math.sqrt(math.fsum(x * x for x in row))
        assert unit == pytest.approx([x / length if length else 0 for x in row], abs=1e-6)


def test_centre_leaves_out_labels_without_a_vector():
    vectors = np.array([[1, 0], [0, 0], [0, 3]], np.float32)
    centre = centre_of(vectors)
    assert centre.tolist() == [0.5, 1.5]
    assert centre.dtype == np.float32


@pytest.mark.parametrize("rows", [0, 3])
def test_a_centre_of_nothing_is_refused(rows: int):
    with pytest.raises(LabelError, match="no trained label has a vector"):
        centre_of(np.zeros((rows, 2), np.float32))


@given(ROWS)
def test_placed_by_loops(slow: ModuleType, rows: np.ndarray):
    centre = np.arange(1, rows.shape[1] + 1, dtype=np.float32) / 3
    for row, point in zip(rows.tolist(), placed(rows, centre).tolist(), strict=True):
        assert point == pytest.approx(slow.placed(row, centre.tolist()), abs=1e-5)


def test_placed_trained_labels_cancel_when_they_are_as_long():
    # Two opposite points remain of two labels: what they share is gone.
    vectors = np.array([[0.6, 0.8], [0.6, -0.8]], np.float32)
    np.testing.assert_allclose(placed(vectors, centre_of(vectors)), [[0, 1], [0, -1]], atol=1e-7)


Derive = Callable[[LabelSpace], LabelSpace]
VECTORS = np.array([[1, 0], [0, 1], [0, 0], [0.6, 0.8]], dtype=np.float32)


def lettered(names: str) -> LabelSet:
    return LabelSet(Label(name, name, "", True, "term") for name in names)


OTHER = LabelSpace(lettered("xy"), np.array([[0, 0], [-1, 0]], dtype=np.float32))


@pytest.mark.parametrize(
    ("derive", "by_hand"),
    [
        (lambda space: space.subset([3, 0]), VECTORS[[3, 0]]),
        (lambda space: space.subset([]), VECTORS[:0]),
        (lambda space: space.joined(OTHER), np.concatenate([VECTORS, OTHER.vectors])),
        (lambda space: OTHER.joined(space).subset([5, 1, 2]), np.array([[0.6, 0.8], [-1, 0], [1, 0]], np.float32)),
        (lambda space: space.named(lettered("pqrs")), VECTORS),
    ],
)
def test_derived_spaces(derive: Derive, by_hand: np.ndarray):
    read: list[int] = []

    def rows(positions: np.ndarray) -> np.ndarray:
        read.extend(positions.tolist())
        return VECTORS[positions]

    made = derive(DeferredSpace(lettered("abcd"), rows))
    assert not read
    assert len(made.labels) == len(by_hand)
    for place, vector in enumerate(by_hand):
        np.testing.assert_array_equal(made.rows(np.array([place])), [vector])
    assert len(read) <= len(by_hand)  # no row but the requested ones
    np.testing.assert_array_equal(made.vectors, by_hand)
    np.testing.assert_array_equal(made.without_vector, np.flatnonzero(~by_hand.any(axis=1)))
    np.testing.assert_array_equal(derive(LabelSpace(lettered("abcd"), VECTORS)).vectors, by_hand)
