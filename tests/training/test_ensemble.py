"""Weights of an ensemble are chosen on photos, and stored."""

from pathlib import Path

import numpy as np
import pytest

from devise.errors import UsageError
from devise.model.ensemble import read_weights
from devise.model.labeller import Model
from devise.training.ensemble import choose_weights, fitted_weights


def test_the_model_that_knows_gets_the_weight():
    rng = np.random.default_rng(1)
    truth = np.repeat(np.arange(40), 5)
    knows = rng.normal(0, 1, (200, 40)).astype(np.float32)
    knows[np.arange(200), truth] += 3
    guesses = rng.normal(0, 1, (200, 40)).astype(np.float32)
    weights = fitted_weights([knows, guesses], truth)
    assert weights[0] > 4 * weights[1]
    assert fitted_weights([guesses, knows], truth)[::-1].tolist() == weights.tolist()


def test_models_as_good_as_each_other_share_evenly():
    rng = np.random.default_rng(2)
    truth = np.repeat(np.arange(40), 5)
    scores = [rng.normal(0, 1, (200, 40)).astype(np.float32) for _ in range(3)]
    for one in scores:
        one[np.arange(200), truth] += 1.5
    weights = fitted_weights(scores, truth)
    assert weights.tolist() == [weights[0]] * 3


def test_few_classes_are_refused(small: Model, other_small: Model, photo_folders: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="photos of 10 classes or more, got 3"):
        choose_weights([small, other_small], [photo_folders], tmp_path / "weights.json")
    assert not (tmp_path / "weights.json").exists()


def test_weights_and_rows(
    small: Model, other_small: Model, photo_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("devise.training.ensemble._FEWEST_CLASSES", 3)
    models = [small, other_small]
    done: list[tuple[int, int]] = []
    made = choose_weights(models, [photo_folders], tmp_path / "w.json", on_progress=lambda *one: done.append(one))
    assert (made.photos, made.classes) == (6, 3)
    assert len(made.problems) == 1
    assert [row.name for row in made.rows] == ["small", "small", "equal weights", "chosen weights"]
    assert all(set(row.hits) == {1, 5, 20} and row.hits[20] == 100 for row in made.rows)  # of 9 labels
    assert read_weights(tmp_path / "w.json", models) == made.weights
    assert done[-1] == (21, 21)  # three passes over 7 files
