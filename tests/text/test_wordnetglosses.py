from pathlib import Path

import pytest

from devise.errors import TextError
from devise.text.documents import Document
from devise.text.readers import open_corpus
from devise.text.wordnetglosses import read_wordnet

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
