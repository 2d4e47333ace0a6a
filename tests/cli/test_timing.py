import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devise.cli import timing
from devise.vision.pipeline import Extracted


def test_times_are_shared_out_by_photo(monkeypatch: pytest.MonkeyPatch):
    now = {"perf_counter": 10.0, "process_time": 0.7, "thread_time": 0.5}
    for name in now:
        monkeypatch.setattr(timing, name, partial(now.__getitem__, name))
    clock = timing.Timing()
    now |= {"perf_counter": 11.0, "process_time": 2.0, "thread_time": 1.5}
    clock.started()
    photo = Extracted(Path("a.jpg"), np.zeros(3, np.float32), None, "", 0.004)
    clock.add([photo, photo], scores=0.02)
    clock.add([photo, Extracted(Path("b.jpg"), None, "empty")], scores=0.04)
    now |= {"perf_counter": 13.0, "process_time": 5.2, "thread_time": 1.6}  # 3.2 core s, of which 0.1 in this thread
    assert list(clock.lines()) == [
        "timing: 4 photos in 3.0 s, of which the start took 1.0 s: 2.0 photos a second after it",
        "timing: a photo takes 800.00 ms of core time: decoding 3.00 ms, network 772.00 ms, scores 15.00 ms, output "
        "10.00 ms",
    ]


def test_the_costs_of_a_run_add_up(label: Any, photo: Path):
    whole, *costs = map(float, re.findall(r"([\d.]+) ms", label(photo, "--timing").err))
    assert whole > 0
    assert sum(costs) == pytest.approx(whole, abs=0.03)  # rounded to 0.01 each


def test_a_run_without_photos_has_times():
    assert re.match("timing: 0 photos in .*: 0.0 photos a second", next(timing.Timing().lines()))


def test_the_command_prints_them(label: Any, photo: Path):
    done = label(photo, "--timing")
    assert (done.code, done.err.count("devise: timing: ")) == (0, 2)
    assert "timing" not in label(photo).err


@pytest.mark.parametrize("more", [("--context",), ("--format", "parquet", "--output", "parts")])
def test_runs_whose_times_lie_elsewhere_are_refused(label: Any, photo: Path, more: tuple[str, ...]):
    done = label(photo, "--timing", *more)
    assert (done.code, done.out) == (2, "")
    assert f"leave out {' '.join(more[:2])}".removesuffix(" --output") in done.err
