from pathlib import Path

import numpy as np
import pytest

from devise.errors import VectorsError
from devise.text.vectorlines import read_vector_lines


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
