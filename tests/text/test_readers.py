import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from devise.errors import TextError
from devise.text.corpus import CorpusSource
from devise.text.documents import Document
from devise.text.gathering import GatherConfig, gather_corpus
from devise.text.readers import open_corpus, read_wordnet
from devise.text.tokens import tokenize

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
}


@pytest.mark.parametrize("ending", PACKERS)
def test_json_lines(tmp_path: Path, ending: str) -> None:
    records = [
        {"id": 1, "title": "Kätzchen", "text": "A kitten.\nSmall."},
        {"text": ""},
        {"title": None, "text": "x"},
    ]
    data = "\n\n".join(json.dumps(record) for record in records).encode()
    path = tmp_path / f"corpus.JSONL{ending}"
    path.write_bytes(PACKERS[ending](data))
    assert list(open_corpus(path)) == [
        Document("Kätzchen", "A kitten.\nSmall."),
        Document("", ""),
        Document("", "x"),
    ]


@pytest.mark.parametrize("ending", PACKERS)
def test_plain_text(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"corpus.txt{ending}"
    path.write_bytes(PACKERS[ending]("one naïve line\n\n  \n another\x85line\r\nlast".encode()))
    texts = ["one naïve line", "another\x85line", "last"]
    assert list(open_corpus(str(path))) == [Document("", text) for text in texts]


@pytest.mark.parametrize("ending", [".gz", ".xz", ".bz2"])
@pytest.mark.parametrize("lost", [4, 400])
def test_truncated_compression_is_an_error(tmp_path: Path, ending: str, lost: int) -> None:
    lines = [f"line {number} of {number * 7919 % 1009}" for number in range(1000)]
    whole = PACKERS[ending]("\n".join(lines).encode())
    path = tmp_path / f"corpus.txt{ending}"
    path.write_bytes(whole[:-lost])
    documents = open_corpus(path)
    read: list[str] = []
    with pytest.raises(TextError, match=rf"corpus\.txt\{ending} breaks off after line \d+: .*damaged"):
        read.extend(document.text for document in documents)
    assert read == lines[: len(read)]


@pytest.mark.parametrize("ending", [".gz", ".xz", ".bz2"])
def test_file_that_is_not_compressed_as_its_name_says(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"corpus.txt{ending}"
    path.write_bytes(b"plain text, no compression\n" * 10)
    with pytest.raises(TextError, match="breaks off after line 0"):
        list(open_corpus(path))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"title": "a"}', 'line 2: expected an object with a string "text"'),
        (b'{"text": 3}', 'line 2: expected an object with a string "text"'),
        (b'["text"]', 'line 2: expected an object with a string "text"'),
        (b'{"text": "a", "title": 3}', 'line 2: expected a string as "title", got 3'),
        (b'{"text": "a"', "line 2 is not JSON"),
        (b'{"text": "\xe4"}', "line 2 is not UTF-8 at its byte 11"),
    ],
)
def test_broken_json_lines_are_named(tmp_path: Path, line: bytes, message: str) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(b'{"text": "good"}\n' + line + b"\n")
    with pytest.raises(TextError, match=message) as caught:
        list(open_corpus(path))
    assert "corpus.jsonl" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_plain_text_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    path.write_bytes(b"fine\nK\xe4tzchen\n")
    with pytest.raises(TextError, match=r"corpus\.txt line 2 is not UTF-8 at its byte 2"):
        list(open_corpus(path))


@pytest.mark.parametrize("name", ["corpus.pdf", "corpus", "corpus.gz", "corpus.html.bz2"])
def test_unknown_types_are_refused_at_once(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(TextError, match="is not a known type of corpus"):
        open_corpus(tmp_path / name)


DUMP = (
    '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/"><page><title>Cat</title><ns>0</ns><id>1</id>'
    "<revision><id>1</id><model>wikitext</model><text>A cat.</text></revision></page></mediawiki>"
)


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("enwiki-20260101-pages-articles1.xml-p1p41242.bz2", bz2.compress),
        ("enwiki-latest-pages-articles-multistream1.xml-p1p41242", bytes),
        ("enwiki", lzma.compress),
        ("dump.txt.gz", gzip.compress),
        ("dump.xml", bz2.compress),
    ],
)
def test_a_dump_is_known_by_its_content(tmp_path: Path, name: str, pack: Callable[[bytes], bytes]) -> None:
    pytest.importorskip("mwparserfromhell")
    path = tmp_path / name
    path.write_bytes(pack(f'\ufeff<?xml version="1.0"?>\n{DUMP}'.encode()))
    assert list(open_corpus(path)) == [Document("Cat", "A cat.")]
    tally = gather_corpus([CorpusSource(path)], tmp_path / "c.jsonl", GatherConfig("jsonl"))
    assert tally.pages == 1


@pytest.mark.parametrize("name", ["corpus.json", "corpus", "corpus.part-0001"])
def test_json_lines_are_known_by_their_content(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(b'{"id": 3, "text": "a cat"}\n'))
    assert list(open_corpus(path)) == [Document("", "a cat")]
    path.write_bytes(b'{"id": 3}\n')
    with pytest.raises(TextError, match="not a known type"):
        open_corpus(path)


def test_missing_file_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(TextError, match=r"no\.jsonl does not exist"):
        open_corpus(tmp_path / "no.jsonl")


def test_reading_is_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(b'{"text": "good"}\nbroken\n')
    assert next(iter(open_corpus(path))).text == "good"


def test_simple_wikipedia(shared: Path) -> None:
    documents = list(islice(open_corpus(shared / "data" / "text" / "simple-wikipedia.jsonl.xz"), 300))
    assert [document.title for document in documents[:2]] == ["April", "August"]
    tokens = [token for document in documents for token in tokenize(document.text)]
    by_spaces = sum(len(document.text.split()) for document in documents)
    assert 0.95 < len(tokens) / by_spaces < 1.1  # figures with points and dashes part, lone signs go


LICENCE = b"  1 This software and database is being provided to you\n  2 and so on | for all\n"
NOUN = b'02128385 05 n 02 leopard 0 Panthera_pardus 0 000 | large feline; "a leopard\'s spots"  \n'
ADJECTIVE = b"00014358 00 s 02 abounding 0 galore(ip) 0 001 & 00013887 a 0000 | existing in abundance  \n"


def test_a_document_for_each_lemma(tmp_path: Path) -> None:
    (tmp_path / "data.adj").write_bytes(LICENCE + ADJECTIVE)
    (tmp_path / "data.noun").write_bytes(LICENCE + NOUN)
    gloss = 'large feline; "a leopard\'s spots"'
    nouns = [Document(term, gloss, defines=True, synset="n02128385") for term in ("leopard", "Panthera pardus")]
    adjectives = [
        Document("abounding", "existing in abundance", defines=True),
        Document("galore", "existing in abundance", defines=True),
    ]
    assert list(open_corpus(tmp_path)) == nouns + adjectives
    assert list(open_corpus(tmp_path / "data.adj")) == adjectives


def test_ten_words_and_more_are_counted_in_hexadecimal(tmp_path: Path) -> None:
    words = [f"word{i}" for i in range(17)]
    line = f"00000001 03 n 11 {' 0 '.join(words)} 0 000 | many names\n"
    (tmp_path / "data.verb").write_text(line)
    assert [document.title for document in read_wordnet(tmp_path)] == words


@pytest.mark.parametrize(
    "line",
    [
        b"00000001 03 n 01 word 0 000 no gloss\n",
        b"00000001 03 n zz word 0 000 | gloss\n",
        b"short | gloss\n",
        b"\n",
    ],
)
def test_lines_of_another_form(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "data.noun").write_bytes(LICENCE + NOUN + line)
    with pytest.raises(TextError, match=r"data\.noun line 4: expected a synset"):
        list(read_wordnet(tmp_path))


def test_line_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "data.noun").write_bytes(NOUN.replace(b"spots", b"sp\xf6ts"))
    with pytest.raises(TextError, match=r"data\.noun line 1 is not UTF-8"):
        list(read_wordnet(tmp_path))


def test_folder_without_the_files(tmp_path: Path) -> None:
    with pytest.raises(TextError, match=r"is a folder without data\.noun"):
        list(open_corpus(tmp_path))
