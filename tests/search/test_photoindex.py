"""Indexing photos: what is read, what is known again, and what a kill leaves."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from devise.errors import PhotoIndexError, UsageError
from devise.model.labeller import Model, load
from devise.search import photoindex
from devise.search.photofacts import PhotoFact
from devise.search.photoindex import Indexed, PhotoSide, header_of, index_photos
from devise.search.rows import Rows
from devise.search.store import PhotoStore

pytest.importorskip("pyarrow")

SOURCE = Path(__file__).parents[2] / "src"


def colour(number: int) -> tuple[int, int, int]:
    return (37 * number) % 256, (101 * number + 30) % 256, (59 * number + 90) % 256


def save(path: Path, number: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((6, 5, 3), colour(number), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(7):
        save(tmp_path / "photos" / "ab"[number % 2] / f"{number}.png", number)
    return tmp_path / "photos"


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was given to the network, in order."""
    given: list[object] = []
    plain = Model.features

    def features(self: Model, pictures: Iterable[object]) -> object:
        return plain(self, ((given.append(p), p)[1] for p in pictures))  # type: ignore[func-returns-value, misc]

    monkeypatch.setattr(Model, "features", features)
    return given


def counts(done: Indexed) -> dict[str, int]:
    return {
        name: value
        for name in ("new", "changed", "moved", "copied", "touched", "unchanged", "gone")
        if (value := getattr(done, name))
    }


def rows_of(model: Model, index: Path) -> Rows:
    return PhotoStore.opened(index, header_of(model.parts)).rows()


def fresh(model: Model, photos: Path, folder: Path) -> Rows:
    index_photos(model, [photos], folder)
    return rows_of(model, folder)


def assert_same(one: Rows, other: Rows) -> None:
    assert [fact.path for fact in one.facts] == [fact.path for fact in other.facts]
    assert one.facts == other.facts
    assert np.array_equal(one.vectors, other.vectors)
    assert np.array_equal(one.classes, other.classes)
    assert np.array_equal(one.totals, other.totals)
    assert np.array_equal(one.labels, other.labels)
    assert np.array_equal(one.shares, other.shares)


def test_the_vectors_are_the_models_embeddings(small: Model, photos: Path, index: Path):
    done = index_photos(small, [photos], index)
    assert counts(done) == {"new": 7}
    assert done.photos == 7
    rows = rows_of(small, index)
    for fact, vector in zip(rows.facts, rows.vectors, strict=True):
        np.testing.assert_allclose(vector, small.embed(fact.path), atol=5e-4)  # 11 bits of a number below 1
        assert fact.size == os.path.getsize(fact.path)


def test_an_unchanged_folder_is_not_read_again(small: Model, photos: Path, index: Path, network: list[object]):
    index_photos(small, [photos], index)
    parts = os.listdir(index / "parts")
    network.clear()
    assert counts(index_photos(small, [photos], index)) == {"unchanged": 7}
    assert not network
    assert os.listdir(index / "parts") == parts


def test_new_photos_are_read_before_known_ones(
    small: Model, photos: Path, index: Path, network: list[object], monkeypatch: pytest.MonkeyPatch
):
    index_photos(small, [photos], index)
    network.clear()
    new = [save(photos / "b" / "y.png", 50), save(photos / "c" / "z.png", 51)]
    save(photos / "a" / "0.png", 52)
    monkeypatch.chdir(photos.parent)
    assert counts(index_photos(small, [Path("photos")], index)) == {"new": 2, "changed": 1, "unchanged": 6}
    assert network == [path.read_bytes() for path in (*new, photos / "a" / "0.png")]


def test_equal_photos_in_a_renamed_folder_are_all_moved(small: Model, photos: Path, index: Path):
    for name in ("1", "2", "3"):
        save(photos / "same" / f"{name}.png", 30)
    index_photos(small, [photos], index)
    (photos / "same").rename(photos / "renamed")
    assert counts(index_photos(small, [photos], index)) == {"moved": 3, "unchanged": 7}
    shutil.copy(photos / "renamed" / "1.png", photos / "renamed" / "4.png")
    (photos / "renamed" / "2.png").rename(photos / "5.png")
    assert counts(index_photos(small, [photos], index)) == {"moved": 1, "copied": 1, "unchanged": 9}
    (photos / "5.png").unlink()
    assert counts(index_photos(small, [photos], index)) == {"unchanged": 10, "gone": 1}


def test_new_changed_moved_copied_touched_and_gone(small: Model, photos: Path, index: Path, network: list[object]):
    index_photos(small, [photos], index)
    network.clear()
    save(photos / "new.png", 20)
    save(photos / "a" / "0.png", 21)  # changed
    (photos / "b" / "1.png").rename(photos / "moved.png")
    shutil.copy(photos / "b" / "3.png", photos / "copy.png")
    os.utime(photos / "a" / "2.png", ns=(5, 5))
    (photos / "a" / "4.png").unlink()
    done = index_photos(small, [photos], index)
    expected = {"new": 1, "changed": 1, "moved": 1, "copied": 1, "touched": 1, "unchanged": 3, "gone": 1}
    assert counts(done) == expected
    assert len(network) == 2
    assert done.photos == 8
    assert_same(rows_of(small, index), fresh(small, photos, index.parent / "fresh"))


def test_a_damaged_vector_shows_at_a_check(small: Model, photos: Path, index: Path):
    index_photos(small, [photos], index)
    (part,) = (index / "parts").iterdir()
    metadata = pytest.importorskip("pyarrow").parquet.read_metadata(part).row_group(0)
    columns = {metadata.column(n).path_in_schema.split(".")[0]: metadata.column(n) for n in range(metadata.num_columns)}
    data = bytearray(part.read_bytes())
    data[columns["vector"].data_page_offset + columns["vector"].total_compressed_size // 2] ^= 0xFF
    part.write_bytes(data)
    assert counts(index_photos(small, [photos], index)) == {"unchanged": 7}
    with pytest.raises(PhotoIndexError, match=r"is damaged .*: remove this file and run devise index again"):
        index_photos(small, [photos], index, rehash=True)
    part.unlink()
    assert counts(index_photos(small, [photos], index, rehash=True)) == {"new": 7}


def test_same_name_size_and_time_but_other_content_needs_rehash(small: Model, photos: Path, index: Path):
    path = photos / "a" / "0.png"
    Image.fromarray(np.full((6, 5, 3), 9, dtype=np.uint8)).save(path.with_suffix(".bmp"))
    path.unlink()
    path = path.with_suffix(".bmp")  # without compression: every colour has the same size
    state = path.stat()
    index_photos(small, [photos], index)
    Image.fromarray(np.full((6, 5, 3), 200, dtype=np.uint8)).save(path)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_size == state.st_size
    assert counts(index_photos(small, [photos], index)) == {"unchanged": 7}
    assert counts(index_photos(small, [photos], index, rehash=True)) == {"changed": 1, "unchanged": 6}
    assert_same(rows_of(small, index), fresh(small, photos, index.parent / "fresh"))


def test_two_photos_that_change_names(small: Model, photos: Path, index: Path, network: list[object]):
    index_photos(small, [photos], index)
    network.clear()
    one, two = photos / "a" / "0.png", photos / "b" / "1.png"
    one.rename(photos / "tmp")
    two.rename(one)
    (photos / "tmp").rename(two)
    index_photos(small, [photos], index)
    assert not network
    assert_same(rows_of(small, index), fresh(small, photos, index.parent / "fresh"))


def test_a_broken_photo_is_told_and_the_rest_is_done(small: Model, photos: Path, index: Path):
    (photos / "a" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (photos / "notes.txt").write_text("no picture")
    done = index_photos(small, [photos], index)
    assert [Path(problem.path).name for problem in done.problems] == ["broken.png"]
    assert (done.photos, done.skipped) == (7, 1)
    again = index_photos(small, [photos], index)
    assert len(again.problems) == 1  # it is tried again, and told again
    (photos / "a" / "0.png").write_bytes(b"")
    assert index_photos(small, [photos], index).photos == 6
    save(photos / "a" / "0.png", 0)
    assert counts(index_photos(small, [photos], index)) == {"new": 1, "unchanged": 6}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes are POSIX's")
def test_a_pipe_is_a_problem_and_nobody_waits_for_it(small: Model, photos: Path, index: Path):
    pipe = photos / "a" / "pipe.jpg"
    os.mkfifo(pipe)
    done = index_photos(small, [photos], index)
    assert [(one.path, one.reason) for one in done.problems] == [(str(pipe), "a pipe or a device, not a regular file")]
    assert counts(done) == {"new": 7}


def test_other_folders_stay_and_a_file_stands_for_itself(small: Model, photos: Path, index: Path, tmp_path: Path):
    index_photos(small, [photos], index)
    save(tmp_path / "photos more" / "x.png", 30)  # begins like the other folder's name
    assert index_photos(small, [tmp_path / "photos more"], index).photos == 8
    (photos / "a" / "0.png").unlink()
    assert counts(index_photos(small, [tmp_path / "photos more"], index)) == {"unchanged": 1}
    assert index_photos(small, [photos / "b"], index).photos == 8
    assert counts(index_photos(small, [photos], index)) == {"unchanged": 6, "gone": 1}


def test_a_folder_that_is_suddenly_empty_does_not_empty_the_index(small: Model, photos: Path, index: Path):
    index_photos(small, [photos], index)
    shutil.rmtree(photos)
    with pytest.raises(UsageError, match="no such file or folder"):
        index_photos(small, [photos], index)
    photos.mkdir()
    with pytest.raises(UsageError, match=r"no photo found, but the index has 7 from it.*--forget"):
        index_photos(small, [photos], index)
    assert len(rows_of(small, index)) == 7
    assert counts(index_photos(small, [photos], index, emptied=True)) == {"gone": 7}
    assert len(rows_of(small, index)) == 0


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads everything")
def test_photos_behind_a_locked_folder_stay(small: Model, photos: Path, index: Path):
    index_photos(small, [photos], index)
    (photos / "a").chmod(0)
    try:
        done = index_photos(small, [photos], index)
    finally:
        (photos / "a").chmod(0o700)
    assert len(done.problems) == 1
    assert done.photos == 7


def test_a_dead_link_is_a_problem_and_its_photos_stay(small: Model, photos: Path, index: Path, tmp_path: Path):
    drive = tmp_path / "drive"
    (photos / "link.png").symlink_to(save(drive / "x.png", 40))
    for number in range(2):
        save(drive / "trip" / f"{number}.png", 41 + number)
    (photos / "trip").symlink_to(drive / "trip")
    (photos / "other").symlink_to(tmp_path / "nowhere")  # never had a photo: nothing to say
    assert index_photos(small, [photos], index).photos == 10
    drive.rename(tmp_path / "away")
    done = index_photos(small, [photos], index)
    assert {Path(problem.path).name: problem.reason for problem in done.problems} == {
        "link.png": "a broken link",
        "trip": "a broken link",
    }
    assert (done.photos, done.hidden, done.gone) == (10, 3, 0)
    (tmp_path / "away").rename(drive)
    back = index_photos(small, [photos], index)
    assert (counts(back), back.hidden, back.problems) == ({"unchanged": 10}, 0, [])
    shutil.rmtree(drive)
    assert counts(index_photos(small, [photos], index, emptied=True)) == {"gone": 3, "unchanged": 7}
    assert_same(rows_of(small, index), fresh(small, photos, index.parent / "fresh"))


def test_another_models_index_is_refused(small: Model, photos: Path, index: Path, small_bundle: Path, tmp_path: Path):
    index_photos(small, [photos], index)
    other = tmp_path / "other"
    shutil.copytree(small_bundle, other)
    manifest = other / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"small"', '"large"'))
    with pytest.raises(PhotoIndexError, match=r"made by model small .* but this is large"):
        index_photos(load(other), [photos], index)


def test_a_damaged_part_can_be_removed_and_its_photos_come_back(small: Model, photos: Path, index: Path):
    index_photos(small, [photos], index)
    save(photos / "new.png", 50)
    index_photos(small, [photos], index)
    part = index / "parts" / "part-00000001.parquet"
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(PhotoIndexError, match=r"part-00000001.parquet: is damaged .*: remove this file"):
        index_photos(small, [photos], index)
    part.unlink()
    assert counts(index_photos(small, [photos], index)) == {"new": 7, "unchanged": 1}


def test_a_full_disk_keeps_what_was_written(
    small: Model, photos: Path, index: Path, monkeypatch: pytest.MonkeyPatch, network: list[object]
):
    monkeypatch.setattr(photoindex, "_BLOCK", 2)
    monkeypatch.setattr(photoindex, "_PART_ROWS", 2)
    left = [3]  # the header, then two parts
    plain = os.fsync

    def full(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        plain(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            index_photos(small, [photos], index)
    assert len(rows_of(small, index)) == 4
    network.clear()
    assert counts(index_photos(small, [photos], index)) == {"new": 3, "unchanged": 4}
    assert len(network) == 3


def test_ctrl_c_keeps_what_is_done(small: Model, photos: Path, index: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(photoindex, "_BLOCK", 2)

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index_photos(small, [photos], index, on_progress=stop)
    assert len(rows_of(small, index)) == 2


KILLED = """
import os, signal, sys
from pathlib import Path
from devise.search import photoindex
from devise.model.labeller import load
photoindex._BLOCK = photoindex._PART_ROWS = 2
bundle, photos, index, at, when = sys.argv[1:]
plain, calls = Path.replace, [0]
def replace(path, target):
    calls[0] += 1
    dying = calls[0] == int(at)
    if dying and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    done = plain(path, target)
    if dying:
        os.kill(os.getpid(), signal.SIGKILL)
    return done
Path.replace = replace
photoindex.index_photos(load(bundle), [Path(photos)], Path(index))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="SIGKILL is POSIX's")
@pytest.mark.parametrize(
    ("at", "when", "held"), [(1, "before", 0), (2, "before", 0), (2, "after", 2), (4, "before", 4)]
)
def test_killed_at_any_write_nothing_is_lost_and_the_next_run_does_the_rest(
    at: int, when: str, held: int, small: Model, small_bundle: Path, photos: Path, index: Path, network: list[object]
):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(small_bundle), str(photos), str(index), str(at), when],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-500:]
    if at > 1:
        assert len(rows_of(small, index)) == held
    result = index_photos(small, [photos], index)
    assert counts(result) == {"new": 7 - held} | ({"unchanged": held} if held else {})
    assert len(network) == 7 - held
    assert_same(rows_of(small, index), fresh(small, photos, index.parent / "fresh"))
    assert not list((index / "parts").glob(".*"))


def test_many_rounds_of_random_changes_end_as_a_fresh_index(small: Model, photos: Path, index: Path):
    rng = np.random.default_rng(11)
    for round_ in range(6):
        existing = sorted(path for path in photos.rglob("*.png"))
        for path in rng.permutation(np.array([str(p) for p in existing]))[:3].tolist():
            what = rng.integers(4)
            if what == 0:
                save(Path(path), int(rng.integers(60, 90)))
                os.utime(path, ns=(round_, round_ + 10))
            elif what == 1:
                Path(path).unlink()
            elif what == 2:
                Path(path).rename(photos / f"{round_}-{Path(path).name}")
            else:
                shutil.copy(path, photos / f"{round_}+{Path(path).name}")
        save(photos / f"{round_}.png", int(rng.integers(60, 90)))
        index_photos(small, [photos], index)
    assert_same(rows_of(small, index), fresh(small, photos, index.parent / "fresh"))


def test_a_row_is_the_same_to_the_bit_whatever_it_is_scored_with(packaged: Model):
    side = PhotoSide(packaged.parts)
    rng = np.random.default_rng(5)
    features = rng.gamma(0.3, 1.0, (50, packaged.parts.bundle.manifest.backbone.features)).astype(np.float32)
    facts = [PhotoFact(f"/{number}.jpg", 1, 2, b"") for number in range(50)]
    alone = Rows.joined([side.rows(facts[row : row + 1], features[row : row + 1]) for row in range(50)])
    for size in (7, 32, 50):
        places = rng.permutation(50)[:size]
        together = side.rows([facts[place] for place in places], features[places])
        assert_same(together, alone.taken(places))
