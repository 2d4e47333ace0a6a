import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from devise.errors import VectorsError
from devise.text.quantize import dequantize_rows, quantize_rows

MATRICES = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=6),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


@given(MATRICES)
@example(np.array([[178, -1]], dtype=np.float32) * np.float32(1e-45))  # subnormal: a scale of one step is too small
@example(np.array([[3.4028235e38, 1.0]], dtype=np.float32))
def test_every_value_is_within_half_a_step(rows: np.ndarray) -> None:
    quantized = quantize_rows(rows)
    codes, scales = quantized.codes.astype(np.float64), quantized.scales.astype(np.float64)
    error = np.abs(rows.astype(np.float64) - codes * scales[:, None])
    assert (error <= scales[:, None] / 2 * (1 + 1e-12)).all()  # 1e-12: rounding of this test's float64 sums
    assert (np.abs(codes) <= 127).all()


@given(MATRICES)
def test_coding_again_changes_no_code(rows: np.ndarray) -> None:
    quantized = quantize_rows(rows * np.float32(1e-3))
    back = dequantize_rows(quantized.codes, quantized.scales)
    assert back.dtype == np.float32
    normal = quantized.scales > 1e-30  # below, the scale itself has too few digits
    np.testing.assert_array_equal(quantize_rows(back).codes[normal], quantized.codes[normal])


def test_codes_by_hand() -> None:
    rows = np.array([[127.0, -63.4, 0.6], [0.0, 0.0, 0.0], [-0.5, 0.25, 0.5]], dtype=np.float32)
    quantized = quantize_rows(rows)
    assert quantized.codes.tolist() == [[127, -63, 1], [0, 0, 0], [-127, 63, 127]]
    assert quantized.scales[:2].tolist() == [1.0, 0.0]
    assert quantized.scales[2] == pytest.approx(0.5 / 127, rel=1e-6)


def test_many_rows_are_coded_as_each_alone() -> None:
    rows = np.random.default_rng(0).normal(size=(20_000, 3)).astype(np.float32)
    together = quantize_rows(rows)
    for row in (0, 16_383, 16_384, 19_999):
        alone = quantize_rows(rows[row : row + 1])
        assert alone.codes.tolist() == together.codes[row : row + 1].tolist()
        assert alone.scales[0] == together.scales[row]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_value_that_is_not_finite_names_the_row(bad: float) -> None:
    rows = np.zeros((3, 2), dtype=np.float32)
    rows[2, 1] = bad
    with pytest.raises(VectorsError, match="row 2 contains a value that is not finite"):
        quantize_rows(rows)
