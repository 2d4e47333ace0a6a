"""The statistics against plain loops, and the weights against images that stand in the list several times."""

from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.errors import UsageError
from devise.evaluation.statistics import (
    Bootstrap,
    Measured,
    Statistic,
    adaptive_calibration_error,
    bins_of,
    calibration_error,
    false_positive_rate,
    harmonic_of,
    mean_of,
    measure,
    measure_class_means,
    median_of,
    reliability,
    roc_area,
    seen_unseen_area,
)

LEVELS = st.sampled_from([0.0, 0.125, 0.25, 0.5, 0.75, 1.0])  # few, so that there are ties
PAIRS = st.lists(st.tuples(LEVELS, st.booleans()), min_size=2, max_size=12).filter(
    lambda pairs: len({yes for _, yes in pairs}) == 2
)


def plain(statistic: Statistic, images: int) -> float:
    return float(statistic(np.ones((1, images)))[0])


@given(PAIRS)
def test_roc_area_is_the_share_of_pairs(slow: ModuleType, pairs: list[tuple[float, bool]]) -> None:
    scores, positive = (list(column) for column in zip(*pairs, strict=True))
    found = plain(roc_area(np.array(scores), np.array(positive)), len(pairs))
    assert found == pytest.approx(slow.auroc(scores, positive))


@given(PAIRS, st.sampled_from([0.5, 0.95, 1.0]))
def test_false_positive_rate_by_trying_thresholds(
    slow: ModuleType, pairs: list[tuple[float, bool]], share: float
) -> None:
    scores, positive = (list(column) for column in zip(*pairs, strict=True))
    found = plain(false_positive_rate(np.array(scores), np.array(positive), share), len(pairs))
    assert found == pytest.approx(slow.fpr_at(scores, positive, share))


@given(st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=30), st.integers(1, 15))
def test_calibration_error_by_bins(slow: ModuleType, pairs: list[tuple[float, bool]], bins: int) -> None:
    confidence = np.array([one for one, _ in pairs])
    right = np.array([float(yes) for _, yes in pairs])
    found = plain(calibration_error(confidence, right, bins_of(confidence, bins)), len(pairs))
    assert found == pytest.approx(reliability(confidence, right, bins).error, abs=1e-12)
    rows = bins_of(confidence, bins)
    edges = np.abs(confidence * bins - np.rint(confidence * bins)) < 1e-9  # i / bins is rounded: either bin may have it
    if not edges.any() or bins in (1, 2, 4, 8):
        wanted = slow.calibration_error(confidence.tolist(), right.astype(bool).tolist(), bins)
        assert found == pytest.approx(wanted, abs=1e-12)
    assert rows.min() >= 0
    assert rows.max() < bins


@given(st.lists(st.tuples(LEVELS, st.booleans()), min_size=1, max_size=30), st.integers(1, 15))
def test_adaptive_calibration_error_by_counting(slow: ModuleType, pairs: list[tuple[float, bool]], bins: int) -> None:
    confidence, right = (list(column) for column in zip(*pairs, strict=True))
    error = adaptive_calibration_error(np.array(confidence), np.array(right, dtype=np.float64), bins)
    assert plain(error, len(pairs)) == pytest.approx(slow.adaptive_calibration_error(confidence, right, bins))


def test_adaptive_calibration_error_by_hand() -> None:
    """Sure of all: equal widths put all four in one bin, where errors cancel; equal masses see both halves."""
    confidence, right = np.array([0.95, 0.96, 0.97, 0.98]), np.array([1.0, 1.0, 1.0, 0.0])
    assert plain(adaptive_calibration_error(confidence, right, 2), 4) == pytest.approx((0.09 + 0.95) / 4)
    assert plain(calibration_error(confidence, right, bins_of(confidence, 2)), 4) == pytest.approx(0.86 / 4)


IMAGES = st.lists(
    st.tuples(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), st.booleans(), st.booleans(), st.booleans()),
    min_size=2,
    max_size=10,
).filter(lambda images: len({trained for *_, trained in images}) == 2)


@given(IMAGES)
def test_area_under_the_seen_unseen_curve(slow: ModuleType, images: list[tuple[float, bool, bool, bool]]) -> None:
    # A trained label can be right only on a photo of a trained class, and the other way round.
    possible = [(gap, one and trained, other and not trained, trained) for gap, one, other, trained in images]
    gap, one, other, trained = (np.array(column) for column in zip(*possible, strict=True))
    found = plain(seen_unseen_area(gap, one, other, trained), len(images))
    assert found == pytest.approx(slow.seen_unseen_area(possible))


def test_area_by_hand() -> None:
    """Two seen images, right while the penalty is below 1 and 3; two unseen, right from 2 and never."""
    gap, trained = np.array([1.0, 3.0, 2.0, 0.0]), np.array([True, True, False, False])
    area = seen_unseen_area(gap, trained, np.array([False, False, True, False]), trained)
    # At 2 unseen goes from 0 to 1/2 while seen stays at 1/2.
    assert plain(area, 4) == 0.25


@given(st.lists(st.integers(0, 3), min_size=6, max_size=6), st.integers(0, 2**16))
def test_a_weight_is_as_many_copies(weights: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.choice([0.0, 0.25, 0.5, 1.0], 6)
    values[rng.integers(6)] = np.nan
    scores, gap = rng.choice([0.1, 0.4, 0.9], 6), rng.choice([-1.0, 0.0, 2.0], 6)
    one, other = rng.random(6) < 0.5, rng.random(6) < 0.5
    copies = np.repeat(np.arange(6), weights)

    def statistics(rows: np.ndarray) -> list[Statistic]:
        return [
            mean_of(values[rows]),
            median_of(values[rows]),
            harmonic_of(values[rows], one[rows]),
            roc_area(scores[rows], one[rows]),
            false_positive_rate(scores[rows], one[rows]),
            seen_unseen_area(gap[rows], one[rows], other[rows], one[rows]),
            calibration_error(scores[rows], other[rows].astype(np.float64), bins_of(scores[rows])),
            adaptive_calibration_error(scores[rows], other[rows].astype(np.float64), 2),
        ]

    if not len(copies):
        return
    weighted = [float(of(np.array([weights], dtype=np.float64))[0]) for of in statistics(np.arange(6))]
    copied = [plain(of, len(copies)) for of in statistics(copies)]
    assert weighted == pytest.approx(copied, nan_ok=True)


def test_medians_and_values_that_are_not_there() -> None:
    weights = np.array([[1.0, 1, 1, 1], [0, 0, 0, 2], [2, 1, 0, 0]])
    values = np.array([3.0, 1.0, 2.0, np.nan])
    np.testing.assert_equal(median_of(values)(weights), [2.0, np.nan, 3.0])
    np.testing.assert_equal(mean_of(values)(weights), [2.0, np.nan, 7 / 3])
    nothing = np.full(4, np.nan)
    np.testing.assert_equal(median_of(nothing)(weights), [np.nan] * 3)


def test_harmonic_of_by_hand() -> None:
    values, trained = np.array([1.0, 0.0, 1.0, 0.0]), np.array([True, True, False, False])
    found = harmonic_of(values, trained)(np.array([[1.0, 1, 1, 1], [1, 0, 0, 1], [3, 1, 1, 3], [1, 1, 0, 0]]))
    np.testing.assert_allclose(found, [0.5, 0.0, 2 * 0.75 * 0.25, np.nan])


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
    monkeypatch.setattr("devise.evaluation.statistics._BLOCK", 70)
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
