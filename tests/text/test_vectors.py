import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.errors import VectorsError
from devise.text.vectors import WordTable


def table_of(rows: dict[str, list[float]], counts: list[int] | None = None) -> WordTable:
    vectors = np.array(list(rows.values()), dtype=np.float32)
    return WordTable(tuple(rows), vectors, None if counts is None else np.array(counts, dtype=np.int64))


ANIMALS = table_of({"cat": [3, 4], "kitten": [6, 8], "car": [-4, 3], "nothing": [0, 0], "dog": [4, 3]}, [9, 4, 3, 2, 1])


def test_vectors_are_found_by_word() -> None:
    assert "cat" in ANIMALS
    assert "cow" not in ANIMALS
    assert 3 not in ANIMALS
    assert (ANIMALS.position("car"), ANIMALS.position("cow")) == (2, None)
    assert ANIMALS.get("cow") is None
    found = ANIMALS.get("dog")
    assert found is not None
    assert found.tolist() == [4, 3]
    assert (len(ANIMALS), ANIMALS.dim) == (5, 2)
    assert ANIMALS.missing(["cow", "cat", "owl"]) == ("cow", "owl")


def test_nearest_by_hand() -> None:
    near = ANIMALS.nearest("cat", 4)
    assert near.words == ("kitten", "dog", "car", "nothing")
    assert near.similarities == pytest.approx((1, 24 / 25, 0, 0), abs=1e-6)
    by_vector = ANIMALS.nearest(np.array([0, -2], dtype=np.float32), 2)
    assert by_vector.words == ("nothing", "car")
    assert by_vector.similarities == pytest.approx((0, -0.6), abs=1e-6)


def test_nearest_gives_what_there_is() -> None:
    assert len(ANIMALS.nearest("cat", 99).words) == 4
    assert len(ANIMALS.nearest(np.zeros(2, dtype=np.float32), 99).words) == 5
    assert ANIMALS.nearest("cat", 0).words == ()


@given(st.lists(st.lists(st.integers(-3, 3), min_size=3, max_size=3), min_size=2, max_size=9), st.integers(1, 9))
def test_nearest_is_the_slow_ranking(rows: list[list[int]], k: int) -> None:
    table = table_of({f"w{i}": [float(x) for x in row] for i, row in enumerate(rows)})

    def cosine(one: list[int], other: list[int]) -> float:
        norms = math.hypot(*one) * math.hypot(*other)
        return sum(a * b for a, b in zip(one, other, strict=True)) / norms if norms else 0.0

    expected = sorted((cosine(rows[0], row) for row in rows[1:]), reverse=True)[:k]
    near = table.nearest("w0", k)
    assert near.similarities == pytest.approx(expected, abs=1e-5)
    by_word = [cosine(rows[0], rows[int(word[1:])]) for word in near.words]
    assert by_word == pytest.approx(expected, abs=1e-5)
    assert "w0" not in near.words


def test_unit_rows_have_length_one_and_zeros_stay() -> None:
    lengths = np.linalg.norm(ANIMALS.unit(), axis=1)
    np.testing.assert_allclose(lengths, [1, 1, 1, 0, 1], atol=1e-6)
    assert ANIMALS.unit()[0].tolist() == pytest.approx([0.6, 0.8])


def test_subset_keeps_rows_and_counts_together() -> None:
    part = ANIMALS.subset([4, 0])
    assert part.words == ("dog", "cat")
    assert part.vectors.tolist() == [[4, 3], [3, 4]]
    assert part.counts is not None
    assert part.counts.tolist() == [1, 9]


@pytest.mark.parametrize(
    ("words", "vectors", "counts", "message"),
    [
        (("a",), [[1.0], [2.0]], None, "1 word but 2 vectors"),
        (("a", "b"), [[1.0], [2.0]], [1], "2 words but 1 count"),
        (("a", "b", "a"), [[1.0], [2.0], [3.0]], None, "duplicate word 'a'"),
        (("a", "b"), [[1.0, 1.0], [2.0, np.nan]], None, "vector of 'b' contains a value that is not finite"),
        (("a", "b"), [[np.inf, -np.inf], [2.0, 2.0]], None, "vector of 'a' contains"),
    ],
)
def test_tables_that_do_not_hold_together(
    words: tuple[str, ...], vectors: list[list[float]], counts: list[int] | None, message: str
) -> None:
    tally = None if counts is None else np.array(counts, dtype=np.int64)
    with pytest.raises(VectorsError, match=message):
        WordTable(words, np.array(vectors, dtype=np.float32), tally)


def test_largest_finite_values_are_finite() -> None:
    huge = float(np.finfo(np.float32).max)
    assert table_of({"a": [huge, huge]}).dim == 2


def test_queries_that_do_not_fit() -> None:
    with pytest.raises(VectorsError, match="word 'cow' is not among the 5 words"):
        ANIMALS.nearest("cow")
    with pytest.raises(VectorsError, match="has 3 numbers, those of the table have 2"):
        ANIMALS.nearest(np.zeros(3, dtype=np.float32))
