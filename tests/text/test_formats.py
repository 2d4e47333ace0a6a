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
from devise.text.formats import read_vectors, write_vectors
from devise.text.vectors import WordTable

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
