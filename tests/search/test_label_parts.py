"""Labels in Parquet parts: every photo once, whatever is killed."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from devise.cli.label_parts import PartsJob, label_in_parts
from devise.errors import DeviseError, UsageError
from devise.model.labeller import LabelRequest, Model
from devise.search.label_parts import chunks, done_in, label_chunk, open_parts
from devise.vision.collections import find_items

parquet = pytest.importorskip("pyarrow.parquet")

SOURCE = Path(__file__).parents[2] / "src"
REQUEST = LabelRequest(top=2)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(3)
    for number in range(9):
        pixels = np.full((6, 5, 3), rng.integers(0, 256, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
    return tmp_path / "photos"


def label_all(model: Model, photos: Path, folder: Path, size: int = 2) -> int:
    """How many photos were labelled now."""
    open_parts(folder, model, REQUEST)
    run, now = model.run(REQUEST), 0
    for chunk in chunks(find_items([str(photos)]), done_in(folder).names, size):
        label_chunk(run, chunk, folder)
        now += len(chunk)
    return now


def rows(folder: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = parquet.read_table(folder).sort_by("photo").to_pylist()
    return found


def test_the_parts_say_what_label_many_says(small: Model, photos: Path, tmp_path: Path):
    (photos / "broken.png").write_bytes(b"no picture")
    assert label_all(small, photos, tmp_path / "out") == 10
    answers = {answer.source: answer for answer in small.label_many(sorted(photos.iterdir()), top=2)}
    for row in rows(tmp_path / "out"):
        answer = answers.pop(str(row["photo"]))
        assert row["problem"] == answer.problem
        expected = [{"id": g.label.id, "name": g.label.name, "score": pytest.approx(g.score)} for g in answer.guesses]
        assert row["guesses"] == expected
    assert not answers
    assert done_in(tmp_path / "out").problems == 1


def test_a_second_run_does_what_is_new_only(small: Model, photos: Path, tmp_path: Path):
    assert label_all(small, photos, tmp_path / "out") == 9
    assert label_all(small, photos, tmp_path / "out") == 0
    (photos / "00.png").write_bytes((photos / "0.png").read_bytes())  # comes first: chunks fall otherwise
    assert label_all(small, photos, tmp_path / "out") == 1
    assert max(Counter(row["photo"] for row in rows(tmp_path / "out")).values()) == 1


def test_a_second_run_begins_with_what_is_new(small: Model, photos: Path, tmp_path: Path):
    label_all(small, photos, tmp_path / "out")
    done = done_in(tmp_path / "out").names
    (photos / "00.png").write_bytes((photos / "0.png").read_bytes())
    (photos / "9.png").write_bytes((photos / "0.png").read_bytes())
    found = [Path(item.name).name for item in find_items([str(photos)], last=done.__contains__)]
    assert found == ["00.png", "9.png", *(f"{number}.png" for number in range(9))]


def test_a_chunk_done_twice_is_one_part(small: Model, photos: Path, tmp_path: Path):
    open_parts(tmp_path / "out", small, REQUEST)
    (chunk,) = chunks(find_items([str(photos)]), set(), 100)
    for _ in range(2):
        label_chunk(small.run(REQUEST), chunk, tmp_path / "out")
    assert len(rows(tmp_path / "out")) == 9


def test_another_request_or_folder_is_refused(small: Model, photos: Path, tmp_path: Path):
    open_parts(tmp_path / "out", small, REQUEST)
    with pytest.raises(UsageError, match=r"contains labels of another request \(not the same: top\): give"):
        open_parts(tmp_path / "out", small, LabelRequest(top=3))
    with pytest.raises(UsageError, match="new or empty folder"):
        open_parts(photos, small, REQUEST)


def test_a_damaged_part_is_named(small: Model, photos: Path, tmp_path: Path):
    label_all(small, photos, tmp_path / "out")
    part = next((tmp_path / "out").glob("part-*"))
    part.write_bytes(part.read_bytes()[:50])
    with pytest.raises(DeviseError, match=r"part-\w+.parquet: is damaged .*: remove it"):
        done_in(tmp_path / "out")
    part.unlink()
    assert 0 < label_all(small, photos, tmp_path / "out") <= 2


def test_a_full_disk_leaves_whole_parts(small: Model, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    plain, left = os.fsync, [3]

    def full(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        plain(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            label_all(small, photos, tmp_path / "out")
    assert len(rows(tmp_path / "out")) == 4
    assert label_all(small, photos, tmp_path / "out") == 5


KILLED = """
import os, signal, sys
from pathlib import Path
from devise.search.label_parts import *
from devise.model.labeller import LabelRequest, load
from devise.vision.collections import find_items
bundle, photos, folder, at, when = sys.argv[1:]
plain, calls = Path.replace, [0]
def replace(path, target):
    calls[0] += 1
    if calls[0] == int(at) and when == "after":
        plain(path, target)
    if calls[0] == int(at):
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(path, target)
Path.replace = replace
model, request = load(bundle), LabelRequest(top=2)
open_parts(Path(folder), model, request)
for chunk in chunks(find_items([photos]), set(), 2):
    label_chunk(model.run(request), chunk, Path(folder))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="SIGKILL is POSIX's")
@pytest.mark.parametrize(
    ("at", "when", "left"), [(1, "before", 9), (2, "before", 9), (2, "after", 7), (4, "before", 5)]
)
def test_killed_at_any_write_each_photo_is_there_once(
    at: int, when: str, left: int, small: Model, small_bundle: Path, photos: Path, tmp_path: Path
):
    folder = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(small_bundle), str(photos), str(folder), str(at), when],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-500:]
    assert label_all(small, photos, folder) == left
    assert Counter(row["photo"] for row in rows(folder)) == {str(path): 1 for path in photos.iterdir()}


def test_the_wide_name_has_a_column_where_it_is_asked_for(small: Model, photos: Path, tmp_path: Path):
    (photos / "broken.png").write_bytes(b"no picture")
    request = LabelRequest(top=2, sure=0.6)
    open_parts(tmp_path / "out", small, request)
    label_chunk(small.run(request), list(find_items([str(photos)])), tmp_path / "out")
    answers = {answer.source: answer for answer in small.label_many(sorted(photos.iterdir()), top=2, sure=0.6)}
    for row in rows(tmp_path / "out"):
        hedge = answers.pop(str(row["photo"])).hedge
        if hedge is None or hedge.name is None:
            assert row["sure"] is None
        else:
            level = hedge.name
            assert row["sure"] == {
                "id": level.id,
                "name": level.name,
                "share": pytest.approx(level.share, abs=1e-6),
                "bits": pytest.approx(level.bits, abs=1e-6),
            }
    assert not answers


def test_folders_from_before_there_was_sure_go_on(small: Model, photos: Path, tmp_path: Path):
    label_all(small, photos, tmp_path / "out")
    kept = json.loads((tmp_path / "out" / "_labels.json").read_text())
    assert set(kept["request"]) == {"top", "method", "candidates", "under", "typed", "reject", "explain"}
    with pytest.raises(UsageError, match="another request"):
        open_parts(tmp_path / "out", small, LabelRequest(top=2, sure=0.6))


@pytest.mark.skipif(os.name != "posix", reason="the lock is POSIX's")
def test_one_process_writes_at_a_time(small: Model, photos: Path, tmp_path: Path):
    folder = tmp_path / "out"
    code = (
        "import sys\nfrom pathlib import Path\nfrom devise.search.label_parts import writing_parts\n"
        "from devise.model.labeller import LabelRequest, load\n"
        "with writing_parts(Path(sys.argv[2]), load(sys.argv[1]), LabelRequest(top=2)):\n"
        "    print('held', flush=True)\n    sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(small.parts.bundle.path), str(folder)],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(DeviseError, match="another process is writing to it"):
            label_in_parts(small, REQUEST, PartsJob((str(photos),), folder, 0, None), ready=Model.run)
        other.kill()
    assert not list(folder.glob("*.parquet"))
    label_in_parts(small, REQUEST, PartsJob((str(photos),), folder, 0, None), ready=Model.run)
    assert Counter(row["photo"] for row in rows(folder)) == {str(path): 1 for path in photos.iterdir()}


def test_photos_that_earlier_runs_could_not_read_count(
    small: Model, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """The exit code is that of the table, as a fresh run would have it; the lines say which run failed."""

    def run(folder: Path) -> tuple[int, list[str]]:
        code = 0
        try:
            label_in_parts(small, REQUEST, PartsJob((str(photos),), folder, 0, None), ready=Model.run)
        except typer.Exit as stop:
            code = stop.exit_code
        return code, [line for line in capsys.readouterr().err.splitlines() if "could not be read" in line]

    (photos / "bad.png").write_bytes(b"no picture")
    now = "devise: 1 photo could not be read: column problem says why"
    before = "devise: 1 photo of earlier runs could not be read: column problem says why"
    assert run(tmp_path / "out") == (1, [now])
    assert run(tmp_path / "out") == (1, [before])
    (photos / "worse.png").write_bytes(b"no picture either")
    assert run(tmp_path / "out") == (1, [now, before])
    assert run(tmp_path / "fresh") == (1, [now.replace("1 photo", "2 photos")])


@pytest.mark.parametrize("text", ["[" * 5000, '{"format": "devise labels"', "\xff"])
def test_damaged_facts_are_told(text: str, small: Model, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "_labels.json").write_text(text, encoding="latin-1")
    with pytest.raises(UsageError, match=r"_labels.json is damaged .*give another folder"):
        open_parts(tmp_path / "out", small, REQUEST)


def test_a_part_without_a_photos_name_is_named(tmp_path: Path):
    pa = pytest.importorskip("pyarrow")
    parquet.write_table(
        pa.table({name: pa.array([None, "a"], pa.string()) for name in ("photo", "problem")}),
        tmp_path / "part-0.parquet",
    )
    with pytest.raises(DeviseError, match=r"part-0.parquet: is damaged \(column photo lacks values\)"):
        done_in(tmp_path)


def test_folders_of_before_nouns_were_withheld_continue_with_all_nouns_alone(small: Model, tmp_path: Path):
    out = tmp_path / "out"
    model = Model(type(small.parts)(small.parts.bundle))
    model.parts.__dict__["withheld"] = {"n02390738": "people"}
    open_parts(out, small, LabelRequest())  # withholds nothing, as all models did
    facts = json.loads((out / "_labels.json").read_text())
    assert facts["request"]["candidates"] == "all"  # as it was called
    assert "withheld" not in facts["request"]
    open_parts(out, model, LabelRequest(candidates="all-nouns"))
    with pytest.raises(UsageError, match=r"labels of another request \(not the same: withheld nouns\)"):
        open_parts(out, model, LabelRequest())


@pytest.mark.parametrize(
    ("limit", "told"), [("_UNPACKED", "column photo unpacks to 20,000,000 bytes"), ("_ROWS", "20,000 rows")]
)
def test_a_text_stored_once_for_very_many_rows_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, told: str
):
    """Of 240 kB, 2 million rows took 6 GB."""
    pa = pytest.importorskip("pyarrow")
    photos = pa.array(["x" * 1000]).take(pa.array([0] * 20_000))
    table = pa.table({"photo": photos, "problem": pa.nulls(20_000, pa.string())})
    parquet.write_table(table, tmp_path / "part-a.parquet", compression="zstd")
    assert done_in(tmp_path).names == {"x" * 1000}
    monkeypatch.setattr("devise.search.rows._RATIO", 1)
    monkeypatch.setattr(f"devise.search.rows.{limit}", 10_000)
    with pytest.raises(DeviseError, match=rf"part-a.parquet: is damaged \(.*{told}"):
        done_in(tmp_path)
