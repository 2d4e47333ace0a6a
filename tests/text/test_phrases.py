from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.errors import TextError
from devise.text.phrases import JOINT, LONGEST_PHRASE, PhraseJoiner, read_phrases, term_key

WORDS = st.lists(st.sampled_from("abcd"), max_size=12)
PHRASES = st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=4), max_size=8)


def slow_join(tokens: list[str], phrases: set[tuple[str, ...]]) -> list[str]:
    """At each position, the longest phrase by trying all lengths."""
    joined, position = [], 0
    while position < len(tokens):
        for length in range(len(tokens) - position, 0, -1):
            words = tuple(tokens[position : position + length])
            if length == 1 or words in phrases:
                joined.append(JOINT.join(words))
                position += length
                break
    return joined


@given(WORDS, PHRASES)
def test_joins_as_the_slow_search_does(tokens: list[str], phrases: list[list[str]]) -> None:
    joiner = PhraseJoiner(map(" ".join, phrases))
    assert joiner.join(tokens) == slow_join(tokens, {tuple(phrase) for phrase in phrases})


@given(WORDS, PHRASES)
def test_split_on_the_joints_gives_the_tokens_back(tokens: list[str], phrases: list[list[str]]) -> None:
    joined = PhraseJoiner(map(" ".join, phrases)).join(tokens)
    assert [word for term in joined for word in term.split(JOINT)] == tokens


@given(WORDS, PHRASES)
def test_no_phrase_that_stands_at_a_scan_position_is_missed(tokens: list[str], phrases: list[list[str]]) -> None:
    joiner = PhraseJoiner(map(" ".join, phrases))
    position = 0
    for term in joiner.join(tokens):
        words = term.split(JOINT)
        longer = [p for p in phrases if len(p) > len(words) and tokens[position : position + len(p)] == p]
        assert not longer
        position += len(words)


def test_long_phrase_that_breaks_off_leaves_the_shorter_one() -> None:
    joiner = PhraseJoiner(["New York", "new york city hall", "City of London"])
    assert joiner.join(["new", "york", "city", "of", "london"]) == ["new_york", "city_of_london"]
    assert joiner.join(["new", "york", "city", "hall"]) == ["new_york_city_hall"]
    assert joiner.join(["new", "york", "city"]) == ["new_york", "city"]


def test_term_key_does_not_depend_on_how_a_name_is_written() -> None:
    assert {term_key(name) for name in ("Snow Leopard", "snow_leopard", " snow  leopard.")} == {"snow_leopard"}
    assert term_key("chow-chow") == "chow-chow"
    assert term_key("...") == ""


@given(st.text())
def test_term_key_of_a_term_key_is_itself(name: str) -> None:
    assert term_key(term_key(name)) == term_key(name)


class CountingTokens(list[str]):
    """Tokens that count how often one of them is looked at."""

    looks = 0

    def __getitem__(self, place: Any) -> Any:
        self.looks += 1
        return super().__getitem__(place)


HOSTILE = [["a"] * length + ["b"] for length in range(1, LONGEST_PHRASE)]


@pytest.mark.parametrize("count", [1_000, 10_000])
def test_hostile_phrases_cost_no_more_than_their_length_a_token(count: int) -> None:
    """Every phrase begins at every token and none ends: the most that joining can be made to do."""
    joiner = PhraseJoiner(map(" ".join, HOSTILE))
    tokens = CountingTokens(["a"] * count)
    assert joiner.join(tokens) == list(tokens)
    assert count < tokens.looks <= LONGEST_PHRASE * count


@given(st.lists(st.sampled_from("ab"), max_size=60), st.lists(st.sampled_from(HOSTILE), max_size=4))
def test_joins_hostile_phrases_as_the_slow_search_does(tokens: list[str], phrases: list[list[str]]) -> None:
    joiner = PhraseJoiner(map(" ".join, phrases))
    assert joiner.join(tokens) == slow_join(tokens, {tuple(phrase) for phrase in phrases})


def test_lists_of_phrases(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("# names\nSnow Leopard\n\n kick scooter # two words\nteapot\n" + "a " * LONGEST_PHRASE)
    assert read_phrases(path) == ("Snow Leopard", "kick scooter", "teapot", ("a " * LONGEST_PHRASE).strip())
    path.write_text("fine\n" + "a " * (LONGEST_PHRASE + 1))
    with pytest.raises(TextError, match="line 2: a phrase has at most 32 words, got 33"):
        read_phrases(path)
    path.write_bytes(b"\xff\n")
    with pytest.raises(TextError, match="line 1 is not UTF-8"):
        read_phrases(path)


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=3), max_size=6), st.text("abc ", max_size=9))
def test_terms_join_as_their_names_do(names: list[list[str]], text: str) -> None:
    by_name, by_term = PhraseJoiner(map(" ".join, names)), PhraseJoiner.of_terms(map(JOINT.join, names))
    assert by_term.join(text.split()) == by_name.join(text.split())
