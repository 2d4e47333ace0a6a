"""Text towers: against arithmetic on the colours of words."""

import sys

import numpy as np
import pytest
from towermodel import COLOURS, CONTEXT, PROMPTS, text_network, tokenizer

from devise.errors import BundleError, LabelError, UsageError
from devise.space.texttower import Prompts, TextTower, TowerComposer, chosen_prompts
from devise.vision.cutting import halved


@pytest.fixture(scope="module")
def tower() -> TextTower:
    return TextTower(text_network(), tokenizer(), PROMPTS)


def by_hand(text: str) -> np.ndarray:
    """The sum of the colours of at most eight words."""
    words = text.lower().replace(".", " ").replace(",", " ").split()[:CONTEXT]
    total = np.sum([COLOURS.get(word, COLOURS["<unk>"]) for word in words], axis=0)
    return np.asarray(total / np.linalg.norm(total))


def test_a_label_is_the_mean_of_its_prompts(tower: TextTower):
    texts = ("a photo of a zebra.", "zebra, which is a striped horse of the plains of africa")
    mean = np.mean([by_hand(text) for text in texts], axis=0)
    found = tower.labels([("zebra", "a striped horse of the plains of africa"), ("tabby", "")])
    np.testing.assert_allclose(found[0], mean / np.linalg.norm(mean), atol=1e-6)
    np.testing.assert_allclose(found[1], by_hand("a photo of a tabby."), atol=1e-6)


def test_many_texts_come_in_their_order(tower: TextTower):
    texts = [word for word in COLOURS if word[0] != "<"] * 9
    np.testing.assert_allclose(tower.encode(texts), [by_hand(text) for text in texts], atol=1e-6)


def test_short_texts_go_through_the_shorter_network():
    minus = TextTower(text_network(), tokenizer(), PROMPTS, [(3, text_network(-1.0))])
    found = minus.encode(["zebra", "a photo of a zebra", "kick scooter"])
    signs = [-1, 1, -1]
    wanted = [by_hand(text) for text in ("zebra", "a photo of a zebra", "kick scooter")]
    np.testing.assert_allclose(found, np.array(wanted) * np.array(signs)[:, None], atol=1e-6)


def test_words_in_16_bits_are_cast_row_by_row(tower: TextTower):
    onnx = pytest.importorskip("onnx")
    small = halved(text_network())
    assert [node.op_type for node in onnx.load_from_string(small).graph.node] == ["Gather", "Cast", "ReduceSum"]
    texts = ["a photo of a zebra", "tabby"]
    found = TextTower(small, tokenizer(), PROMPTS).encode(texts)
    np.testing.assert_allclose(found, tower.encode(texts), atol=1e-3)


def test_a_composer_reads_names_and_definitions(tower: TextTower):
    composer = TowerComposer(tower)
    zebra = composer.synset("n02391049")
    assert zebra.source == "term"
    np.testing.assert_array_equal(composer.labels(["n02391049"]).vectors[0], zebra.vector)
    np.testing.assert_allclose(composer.typed("kick scooter").vector, by_hand("a photo of a kick scooter"), atol=1e-6)
    with pytest.raises(LabelError, match="needs a word in its name"):
        composer.typed("!!")


def test_prompts_without_a_definition():
    only = Prompts(("{name}, which is {gloss}",), 77)
    assert only.texts("zedonk") == ("zedonk",)
    assert only.texts("zedonk", "part {name}") == ("zedonk, which is part {name}",)
    assert Prompts.from_dict(only.to_dict()) == only
    with pytest.raises(UsageError, match=r"prompts must be of name, photo, photos, definition.*got 'poem'"):
        chosen_prompts("photo, poem")
    for wrong in ({}, {"templates": [], "context": 3}, {"templates": ["x"], "context": 0}, {"templates": "x"}):
        with pytest.raises(BundleError, match="must be templates and a context"):
            Prompts.from_dict(wrong)


def test_what_is_no_text_tower():
    with pytest.raises(BundleError, match="not a tokenizer"):
        TextTower(text_network(), b"{}", PROMPTS)
    with pytest.raises(BundleError, match="text tower cannot be read by OpenVINO"):
        TextTower(b"no network", tokenizer(), PROMPTS)
    with pytest.raises(BundleError, match="must make 8 tokens of a text"):
        TextTower(text_network(), tokenizer(5), PROMPTS).encode(["zebra"])


def test_a_text_without_a_vector_is_refused():
    nothing = TextTower(text_network(0.0), tokenizer(), PROMPTS)
    with pytest.raises(BundleError, match="makes no finite vector"):
        nothing.encode(["zebra"])


def test_without_the_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(UsageError, match=r"need tokenizers: pip install 'devise-zsl\[clip\]'"):
        TextTower(text_network(), b"{}", PROMPTS)
