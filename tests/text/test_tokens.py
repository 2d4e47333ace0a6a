import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from devise.text.tokens import tokenize

TEXTS = st.one_of(
    st.text(),
    st.text(alphabet="aB9'’-\u2010\u00ad_ .\u0301éÉσΣİ\u093fह\u200d½"),
)


def is_letter(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character)[0] == "M"


def slow_tokens(text: str) -> list[str]:
    """Character by character, straight from the docstring."""
    text = text.lower()
    for typographic, plain in (("’", "'"), ("\u2010", "-"), ("\u2011", "-"), ("\u00ad", "")):
        text = text.replace(typographic, plain)
    text = unicodedata.normalize("NFC", text)
    words, word = [], ""
    for position, character in enumerate(text):
        following = text[position + 1] if position + 1 < len(text) else " "
        inner = character in "'-" and word and word[-1] not in "'-" and following.isalnum()
        if character.isalnum() or inner or (word and word[-1] not in "'-" and is_letter(character)):
            word += character
        elif word:
            words.append(word)
            word = ""
    return [*words, word] if word else words


@given(TEXTS)
@example("x\u0323\u0323-y")
@example("\u0301a")
@example("a--b 'tis o'")
def test_tokens_are_those_of_the_slow_reading(text: str) -> None:
    assert tokenize(text) == slow_tokens(text)


@given(TEXTS)
@example("e\u00ad\u0301")
def test_tokens_of_joined_tokens_are_the_same(text: str) -> None:
    tokens = tokenize(text)
    assert tokenize(" ".join(tokens)) == tokens
    assert all(token and "_" not in token and not any(map(str.isspace, token)) for token in tokens)


@given(TEXTS, st.integers(0, 8))
def test_lead_gives_the_first_tokens(text: str, lead: int) -> None:
    assert tokenize(text, lead) == tokenize(text)[:lead]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        ("St. Bernard", ["st", "bernard"]),
        ("the DOGS' forget-me-not", ["the", "dogs", "forget-me-not"]),
        ("rock ’n’ roll, O’Brien", ["rock", "n", "roll", "o'brien"]),
        ("naïve cafe\u0301 Ångström", ["naïve", "café", "ångström"]),
        ("हिन्दी кошка 猫 ΓΆΤΑΣ", ["हिन्दी", "кошка", "猫", "γάτας"]),
        ("co\u00adoperate 4x4 2½", ["cooperate", "4x4", "2½"]),
        ("snow_leopard--cat", ["snow", "leopard", "cat"]),
    ],
)
def test_words_by_hand(text: str, tokens: list[str]) -> None:
    assert tokenize(text) == tokens
