from pathlib import Path

import numpy as np
import pytest

from devise.errors import VectorsError
from devise.text.vectorbinary import read_vector_binary, write_vector_binary
from devise.text.vectors import WordTable


def packed(words: list[str], vectors: np.ndarray, end: bytes) -> bytes:
    """word2vec's form, written out by hand."""
    data = f"{len(words)} {vectors.shape[1]}\n".encode()
    for word, row in zip(words, vectors, strict=True):
        data += word.encode() + b" " + row.astype("<f4").tobytes() + end
    return data


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "t.bin"
    path.write_bytes(data)
    return path


ANY = np.random.default_rng(7).normal(size=(60, 9)).astype(np.float32)
WITH_SPACES = [f"word {i} ünï 猫" if i % 3 else f"plain{i}" for i in range(60)]


@pytest.mark.parametrize("end", [b"\n", b""], ids=["word2vec", "gensim"])
@pytest.mark.parametrize("words", [[f"猫{i}" for i in range(60)], WITH_SPACES], ids=["unicode", "spaces"])
def test_both_layouts_by_hand(tmp_path: Path, end: bytes, words: list[str]) -> None:
    table = read_vector_binary(written(tmp_path, packed(words, ANY, end)))
    assert table.words == tuple(words)
    np.testing.assert_array_equal(table.vectors, ANY)


@pytest.mark.parametrize("end", [b"\n", b""], ids=["word2vec", "gensim"])
def test_vectors_full_of_spaces_and_line_ends(tmp_path: Path, end: bytes) -> None:
    spaces = np.frombuffer(b"    \n\n\n\n \n \n" * 3, dtype="<f4").reshape(3, 3)
    table = read_vector_binary(written(tmp_path, packed(["a", "b", "c"], spaces, end)))
    assert table.words == ("a", "b", "c")
    np.testing.assert_array_equal(table.vectors, spaces)


def test_first_vector_of_a_word_is_kept(tmp_path: Path) -> None:
    path = written(tmp_path, packed(["a", "b", "a"], ANY[:3], b"\n"))
    table = read_vector_binary(path)
    assert (table.words, table.duplicates) == (("a", "b"), 1)
    np.testing.assert_array_equal(table.vectors, ANY[:2])


def test_what_is_written_is_word2vecs_form(tmp_path: Path) -> None:
    path = tmp_path / "t.bin"
    write_vector_binary(path, WordTable(("cat", "dog"), ANY[:2]))
    assert path.read_bytes() == packed(["cat", "dog"], ANY[:2], b"\n")


@pytest.mark.parametrize("end", [b"\n", b""], ids=["word2vec", "gensim"])
def test_every_truncation_is_an_error(tmp_path: Path, end: bytes) -> None:
    whole = packed([f"w{i}" for i in range(4)], ANY[:4], end)
    # The last line end says nothing, so a file that lacks only that is whole in sense; all else is missed.
    for length in range(len(whole) - len(end)):
        with pytest.raises(VectorsError, match=r"t\.bin"):
            read_vector_binary(written(tmp_path, whole[:length]))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"cat 1 2 3\n", "expected a first line"),
        (b"PK\x03\x04" * 40, "expected a first line"),
        (b"\xba\x16\x4f\x2f\x0c\0\0\0" * 9, "a model of fastText"),
        (b"1 0\na ", "vectors of 0 numbers"),
        (b"900000000000 300\na 1234", "the file is too short"),
        (b"1 1\n\xff\xfe 1234", "vector 1: the word .* is not UTF-8"),
        (b"1 1\n" + b"x" * 9000 + b" 1234", "no vector 1 of 1 could be read"),
        (
            packed(["a", "b"], np.array([[1.0], [np.nan]], dtype=np.float32), b"\n"),
            "vector of 'b' contains a value",
        ),
    ],
)
def test_broken_files(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(VectorsError, match=message):
        read_vector_binary(written(tmp_path, data))


@pytest.mark.parametrize("end", [b"\n", b""], ids=["word2vec", "gensim"])
@pytest.mark.parametrize("empty", range(4))
def test_an_empty_word_is_read_and_told(tmp_path: Path, end: bytes, empty: int) -> None:
    words = ["" if i == empty else f"w{i}" for i in range(4)]
    table = read_vector_binary(written(tmp_path, packed(words, ANY[:4], end)))
    assert table.words == tuple(words)
    np.testing.assert_array_equal(table.vectors, ANY[:4])
    assert [note.partition(": ")[2] for note in table.notes] == ["the word of 1 of its 4 vectors is empty"]


def test_line_ends_before_the_words(tmp_path: Path) -> None:
    words = ["\na", "\nb", "\nc"]
    table = read_vector_binary(written(tmp_path, packed(words, ANY[:3], b"")))
    assert table.words == ("a", "b", "c")
    np.testing.assert_array_equal(table.vectors, ANY[:3])


def test_a_missing_line_end_and_bytes_behind_the_last_vector_are_told(tmp_path: Path) -> None:
    whole = packed(["a", "b"], ANY[:2], b"\n")
    for data, told in {
        whole: (),
        whole[:-1]: ("the line end after its last vector is missing",),
        whole + b"more\0": ("5 bytes after the last of its 2 vectors: not read",),
        whole[:-1] + b" 1": ("1 byte after the last of its 2 vectors: not read",),
        packed(["a", "b"], ANY[:2], b"") + b"more": ("4 bytes after the last of its 2 vectors: not read",),
    }.items():
        table = read_vector_binary(written(tmp_path, data))
        assert table.words == ("a", "b")
        np.testing.assert_array_equal(table.vectors, ANY[:2])
        assert tuple(note.partition(": ")[2] for note in table.notes) == told
    assert read_vector_binary(written(tmp_path, b"0 3\nmore")).notes


@pytest.mark.parametrize("end", [b"\n", b""], ids=["word2vec", "gensim"])
@pytest.mark.parametrize("bad", range(4))
def test_a_word_that_is_not_utf_8_is_left_out_if_asked(tmp_path: Path, end: bytes, bad: int) -> None:
    words = ["bad!" if i == bad else f"w{i}" for i in range(4)]
    path = written(tmp_path, packed(words, ANY[:4], end).replace(b"bad!", b"caf\xe9"))
    with pytest.raises(VectorsError, match="is not UTF-8; --on-bad skip"):
        read_vector_binary(path)
    table = read_vector_binary(path, on_bad="skip")
    assert (table.words, table.bad) == (tuple(word for word in words if word != "bad!"), 1)
    np.testing.assert_array_equal(table.vectors, np.delete(ANY[:4], bad, axis=0))
    assert "left out 1 bad word, the first: " in table.notes[0]


def test_limit_does_not_look_further(tmp_path: Path) -> None:
    whole = packed(["a", "b", "c"], ANY[:3], b"")
    spoilt = whole[:-40] + b"\x00" * 40
    assert read_vector_binary(written(tmp_path, spoilt), limit=1).words == ("a",)
