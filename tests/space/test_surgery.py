from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devise.errors import LabelError
from devise.space.surgery import DistillationConfig, distilled_surgery, image_free_surgery


def problem(seed: int, labels: int, dim: int, features: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((labels, dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), rng.standard_normal((labels, features)).astype(np.float32)


def dense(vectors: np.ndarray, weight: np.ndarray, ridge: float) -> np.ndarray:
    """The same minimum as plain least squares of the stacked system [T; sqrt(ridge) I] M = [W - mean; 0]."""
    vectors, weight = vectors.astype(np.float64), weight.astype(np.float64)
    dim = vectors.shape[1]
    known = vectors.any(axis=1)
    left = np.vstack([vectors[known], np.sqrt(ridge) * np.eye(dim)])
    right = np.vstack([(weight - weight.mean(axis=0))[known], np.zeros((dim, weight.shape[1]))])
    return np.linalg.lstsq(left, right, rcond=None)[0]


def loss(surgery: np.ndarray, vectors: np.ndarray, weight: np.ndarray, ridge: float) -> float:
    """As the module's docstring writes it, label by label."""
    mean = weight.mean(axis=0)
    misses = sum(
        float(((vector @ surgery - row + mean) ** 2).sum())
        for vector, row in zip(vectors, weight, strict=True)
        if vector.any()
    )
    return misses + ridge * float((surgery**2).sum())


@given(
    seed=st.integers(0, 2**32 - 1),
    labels=st.integers(1, 12),
    dim=st.integers(1, 8),
    features=st.integers(1, 6),
    ridge=st.floats(1e-2, 1e3),
)
@settings(max_examples=100, deadline=None)
def test_is_the_dense_least_squares_solution(seed: int, labels: int, dim: int, features: int, ridge: float):
    vectors, weight = problem(seed, labels, dim, features)
    # float32 keeps 7 digits of the result; the condition number is at most (12 + ridge) / ridge
    np.testing.assert_allclose(
        image_free_surgery(vectors, weight, ridge), dense(vectors, weight, ridge), rtol=2e-5, atol=2e-6
    )


def test_one_label_one_number_by_hand():
    # T = [2; 1], W = [3; 1], mean 2, so minimise (2m - 1)^2 + (m + 1)^2 + 5 m^2: 10m - 1 = 0 from 2(2m-1) + (m+1) + 5m
    found = image_free_surgery(np.array([[2], [1]], dtype=np.float32), np.array([[3], [1]], dtype=np.float32), 5.0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0.1]], rtol=1e-6)


def test_no_step_in_any_direction_lowers_the_loss():
    vectors, weight = problem(3, labels=9, dim=4, features=5)
    found = image_free_surgery(vectors, weight, 0.7).astype(np.float64)
    least = loss(found, vectors, weight, 0.7)
    rng = np.random.default_rng(4)
    for size in (1e-3, 1e-2, 1.0):
        for _ in range(50):
            assert loss(found + size * rng.standard_normal(found.shape), vectors, weight, 0.7) > least


def test_gradient_descent_arrives_there():
    vectors, weight = problem(5, labels=8, dim=3, features=4)
    centred = weight - weight.mean(axis=0)
    surgery = np.zeros((3, 4))
    for _ in range(2000):
        surgery -= 0.05 * (vectors.T @ (vectors @ surgery - centred) + 0.5 * surgery)
    np.testing.assert_allclose(image_free_surgery(vectors, weight, 0.5), surgery, rtol=1e-5, atol=1e-6)


def test_normal_equations_hold():
    vectors, weight = problem(6, labels=40, dim=10, features=30)
    found = image_free_surgery(vectors, weight, 0.3).astype(np.float64)
    residual = vectors @ found - (weight - weight.mean(axis=0))
    np.testing.assert_allclose(vectors.T @ residual + 0.3 * found, 0, atol=2e-5)


def test_a_label_without_a_vector_takes_no_part_but_its_row_is_in_the_mean():
    vectors, weight = problem(7, labels=6, dim=3, features=4)
    vectors[2] = 0
    found = image_free_surgery(vectors, weight, 0.2)
    np.testing.assert_allclose(found, dense(vectors, weight, 0.2), rtol=1e-5, atol=1e-6)
    # The mean is over all rows: a constant on all rows changes nothing, one on the known rows alone does.
    np.testing.assert_allclose(image_free_surgery(vectors, weight + 3, 0.2), found, rtol=1e-4, atol=1e-5)
    shifted = weight + 3 * vectors.any(axis=1, keepdims=True).astype(np.float32)
    assert np.abs(image_free_surgery(vectors, shifted, 0.2) - found).max() > 0.1


def test_all_labels_without_vectors_give_the_zero_map():
    _, weight = problem(8, labels=5, dim=3, features=4)
    assert not image_free_surgery(np.zeros((5, 3), dtype=np.float32), weight, 1.0).any()


def test_ridge_limits():
    vectors, weight = problem(9, labels=3, dim=6, features=4)  # fewer labels than dimensions: an exact fit exists
    centred = weight - weight.mean(axis=0)
    tiny = image_free_surgery(vectors, weight, 1e-6)
    np.testing.assert_allclose(vectors @ tiny, centred, atol=1e-4)
    np.testing.assert_allclose(tiny, np.linalg.pinv(vectors) @ centred, atol=1e-4)  # the shortest of them
    huge = image_free_surgery(vectors, weight, 1e6)
    np.testing.assert_allclose(huge * 1e6, vectors.T @ centred, rtol=1e-4, atol=1e-4)
    sizes = [np.linalg.norm(image_free_surgery(vectors, weight, r)) for r in (1e-3, 0.1, 1.0, 10.0, 1e3)]
    assert sizes == sorted(sizes, reverse=True)


def test_with_unlimited_labels_of_their_own_the_logits_are_imitated_up_to_a_constant():
    # Orthonormal label vectors and no ridge to speak of: t . M f is the logit less the mean logit.
    rng = np.random.default_rng(10)
    weight = rng.standard_normal((5, 7), dtype=np.float32)
    surgery = image_free_surgery(np.eye(5, dtype=np.float32), weight, 1e-7)
    features = rng.standard_normal(7).astype(np.float32)
    logits = weight @ features
    np.testing.assert_allclose(surgery @ features, logits - logits.mean(), atol=1e-4)


@pytest.mark.parametrize("ridge", [0.0, -1.0, float("nan"), float("inf")])
def test_a_ridge_that_is_not_positive_and_finite_is_refused(ridge: float):
    vectors, weight = problem(1, 3, 2, 2)
    with pytest.raises(LabelError, match=r"ridge .* above 0.*got"):
        image_free_surgery(vectors, weight, ridge)


def test_another_number_of_rows_is_refused():
    vectors, weight = problem(1, 4, 2, 2)
    with pytest.raises(LabelError, match="got 3 vectors and 4 rows"):
        image_free_surgery(vectors[:3], weight, 1.0)


# Distillation.


def kullback_leibler(surgery: np.ndarray, vectors: np.ndarray, weight: np.ndarray, features: np.ndarray) -> float:
    """Mean over the features of KL(softmax(w . f) || softmax(t . M f)), in float64."""
    made = features @ surgery.astype(np.float64).T @ vectors.T.astype(np.float64)
    true = features @ weight.T.astype(np.float64)
    logs = [scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)) for scores in (true, made)]
    return float((np.exp(logs[0]) * (logs[0] - logs[1])).sum(axis=1).mean())


def made_up(directions: np.ndarray, config: DistillationConfig, rng: np.random.Generator) -> np.ndarray:
    """The features of one step: of a class drawn at random, with noise as long as its share says."""
    chosen = config.scale * directions[rng.integers(len(directions), size=config.batch)]
    noise = rng.standard_normal(chosen.shape, dtype=np.float32)
    return chosen + config.noise * noise * np.linalg.norm(chosen, axis=1, keepdims=True) / chosen.shape[1] ** 0.5


def test_distillation_comes_nearer_to_the_classifier_on_features_it_never_saw():
    vectors, weight = problem(12, labels=12, dim=4, features=8)
    start = image_free_surgery(vectors, weight, 0.1)
    config = DistillationConfig(steps=150, batch=64, rate=2e-2)
    found = distilled_surgery(start, vectors, weight, config, np.random.default_rng(0))
    fresh = made_up(weight - weight.mean(axis=0), replace(config, batch=500), np.random.default_rng(99))
    before, after = (kullback_leibler(surgery, vectors, weight, fresh) for surgery in (start, found))
    assert after < 0.9 * before


def test_the_first_step_goes_down_the_gradient_of_the_divergence():
    """Adam's first step is `rate` against the sign of each derivative; here these are taken by differences."""
    vectors, weight = problem(13, labels=5, dim=3, features=4)
    start = image_free_surgery(vectors, weight, 0.5)
    config = DistillationConfig(steps=1, batch=16, rate=1e-3)
    step = distilled_surgery(start, vectors, weight, config, np.random.default_rng(7)) - start
    features = made_up(weight - weight.mean(axis=0), config, np.random.default_rng(7)).astype(np.float64)
    for place in np.ndindex(*start.shape):
        nudge = np.zeros(start.shape)
        nudge[place] = 1e-5
        ahead, behind = (
            kullback_leibler(start.astype(np.float64) + sign * nudge, vectors, weight, features) for sign in (1, -1)
        )
        slope = (ahead - behind) / 2e-5
        if abs(slope) > 1e-4:
            assert step[place] == pytest.approx(-1e-3 * np.sign(slope), rel=1e-2)


@pytest.mark.parametrize("unknown", [[], [1], [0, 5]])
def test_distillation_is_adam_by_loops(unknown: list[int]):
    """A label without a vector takes no part, as in the closed form, but its row is in the mean."""
    vectors, weight = problem(14, labels=6, dim=3, features=4)
    vectors[unknown] = 0
    start = image_free_surgery(vectors, weight, 0.5)
    config = DistillationConfig(steps=15, batch=8, rate=3e-3, scale=1.2, noise=0.4)
    found = distilled_surgery(start, vectors, weight, config, np.random.default_rng(1))
    rng = np.random.default_rng(1)
    known = [label for label in range(6) if label not in unknown]
    labels, directions = vectors[known].astype(np.float64), (weight - weight.mean(axis=0))[known]
    surgery, first, second = start.astype(np.float64), np.zeros(start.shape), np.zeros(start.shape)
    for step in range(1, 16):
        gradient = np.zeros(start.shape)
        for feature in made_up(directions, config, rng).astype(np.float64):
            made, true = np.exp(labels @ surgery @ feature), np.exp(directions @ feature)
            gradient += np.outer(labels.T @ (made / made.sum() - true / true.sum()), feature) / 8
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        surgery -= 3e-3 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    assert np.abs(surgery - start).max() > 0.02
    np.testing.assert_allclose(found, surgery, atol=5e-5)


def test_distillation_follows_the_generator_and_leaves_its_arguments_alone():
    vectors, weight = problem(15, labels=6, dim=3, features=4)
    start = image_free_surgery(vectors, weight, 0.5)
    kept = [array.copy() for array in (start, vectors, weight)]
    config = DistillationConfig(steps=10, batch=8)
    one, two = (distilled_surgery(start, vectors, weight, config, np.random.default_rng(3)) for _ in range(2))
    other = distilled_surgery(start, vectors, weight, config, np.random.default_rng(4))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()
    for array, before in zip((start, vectors, weight), kept, strict=True):
        np.testing.assert_array_equal(array, before)


def test_no_step_changes_nothing():
    vectors, weight = problem(16, labels=4, dim=2, features=3)
    start = image_free_surgery(vectors, weight, 0.5)
    found = distilled_surgery(start, vectors, weight, DistillationConfig(steps=0), np.random.default_rng(0))
    np.testing.assert_array_equal(found, start)
