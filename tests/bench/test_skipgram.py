from pathlib import Path

import pytest

from bench.skipgram import SkipGramCase, _first, measure_skipgram
from bench.skipgram_worker import word2vec
from devise.text.vectorfiles import read_vectors


def corpus(tmp_path: Path, name: str) -> Path:
    path = tmp_path / name
    path.write_text("\n".join(f"{name[0]} cat and a dog number {number % 7}" for number in range(200)))
    return path


def test_of_each_text_as_many_words(tmp_path: Path):
    texts = (corpus(tmp_path, "a.txt"), corpus(tmp_path, "b.txt"))
    words = [word for sentence in _first(texts, 100) for word in sentence]
    assert len(words) == 100
    assert words.count("b") >= 7


def test_a_program_that_is_missing_is_named(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("WORD2VEC", str(tmp_path / "nothing"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    assert "pip install word2vec" in word2vec({}, tmp_path, tmp_path)["missing"]


@pytest.mark.slow
def test_all_programs_are_measured(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("DEVISE_SHARED", str(tmp_path / "nothing"))
    case = SkipGramCase((corpus(tmp_path, "a.txt"),), 1000, dim=16, window=3, min_count=1, threads=1, judged=True)
    figures = {figure.what: figure for figure in measure_skipgram(case, tmp_path)}
    assert figures["ours: training alone"].value > 0
    assert figures["ours: arithmetic"].value > 0
    assert figures["training alone, ours / gensim"].at_least
    assert read_vectors(tmp_path / "ours.safetensors").dim == 16
    assert set(read_vectors(tmp_path / "gensim.bin").words) == set(read_vectors(tmp_path / "ours.safetensors").words)
