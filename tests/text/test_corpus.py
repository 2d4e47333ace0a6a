import json
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devise.errors import TextError, UsageError
from devise.text.corpus import CorpusSource, CorpusTally, read_tokens, sentences, write_tokens
from devise.text.phrases import PhraseJoiner

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


def test_damage_is_tallied(tmp_path: Path) -> None:
    (tmp_path / "d.dict").write_bytes(b"Ant\n A \x92small\x92 insect")
    (tmp_path / "d.index").write_text("Ant\tA\tV\n")  # V = 21 bytes
    tally = CorpusTally()
    assert list(sentences([CorpusSource(tmp_path / "d.dict")], NOTHING, tally)) == [
        ["ant", "ant", "a", "small", "insect"]
    ]
    assert (tally.damaged, tally.documents) == (2, 1)


@pytest.mark.parametrize(("repeat", "lead"), [(0, None), (1, 0)])
def test_sources_of_nothing(tmp_path: Path, repeat: int, lead: int | None) -> None:
    with pytest.raises(UsageError, match="repeat and lead must be at least 1"):
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
    with pytest.raises(TextError, match="sentence 2 holds a token that is empty or has a space"):
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
