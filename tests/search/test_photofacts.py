"""Columns of facts are the facts; a file of arrays gives them back, or says that it is damaged."""

import os
from copy import copy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.search.arrayfile import read_arrays, write_arrays
from devise.search.photofacts import FactColumns, PhotoFact

names = st.one_of(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=5), st.just("b\udcff"))
facts = st.lists(
    st.builds(
        PhotoFact,
        names.map(lambda name: f"/p/{name}"),
        st.integers(0, 2**62),
        st.integers(-(2**62), 2**62),
        st.one_of(st.just(b""), st.binary(min_size=31, max_size=31).map(lambda some: b"\1" + some)),
        taken=st.none() | st.integers(-(2**40), 2**40),
        rating=st.none() | st.integers(-1, 5),
        sidecar_ns=st.integers(0, 2**62),
    ),
    max_size=5,
)


@given(facts=facts, data=st.data())
def test_columns_are_their_facts(facts: list[PhotoFact], data: st.DataObject):
    columns = FactColumns.made(facts)
    assert columns == facts
    assert [columns[place] for place in range(-len(facts), len(facts))] == facts * 2
    assert list(columns.paths()) == [fact.path for fact in facts]
    assert columns.dated().tolist() == [fact.taken is not None for fact in facts]
    assert columns.read().tolist() == [fact.rating is not None for fact in facts]
    places = data.draw(st.lists(st.integers(0, len(facts) - 1), max_size=4)) if facts else []
    some = columns.at(np.array(places, dtype=np.int64))
    assert some == [facts[place] for place in places]
    assert FactColumns.joined([some, columns]) == [*some, *facts]
    assert columns[1:3] == facts[1:3]
    with pytest.raises(IndexError):
        columns[len(facts)]


ARRAYS = {"one": np.arange(7, dtype=np.int64), "two": np.ones((3, 2), np.float16), "none": np.empty(0, np.uint8)}
KINDS = {"one": "<i8", "two": "<f2", "none": "|u1"}


def test_arrays_come_back_and_cannot_be_changed(tmp_path: Path):
    write_arrays(tmp_path / "a", {"parts": [1, "x"]}, ARRAYS)
    facts, found = read_arrays(tmp_path / "a", KINDS)
    assert facts == {"parts": [1, "x"]}
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array)
    with pytest.raises(ValueError, match="read-only"):
        found["one"][0] = 1


def test_any_damage_is_found(tmp_path: Path):
    write_arrays(tmp_path / "a", {}, ARRAYS)
    whole = (tmp_path / "a").read_bytes()
    gaps = 0
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1
        (tmp_path / "a").write_bytes(flipped)
        try:
            _, found = read_arrays(tmp_path / "a", KINDS)
        except ValueError:
            continue
        gaps += 1  # between arrays
        assert all(np.array_equal(found[name], array) for name, array in ARRAYS.items())
    assert gaps < 3 * 64
    for length in (0, 20, 80, len(whole) - 1):
        (tmp_path / "a").write_bytes(whole[:length])
        with pytest.raises(ValueError, match="cut off"):
            read_arrays(tmp_path / "a", KINDS)
    (tmp_path / "a").write_bytes(whole)
    with pytest.raises(ValueError, match="other arrays"):
        read_arrays(tmp_path / "a", KINDS | {"one": "<f8"})
    os.unlink(tmp_path / "a")
    os.mkfifo(tmp_path / "a")  # which would wait for a reader
    with pytest.raises(OSError, match="regular"):
        read_arrays(tmp_path / "a", KINDS)


def test_columns_of_any_file_are_checked():
    whole = FactColumns.made([PhotoFact("/a/b.jpg", 1, 2, bytes(32), taken=3, rating=5), PhotoFact("/c", 1, 2, b"")])
    assert whole.checked() is whole
    empty = FactColumns.made([])
    assert empty.checked() is empty
    for changed, told in (
        ({"sizes": whole.sizes[:1]}, "different lengths"),
        ({"hashes": whole.hashes[:, :31]}, "different lengths"),
        ({"taken": whole.taken[:, None]}, "different lengths"),
        ({"ends": whole.ends[::-1].copy()}, "do not end"),
        ({"ends": whole.ends + 1}, "do not end"),
        ({"ends": np.array([0, 10])}, "not absolute"),
        ({"text": whole.text[1:]}, "do not end"),
        ({"ends": np.array([1, 10])}, "not absolute"),  # "/" and "a/b.jpg/c"
        ({"text": np.where(whole.text == ord("b"), 0, whole.text).astype(np.uint8)}, "not absolute"),
        ({"ratings": np.array([6, 0], np.int8)}, "out of range"),
        ({"taken": np.array([1 << 41, 0])}, "out of range"),
    ):
        other = copy(whole)
        for name, column in changed.items():
            object.__setattr__(other, name, column)  # as outside the tests, where nothing checks its axes
        with pytest.raises(ValueError, match=told):
            other.checked()
