import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bench import command, machine
from bench.command import Sample
from bench.figures import Figure, Reading, interleaved, median, ratio, table, timed
from bench.memory import _resident
from bench.photos import find_photos, large_photo, many_of

ROOT = Path(__file__).parents[2]
NUMBERS = st.floats(-1e6, 1e6)


@given(st.lists(NUMBERS, min_size=1))
def test_median_is_the_statisticians(values: list[float]):
    assert median(values) == statistics.median(values)


def test_no_median_of_nothing():
    with pytest.raises(ValueError, match="at least one round"):
        median([])


def test_ratios_are_taken_round_by_round():
    noisy = [1.0, 10.0, 2.0]  # the second round was disturbed, for both alike
    assert ratio(noisy, [2 * value for value in noisy]) == [0.5, 0.5, 0.5]
    with pytest.raises(ValueError, match="zip"):
        ratio([1.0], [1.0, 2.0])


def test_rounds_go_forwards_and_backwards():
    calls: list[str] = []
    found = interleaved({name: lambda name=name: calls.append(name) for name in "abc"}, 3)
    assert "".join(calls) == "abc" + "abc" + "cba" + "abc"  # a warm round first
    assert {name: len(readings) for name, readings in found.items()} == {"a": 3, "b": 3, "c": 3}
    calls.clear()
    interleaved({"a": lambda: calls.append("a")}, 2, warm=False)
    assert calls == ["a", "a"]


def test_core_time_counts_work_and_not_waiting():
    slept = timed(lambda: subprocess.run(["sleep", "0.3"], check=True))
    assert slept.wall >= 0.3
    assert slept.wall - slept.core >= 0.25  # what other processes take is in neither
    child = timed(lambda: command.python("-c", "import time\nwhile time.process_time() < 0.2: pass"))
    assert child.core >= 0.2
    assert Reading(2.0, 4.0).per(4) == Reading(0.5, 1.0)


@pytest.mark.parametrize(
    ("value", "limit", "at_least", "met"),
    [(1.0, None, False, None), (1.0, 1.0, False, True), (1.1, 1.0, False, False), (0.9, 1.0, True, False)],
)
def test_limits(value: float, limit: float | None, at_least: bool, met: bool | None):
    figure = Figure("s", "w", value, "ms", limit=limit, at_least=at_least)
    assert figure.met is met
    assert figure.to_dict()["met"] is met


def test_a_figure_of_runs_is_their_median_and_range():
    figure = Figure.of("s", "w", [3.0, 1.0, 2.0], "ms", note="n")
    assert (figure.value, figure.low, figure.high, figure.runs, figure.note) == (2.0, 1.0, 3.0, 3, "n")


def test_the_table_says_what_was_missed():
    figures = [
        Figure.of("One", "short", [0.25, 0.5, 1.0], "s", limit=0.3),
        Figure("One", "a longer name", 1234.4, "images/s", limit=1000, at_least=True),
        Figure("Two", "plain", 0.0123, ""),
    ]
    assert table(figures).splitlines() == [
        "One",
        "  short                0.500 s  0.250 to 1.00, 3 runs  <= 0.300 MISSED",
        "  a longer name  1234 images/s                         >= 1000 met",
        "",
        "Two",
        "  plain                 0.0123",
    ]
    assert table([]) == ""


def test_the_machine_is_named():
    found = machine.facts()
    assert found["cores"] == machine.cores() >= 1
    assert found["packages"]["numpy"]
    assert found["cpu"]
    json.dumps(found)


def test_many_of_few_photos(tmp_path: Path):
    photo = tmp_path / "one.jpg"
    Image.new("RGB", (8, 8)).save(photo)
    links = many_of([photo], 3, tmp_path / "many")
    assert [link.name for link in links] == sorted(os.listdir(tmp_path / "many"))
    assert all(link.read_bytes() == photo.read_bytes() for link in links)


def test_pictures_are_made_where_there_are_no_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DEVISE_SHARED", str(tmp_path / "nothing"))
    made = find_photos(None, 5, tmp_path)
    assert len(made.paths) == 5 == len(list(made.folder.iterdir()))
    assert len({path.read_bytes() for path in made.paths}) == 5
    assert {min(Image.open(path).size) for path in made.paths} == {256}
    assert "generated" in made.what


def test_a_folder_of_photos_is_sampled_evenly(tmp_path: Path):
    for number in range(10):
        Image.new("L", (8 + number, 8)).save(tmp_path / f"{number}.jpg")
    found = find_photos(tmp_path, 5, tmp_path / "scratch")
    assert [Image.open(path).width for path in found.paths] == [8, 10, 12, 14, 16]
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match="no JPEG"):
        find_photos(tmp_path / "empty", 5, tmp_path / "other")


def test_a_large_photo_has_noise(tmp_path: Path):
    small = tmp_path / "small.jpg"
    Image.new("RGB", (8, 8), "grey").save(small)
    with Image.open(large_photo(small, tmp_path / "large.jpg", (80, 60))) as large:
        assert large.size == (80, 60)
        assert len(large.convert("L").getcolors() or []) > 5


def test_resident_memory_of_a_stretch():
    samples = [Sample(0, 900_000_000, 1), Sample(10, 100_000_000, 1), Sample(20, 300_000_000, 1)]
    assert _resident(samples, 10, 15) == 100.0
    assert _resident(samples, 10, 20) == 300.0
    assert _resident(samples, 30, 40) == 900.0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_a_command_is_watched():
    samples = command.watched("--help", every=0.01)
    assert max(sample.peak for sample in samples) > 5_000_000
    with pytest.raises(RuntimeError, match="exit code 2"):
        command.watched("no-such-command")


def test_a_command_has_answered_before_it_ends():
    found = command.answered("--help")
    assert 0 < found.printed <= found.ended
    with pytest.raises(RuntimeError, match="exit code 2"):
        command.answered("no-such-command")


def test_a_failing_script_says_why():
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        command.python("-c", "1 / 0")


@pytest.mark.slow
def test_a_quick_run(tmp_path: Path):
    target = tmp_path / "figures.json"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--json", str(target)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    stored = json.loads(target.read_text(encoding="utf-8"))
    assert stored["quick"] is True
    assert stored["machine"]["cores"] >= 1
    sections = {figure["section"] for figure in stored["figures"]}
    assert len(sections) >= 9
    assert all(figure["value"] == figure["value"] for figure in stored["figures"])  # no NaN
    assert "images/s" in done.stdout


def test_the_peak_memory_of_a_process_is_its_own():
    """A process that a large one started counts from nothing, as it would not by `getrusage`."""
    large = np.ones(40_000_000)
    code = "from bench.machine import peak_memory; print(peak_memory())"
    here, child = machine.peak_memory(), int(subprocess.check_output([sys.executable, "-c", code]))
    assert child < large.nbytes < here
