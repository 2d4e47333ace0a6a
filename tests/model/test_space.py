import math
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from devise.errors import LabelError
from devise.labels import Label, LabelSet
from devise.model.space import LabelSpace, centre_of, flattened, placed, unit_rows

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
    with pytest.raises(LabelError, match="south stands twice"):
        four.joined(four.subset([3]))


def test_one_vector_a_label():
    with pytest.raises(AssertionError, match="one vector a label"):
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


def test_flattened_by_hand():
    """Variances 4 and 1 along the axes about (1, 1): share 1 makes both 1, share 0.5 makes them 2 and 1."""
    away = np.array([[2, 0], [-2, 0], [0, 1], [0, -1]], np.float32) * np.float32(math.sqrt(3 / 2))  # 4 labels: n - 1
    rows = np.concatenate([away + 1, np.zeros((1, 2), np.float32)])
    slanted = np.concatenate([rows, [[1 + 3, 1 + 3]]]).astype(np.float32)
    np.testing.assert_allclose(np.cov(away, rowvar=False), [[4, 0], [0, 1]], atol=1e-6)
    np.testing.assert_allclose(flattened(rows, 1.0)[:4], away / np.linalg.norm(away, axis=1, keepdims=True), atol=1e-6)
    assert not flattened(rows, 1.0)[4].any()  # a label without a vector stays so
    variances = np.diag(np.cov(slanted[[0, 1, 2, 3, 5]], rowvar=False))
    assert variances[0] > variances[1]
    angles = [float(math.atan2(*flattened(slanted, share)[5][::-1])) for share in (0.0, 0.5, 1.0)]
    assert angles[0] == pytest.approx(math.pi / 4, abs=1e-6)  # the mean of all is on the diagonal
    assert angles[0] < angles[1] < angles[2]  # turns away from the axis of the large variance


@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.integers(2, 12), st.integers(2, 8))
def test_flattened_vectors_are_of_unit_length_and_numbers(seed: int, share: float, labels: int, dim: int):
    """Fewer labels than dimensions too."""
    rows = unit_rows(np.random.default_rng(seed).standard_normal((labels, dim), dtype=np.float32))
    np.testing.assert_allclose(np.linalg.norm(flattened(rows, share), axis=1), 1, atol=1e-4)


def test_a_whole_share_makes_the_variance_even():
    rng = np.random.default_rng(0)
    rows = (rng.standard_normal((5000, 4)) * [3, 1, 0.3, 1] + [1, 0, 0, 2]).astype(np.float32)
    even = flattened(rows, 1.0)
    variances = np.linalg.eigvalsh(np.cov(even, rowvar=False))
    assert variances.max() / variances.min() < 1.1
    assert np.abs(even.mean(axis=0)).max() < 0.02
