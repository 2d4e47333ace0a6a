import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from devise.errors import TextError, VectorsError
from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import Taxonomy
from devise.text.documents import Document
from devise.text.skipgram import SkipGramConfig
from devise.text.vectors import WordTable
from devise.text.vectorstore import write_vector_store
from devise.training.targetspace import kept_words, read_words
from tools.default_words import WordsConfig, defining_articles, train_words, words_provenance

SKIPGRAM = SkipGramConfig(dim=4, window=3, epochs=2, min_count=1, threads=1)


@pytest.fixture
def taxonomy() -> Taxonomy:
    return Taxonomy.from_synsets(
        [
            Synset("n00000001", ("animal",), "it breathes"),
            Synset("n00000002", ("snow leopard", "ounce"), "large cat of snowy places", hypernyms=("n00000001",)),
            Synset("n00000003", ("forget-me-not", "St. John's wort"), "blue flower"),
        ]
    )


@pytest.fixture
def config(tmp_path: Path) -> WordsConfig:
    """Two glosses and two encyclopaedias."""
    wordnet = tmp_path / "wordnet"
    wordnet.mkdir()
    (wordnet / "data.noun").write_text(
        "  1 a line of the licence\n"
        "00000001 03 n 01 animal 0 000 | it breathes\n"
        "00000002 03 n 02 snow_leopard 0 ounce 0 000 | the snow leopard lives in snow\n"
    )
    articles = {
        "one": [
            {"title": "Snow leopard", "text": "The snow leopard (Panthera uncia) is a big cat."},
            {"title": "Kick scooter", "text": "A kick scooter is no noun here."},
        ],
        "two": [
            {"title": "Animal (disambiguation)", "text": "An Animal is one two three four five six"},
            {"title": "Ounce", "text": ""},
            {"title": "", "text": "an article without a title"},
        ],
    }
    paths = []
    for name, lines in articles.items():
        paths.append(tmp_path / f"{name}.jsonl")
        paths[-1].write_text("".join(json.dumps(line) + "\n" for line in lines))
    return WordsConfig(wordnet, tuple(paths), lead=8)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def never_trained(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, training is a failure."""

    def from_now_on() -> None:
        monkeypatch.setattr("tools.default_words.train_skipgram", lambda *_: pytest.fail("trained again"))
        monkeypatch.setattr("tools.default_words.write_tokens", lambda *_: pytest.fail("tokenised again"))

    return from_now_on


def tokens(work: Path) -> list[str]:
    (file,) = work.glob("tokens-*.txt")
    return file.read_text().splitlines()


# The text.


def test_glosses_come_first_then_the_articles_that_define_a_noun(config: WordsConfig, taxonomy: Taxonomy, work: Path):
    train_words(config, SKIPGRAM, taxonomy, work)
    assert tokens(work) == [
        "animal it breathes",
        "snow_leopard the snow_leopard lives in snow",
        "ounce the snow_leopard lives in snow",
        "snow_leopard the snow_leopard panthera uncia is a big",  # eight words, joined after they are counted
        "animal an animal is one two three four five",
        "ounce",
    ]


def test_articles_go_in_the_order_given(config: WordsConfig, taxonomy: Taxonomy, work: Path):
    turned = replace(config, articles=config.articles[::-1])
    train_words(turned, SKIPGRAM, taxonomy, work)
    assert [line.split()[0] for line in tokens(work)[3:]] == ["animal", "ounce", "snow_leopard"]


def test_defining_articles(tmp_path: Path):
    titles = ["Cat", "cats", "Snow Leopard (animal)", "St. Bernard", "(unnamed)", "", "Dog (film) (2007)"]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"title": title, "text": f"about {title}"}) + "\n" for title in titles))
    found = list(defining_articles(path, frozenset({"cat", "snow_leopard", "st_bernard", "dog"})))
    assert [(document.title.strip(), document.text) for document in found] == [
        ("Cat", "about Cat"),
        ("Snow Leopard", "about Snow Leopard (animal)"),
        ("St. Bernard", "about St. Bernard"),
        ("Dog", "about Dog (film) (2007)"),
    ]
    assert all(isinstance(document, Document) and document.defines for document in found)


# What is kept from run to run.


def test_vectors_are_trained_once(
    config: WordsConfig, taxonomy: Taxonomy, work: Path, never_trained: Callable[[], None]
):
    first = train_words(config, SKIPGRAM, taxonomy, work)
    assert first.dim == 4
    assert {"snow_leopard", "animal", "ounce", "breathes"} <= set(first.words)
    assert first.counts is not None
    assert int(first.counts[first.words.index("snow_leopard")]) == 5
    never_trained()
    again = train_words(config, SKIPGRAM, taxonomy, work)
    assert again.words == first.words
    np.testing.assert_array_equal(again.vectors, first.vectors)


def test_one_thread_gives_the_same_file_each_time(config: WordsConfig, taxonomy: Taxonomy, tmp_path: Path):
    files = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        train_words(config, SKIPGRAM, taxonomy, tmp_path / name)
        (file,) = (tmp_path / name).glob("words-*")
        files.append((file.name, file.read_bytes()))
    assert files[0] == files[1]


@pytest.mark.parametrize("change", ["lead", "epochs", "seed", "articles", "order", "gloss"])
def test_whatever_changes_the_vectors_makes_others(config: WordsConfig, taxonomy: Taxonomy, work: Path, change: str):
    train_words(config, SKIPGRAM, taxonomy, work)
    skipgram = SKIPGRAM
    match change:
        case "lead":
            config = replace(config, lead=9)
        case "epochs":
            skipgram = replace(SKIPGRAM, epochs=3)
        case "seed":
            skipgram = replace(SKIPGRAM, seed=SKIPGRAM.seed + 1)
        case "articles":
            config.articles[0].write_text('{"title": "Animal", "text": "another"}\n')
        case "order":
            config = replace(config, articles=config.articles[::-1])
        case "gloss":
            (config.wordnet / "data.noun").write_text("00000001 03 n 01 animal 0 000 | it eats\n")
    train_words(config, skipgram, taxonomy, work)
    assert len(list(work.glob("words-*"))) == 2


def test_another_taxonomy_makes_other_vectors(config: WordsConfig, taxonomy: Taxonomy, work: Path):
    train_words(config, SKIPGRAM, taxonomy, work)
    bare = Taxonomy.from_synsets([Synset("n00000001", ("animal",))])
    train_words(config, SKIPGRAM, bare, work)
    assert len(list(work.glob("words-*"))) == 2


def test_training_that_was_stopped_leaves_no_vectors(
    config: WordsConfig, taxonomy: Taxonomy, work: Path, monkeypatch: pytest.MonkeyPatch
):
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("tools.default_words.train_skipgram", stopped)
        with pytest.raises(KeyboardInterrupt):
            train_words(config, SKIPGRAM, taxonomy, work)
    assert not list(work.glob("words-*"))
    monkeypatch.setattr("tools.default_words.write_tokens", lambda *_: pytest.fail("tokenised again"))
    assert "animal" in train_words(config, SKIPGRAM, taxonomy, work)


def test_texts_that_are_not_there(config: WordsConfig, taxonomy: Taxonomy, work: Path, tmp_path: Path):
    with pytest.raises(TextError, match=r"absent\.jsonl"):
        train_words(replace(config, articles=(tmp_path / "absent.jsonl",)), SKIPGRAM, taxonomy, work)
    with pytest.raises(TextError, match="absent"):
        train_words(replace(config, wordnet=tmp_path / "absent"), SKIPGRAM, taxonomy, work)
    assert list(work.iterdir()) == []


def test_provenance_names_every_text_and_its_hash(config: WordsConfig):
    wordnet, one, two = words_provenance(config)
    assert (wordnet.what, wordnet.licence, wordnet.version) == ("text", "WordNet-3.0", "3.0")
    assert one.sha256 == sha256(config.articles[0].read_bytes()).hexdigest()
    assert two.sha256 == sha256(config.articles[1].read_bytes()).hexdigest()
    assert one.licence == two.licence == "CC-BY-SA-4.0"
    before = wordnet.sha256
    (config.wordnet / "data.verb").write_text("00000001 29 v 01 breathe 0 000 | to live\n")
    assert words_provenance(config)[0].sha256 != before


# Words for labels typed later.


def table(*words: str) -> WordTable:
    return WordTable(words, np.arange(1, len(words) + 1, dtype=np.float32)[:, None], np.arange(len(words), 0, -1))


def test_kept_words_are_those_of_nouns_and_definitions_then_the_most_frequent(taxonomy: Taxonomy):
    # In the order of the table: of use are the terms, their words and the words of the definitions.
    words = table("the", "cat", "running", "snow_leopard", "john's", "quickly", "me", "leopard", "places", "rare")
    useful = {"cat", "snow_leopard", "john's", "me", "leopard", "places"}
    assert kept_words(words, taxonomy, 6).words == tuple(word for word in words.words if word in useful)
    assert kept_words(words, taxonomy, 8).words == tuple(
        word for word in words.words if word in useful | {"the", "running"}
    )
    assert kept_words(words, taxonomy, 3).words == ("cat", "snow_leopard", "john's")  # the rarest go first
    assert kept_words(words, taxonomy, 100).words == words.words


def test_kept_words_keep_their_vectors_and_counts(taxonomy: Taxonomy, tmp_path: Path):
    words = table("the", "cat", "blue", "xyz")
    kept = kept_words(words, taxonomy, 2)
    assert kept.words == ("cat", "blue")
    assert kept.vectors.tolist() == [[2], [3]]
    assert kept.counts is not None
    assert kept.counts.tolist() == [3, 2]
    write_vector_store(tmp_path / "kept.safetensors", kept)


def test_words_from_a_file_and_from_a_folder_of_text_train(tmp_path: Path):
    table = WordTable(("cat", "dog"), np.eye(2, dtype=np.float32))
    write_vector_store(tmp_path / "vectors.safetensors", table)
    for path in (tmp_path, tmp_path / "vectors.safetensors"):
        assert read_words(path).words == ("cat", "dog")
    (tmp_path / "empty").mkdir()
    with pytest.raises(VectorsError, match=r"empty/vectors\.safetensors"):
        read_words(tmp_path / "empty")
