"""What an encoder says of all labels: in their order whatever their lengths, and once."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from devise.errors import TrainingError
from devise.space import encoders
from devise.taxonomy.wordnet import default_taxonomy
from devise.training import targetspace
from devise.training.targetspace import encoded_labels

IDS = ("n02123045", "n02391049", "n03467517", "n02129165", "n07749582")


class Lengths:
    """A sentence is its length and its first letter; counts the sentences it was given."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.read += texts
        return np.array([[len(text), ord(text[0])] for text in texts], np.float32)


def test_in_the_order_of_the_labels_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    encoder, taxonomy, said = Lengths(), default_taxonomy(), list[str]()
    monkeypatch.setattr(targetspace, "load_encoder", lambda name: encoder)
    monkeypatch.setattr(encoders, "_BLOCK", 2)
    vectors = encoded_labels(IDS, taxonomy, "any", tmp_path, said.append)
    synsets = [taxonomy.synset(synset_id) for synset_id in IDS]
    texts = [f"{', '.join(one.lemmas)}: {one.definition}" for one in synsets]
    expected = np.array([[len(text), ord(text[0])] for text in texts], np.float64)
    np.testing.assert_allclose(vectors, expected / np.linalg.norm(expected, axis=1, keepdims=True), rtol=1e-5)
    assert encoder.read == sorted(texts, key=len)
    assert said == ["texts encoded: 2 of 5", "texts encoded: 4 of 5", "texts encoded: 5 of 5"]
    again = encoded_labels(IDS, taxonomy, "any", tmp_path, said.append)
    np.testing.assert_array_equal(again, vectors)
    assert len(encoder.read) == 5
    encoded_labels(IDS, taxonomy, "another", tmp_path, said.append)
    assert len(encoder.read) == 10


def test_damaged_vectors_are_named_with_their_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(targetspace, "load_encoder", lambda name: Lengths())
    encoded_labels(IDS, default_taxonomy(), "any", tmp_path, str)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(kept.read_bytes()[:20])
    with pytest.raises(TrainingError, match=r"texts-\w+\.safetensors is damaged \(.+\): remove it to make it again"):
        encoded_labels(IDS, default_taxonomy(), "any", tmp_path, str)
