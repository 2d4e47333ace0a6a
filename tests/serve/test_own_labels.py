"""The file of a user's own labels."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.errors import DeviseError, LabelError, UsageError
from devise.labeller.typed import TypedLabel
from devise.serve.own_labels import OwnLabels

NAMES = st.sampled_from(["zedonk", "Zedonk", "kick scooter", "kick_scooter", "hinny", "mule"])


def test_labels_are_there_after_a_restart(tmp_path: Path):
    first = OwnLabels(tmp_path / "own.sqlite", 10)
    assert first.put(TypedLabel("zedonk", "part zebra"))
    assert first.put(TypedLabel("kick scooter"))
    assert not first.put(TypedLabel("Zedonk", "part donkey"))
    # Not closed: as after kill -9.
    second = OwnLabels(tmp_path / "own.sqlite", 10)
    assert second.all() == (TypedLabel("kick scooter"), TypedLabel("Zedonk", "part donkey"))
    second.delete("KICK SCOOTER")
    assert OwnLabels(tmp_path / "own.sqlite", 10).all() == (TypedLabel("Zedonk", "part donkey"),)
    with pytest.raises(LabelError, match="'kick scooter'"):
        second.delete("kick scooter")


def test_too_many_are_refused_but_a_known_one_may_change(tmp_path: Path):
    own = OwnLabels(tmp_path / "own.sqlite", 2)
    own.put(TypedLabel("a"))
    own.put(TypedLabel("b"))
    with pytest.raises(UsageError, match="2 labels are kept"):
        own.put(TypedLabel("c"))
    own.put(TypedLabel("b", "better"))
    assert own.all() == (TypedLabel("a"), TypedLabel("b", "better"))


@given(st.lists(st.tuples(st.booleans(), NAMES, st.sampled_from(["", "x", "y"]))))
def test_as_a_dictionary_would(steps: list[tuple[bool, str, str]]):
    own = OwnLabels(None, 100)
    kept: dict[str, TypedLabel] = {}
    for put, name, definition in steps:
        key = name.lower().replace(" ", "_")
        if put:
            assert own.put(TypedLabel(name, definition)) == (key not in kept)
            kept[key] = TypedLabel(name, definition)
        elif key in kept:
            own.delete(name)
            del kept[key]
        else:
            with pytest.raises(LabelError):
                own.delete(name)
        assert own.all() == tuple(kept[key] for key in sorted(kept))


def test_another_file_is_refused(tmp_path: Path):
    (tmp_path / "text").write_text("no database, and long enough to be taken for none" * 50)
    with pytest.raises(DeviseError, match="cannot be used"):
        OwnLabels(tmp_path / "text", 10)
    with sqlite3.connect(tmp_path / "newer") as newer:
        newer.execute("PRAGMA user_version = 2")
    with pytest.raises(DeviseError, match="format version 2, this devise knows 1"):
        OwnLabels(tmp_path / "newer", 10)
    with pytest.raises(DeviseError, match="cannot be used"):
        OwnLabels(tmp_path / "nowhere" / "own.sqlite", 10)
