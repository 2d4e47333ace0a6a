import numpy as np
import pytest

from devise.training.output import best_temperature, spread, unit_cosines


def test_cosines_of_rows_of_any_length():
    projected = np.array([[3.0, 4.0], [0.0, 0.0]], np.float32)
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]], np.float32)
    assert unit_cosines(projected, vectors) == pytest.approx(np.array([[0.6, 0.8, 1.0], [0, 0, 0]]))


def test_temperatures_are_chosen_on_photos_of_all_classes():
    assert spread(np.arange(7)).tolist() == list(range(7))
    assert len(spread(np.arange(0))) == 0
    truth = np.repeat(np.arange(100), 50)  # in the order of the classes
    assert len(set(truth[spread(np.arange(5000))].tolist())) == 100


def test_the_temperature_is_low_where_the_best_is_right_and_high_where_it_is_not():
    cosines = np.eye(3, dtype=np.float32)
    sure = best_temperature(cosines, np.arange(3))
    unsure = best_temperature(cosines, np.array([1, 2, 0]))
    assert sure < 0.1
    assert unsure > 1


def test_the_temperature_of_scores_drawn_under_one():
    rng = np.random.default_rng(0)
    cosines = rng.uniform(-0.5, 0.5, (4000, 5)).astype(np.float32)
    shares = np.exp(cosines / 0.2)
    shares /= shares.sum(axis=1, keepdims=True)
    truth = np.array([rng.choice(5, p=row / row.sum()) for row in shares.astype(np.float64)])
    assert 0.2 / 1.3 < best_temperature(cosines, truth) < 0.2 * 1.3
