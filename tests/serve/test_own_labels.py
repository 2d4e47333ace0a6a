"""The file of a user's own labels."""

import os
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.errors import DeviseError, LabelError, UsageError
from devise.model.typed import TypedLabel
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


def test_services_that_share_a_file_see_each_others_labels(tmp_path: Path):
    first, second = OwnLabels(tmp_path / "own.sqlite", 2), OwnLabels(tmp_path / "own.sqlite", 2)
    wider = OwnLabels(tmp_path / "own.sqlite", 3)
    first.put(TypedLabel("a"))
    assert second.all() == first.all() == (TypedLabel("a"),)
    assert second.all() is second.all()
    second.put(TypedLabel("b"))
    with pytest.raises(UsageError, match="2 labels are stored"):
        first.put(TypedLabel("c"))
    second.delete("a")
    assert first.put(TypedLabel("c"))
    both = (TypedLabel("b"), TypedLabel("c"))
    assert first.all() == second.all() == both
    wider.put(TypedLabel("d"))
    assert first.all() == second.all() == both  # more than they may keep
    wider.delete("d")
    assert first.all() == second.all() == both


def test_too_many_are_refused_but_a_known_one_may_change(tmp_path: Path):
    own = OwnLabels(tmp_path / "own.sqlite", 2)
    own.put(TypedLabel("a"))
    own.put(TypedLabel("b"))
    with pytest.raises(UsageError, match="2 labels are stored"):
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
    with pytest.raises(DeviseError, match="format version 2, this devise reads 1"):
        OwnLabels(tmp_path / "newer", 10)
    with pytest.raises(DeviseError, match="cannot be used"):
        OwnLabels(tmp_path / "nowhere" / "own.sqlite", 10)


ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT 'a' || x AS key"
OURS = "CREATE TABLE label (key TEXT PRIMARY KEY, name TEXT NOT NULL, definition TEXT NOT NULL) WITHOUT ROWID"


@pytest.mark.parametrize(
    ("commands", "told"),
    [
        ([], "other tables, views or triggers"),
        (["CREATE TABLE label (key, name, definition)"], "other tables, views or triggers"),
        ([f"CREATE VIEW label AS {ENDLESS}, 'b' AS name, '' AS definition FROM c"], "other tables, views or triggers"),
        (
            [OURS, f"CREATE TRIGGER t AFTER INSERT ON label BEGIN INSERT INTO label {ENDLESS}, 'b', '' FROM c; END"],
            "other tables, views or triggers",
        ),
        ([OURS, "INSERT INTO label VALUES ('a', x'ff', '')"], "1 label not text, empty, or too long"),
        ([OURS, "INSERT INTO label VALUES ('a', '', '')"], "1 label not text, empty, or too long"),
        ([OURS, "INSERT INTO label VALUES ('a', 'a', hex(zeroblob(30000)))"], "1 label not text, empty, or too"),
        ([OURS, "INSERT INTO label VALUES ('a', 'a', ''), ('b', 'b', ''), ('c', 'c', '')"], "3 labels, at most 2"),
    ],
)
def test_a_file_that_devise_did_not_make_is_refused(tmp_path: Path, commands: list[str], told: str):
    with sqlite3.connect(tmp_path / "own.sqlite") as strange:
        for command in (*commands, "PRAGMA user_version = 1"):
            strange.execute(command)
    with pytest.raises(DeviseError, match=told):
        OwnLabels(tmp_path / "own.sqlite", 2)


def test_many_that_make_one_file_at_once_all_open_it(tmp_path: Path):
    """Threads have connections of their own, which SQLite keeps apart as it does those of processes."""
    for number in range(10):
        ready = threading.Barrier(6)

        def opened(path: Path, ready: threading.Barrier = ready) -> OwnLabels:
            ready.wait()
            return OwnLabels(path, 10)

        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(opened, [tmp_path / f"{number}.sqlite"] * 6))
        for place, own in enumerate(found):
            own.put(TypedLabel(f"zedonk {place}"))
        assert len(OwnLabels(tmp_path / f"{number}.sqlite", 10).all()) == 6
        for own in found:
            own.close()


@pytest.mark.slow
def test_processes_that_make_one_file_at_once_all_open_it(tmp_path: Path):
    script = (
        "import sys, time; from pathlib import Path; from devise.serve.own_labels import OwnLabels\n"
        "print(flush=True); sys.stdin.readline(); print(len(OwnLabels(Path(sys.argv[1]), 10).all()))"
    )
    for number in range(6):
        command = [sys.executable, "-c", script, str(tmp_path / f"{number}.sqlite")]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
        processes = [subprocess.Popen(command, **pipes) for _ in range(4)]
        for process in processes:
            process.stdout.readline()
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        assert [process.communicate(timeout=60)[0] for process in processes] == ["0\n"] * 4
