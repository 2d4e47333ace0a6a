"""Several models name a photo together: the arithmetic by hand, and what does not fit is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from devise.errors import UsageError
from devise.model.ensemble import Ensemble, load_ensemble, read_weights, write_weights
from devise.model.labeller import LabelRequest, Model
from devise.model.parts import ModelParts
from devise.space.evidence import Evidence, JoinedEvidence
from devise.space.scorers import JoinedScorer

COLOURS = [(250, 10, 10), (20, 30, 240), (120, 90, 80), (10, 250, 30)]
Picture = Callable[[tuple[int, int, int]], np.ndarray]


def shares(model: Model, pictures: list[np.ndarray], **options: object) -> np.ndarray:
    """The probability of every label of the small model, in its order."""
    run = model.run(LabelRequest(top=9, **options))  # type: ignore[arg-type]
    found = []
    for answer in run.answers(pictures):
        by_id = {guess.label.id: guess.score for guess in answer.guesses}
        found.append([by_id[one] for one in model.labels.ids])
    return np.array(found)


@pytest.mark.parametrize("weights", [None, (0.3, 1.1), (0.0, 1.0)], ids=["equal", "chosen", "one alone"])
def test_probabilities_are_the_weighted_product(
    small: Model, other_small: Model, plain: Picture, weights: tuple[float, float] | None
):
    pictures = [plain(colour) for colour in COLOURS]
    first, second = shares(small, pictures), shares(other_small, pictures)
    a, b = weights or (0.5, 0.5)
    expected = first**a * second**b
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares(Ensemble([small, other_small], weights), pictures), expected, atol=1e-5)
    assert np.abs(first - second).max() > 0.01


def test_a_typed_label_and_its_rank(small: Model, other_small: Model, plain: Picture):
    answer = Ensemble([small, other_small]).label(
        plain(COLOURS[0]), labels="zedonk: offspring of a zebra and a donkey", top=99
    )
    assert {guess.label.name for guess in answer.guesses} >= {"zedonk", "tabby"}
    assert sum(guess.score for guess in answer.guesses) == pytest.approx(1)
    assert [one.label.name for one in answer.standings] == ["zedonk"]


def test_rejection_weighs_the_gains_of_the_models(small: Model, other_small: Model, plain: Picture):
    pictures = [plain(colour) for colour in COLOURS]
    request = LabelRequest(candidates="unseen", reject="auto")
    alone = [[one.rejected for one in small.run(request).answers(pictures)]]
    same = [[one.rejected for one in Ensemble([small, other_small], (2.0, 0.0)).run(request).answers(pictures)]]
    assert same == alone


def test_a_photo_is_decoded_once_and_features_stand_side_by_side(small: Model, other_small: Model, plain: Picture):
    (found,) = Ensemble([small, other_small]).features([plain(COLOURS[0])])
    (own,) = small.features([plain(COLOURS[0])])
    assert found.features is not None
    assert found.features.tolist() == [*own.features.tolist()] * 2  # type: ignore[union-attr]
    assert Ensemble([small, other_small]).dim == 6


def test_a_member_of_weight_0_is_not_asked():
    class Never:
        labels = None

        def scores(self, evidence: Evidence) -> np.ndarray:
            raise AssertionError("asked")

    class Ones(Never):
        def scores(self, evidence: Evidence) -> np.ndarray:
            return np.array([[1.0, -np.inf]], np.float32)

    seen = Evidence(np.ones((1, 3), np.float32), np.ones((1, 4), np.float32))
    joined = JoinedScorer((Never(), Ones()), (0.0, 3.0))  # type: ignore[arg-type]
    assert joined.scores(JoinedEvidence(seen.features, seen.logits, (seen, seen))).tolist() == [[3.0, -np.inf]]


def test_notes_name_the_models_and_weights(small: Model, other_small: Model):
    notes = Ensemble([small, other_small]).run(LabelRequest()).notes
    assert notes == ("ensemble with equal weights: 0.5 x small + 0.5 x small",)
    chosen = Ensemble([small, other_small], (0.25, 1.0)).run(LabelRequest()).notes
    assert chosen == ("ensemble with the weights of the file: 0.25 x small + 1 x small",)


def test_what_one_place_per_picture_needs_is_refused(small: Model, other_small: Model, plain: Picture):
    both = Ensemble([small, other_small])
    with pytest.raises(UsageError, match="joined by the method fused alone, got conse"):
        both.run(LabelRequest(method="conse"))
    with pytest.raises(UsageError, match="context needs one place"):
        both.run(LabelRequest(context=True))
    with pytest.raises(UsageError, match="no one place for a picture"):
        both.embed(plain(COLOURS[0]))


def test_models_that_do_not_fit_are_refused(small: Model, other_small: Model, packaged: Model, tmp_path: Path):
    others = object.__new__(Model)
    others.parts = cast("ModelParts", SimpleNamespace(trained_ids=small.parts.trained_ids, space=packaged.parts.space))
    for models, message in (
        ([small], "two models or more"),
        ([small, small], "the same model twice"),
        ([small, packaged], r"trained on different labels, \d and 1,000: give models of the same classes"),
        ([small, others], "different labels, 9 and 39,990: build both from the same base"),
    ):
        with pytest.raises(UsageError, match=message):
            Ensemble(models)
    for weights in ((1.0,), (1.0, -0.1), (0.0, 0.0), (1.0, float("nan"))):
        with pytest.raises(UsageError, match="a weight of 0 or more per model, one above 0"):
            Ensemble([small, other_small], weights)


def test_weights_are_stored_by_model(
    small: Model, other_small: Model, small_bundle: Path, other_small_bundle: Path, tmp_path: Path
):
    file = tmp_path / "weights.json"
    write_weights(file, [small, other_small], (0.25, 0.5), {"photos": 3})
    assert read_weights(file, [other_small, small]) == (0.5, 0.25)
    assert load_ensemble([other_small_bundle, small_bundle], file).weights == (0.5, 0.25)
    stored = json.loads(file.read_text())
    assert stored["chosen"] == {"photos": 3}
    for change, message in (
        ({"models": stored["models"][:1]}, "has no weight for small"),
        ({"models": [*stored["models"], {**stored["models"][0], "manifest_sha256": "0"}]}, "is for 3 models, got 2"),
        ({"models": [{"name": "small"}]}, "is damaged"),
        ({"version": 2}, "not a file of weights of version 1"),
    ):
        file.write_text(json.dumps(stored | change))
        with pytest.raises(UsageError, match=message):
            read_weights(file, [small, other_small])
    with pytest.raises(UsageError, match="cannot be read"):
        read_weights(tmp_path / "none.json", [small, other_small])
