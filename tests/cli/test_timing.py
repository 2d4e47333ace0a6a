import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devise.cli import timing
from devise.vision.pipeline import Extracted


def test_times_are_shared_out_by_photo(monkeypatch: pytest.MonkeyPatch):
    now = [10.0]
    monkeypatch.setattr(timing, "perf_counter", lambda: now[0])
    monkeypatch.setattr(timing, "cores", lambda: 2)
    clock = timing.Timing()
    now[0] = 11.0
    clock.started()
    photo = Extracted(Path("a.jpg"), np.zeros(3, np.float32), None, "", 0.004, 0.040)
    clock.add([photo, photo], waiting=1.0, scores=0.02)
    clock.add([photo, Extracted(Path("b.jpg"), None, "empty")], waiting=0.9, scores=0.04)
    now[0] = 13.0
    assert list(clock.lines()) == [
        "timing: 4 photos in 3.0 s, of which the start took 1.0 s: 2.0 photos a second after it",
        "timing: per photo, decoding 3.0 ms and network 30.0 ms in each of 3 threads; scores 15.0 ms and output "
        "10.0 ms in another",
    ]


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
