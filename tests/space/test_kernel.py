"""Kernel surgery: against a dense solver, against the linear case, and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.errors import LabelError, UsageError
from devise.space.kernel import (
    KernelConfig,
    centred_rows,
    fit_kernel,
    kernel_of,
    kernel_queries,
    kernel_ridge,
    leans,
    placed_by_label,
    principal_axes,
)
from devise.space.labelspace import unit_rows
from devise.space.surgery import image_free_surgery

PLAIN = KernelConfig(label_share=1.0, text_share=0.0, width=0.5, ridge=0.3, rank=99)


def problem(seed: int, labels: int = 9, trained: int = 5, dim: int = 4, features: int = 6) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    vectors = unit_rows(rng.standard_normal((labels, dim), dtype=np.float32))
    weight = rng.standard_normal((trained, features), dtype=np.float32)
    return vectors, np.arange(trained), weight


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 5.0))
def test_the_ridge_against_a_dense_solver(seed: int, ridge: float) -> None:
    """The minimum of || K A - W ||^2 + ridge tr(A' K A) as stacked least squares, with K = L L'."""
    rng = np.random.default_rng(seed)
    square = rng.standard_normal((6, 6))
    kernel = (square @ square.T / 6 + 0.1 * np.eye(6)).astype(np.float32)
    rows = rng.standard_normal((6, 3), dtype=np.float32)
    lower = np.linalg.cholesky(kernel.astype(np.float64))
    stacked = np.vstack([kernel, np.sqrt(ridge) * lower.T])
    expected = np.linalg.lstsq(stacked, np.vstack([rows, np.zeros((6, 3))]), rcond=None)[0]
    # normal equations of the stacked system square the condition number: agree where it is small
    np.testing.assert_allclose(kernel_ridge(kernel, rows, ridge), expected, rtol=2e-3, atol=2e-3)


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 10.0))
def test_surgery_is_the_linear_kernel(seed: int, ridge: float) -> None:
    """T' (T T' + ridge I)^-1 W = (T' T + ridge I)^-1 T' W: one regression, solved from its other side."""
    vectors, trained, weight = problem(seed)
    known = vectors[trained]
    centred = weight - weight.mean(axis=0)
    by_kernel = known.T @ kernel_ridge(known @ known.T, centred, ridge)
    np.testing.assert_allclose(by_kernel, image_free_surgery(known, weight, ridge), atol=2e-4)


def test_one_trained_pair_by_hand() -> None:
    """Two trained labels at right angles: K = [[1, k], [k, 1]], k = e^-2; W = unit rows of +-(1, -1)."""
    vectors = np.array([[1, 0], [0, 1]], np.float32)
    weight = np.array([[3, 1], [1, 3]], np.float32)  # mean (2, 2): rows (1, -1) and (-1, 1), at unit length +-s
    k, s = np.exp(-2.0), np.sqrt(0.5)
    solved = kernel_ridge(kernel_of([(1.0, vectors @ vectors.T)], 0.5), centred_rows(weight), 0.5)
    # (K + 0.5 I) a = (s, -s) has a = (a, -a) with a (1.5 - k) = s
    np.testing.assert_allclose(solved, np.array([[1, -1], [-1, 1]]) * s / (1.5 - k), rtol=1e-5)


def test_places_are_predicted_rows_and_photos_meet_them() -> None:
    """At full rank the cosine of a photo and a label is that of its features' roots and the label's predicted row."""
    vectors, trained, weight = problem(3)
    fitted = fit_kernel(PLAIN, vectors, trained, weight)
    kernel = np.exp((vectors @ vectors[trained].T - 1) / 0.5)
    rows = unit_rows((kernel @ np.linalg.inv(kernel[trained] + 0.3 * np.eye(5)) @ centred_rows(weight)).astype("f4"))
    features = np.abs(np.random.default_rng(0).standard_normal((4, 6))).astype(np.float32)
    inside = features.astype(np.float64) ** 0.5 @ (fitted.axes.T @ fitted.axes)  # what is off the axes no label sees
    expected = unit_rows(inside.astype(np.float32)) @ rows.T
    np.testing.assert_allclose(kernel_queries(features, fitted.axes) @ fitted.places.T, expected, atol=1e-4)


def test_the_axes_keep_most_of_the_rows() -> None:
    rows = np.random.default_rng(1).standard_normal((30, 8)).astype(np.float32)
    axes = principal_axes(rows, 3)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-5)
    kept = float(np.linalg.norm(rows @ axes.T) ** 2)
    best = float((np.linalg.svd(rows, compute_uv=False)[:3] ** 2).sum())
    assert kept == pytest.approx(best, rel=1e-5)
    assert len(principal_axes(rows, 100)) == 8


def test_a_typed_label_stands_where_its_vector_puts_it() -> None:
    """With the label vectors as the only view, a label placed later stands where it would have stood."""
    vectors, trained, weight = problem(5)
    fitted = fit_kernel(PLAIN, vectors, trained, weight)
    placed = placed_by_label(vectors, vectors[trained], fitted)
    np.testing.assert_allclose(placed, fitted.places, atol=1e-3)
    unknown = placed_by_label(np.zeros((1, 4), np.float32), vectors[trained], fitted)
    assert not unknown.any()


def test_leans_sum_to_the_cosine() -> None:
    vectors, trained, weight = problem(7)
    fitted = fit_kernel(PLAIN, vectors, trained, weight)
    queries = kernel_queries(np.abs(problem(8)[2]), fitted.axes)
    for place, vector in enumerate(vectors):
        shares = leans(vector, vectors[trained], fitted, queries)
        assert shares.shape == (5, 5)
        np.testing.assert_allclose(shares.sum(axis=1), queries @ fitted.places[place], atol=1e-3)


def test_views_are_weighed_by_their_shares() -> None:
    vectors, trained, weight = problem(11)
    other = problem(12)[0]
    config = KernelConfig(0.75, 0.25, width=0.5, ridge=0.3, rank=99)
    joined = unit_rows(np.hstack([np.sqrt(0.75) * vectors, np.sqrt(0.25) * other]).astype(np.float32))
    both = fit_kernel(config, vectors, trained, weight, text=other)
    one = fit_kernel(PLAIN, joined, trained, weight)
    features = np.abs(problem(8)[2])
    np.testing.assert_allclose(
        kernel_queries(features, both.axes) @ both.places.T,
        kernel_queries(features, one.axes) @ one.places.T,
        atol=1e-4,
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label_share": 0.0}, "above 0"),
        ({"text_share": -1.0}, "0 or more"),
        ({"width": 0.0}, "width must be above 0"),
        ({"ridge": float("inf")}, "ridge must be above 0 and finite"),
        ({"rank": 0}, "rank must be at least 1"),
    ],
)
def test_settings_out_of_range(settings: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        KernelConfig(**settings)  # type: ignore[arg-type]


def test_a_view_that_is_missing() -> None:
    vectors, trained, weight = problem(1)
    with pytest.raises(UsageError, match="gives text a share"):
        fit_kernel(KernelConfig(), vectors, trained, weight)


def test_a_ridge_that_is_none() -> None:
    with pytest.raises(LabelError, match="above 0"):
        kernel_ridge(np.eye(2, dtype=np.float32), np.ones((2, 4), np.float32), 0.0)


def test_settings_round_trip() -> None:
    config = KernelConfig(width=0.3)
    assert KernelConfig.from_dict(config.to_dict()) == config
    with pytest.raises(UsageError, match="needs the keys"):
        KernelConfig.from_dict({"width": 1.0})


def test_label_vectors_that_are_too_long_do_not_overflow() -> None:
    long = np.full((1, 1), 1e18, np.float32)
    assert kernel_of([(1.0, long), (1.0, -long)], 1e-6).item() == np.exp(np.float32(-1e6))
    assert kernel_of([(1.0, long)], 1e-6).item() == 1
