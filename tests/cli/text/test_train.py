import json
from functools import partial
from pathlib import Path

import pytest
from commandline import Run

from devise.text.vectorfiles import read_vectors

pytest.importorskip("numba")


@pytest.fixture
def text(run: Run) -> Run:
    return partial(run, "text")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    lines = ["A snow leopard, the big cat of the mountains.", "An electric guitar and a harp play the tune."]
    path.write_text("\n".join(lines * 50) + "\n--\nonce\n")
    return path


SMALL = ("--dim", 8, "--window", 3, "--epochs", 2, "--threads", 1)


def test_text_becomes_vectors(text, corpus: Path, tmp_path: Path) -> None:
    done = text("train", corpus, "--out", tmp_path / "out", *SMALL)
    assert done.code == 0, done.err
    assert done.out.strip() == str(tmp_path / "out" / "vectors.safetensors")
    assert "left out: 1 occurrence of rare words" in done.err
    assert "1 document without a word" in done.err
    table = read_vectors(tmp_path / "out" / "vectors.safetensors")
    assert table.dim == 8
    assert {"snow_leopard", "electric_guitar", "harp"} <= set(table.words)
    assert "snow" not in table
    log = json.loads((tmp_path / "out" / "training.json").read_text())
    assert log["config"]["hierarchical_softmax"] is True
    assert set(log["text"]) == {"1 corpus.txt", "phrases", "tokenised"}


def test_phrases_are_left_or_given(text, corpus: Path, tmp_path: Path) -> None:
    phrases = tmp_path / "phrases.txt"
    phrases.write_text("big cat\n\n")
    done = text("train", corpus, "--out", tmp_path / "a", "--no-phrases", "--phrase-list", phrases, *SMALL)
    assert done.code == 0, done.err
    words = read_vectors(tmp_path / "a" / "vectors.safetensors").words
    assert "big_cat" in words
    assert "snow" in words


def test_tokens_are_read_as_they_are(text, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.txt"
    tokens.write_text("Snow_Leopard eats  A.B\n" * 30)
    done = text("train", tokens, "--tokenised", "--out", tmp_path / "a", "--negative", 2, "--max-words", 2, *SMALL)
    assert done.code == 0, done.err
    assert read_vectors(tmp_path / "a" / "vectors.safetensors").words == ("A.B", "Snow_Leopard")
    assert json.loads((tmp_path / "a" / "training.json").read_text())["config"]["hierarchical_softmax"] is False


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--dim", 0), 2, "devise: --dim must be at least 1, got 0"),
        (("--min-count", 0), 2, "devise: --min-count must be at least 1, got 0"),
        (("--no-hs",), 2, "nothing would be learnt: use --hs, or --negative of at least 1"),
        (("--alpha", -1), 2, "devise: --alpha must be at least 0 and finite, got -1"),
        (("--checkpoint-every", 0), 2, "--checkpoint-every must be above 0"),
        (("--phrase-list", "missing.txt"), 1, "missing.txt does not exist"),
        (("--min-count", 9999), 1, "give more text or a lower minimum count: --min-count"),
    ],
)
def test_wrong_settings(text, corpus: Path, tmp_path: Path, arguments: tuple[object, ...], code: int, message: str):
    done = text("train", corpus, "--out", tmp_path / "out", *arguments)
    assert done.code == code
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_files_that_cannot_be_trained_on(text, corpus: Path, tmp_path: Path) -> None:
    assert "does not exist" in text("train", tmp_path / "no.txt", "--out", tmp_path / "out").err
    strange = tmp_path / "strange.pdf"
    strange.touch()
    assert "not a known type" in text("train", corpus, strange, "--out", tmp_path / "out").err
    assert not (tmp_path / "out").exists()


def test_a_training_goes_on_only_as_it_was_begun(text, corpus: Path, tmp_path: Path) -> None:
    assert text("train", corpus, "--out", tmp_path / "out", "--min-count", 9999).code == 1
    done = text("train", corpus, "--out", tmp_path / "out", *SMALL, "--resume")
    assert done.code == 2
    assert "was begun with dim 300, now it is 8" in done.err


def test_vectors_are_measured(text, tmp_path: Path) -> None:
    vectors, pairs, questions = tmp_path / "v.txt", tmp_path / "people.txt", tmp_path / "q.txt"
    vectors.write_text("4 2\nman 1 0\nwoman 1 1\nking 3 0\nqueen 3 1\n")
    pairs.write_text("man king 9\nman woman 5\nking queen 8\nman zebra 1\n")
    questions.write_text(": family\nman woman king queen\n")
    done = text("eval", vectors, "--pairs", pairs, "--analogies", questions)
    assert done.code == 0, done.err
    assert "people" in done.out
    assert "3 of 4" in done.out
    assert "75.0 %" in done.out
    found = json.loads(text("eval", vectors, "--pairs", pairs, "--analogies", questions, "--json").out)
    assert found["pairs"] == [{"set": "people", "pairs": 4, "covered": 3, "coverage": 0.75, "spearman": 1.0}]
    assert [row["section"] for row in found["analogies"]] == ["family", "all"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [((), 2, "nothing to measure"), (("--pairs", "missing.txt"), 1, "missing.txt is not a file")],
)
def test_what_cannot_be_measured(text, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    done = text("eval", tmp_path / "v.txt", *arguments)
    assert done.code == code
    assert message in done.err
