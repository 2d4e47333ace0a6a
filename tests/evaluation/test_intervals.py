import numpy as np
import pytest

from devise.errors import UsageError
from devise.evaluation.intervals import Bootstrap, Measured, measure, measure_class_means
from devise.evaluation.weighted import mean_of


def test_two_runs_agree_and_another_seed_differs() -> None:
    values = np.random.default_rng(0).random(50)
    classes = np.arange(50) // 5
    first, again = (measure({"m": mean_of(values)}, classes, Bootstrap()) for _ in range(2))
    assert first == again
    assert measure({"m": mean_of(values)}, classes, Bootstrap(seed=1)) != first


def test_an_interval_is_as_wide_as_theory_says() -> None:
    """The mean of 400 coins: 1.96 standard errors of 0.025 each way; 10,000 draws throw the ends by about 0.001."""
    values = np.tile([0.0, 1.0], 200)
    found = measure({"m": mean_of(values)}, np.arange(400), Bootstrap(draws=10_000))["m"]
    assert found.value == 0.5
    assert found.images == pytest.approx((0.451, 0.549), abs=0.004)


def test_classes_are_drawn_whole() -> None:
    """Classes that are all right or all wrong: over classes the mean of 8 coins, over images that of 800."""
    classes = np.arange(800) // 100
    found = measure({"m": mean_of((classes % 2).astype(float))}, classes, Bootstrap())["m"]
    assert found.classes is not None
    assert found.images is not None
    assert found.classes[1] - found.classes[0] > 4 * (found.images[1] - found.images[0])


def test_blocks_of_draws_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    values, classes = np.random.default_rng(0).random(20), np.arange(20) // 2
    whole = measure({"m": mean_of(values)}, classes, Bootstrap(draws=99))
    monkeypatch.setattr("devise.evaluation.intervals._BLOCK", 70)
    parted = measure({"m": mean_of(values)}, classes, Bootstrap(draws=99))
    assert parted == whole


def test_one_image_and_one_class_have_no_interval() -> None:
    assert measure({"m": mean_of(np.array([1.0]))}, np.array([0]), Bootstrap()) == {"m": Measured(1.0)}
    found = measure({"m": mean_of(np.array([1.0, 0.0]))}, np.array([0, 0]), Bootstrap())["m"]
    assert found.classes is None
    assert found.images == (0.0, 1.0)
    assert measure_class_means(np.array([1.0, 0.0]), np.array([0, 0]), Bootstrap()) == Measured(0.5)


def test_means_over_classes_leave_out_what_has_no_value() -> None:
    values = np.array([1.0, 1.0, 0.0, np.nan, np.nan])
    found = measure_class_means(values, np.array([0, 0, 1, 1, 2]), Bootstrap())
    assert (found.value, found.images, found.classes) == (0.5, None, (0.0, 1.0))
    assert measure_class_means(np.array([np.nan]), np.array([0]), Bootstrap()) == Measured(None)


@pytest.mark.parametrize("wrong", [{"draws": 0}, {"level": 1.0}, {"level": 0.0}])
def test_rules_that_make_no_interval(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="a bootstrap needs draws"):
        Bootstrap(**wrong)
