"""The store of an index: what holds after any sequence of parts, merges, damage and kills."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devise.errors import PhotoIndexError, UsageError
from devise.search import store as store_module
from devise.search.photofacts import PhotoFact
from devise.search.rows import Rows, fingerprint, from_table, to_table
from devise.search.store import Header, PhotoStore

pytest.importorskip("pyarrow")

HEADER = Header("small", "ab" * 32, 3, 2)


def some_rows(*names: str, seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    facts = tuple(PhotoFact(f"/p/{name}", 7, 8 + seed, name.encode("utf-8", "replace").ljust(32)) for name in names)
    return Rows(
        facts,
        rng.uniform(-1, 1, (len(facts), 3)).astype(np.float16),
        rng.standard_normal(len(facts)).astype(np.float32),
        rng.integers(0, 9, len(facts)).astype(np.int32),
        rng.integers(0, 9, (len(facts), 2)).astype(np.uint16),
        rng.random((len(facts), 2)).astype(np.float32),
    )


@pytest.fixture
def store(tmp_path: Path) -> PhotoStore:
    return PhotoStore.created(tmp_path / "index", HEADER)


def write(store: PhotoStore, rows: Rows) -> None:
    with store.writing():
        store.append(rows)


def same(one: Rows, other: Rows) -> bool:
    return one.facts == other.facts and all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("vectors", "totals", "labels", "classes", "shares")
    )


def test_rows_survive_parquet_to_the_bit():
    rows = some_rows("a", "b\udcff", "naïve")
    assert same(from_table(to_table(rows), 3, 2), rows)


@pytest.mark.parametrize("path", ["", "../../etc/passwd", "/a\0b"])
def test_a_path_that_leads_from_elsewhere_is_refused(store: PhotoStore, path: str):
    store.append(Rows.blank((PhotoFact(path, 1, 1, bytes(32)),), 3, 2))
    with pytest.raises(PhotoIndexError, match=r"part-00000001.parquet: is damaged .*a path is not absolute"):
        store.rows()


def test_parts_may_have_nine_digits(store: PhotoStore):
    write(store, some_rows("a"))
    (store.path / "parts" / "part-00000001.parquet").rename(store.path / "parts" / "part-99999999.parquet")
    write(store, some_rows("b"))
    assert [fact.path for fact in store.rows().facts] == ["/p/a", "/p/b"]


def test_a_path_that_is_not_utf8_is_readable_for_others():
    table = to_table(some_rows("b\udcff"))
    assert table.column("path").to_pylist() == ["/p/b\\udcff"]
    assert table.column("path_bytes").to_pylist() == [b"/p/b\xff"]


def test_the_last_row_of_a_path_holds_and_rows_come_by_path(store: PhotoStore):
    write(store, some_rows("b", "a"))
    new = some_rows("b", seed=1)
    write(store, new)
    rows = store.rows()
    assert [fact.path for fact in rows.facts] == ["/p/a", "/p/b"]
    assert np.array_equal(rows.vectors[1], new.vectors[0])


def test_what_is_gone_is_gone_and_may_come_back(store: PhotoStore):
    write(store, some_rows("a", "b"))
    write(store, Rows.gone(["/p/a"], 3, 2))
    assert list(store.known()) == ["/p/b"]
    write(store, some_rows("a", seed=2))
    assert sorted(store.known()) == ["/p/a", "/p/b"]


def test_an_empty_index_has_no_rows(store: PhotoStore):
    assert len(store.rows()) == 0
    assert not store.merge()


names = st.sampled_from("abcdef")
step = st.tuples(st.sampled_from(["put", "gone", "merge"]), st.lists(names, min_size=1, max_size=4, unique=True))


@settings(max_examples=30)
@given(steps=st.lists(step, max_size=12), merged=st.sampled_from([1, 3, 65_536]))
def test_any_sequence_holds_what_a_dictionary_holds(
    steps: list[tuple[str, list[str]]], merged: int, tmp_path_factory: pytest.TempPathFactory
):
    store = PhotoStore.created(tmp_path_factory.mktemp("store") / "i", HEADER)
    expected: dict[str, np.ndarray] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_module, "_MANY", 0)  # any part is one too many
        patch.setattr(store_module, "_MERGED", merged)
        for number, (what, paths) in enumerate(steps):
            with store.writing():
                if what == "put":
                    rows = some_rows(*paths, seed=number)
                    store.append(rows)
                    expected |= {f.path: v for f, v in zip(rows.facts, rows.vectors, strict=True)}
                elif what == "gone":
                    store.append(Rows.gone([f"/p/{name}" for name in paths], 3, 2))
                    for name in paths:
                        expected.pop(f"/p/{name}", None)
                else:
                    store.merge()
                    assert len(store.parts()) <= -(-len(expected) // merged)
    rows = store.rows()
    assert [fact.path for fact in rows.facts] == sorted(expected)
    for fact, vector in zip(rows.facts, rows.vectors, strict=True):
        assert np.array_equal(vector, expected[fact.path])


def test_small_parts_are_merged_only_where_there_are_many(store: PhotoStore):
    for number in range(33):
        write(store, some_rows(f"{number:02d}", seed=number))
    before = store.rows()
    assert store.merge()
    assert len(store.parts()) == 1
    assert same(store.rows(), before)
    assert not store.merge()


def test_a_merge_makes_parts_of_some_size(store: PhotoStore, monkeypatch: pytest.MonkeyPatch):
    for number in range(33):
        write(store, some_rows(f"{number:02d}", seed=number))
    before = store.rows()
    monkeypatch.setattr(store_module, "_MERGED", 10)
    assert store.merge()
    assert [len(store.read(part)) for part in store.parts()] == [10, 10, 10, 3]
    assert same(store.rows(), before)


@pytest.mark.parametrize("removed", range(5))
def test_a_merge_killed_between_its_removals_holds_the_same(store: PhotoStore, removed: int, monkeypatch):
    write(store, some_rows("a", "b"))
    write(store, some_rows("a", "c", seed=1))
    write(store, Rows.gone(["/p/b"], 3, 2))
    write(store, some_rows("d", seed=2))
    before = store.rows()
    monkeypatch.setattr(store_module, "_MANY", 0)
    left = [removed]

    class Killed(BaseException):
        pass

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        os.unlink(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", unlink)
        if removed < 4:
            with pytest.raises(Killed):
                store.merge()
        else:
            store.merge()
    assert same(store.rows(), before)
    assert len(store.parts()) == 5 - removed


@pytest.mark.parametrize("damage", ["cut", "empty", "flip", "other"])
def test_a_damaged_part_is_named_with_its_cure(store: PhotoStore, damage: str):
    write(store, some_rows(*"abcdefgh"))
    part = store.path / "parts" / "part-00000001.parquet"
    data = bytearray(part.read_bytes())
    if damage == "flip":
        data[60] ^= 0xFF
    new = {"cut": data[:-20], "empty": b"", "flip": data, "other": b"PAR1 not parquet PAR1"}[damage]
    part.write_bytes(new)
    with pytest.raises(PhotoIndexError, match=r"part-00000001.parquet: is damaged .*: remove this file"):
        store.rows()


def test_a_part_with_other_columns_is_named(store: PhotoStore):
    import pyarrow as pa

    pa.parquet.write_table(pa.table({"path": ["x"]}), store.path / "parts" / "part-00000001.parquet")
    with pytest.raises(PhotoIndexError, match=r"part-00000001.parquet: is damaged"):
        store.known()


def test_another_models_index_is_refused_with_both_names(store: PhotoStore):
    other = Header("large", "cd" * 32, 3, 2)
    with pytest.raises(
        PhotoIndexError, match=r"made by model small \(abababababab\), but this is large \(cdcdcdcdcdcd"
    ):
        PhotoStore.opened(store.path, other)
    with pytest.raises(PhotoIndexError, match="large"):
        PhotoStore.created(store.path, other)


def test_an_index_of_the_same_model_with_other_options_names_them(store: PhotoStore):
    fast = Header("small --fast", "cd" * 32, 3, 2)
    with pytest.raises(PhotoIndexError, match="was made by small, but this is small --fast: give the same options"):
        PhotoStore.opened(store.path, fast)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "devise photo index", "version": 1}'])
def test_a_damaged_header_is_told(store: PhotoStore, text: str):
    (store.path / "index.json").write_text(text)
    with pytest.raises(PhotoIndexError, match=r"index.json: is damaged"):
        PhotoStore.opened(store.path, HEADER)


@pytest.mark.parametrize("number", ["dim", "best"])
def test_a_header_with_numbers_that_the_model_has_not_is_damaged(store: PhotoStore, number: str):
    file = store.path / "index.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), number: 7}))
    with pytest.raises(PhotoIndexError, match=r"index.json: is damaged \(numbers that do not fit the model"):
        PhotoStore.opened(store.path, HEADER)


def test_an_index_without_its_folder_of_parts_is_told(store: PhotoStore):
    (store.path / "parts").rmdir()
    with pytest.raises(PhotoIndexError, match=r"parts: is missing"):
        store.rows()
    with store.writing():
        assert len(store.rows()) == 0


@pytest.mark.parametrize("column", ["path", "sha256", "vector", "shares"])
def test_a_part_without_a_column_is_told_by_whoever_reads_it(store: PhotoStore, column: str):
    write(store, some_rows("a"))
    part = store.path / "parts" / "part-00000001.parquet"
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(parquet.read_table(part).drop_columns([column]), part)
    for read in (store.known, store.rows):
        with pytest.raises(PhotoIndexError, match=f"part-00000001.parquet: is damaged .*{column}"):
            read()


def test_a_newer_version_is_told(store: PhotoStore):
    file = store.path / "index.json"
    file.write_text(file.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(PhotoIndexError, match="is devise photo index 2, this package reads devise photo index 1"):
        PhotoStore.opened(store.path, HEADER)


def test_no_index_and_other_folders(tmp_path: Path):
    with pytest.raises(PhotoIndexError, match="no index of photos here"):
        PhotoStore.opened(tmp_path, HEADER)
    (tmp_path / "letters.txt").write_text("mine")
    with pytest.raises(UsageError, match="contains other files"):
        PhotoStore.created(tmp_path, HEADER)
    with pytest.raises(UsageError, match="is a file"):
        PhotoStore.created(tmp_path / "letters.txt", HEADER)
    assert os.listdir(tmp_path) == ["letters.txt"]


def test_a_full_disk_leaves_the_index_as_it_was(store: PhotoStore, monkeypatch: pytest.MonkeyPatch):
    write(store, some_rows("a"))
    before = store.rows()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, store.writing():
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            store.append(some_rows("b"))
    assert same(store.rows(), before)
    assert os.listdir(store.path / "parts") == ["part-00000001.parquet"]


@pytest.mark.skipif(os.name != "posix", reason="the lock is POSIX's")
def test_one_process_writes_at_a_time(store: PhotoStore):
    code = (
        "import fcntl, sys\n"
        f"file = open({str(store.path / 'lock')!r}, 'w')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\nprint('held', flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(PhotoIndexError, match="another process is writing"), store.writing():
            pass
        other.kill()
    with store.writing():
        pass


def test_what_a_kill_left_half_written_is_swept(store: PhotoStore):
    left = store.path / "parts" / ".part-00000001.parquet.0123456789abcdef.part"
    left.write_bytes(b"half")
    assert len(store.rows()) == 0
    write(store, some_rows("a"))
    assert not left.exists()


def test_the_fingerprint_knows_content_and_order():
    rows = some_rows("a", "b")
    assert fingerprint(rows) == fingerprint(some_rows("a", "b", seed=5))
    assert fingerprint(rows) != fingerprint(some_rows("b", "a"))
    assert fingerprint(rows) != fingerprint(some_rows("a"))


DEEP = '{"format": ' + "[" * 100_000 + "]" * 100_000 + "}"


@pytest.mark.parametrize("text", [DEEP, '{"format": "devise photo index", "version": 1, "model": NaN}', "[" * 300])
def test_a_header_no_reader_should_follow_is_told(store: PhotoStore, text: str):
    (store.path / "index.json").write_text(text)
    with pytest.raises(PhotoIndexError, match=r"index.json: is damaged") as told:
        PhotoStore.opened(store.path, HEADER)
    assert len(str(told.value).splitlines()) == 1


def test_a_header_of_other_types_is_told(store: PhotoStore):
    facts = {"format": "devise photo index", "version": 1, "model": "small", "model_sha256": 5, "dim": 3, "best": 2}
    (store.path / "index.json").write_text(json.dumps(facts))
    with pytest.raises(PhotoIndexError, match=r"index.json: is damaged \(its values are of other types"):
        PhotoStore.opened(store.path, HEADER)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes are POSIX's")
@pytest.mark.parametrize("name", ["index.json", "lock", "parts/part-00000001.parquet"])
def test_a_pipe_in_place_of_a_file_is_told_and_not_waited_for(store: PhotoStore, name: str):
    write(store, some_rows("a"))
    (store.path / name).unlink(missing_ok=True)
    os.mkfifo(store.path / name)

    def read() -> None:
        opened = PhotoStore.opened(store.path, HEADER)
        with opened.writing():
            opened.rows()

    with pytest.raises((PhotoIndexError, OSError), match="a pipe or a device"):
        read()


@pytest.mark.parametrize("column", ["path", "size", "sha256", "gone", "vector", "total", "shares"])
def test_a_part_that_lacks_a_value_is_named(store: PhotoStore, column: str):
    import pyarrow as pa

    table = to_table(some_rows("a", "b"))
    values = [None, *table.column(column).to_pylist()[1:]]
    place = table.schema.get_field_index(column)
    holed = table.set_column(place, column, pa.array(values, table.schema.field(column).type))
    pa.parquet.write_table(holed, store.path / "parts" / "part-00000001.parquet")
    with pytest.raises(PhotoIndexError, match=rf"part-00000001.parquet: is damaged .*{column}"):
        store.rows()


@pytest.mark.parametrize(
    ("column", "value"),
    [("totals", np.nan), ("totals", -3e38), ("vectors", np.inf), ("vectors", 60_000), ("shares", -1), ("shares", 2)],
)
def test_a_part_with_numbers_that_make_no_sense_is_named(store: PhotoStore, column: str, value: float):
    rows = some_rows("a", "b")
    getattr(rows, column)[0] = value
    store.append(rows)
    with pytest.raises(PhotoIndexError, match=r"part-00000001.parquet: .*not finite"):
        store.rows()


def test_kept_rows_are_those_of_the_parts(store: PhotoStore, monkeypatch: pytest.MonkeyPatch):
    write(store, some_rows("b", "a\udcff"))
    write(store, some_rows("c", "b", seed=1))
    write(store, Rows.gone(["/p/c"], 3, 2))
    gathered = store.rows()
    assert not store.keeps()
    store.keep(gathered)
    assert store.keeps()
    with monkeypatch.context() as patch:
        patch.setattr(PhotoStore, "_gathered", lambda *_: pytest.fail("the parts were read"))
        assert same(store.rows(), gathered)
        copied = store.path.with_name("copied")
        shutil.copytree(store.path, copied)  # with other times
        assert same(PhotoStore.opened(copied).rows(), gathered)
    write(store, some_rows("d", seed=2))
    assert not store.keeps()
    assert [fact.path for fact in store.rows().facts] == ["/p/a\udcff", "/p/b", "/p/d"]
    store.keep(store.rows())
    store.forget_kept()
    assert store.rows_and_note()[1] == ""


def test_damaged_kept_rows_are_read_from_the_parts(store: PhotoStore):
    write(store, some_rows("a", "b"))
    gathered = store.rows()
    store.keep(gathered)
    file = store.path / "rows.bin"
    whole = bytearray(file.read_bytes())
    whole[-3] ^= 1
    file.write_bytes(whole)
    rows, note = store.rows_and_note()
    assert same(rows, gathered)
    assert "rows.bin: cannot be used (the sha256 of shares differs)" in note
    assert not store.keeps()
