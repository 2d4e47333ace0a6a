"""All forms of vector files: there and back, picked by name, and which errors name what."""

import bz2
import gzip
import lzma
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devise.errors import UsageError, VectorsError
from devise.text.vectorfiles import (
    read_vector_binary,
    read_vector_lines,
    read_vectors,
)
from devise.text.vectors import WordTable
from tools.vector_files import write_vector_binary, write_vectors

WORDS = st.lists(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=" "), min_size=1, max_size=6),
    unique=True,
    max_size=6,
)
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def tables(draw: st.DrawFn) -> WordTable:
    words = draw(WORDS)
    dim = draw(st.integers(1, 4))
    rows = draw(st.lists(st.lists(FLOATS, min_size=dim, max_size=dim), min_size=len(words), max_size=len(words)))
    return WordTable(tuple(words), np.array(rows, dtype=np.float32).reshape(len(words), dim))


def small_table(counts: bool = True) -> WordTable:
    vectors = np.random.default_rng(3).normal(size=(4, 5)).astype(np.float32)
    return WordTable(("cat", "naïve", "猫", "snow_leopard"), vectors, np.array([9, 5, 2, 1]) if counts else None)


@pytest.mark.parametrize("name", ["t.safetensors", "t.bin", "t.txt", "t.vec"])
@pytest.mark.filterwarnings("ignore:Do not use the .random. module")  # temporary names are not data
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(table=tables())
def test_every_form_gives_back_the_same_bits(tmp_path: Path, name: str, table: WordTable) -> None:
    write_vectors(tmp_path / name, table)
    back = read_vectors(tmp_path / name)
    assert back.words == table.words
    assert back.vectors.shape == table.vectors.shape
    assert back.vectors.tobytes() == table.vectors.tobytes()
    assert back.duplicates == 0


@pytest.mark.parametrize("name", ["t.safetensors", "t.bin", "t.txt", "t.vec"])
def test_limit_and_only_select(tmp_path: Path, name: str) -> None:
    table = small_table()
    write_vectors(tmp_path / name, table)
    first = read_vectors(tmp_path / name, limit=2)
    assert first.words == ("cat", "naïve")
    some = read_vectors(tmp_path / name, only=["snow_leopard", "cat", "cow"])
    assert some.words == ("cat", "snow_leopard")
    np.testing.assert_array_equal(some.vectors, table.vectors[[0, 3]])
    assert read_vectors(tmp_path / name, limit=3, only={"snow_leopard"}).words == ()
    assert read_vectors(tmp_path / name, limit=0).words == ()
    assert len(read_vectors(tmp_path / name, limit=99)) == 4


@pytest.mark.parametrize("suffix", [".txt", ".bin"])
@pytest.mark.parametrize(
    ("ending", "compress"), [(".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress)]
)
def test_compressed_files_and_their_truncation(tmp_path: Path, suffix: str, ending: str, compress: object) -> None:
    assert callable(compress)
    table = small_table(counts=False)
    plain = tmp_path / f"t{suffix}"
    write_vectors(plain, table)
    packed = tmp_path / f"t{suffix}{ending}"
    packed.write_bytes(compress(plain.read_bytes()))
    np.testing.assert_array_equal(read_vectors(packed).vectors, table.vectors)
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(VectorsError, match=rf"t\{suffix}\{ending} (breaks off after line|cannot be read)"):
        read_vectors(packed)


def test_glove_form_has_no_header(tmp_path: Path) -> None:
    table = small_table(counts=False)
    write_vectors(tmp_path / "glove.txt", table, header=False)
    text = (tmp_path / "glove.txt").read_text(encoding="utf-8")
    assert text.startswith("cat ")
    assert text.count("\n") == 4
    back = read_vectors(str(tmp_path / "glove.txt"))
    assert back.words == table.words
    np.testing.assert_array_equal(back.vectors, table.vectors)


def test_names_that_say_no_form(tmp_path: Path) -> None:
    for name in ("t.npy", "t", "t.safetensors.gz", "t.gz"):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(VectorsError, match="expected a file of word vectors named"):
            read_vectors(tmp_path / name)
    for name in ("t.npy", "t.txt.gz"):
        with pytest.raises(VectorsError, match="expected a name that ends in"):
            write_vectors(tmp_path / f"new-{name}", small_table())
        assert not (tmp_path / f"new-{name}").exists()


def test_what_a_form_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.bin cannot store int8"):
        write_vectors(tmp_path / "t.bin", small_table(), precision="int8")
    with pytest.raises(UsageError, match=r"only \.txt can be written without a header"):
        write_vectors(tmp_path / "t.vec", small_table(), header=False)
    with pytest.raises(UsageError, match="limit must be at least 0"):
        read_vectors(tmp_path / "t.bin", limit=-1)


@pytest.mark.parametrize("name", ["t.safetensors", "t.bin", "t.txt", "t.vec"])
def test_missing_empty_and_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(VectorsError, match="does not exist"):
        read_vectors(tmp_path / name)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(VectorsError, match=name):
        read_vectors(tmp_path / name)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with pytest.raises(VectorsError, match=name):
        read_vectors(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("t.txt", ("snow leopard",)),
        ("t.vec", ("a\nb",)),
        ("t.bin", ("snow leopard",)),
        ("t.bin", ("a\x01",)),
        ("t.bin", ("",)),
        ("t.txt", ("\ud800",)),
        ("t.safetensors", ("a\nb",)),
        ("t.safetensors", ("",)),
    ],
)
def test_words_that_could_not_be_read_back_are_refused(tmp_path: Path, name: str, words: tuple[str, ...]) -> None:
    (tmp_path / name).write_bytes(b"before")
    with pytest.raises(VectorsError, match="cannot be written in this form"):
        write_vectors(tmp_path / name, WordTable(words, np.ones((1, 2), dtype=np.float32)))
    assert (tmp_path / name).read_bytes() == b"before"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(("made", "named"), [("a.txt", "a.bin"), ("b.bin", "b.txt"), ("b.bin", "b.vec")])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_the_two_forms_of_word2vec_are_told_apart_by_their_content(
    tmp_path: Path, made: str, named: str, pack: type[bytes]
) -> None:
    table = WordTable(("lion", "tiger"), np.array([[0.1, -2.5, 3e-5], [4, 5, 6]], np.float32))
    write_vectors(tmp_path / made, table)
    packed = tmp_path / (named + ".gz" * (pack is gzip.compress))
    packed.write_bytes(pack((tmp_path / made).read_bytes()))
    found = read_vectors(packed)
    assert found.words == table.words
    np.testing.assert_array_equal(found.vectors, table.vectors)


def test_a_file_of_which_no_word_is_left_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.vec").write_text("2 3\nlion 1 2\ntiger 1 2\n")
    with pytest.raises(VectorsError, match=r"a\.vec: no word of it could be read"):
        read_vectors(tmp_path / "a.vec", on_bad="skip")


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "t.txt"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "data",
    [
        b"2 3\ncat 1 2 3\ndog 4 5 6\n",
        b"2 3\ncat 1 2 3 \ndog 4 5 6 \n",  # fastText ends its lines with a space
        b"cat 1 2 3\ndog 4 5 6",
        b"cat 1.0 2e0 3\r\ndog 4 5 +6\r\n\r\n",
        b"cat  1 2 3\ndog  4 5 6\n",
        b"cat\t1 2 3\ndog\t4 5 6\n",
        b"2\t3\ncat\t1\t2\t3\t\ndog\t4\t5\t6\n",
        b"2  3\n  cat 1  2 \t 3\n\tdog 4 5 6\n",
    ],
)
def test_layouts_of_the_same_vectors(tmp_path: Path, data: bytes) -> None:
    table = read_vector_lines(written(tmp_path, data))
    assert table.words == ("cat", "dog")
    assert table.vectors.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert table.counts is None


def test_words_that_are_numbers_or_hold_spaces(tmp_path: Path) -> None:
    data = b". . . 0.5 -0.25\n1990 1 2\nat name@domain.com 3 4\n\xc2\xa0 5 6\n\xe7\x8c\xab 7 8\n"
    table = read_vector_lines(written(tmp_path, data))
    assert table.words == (". . .", "1990", "at name@domain.com", "\xa0", "猫")
    assert table.vectors.tolist() == [[0.5, -0.25], [1, 2], [3, 4], [5, 6], [7, 8]]


def test_first_line_whose_word_is_a_number(tmp_path: Path) -> None:
    table = read_vector_lines(written(tmp_path, b"5 0.5 0.25\nx 1 2\n"))
    assert table.words == ("5", "x")
    assert table.dim == 2


def test_first_vector_of_a_word_is_kept_and_the_rest_counted(tmp_path: Path) -> None:
    data = b"cat 1\ndog 2\ncat 3\ncat 4\ncow 5\n"
    table = read_vector_lines(written(tmp_path, data))
    assert (table.words, table.duplicates) == (("cat", "dog", "cow"), 2)
    assert table.vectors.ravel().tolist() == [1, 2, 5]
    assert read_vector_lines(written(tmp_path, data), only=["dog"]).duplicates == 0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"cat 1 2\ndog 1\n", "line 2: expected a word and 2 numbers, got 1 number"),
        (b"cat 1 2\n\ndog 1 2 3\n", "line 3: expected a word and 2 numbers, got 3 numbers"),
        (b"2 2\ncat 1 2\ndog 1 2 3\n", "line 3: expected a word and 2 numbers, got 3 numbers"),
        (b"cat 1 2\ndog 1 x\n", "line 2: expected 2 numbers, got b'x' among them"),
        (b"cat 1 2\n 1 2\n", "line 2: expected a word, got nothing"),
        (b"cat 1 2\n\xff\xfe 1 2\n", "line 2: the word .* is not UTF-8"),
        (b"cat 1 2\ndog nan 2\n", "the vector of 'dog' contains a value that is not finite"),
        (b"cat 1 2\ndog 1e39 2\n", "the vector of 'dog' contains a value that is not finite"),
        (b"3 2\ncat 1 2\ndog 1 2\n", "header says 3 vectors, it contains 2"),
        (b"1 2\ncat 1 2\ndog 1 2\n", "header says 1 vector, it contains 2"),
        (b"just words here\n", "line 1: expected a word and its numbers, got no numbers"),
        (b"cat\n", "line 1: expected a word and its numbers"),
        (b"4 0\n", "line 1: expected a word and its numbers"),
        (b"\n\n", "is empty"),
    ],
)
def test_broken_files_name_the_line(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(VectorsError, match=message) as caught:
        read_vector_lines(written(tmp_path, data))
    assert "t.txt" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_lines_are_left_out_and_counted_if_asked(tmp_path: Path) -> None:
    bad = (b"caf\xe9 1 2", b"a\0b 1 2", b"dog 1", b"dog 1 x", b"dog nan 2", b" 1 2", b"cat 5 6")
    path = written(tmp_path, b"9 2\ncat 1 2\n" + b"\n".join(bad) + b"\ncow 3 4\n")
    with pytest.raises(VectorsError, match=r"line 3: the word .* is not UTF-8; --on-bad skip leaves such words out"):
        read_vector_lines(path)
    table = read_vector_lines(path, on_bad="skip")
    assert (table.words, table.vectors.tolist()) == (("cat", "cow"), [[1, 2], [3, 4]])
    assert (table.bad, table.duplicates) == (6, 1)
    assert table.notes[0].startswith(f"{path}: left out 6 bad words, the first: {path} line 3: the word b'caf")


def test_limit_may_end_before_the_broken_line(tmp_path: Path) -> None:
    path = written(tmp_path, b"3 2\ncat 1 2\ndog 1 2\nbroken\n")
    assert read_vector_lines(path, limit=2).words == ("cat", "dog")


def test_numbers_are_rounded_as_numpy_rounds_them(tmp_path: Path) -> None:
    texts = [f"{value:.17g}" for value in np.random.default_rng(1).normal(size=500)]
    table = read_vector_lines(written(tmp_path, ("w " + " ".join(texts)).encode()))
    np.testing.assert_array_equal(table.vectors[0], np.array([np.float32(text) for text in texts]))


def packed(words: list[str], vectors: np.ndarray, end: bytes) -> bytes:
    """word2vec's form, written_binary out by hand."""
    data = f"{len(words)} {vectors.shape[1]}\n".encode()
    for word, row in zip(words, vectors, strict=True):
        data += word.encode() + b" " + row.astype("<f4").tobytes() + end
    return data


def written_binary(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "t.bin"
    path.write_bytes(data)
    return path


ANY = np.random.default_rng(7).normal(size=(60, 9)).astype(np.float32)
WITH_SPACES = [f"word {i} ünï 猫" if i % 3 else f"plain{i}" for i in range(60)]


@pytest.mark.parametrize("end", [b"\n", b""], ids=["word2vec", "gensim"])
@pytest.mark.parametrize("words", [[f"猫{i}" for i in range(60)], WITH_SPACES], ids=["unicode", "spaces"])
def test_both_layouts_by_hand(tmp_path: Path, end: bytes, words: list[str]) -> None:
    table = read_vector_binary(written_binary(tmp_path, packed(words, ANY, end)))
    assert table.words == tuple(words)
    np.testing.assert_array_equal(table.vectors, ANY)


@pytest.mark.parametrize("end", [b"\n", b""], ids=["word2vec", "gensim"])
def test_vectors_full_of_spaces_and_line_ends(tmp_path: Path, end: bytes) -> None:
    spaces = np.frombuffer(b"    \n\n\n\n \n \n" * 3, dtype="<f4").reshape(3, 3)
    table = read_vector_binary(written_binary(tmp_path, packed(["a", "b", "c"], spaces, end)))
    assert table.words == ("a", "b", "c")
    np.testing.assert_array_equal(table.vectors, spaces)


def test_first_vector_of_a_word_is_kept(tmp_path: Path) -> None:
    path = written_binary(tmp_path, packed(["a", "b", "a"], ANY[:3], b"\n"))
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
            read_vector_binary(written_binary(tmp_path, whole[:length]))


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
        read_vector_binary(written_binary(tmp_path, data))


@pytest.mark.parametrize("end", [b"\n", b""], ids=["word2vec", "gensim"])
@pytest.mark.parametrize("empty", range(4))
def test_an_empty_word_is_read_and_told(tmp_path: Path, end: bytes, empty: int) -> None:
    words = ["" if i == empty else f"w{i}" for i in range(4)]
    table = read_vector_binary(written_binary(tmp_path, packed(words, ANY[:4], end)))
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
        table = read_vector_binary(written_binary(tmp_path, data))
        assert table.words == ("a", "b")
        np.testing.assert_array_equal(table.vectors, ANY[:2])
        assert tuple(note.partition(": ")[2] for note in table.notes) == told
    assert read_vector_binary(written_binary(tmp_path, b"0 3\nmore")).notes


@pytest.mark.parametrize("end", [b"\n", b""], ids=["word2vec", "gensim"])
@pytest.mark.parametrize("bad", range(4))
def test_a_word_that_is_not_utf_8_is_left_out_if_asked(tmp_path: Path, end: bytes, bad: int) -> None:
    words = ["bad!" if i == bad else f"w{i}" for i in range(4)]
    path = written_binary(tmp_path, packed(words, ANY[:4], end).replace(b"bad!", b"caf\xe9"))
    with pytest.raises(VectorsError, match="is not UTF-8; --on-bad skip"):
        read_vector_binary(path)
    table = read_vector_binary(path, on_bad="skip")
    assert (table.words, table.bad) == (tuple(word for word in words if word != "bad!"), 1)
    np.testing.assert_array_equal(table.vectors, np.delete(ANY[:4], bad, axis=0))
    assert "left out 1 bad word, the first: " in table.notes[0]


def test_limit_does_not_look_further(tmp_path: Path) -> None:
    whole = packed(["a", "b", "c"], ANY[:3], b"")
    spoilt = whole[:-40] + b"\x00" * 40
    assert read_vector_binary(written_binary(tmp_path, spoilt), limit=1).words == ("a",)
