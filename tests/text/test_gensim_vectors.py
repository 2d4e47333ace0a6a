"""gensim writes and reads the same files: a second opinion on every form it knows."""

from pathlib import Path

import numpy as np
import pytest

from devise.text.vectorfiles import read_vectors
from devise.text.vectors import WordTable
from tools.vector_files import write_vectors

keyedvectors = pytest.importorskip("gensim.models.keyedvectors")

WORDS = ["the", "snow_leopard", "naïve", "猫", "кошка", "1990", "</s>"]
VECTORS = np.random.default_rng(11).normal(size=(len(WORDS), 30)).astype(np.float32)


@pytest.mark.parametrize("name", ["t.bin", "t.txt", "t.vec"])
def test_what_gensim_writes_is_read(tmp_path: Path, name: str) -> None:
    keyed = keyedvectors.KeyedVectors(30)
    keyed.add_vectors(WORDS, VECTORS)
    keyed.save_word2vec_format(str(tmp_path / name), binary=name.endswith(".bin"), sort_attr=None)
    table = read_vectors(tmp_path / name)
    assert table.words == tuple(WORDS)
    np.testing.assert_array_equal(table.vectors, VECTORS)


@pytest.mark.parametrize("name", ["t.bin", "t.txt"])
def test_what_gensim_writes_of_words_with_spaces_is_read(tmp_path: Path, name: str) -> None:
    words = [f"snow leopard {word}" for word in WORDS if word != "1990"]
    keyed = keyedvectors.KeyedVectors(30)
    keyed.add_vectors(words, VECTORS[: len(words)])
    keyed.save_word2vec_format(str(tmp_path / name), binary=name.endswith(".bin"), sort_attr=None)
    table = read_vectors(tmp_path / name)
    assert table.words == tuple(words)
    np.testing.assert_array_equal(table.vectors, VECTORS[: len(words)])


@pytest.mark.parametrize("name", ["t.bin", "t.txt", "t.vec", "glove.txt"])
def test_what_is_written_gensim_reads(tmp_path: Path, name: str) -> None:
    glove = name == "glove.txt"
    write_vectors(tmp_path / name, WordTable(tuple(WORDS), VECTORS), header=not glove)
    keyed = keyedvectors.KeyedVectors.load_word2vec_format(
        str(tmp_path / name), binary=name.endswith(".bin"), no_header=glove
    )
    assert keyed.index_to_key == WORDS
    np.testing.assert_array_equal(keyed.vectors, VECTORS)


def test_nearest_words_are_gensims(tmp_path: Path) -> None:
    keyed = keyedvectors.KeyedVectors(30)
    keyed.add_vectors(WORDS, VECTORS)
    near = WordTable(tuple(WORDS), VECTORS).nearest("猫", 4)
    expected = keyed.most_similar("猫", topn=4)
    assert near.words == tuple(word for word, _ in expected)
    assert near.similarities == pytest.approx([cosine for _, cosine in expected], abs=1e-6)
