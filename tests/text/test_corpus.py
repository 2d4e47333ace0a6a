import json
from fractions import Fraction
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devise.errors import TextError, UsageError
from devise.text.corpus import (
    CorpusSource,
    CorpusTally,
    lead_of,
    parse_source,
    read_tokens,
    sentences,
    taken,
)
from devise.text.phrases import PhraseJoiner
from devise.text.tokens import tokenize
from tools.vector_files import write_tokens

NOTHING = PhraseJoiner([])


def json_lines(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"title": "The Title", "text": text}) + "\n" for text in texts))
    return path


def test_sources_in_order_joined_repeated_and_led(tmp_path: Path) -> None:
    first = CorpusSource(json_lines(tmp_path / "a.jsonl", ["The snow leopard rests.", "--", "b"]), repeat=2)
    second = CorpusSource(json_lines(tmp_path / "b.jsonl", ["One snow leopard more"]), lead=2)
    tally = CorpusTally()
    joined = list(sentences([first, second], PhraseJoiner(["snow leopard"]), tally))
    once = [["the", "snow_leopard", "rests"], ["b"]]
    assert joined == [*once, *once, ["one", "snow"]]
    assert tally == CorpusTally(documents=7, sentences=5, tokens=10, empty=2)


def test_definitions_begin_with_their_term(tmp_path: Path) -> None:
    line = b"02128925 05 n 02 snow_leopard 0 Ounce 0 000 | large feline of upland central Asia\n"
    (tmp_path / "data.noun").write_bytes(line)
    gloss = ["large_feline", "of", "upland"]
    source = CorpusSource(tmp_path, lead=4)
    joined = list(sentences([source], PhraseJoiner(["Large Feline"])))
    assert joined == [["snow_leopard", *gloss], ["ounce", *gloss]]


def test_long_documents_are_cut_and_nothing_is_lost(tmp_path: Path) -> None:
    words = [f"w{number}" for number in range(2500)]
    source = CorpusSource(json_lines(tmp_path / "a.jsonl", [" ".join(words), " ".join(words[:1000])]))
    cut = list(sentences([source], NOTHING))
    assert [len(sentence) for sentence in cut] == [1000, 1000, 500, 1000]
    assert [token for sentence in cut[:3] for token in sentence] == words


@pytest.mark.parametrize(("repeat", "lead"), [(0, None), (1001, None), (1, 0)])
def test_sources_of_nothing(tmp_path: Path, repeat: int, lead: int | None) -> None:
    with pytest.raises(UsageError, match="repeat must be above 0 and at most 1000, and lead at least 1"):
        CorpusSource(tmp_path, repeat=repeat, lead=lead)


@pytest.mark.filterwarnings("ignore:Do not use the .random. module")  # temporary names are not data
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(
    st.lists(
        st.lists(
            st.text(st.characters(exclude_characters=" \n", exclude_categories=["Cs"]), min_size=1),
            max_size=5,
        )
    )
)
def test_token_files_give_back_the_sentences(tmp_path: Path, written: list[list[str]]) -> None:
    tally = write_tokens(tmp_path / "tokens.txt", written)
    kept = [sentence for sentence in written if sentence]
    assert list(read_tokens(tmp_path / "tokens.txt")) == kept
    assert tally.sentences == len(kept)
    assert tally.tokens == sum(map(len, kept))
    assert tally.empty == len(written) - len(kept)


@pytest.mark.parametrize("token", ["a b", "a\nb", "", " "])
def test_tokens_that_could_not_be_read_back(tmp_path: Path, token: str) -> None:
    path = tmp_path / "tokens.txt"
    path.write_text("before\n")
    with pytest.raises(TextError, match="sentence 2 contains a token that is empty or has a space"):
        write_tokens(path, [["fine"], ["fine", token]])
    assert path.read_text() == "before\n"
    assert [file.name for file in tmp_path.iterdir()] == ["tokens.txt"]


def test_simple_wikipedia_through_a_token_file(shared: Path, tmp_path: Path) -> None:
    source = CorpusSource(shared / "data" / "text" / "simple-wikipedia.jsonl.xz", lead=50)
    joiner = PhraseJoiner(["Roman Empire", "fourth month", "solar system"])
    first = list(islice(sentences([source], joiner), 300))
    assert first[0][:5] == ["april", "is", "the", "fourth_month", "of"]
    tally = write_tokens(tmp_path / "tokens.txt", first)
    assert list(read_tokens(tmp_path / "tokens.txt")) == first
    assert tally.sentences == 300
    assert tally.tokens <= 300 * 50


def test_fractions_take_documents_evenly(tmp_path: Path) -> None:
    path = json_lines(tmp_path / "a.jsonl", [f"w{number}" for number in range(1, 7)])
    tally = CorpusTally()
    source = CorpusSource(path, repeat=Fraction(4, 3))
    joined = [sentence[0] for sentence in sentences([source], NOTHING, tally)]
    assert joined == ["w1", "w2", "w3", "w4", "w5", "w6", "w3", "w6"]
    assert (tally.documents, tally.passed_over) == (8, 4)


@given(st.fractions(min_value=0, max_value=1), st.integers(0, 300))
def test_a_share_takes_as_many_as_it_says(share: Fraction, count: int) -> None:
    assert sum(taken(number, share) for number in range(1, count + 1)) == int(share * count)


@pytest.mark.parametrize(
    ("text", "repeat", "lead"),
    [
        ("f.txt", 1, None),
        ("f.txt@3", 3, None),
        ("f.txt@0.25", Fraction(1, 4), None),
        ("f.txt@lead=7", 1, 7),
        ("f.txt@2,lead=7", 2, 7),
        ("a@b/f.txt@1.5", Fraction(3, 2), None),
    ],
)
def test_sources_as_they_are_typed(text: str, repeat: Fraction, lead: int | None) -> None:
    source = parse_source(text)
    assert source == CorpusSource(Path(text.rpartition("@")[0] or text), repeat, lead)


@pytest.mark.parametrize("text", ["f@", "f@x", "f@,lead=3", "f@3lead=3", "f@-1", "f@1e3", "@3", "f@3,lead", "f@ 3"])
def test_sources_typed_wrongly(text: str) -> None:
    with pytest.raises(UsageError, match="after @ give a weight"):
        parse_source(text)


def test_a_file_with_a_sign_in_its_name_is_meant(tmp_path: Path) -> None:
    (tmp_path / "f@3").write_text("")
    assert parse_source(f"{tmp_path}/f@3") == CorpusSource(tmp_path / "f@3")


@given(st.text(), st.integers(1, 10))
def test_the_lead_of_a_text_holds_its_first_words(text: str, lead: int) -> None:
    shorter = lead_of(text, lead)
    assert text.startswith(shorter)
    assert tokenize(shorter, lead) == tokenize(text, lead)
