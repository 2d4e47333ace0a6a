from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devise.errors import TextError
from devise.text.engine import encoding
from devise.text.engine.encoding import SENTENCE_END, EncodedText, encode

SENTENCES = st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=12), min_size=1, max_size=30)


def numbers_of(text: EncodedText) -> np.ndarray:
    numbers = np.concatenate([text.block(number) for number in range(len(text.blocks) - 1)])
    assert len(numbers) == text.size == text.path.stat().st_size // 4
    return numbers


def sentences_of(text: EncodedText) -> list[list[str]]:
    found: list[list[str]] = [[]]
    for number in numbers_of(text).tolist():
        if number == SENTENCE_END:
            found.append([])
        else:
            found[-1].append(text.words[number])
    assert found.pop() == []
    return found


@given(SENTENCES, st.integers(1, 4), st.one_of(st.none(), st.integers(1, 5)), st.integers(1, 40), st.integers(1, 9))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_text_is_all_there(
    tmp_path: Path, sentences: list[list[str]], least: int, most: int | None, chunk: int, block: int
) -> None:
    counted = Counter(word for sentence in sentences for word in sentence)
    kept = sorted((word for word in counted if counted[word] >= least), key=lambda word: (-counted[word], word))[:most]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(encoding, "_CHUNK", chunk)
        patched.setattr(encoding, "_BLOCK", block)
        if not kept:
            with pytest.raises(TextError, match=f"no word occurs {least} times"):
                encode(sentences, tmp_path, min_count=least, max_words=most)
            return
        text = encode(sentences, tmp_path, min_count=least, max_words=most)
    assert list(text.words) == kept
    assert text.counts.tolist() == [counted[word] for word in kept]
    sentences = [sentence for sentence in sentences if sentence]  # nothing is learnt from one without words
    assert sentences_of(text) == [[word for word in sentence if word in kept] for sentence in sentences]
    assert text.tokens == sum(counted.values())
    assert text.rare_tokens == text.tokens - int(text.counts.sum())
    assert text.forgotten == 0
    numbers = numbers_of(text)
    assert text.blocks[0] == 0
    assert text.blocks[-1] == len(numbers)
    assert (np.diff(text.blocks) > 0).all()
    assert all(numbers[end - 1] == SENTENCE_END for end in text.blocks[1:].tolist())
    before = np.cumsum([len(sentence) for sentence in sentences])
    ends = np.flatnonzero(numbers == SENTENCE_END) + 1
    assert text.read.tolist()[1:] == [int(before[np.searchsorted(ends, end)]) for end in text.blocks[1:].tolist()]
    assert not list(tmp_path.glob("draft*"))


def test_a_long_sentence_is_cut(tmp_path: Path) -> None:
    text = encode([["a"] * 25_000], tmp_path)
    ends = np.flatnonzero(numbers_of(text) == SENTENCE_END)
    assert ends.tolist() == [10_000, 20_001, 25_002]
    assert text.tokens == 25_000


def test_of_too_many_words_the_rarest_are_forgotten_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "_CHUNK", 1)
    sentences = [["cat"] * 5, *([f"w{number}"] for number in range(50)), ["cat", "w0"]]
    text = encode(sentences, tmp_path, most_types=10)
    assert text.words[0] == "cat"
    assert text.counts[0] == 6
    assert len(text.words) <= 11
    assert text.forgotten == text.rare_tokens > 0
    assert text.tokens == 57 == text.rare_tokens + int(text.counts.sum())


def test_progress_is_told(tmp_path: Path) -> None:
    seen: list[int] = []
    encode([["a"] * 9_000] * 30, tmp_path, on_tokens=seen.append)
    assert seen == [108_000, 216_000, 270_000]


def test_a_text_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def broken():
        yield ["a", "b"]
        raise TextError("line 2 is not UTF-8")

    with pytest.raises(TextError, match="line 2"):
        encode(broken(), tmp_path)
    assert not list(tmp_path.iterdir())
