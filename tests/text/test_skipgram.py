import hashlib
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devise.errors import DeviseError, TextError, UsageError
from devise.text.skipgram import SkipGramConfig, SkipGramProgress, train_skipgram
from devise.text.vectors import WordTable

pytest.importorskip("numba")

CONFIG = SkipGramConfig(dim=16, window=5, epochs=3, threads=1, sample=0.0)


def two_topics(sentences: int = 300) -> list[list[str]]:
    """Every sentence is all of animals or all of machines."""
    rng = np.random.default_rng(5)
    topics = (["cat", "dog", "cow", "owl", "snow_leopard"], ["car", "bus", "train", "crane", "bicycle"])
    return [[str(word) for word in rng.choice(topics[number % 2], 8)] for number in range(sentences)]


TEXT = two_topics()


def digest(table: WordTable) -> str:
    return hashlib.sha256(" ".join(table.words).encode() + table.vectors.tobytes()).hexdigest()


@pytest.mark.parametrize(
    ("hierarchical_softmax", "negative"), [(True, 0), (False, 5)], ids=["hierarchical", "negative"]
)
def test_words_of_one_topic_are_near(hierarchical_softmax: bool, negative: int) -> None:
    config = SkipGramConfig(
        dim=16,
        window=5,
        epochs=20,
        threads=1,
        sample=0.0,
        hierarchical_softmax=hierarchical_softmax,
        negative=negative,
    )
    table = train_skipgram(lambda: TEXT, config)
    assert set(table.nearest("cat", 4).words) == {"dog", "cow", "owl", "snow_leopard"}
    assert set(table.nearest("bus", 4).words) == {"car", "train", "crane", "bicycle"}


def test_words_and_counts_are_those_of_the_text() -> None:
    rare = [*TEXT, ["once", "twice", "twice"]]
    table = train_skipgram(lambda: rare, CONFIG)
    counted = Counter(word for sentence in rare for word in sentence)
    assert table.counts is not None
    assert dict(zip(table.words, table.counts.tolist(), strict=True)) == {
        word: count for word, count in counted.items() if count >= 2
    }
    assert table.counts.tolist() == sorted(table.counts.tolist(), reverse=True)
    assert table.vectors.shape == (11, 16)


def test_one_thread_gives_the_same_bits_whatever_the_hash_seed(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from devise.text.corpus import read_tokens\n"
        "from tools.vector_files import write_vectors\n"
        "from devise.text.skipgram import SkipGramConfig, train_skipgram\n"
        "config = SkipGramConfig(dim=16, window=5, epochs=3, threads=1, sample=0.0)\n"
        "table = train_skipgram(lambda: read_tokens(Path(sys.argv[1])), config)\n"
        "write_vectors(sys.argv[2], table)\n"
    )
    tokens, output = tmp_path / "tokens.txt", tmp_path / "t.safetensors"
    tokens.write_text("".join(" ".join(sentence) + "\n" for sentence in TEXT))
    environment = os.environ | {"PYTHONHASHSEED": "12345", "PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", program, str(tokens), str(output)], check=True, env=environment)
    from devise.text.vectorfiles import read_vectors

    assert digest(read_vectors(output)) == digest(train_skipgram(lambda: TEXT, CONFIG))


def test_seed_changes_the_vectors() -> None:
    other = SkipGramConfig(dim=16, window=5, epochs=3, threads=1, sample=0.0, seed=2)
    assert digest(train_skipgram(lambda: TEXT, other)) != digest(train_skipgram(lambda: TEXT, CONFIG))


def test_progress_tells_every_pass() -> None:
    long = [["a", "b"] * 30_000] * 4
    seen: list[SkipGramProgress] = []
    train_skipgram(lambda: long, SkipGramConfig(dim=2, window=1, epochs=2, threads=2), seen.append)
    counting = [(report.epoch, report.tokens, report.total) for report in seen if report.stage == "counting"]
    assert counting == [(0, 120_000, None), (0, 240_000, None), (0, 240_000, None)]
    for epoch in (1, 2):
        told = [report for report in seen if report.stage == "training" and report.epoch == epoch]
        assert [report.tokens for report in told] == [40_000, 80_000, 120_000, 160_000, 200_000, 240_000]
        assert all(report.total == 240_000 and report.loss is not None and report.loss > 0 for report in told)
    assert all(report.epochs == 2 for report in seen)


def test_the_loss_is_that_of_knowing_nothing_and_falls() -> None:
    first: list[SkipGramProgress] = []
    config = SkipGramConfig(dim=16, window=2, epochs=1, threads=1, sample=0.0)
    train_skipgram(lambda: [["a", "b", "c", "d"] * 2], config, first.append)
    assert first[-1].loss == pytest.approx(2 * math.log(2), rel=1e-6)  # four words of two even questions each
    seen: list[SkipGramProgress] = []
    config = SkipGramConfig(dim=16, window=5, epochs=60, threads=1, sample=0.0)
    train_skipgram(lambda: TEXT, config, seen.append)
    losses = [report.loss for report in seen if report.loss is not None]
    assert len(losses) == 60
    assert losses[-1] < 0.9 * losses[0]


def test_long_sentences_are_not_cut_off() -> None:
    table = train_skipgram(lambda: [["a"] * 10_000 + ["b"] * 10_000], SkipGramConfig(dim=2, window=1, threads=1))
    assert table.words == ("a", "b")
    assert table.counts is not None
    assert table.counts.tolist() == [10_000, 10_000]


def test_the_text_is_read_once() -> None:
    stream = iter(TEXT)
    assert digest(train_skipgram(lambda: stream, CONFIG)) == digest(train_skipgram(lambda: TEXT, CONFIG))


def test_of_many_words_the_rarest_are_left_out() -> None:
    text = [["a"] * 5 + ["b"] * 4 + ["c"] * 3 + ["d"] * 3] * 2
    table = train_skipgram(lambda: text, SkipGramConfig(dim=4, window=2, threads=1, max_words=3))
    assert table.words == ("a", "b", "c")


def test_a_single_word_keeps_the_vector_it_began_with() -> None:
    table = train_skipgram(lambda: [["a"] * 50], SkipGramConfig(dim=4, window=2, threads=1))
    assert table.words == ("a",)
    assert np.abs(table.vectors).max() <= 0.125


@pytest.mark.parametrize("text", [[], [[]], [["once", "upon", "a", "time"]]])
def test_text_without_a_frequent_word(text: list[list[str]]) -> None:
    with pytest.raises(TextError, match=r"no word occurs 2 times in \d tokens"):
        train_skipgram(lambda: text, CONFIG)


def test_an_error_in_the_text_ends_the_training() -> None:
    def failing() -> Iterator[list[str]]:
        yield from TEXT
        raise TextError("corpus.txt line 301 is not UTF-8")

    with pytest.raises(TextError, match="line 301"):
        train_skipgram(failing, CONFIG)


def test_an_error_in_the_callback_ends_the_training() -> None:
    def stop(report: SkipGramProgress) -> None:
        if report.stage == "training":
            raise RuntimeError("stopped by the user")

    with pytest.raises(RuntimeError, match="stopped by the user"):
        train_skipgram(lambda: TEXT, CONFIG, stop)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dim": 0}, "dim must be at least 1, got 0"),
        ({"threads": 0}, "threads must be at least 1"),
        ({"sample": -1.0}, "sample must be at least 0"),
        ({"sample": float("nan")}, "sample must be at least 0, got nan"),
        ({"alpha": 0.00001}, "alpha must be at least min_alpha"),
        ({"max_words": 0}, "max_words must be at least 1"),
        ({"hierarchical_softmax": False}, "nothing would be learnt"),
    ],
)
def test_settings_that_cannot_train(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SkipGramConfig(**wrong)


def test_without_numba_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "devise.text.engine.loops", raising=False)
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(DeviseError, match=r"pip install 'devise-zsl\[train\]'"):
        train_skipgram(lambda: TEXT, CONFIG)
