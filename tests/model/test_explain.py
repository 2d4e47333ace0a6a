from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from devise.labels import Label
from devise.model.labeller import Explainer, Model
from devise.space.evidence import Evidence
from devise.space.labelspace import unit_rows

Plain = Callable[[tuple[int, int, int]], np.ndarray]
RED = (250, 20, 40)


@pytest.mark.parametrize("method", ["fused", "devise", "conse", "softmax"])
def test_what_a_guess_leans_on_by_loops(slow: ModuleType, small: Model, plain: Plain, method: str):
    parts = small.parts
    features = np.array([(channel - 127) / 128 for channel in RED], np.float32)
    shares = slow.softmax((parts.classifier.weight @ features + parts.classifier.bias).tolist())
    top = 4 if method == "softmax" else 9
    for guess in small.label(plain(RED), top=top, method=method, explain=True).guesses:
        vector = parts.space.vectors[parts.space.labels.position(guess.label.id)].tolist()
        leans = {
            label_id: max(0.0, share * slow.dot(vector, trained))
            for label_id, share, trained in zip(
                parts.trained_ids, shares, parts.space.vectors[parts.trained].tolist(), strict=True
            )
        }
        order = sorted((label_id for label_id in leans if leans[label_id] > 0), key=lambda i: -leans[i])[:3]
        assert guess.explanation is not None
        assert [one.label.id for one in guess.explanation.leans_on] == order
        for one in guess.explanation.leans_on:
            assert one.share == pytest.approx(leans[one.label.id] / sum(leans.values()), abs=1e-4)
            assert one.label.seen


def test_shares_fall_and_stay_within_one(small: Model, plain: Plain):
    for guess in small.label(plain(RED), top=9, explain=True).guesses:
        assert guess.explanation is not None
        shares = [one.share for one in guess.explanation.leans_on]
        assert shares == sorted(shares, reverse=True)
        assert len(shares) <= 3
        assert sum(shares) <= 1 + 1e-6
        assert all(share > 0 for share in shares)


def test_the_three_largest_of_four(slow: ModuleType, small: Model):
    parts = small.parts
    trained = parts.space.vectors[parts.trained]
    # A vector that is as near to each trained label, and shares of 2, 8, 4 and 1 in 15.
    vector = unit_rows((np.linalg.pinv(trained) @ np.ones(4, np.float32)).astype(np.float32)[None])[0]
    logits = np.log(np.array([[2, 8, 4, 1]], np.float32))
    leans = Explainer(parts, Evidence(np.zeros((1, 3), np.float32), logits)).explanation(
        0, parts.space.labels[0], vector
    )
    assert [one.label.id for one in leans.leans_on] == ["n02123045", "n02391049", "n03272010"]
    assert [one.share for one in leans.leans_on] == pytest.approx([8 / 15, 4 / 15, 2 / 15], abs=1e-3)


def test_the_path_leads_from_the_root_to_the_label(small: Model, plain: Plain):
    for guess in small.label(plain(RED), top=9, explain=True).guesses:
        assert guess.explanation is not None
        assert guess.explanation.path[0] == "entity"
        assert guess.explanation.path[-1] == guess.label.name
    kiang = small.labels[small.labels.position("n02390738")]
    explainer = Explainer(small.parts, Evidence(np.zeros((1, 3), np.float32), np.zeros((1, 4), np.float32)))
    path = explainer.explanation(0, kiang, small.parts.space.vectors[0]).path
    assert path[-4:] == ("equine", "ass", "wild ass", "kiang")


def test_a_typed_label_has_no_path_but_leans_on_something(small: Model, plain: Plain):
    answer = small.label(plain(RED), top=1, candidates="typed", labels="zedonk: a striped horse", explain=True)
    explanation = answer.guesses[0].explanation
    assert explanation is not None
    assert explanation.path == ()
    assert answer.guesses[0].label == Label("user:zedonk", "zedonk", "a striped horse", False, "gloss")


def test_a_label_without_a_vector_leans_on_nothing(small: Model, plain: Plain):
    last = small.label(plain(RED), top=9, explain=True).guesses[-1]
    assert last.label.id == "n00001740"
    assert last.explanation is not None
    assert last.explanation.leans_on == ()
    assert last.explanation.path == ("entity",)


def test_explanations_only_when_asked(small: Model, plain: Plain):
    assert all(guess.explanation is None for guess in small.label(plain(RED)).guesses)


def test_explanations_of_a_batch_are_each_pictures_own(small: Model, plain: Plain):
    pictures = [plain(RED), b"", plain((5, 90, 250))]
    batch = list(small.label_many(pictures, explain=True))
    for picture, answer in zip(pictures[::2], batch[::2], strict=True):
        alone = small.label(picture, explain=True)
        for one, other in zip(answer.guesses, alone.guesses, strict=True):
            assert one.explanation is not None
            assert other.explanation is not None
            assert [s.label for s in one.explanation.leans_on] == [s.label for s in other.explanation.leans_on]
            assert [s.share for s in one.explanation.leans_on] == pytest.approx(
                [s.share for s in other.explanation.leans_on], abs=1e-5
            )
