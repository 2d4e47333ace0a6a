from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.skipgram import SkipGramCase, _first, measure_skipgram
from bench.skipgram_worker import fasttext, word2vec
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


@pytest.mark.parametrize(("program", "cure"), [(word2vec, "pip install word2vec"), (fasttext, "pip download fasttext")])
def test_a_program_that_is_missing_is_named(tmp_path: Path, monkeypatch, program, cure: str):
    monkeypatch.setenv(program.__name__.upper(), str(tmp_path / "nothing"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    assert cure in program({}, tmp_path, tmp_path)["missing"]


FASTTEXT = """#!/bin/sh
cd {folder}
echo "$@" > asked
seen() {{ for _ in $(seq 300); do [ -e clock$1 ] && return; sleep 0.1; done; exit 4; }}
printf '\\rRead 0M words\\nNumber of words:  2\\n' >&2
[ -e clock1 ] && exit 5
printf 'Number of labels: 0\\n' >&2
seen 1
[ -e clock2 ] && exit 6
printf '\\rProgress:  50.0%%\\rProgress: 100.0%%\\n' >&2
seen 2
exit {code}
"""


def test_fasttext_is_timed_from_the_last_counted_word_to_the_last_trained_one(tmp_path: Path, monkeypatch):
    program = tmp_path / "fasttext"
    program.write_text(FASTTEXT.format(folder=tmp_path, code=0))
    program.chmod(0o755)
    monkeypatch.setenv("FASTTEXT", str(program))
    asked = {"dim": 16, "window": 3, "min_count": 1, "sample": 1e-3, "threads": 1, "negative": 5}
    readings = iter((1, 2, 1, 2))

    def clock() -> float:  # the program waits until it is read where it should be
        reading = next(readings)
        (tmp_path / f"clock{reading}").touch()
        return 10.0**reading

    monkeypatch.setattr("bench.skipgram_worker.time", SimpleNamespace(perf_counter=clock))
    assert fasttext(asked, tmp_path / "text", tmp_path / "found.vec")["training"] == 90
    words = (tmp_path / "asked").read_text().split()
    assert words[0] == "skipgram"
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert options["-output"] == str(tmp_path / "found")
    assert (options["-loss"], options["-neg"], options["-maxn"], options["-lr"]) == ("ns", "5", "0", "0.025")
    program.write_text(FASTTEXT.format(folder=tmp_path, code=3))
    for reading in (1, 2):
        (tmp_path / f"clock{reading}").unlink()
    with pytest.raises(SystemExit, match="ended with 3"):
        fasttext(asked | {"negative": 0}, tmp_path / "text", tmp_path / "found.vec")
    assert "-loss hs" in (tmp_path / "asked").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("negative", [0, 5])
def test_all_programs_are_measured(tmp_path: Path, monkeypatch, negative: int):
    monkeypatch.setenv("DEVISE_SHARED", str(tmp_path / "nothing"))
    texts = (corpus(tmp_path, "a.txt"),)
    case = SkipGramCase(texts, 1000, dim=16, window=3, min_count=1, negative=negative, threads=1, judged=True)
    figures = {figure.what: figure for figure in measure_skipgram(case, tmp_path)}
    assert ("5 noise words" in figures["ours: training alone"].section) == (negative > 0)
    assert figures["ours: training alone"].value > 0
    assert figures["ours: arithmetic"].value > 0
    assert figures["training alone, ours / gensim"].at_least
    assert read_vectors(tmp_path / "ours.safetensors").dim == 16
    assert set(read_vectors(tmp_path / "gensim.bin").words) == set(read_vectors(tmp_path / "ours.safetensors").words)
