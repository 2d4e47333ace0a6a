"""The cluster job on two workers of this machine, one of which is killed in the middle."""

import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from devise.errors import DeviseError
from devise.model.labeller import LabelRequest
from devise.search import ray_job
from devise.search.label_parts import Counts, done_in
from devise.search.ray_job import ClusterJob, label_on_cluster
from devise.vision.runtime import Placement

parquet = pytest.importorskip("pyarrow.parquet")

SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Large enough that a worker needs a while for each."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(3)
    for number in range(60):
        pixels = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((1200, 900)).save(folder / f"{number:03d}.png", compress_level=1)
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def workers() -> list[int]:
    """Processes below this one that are actors of Ray; the only actors here are the job's workers."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes()
            ours = os.getpid() in (parent(int(entry.name)), parent(parent(int(entry.name))))
        except OSError:
            continue
        if ours and line.startswith(b"ray::") and b"Worker" in line:
            found.append(int(entry.name))
    return found


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="workers are found by /proc")
def test_a_worker_killed_in_the_middle_loses_and_doubles_nothing(photos: Path, small_bundle: Path, tmp_path: Path):
    ray = pytest.importorskip(
        "ray", reason="Ray is an extra: make test-all installs it, or pip install 'devise-zsl[ray]'"
    )
    job = ClusterJob((str(photos),), tmp_path / "out", LabelRequest(top=2), small_bundle, workers=2, chunk=4)
    ray.init(num_cpus=2, include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": str(SOURCE)}})
    killed: list[int] = []
    over = threading.Event()

    def kill_one() -> None:
        while not over.is_set():
            parts = len(list((tmp_path / "out").glob("part-*")))
            running = workers()
            if parts >= 2 and running:
                os.kill(running[0], signal.SIGKILL)
                killed.append(parts)
                return
            time.sleep(0.05)

    killer = threading.Thread(target=kill_one)
    killer.start()
    try:
        done = label_on_cluster(job)
        over.set()
        killer.join()
        again = label_on_cluster(job)
    finally:
        over.set()
        ray.shutdown()
    assert killed, "no worker was found to kill"
    assert killed[0] < 16, "the job was over before the kill"
    assert done == Counts(photos=61, now=61, failed=1, failed_now=1, skipped=0)
    assert again == Counts(photos=61, now=0, failed=1, failed_now=0, skipped=0)
    names = parquet.read_table(tmp_path / "out").column("photo").to_pylist()
    assert Counter(names) == {str(path): 1 for path in photos.iterdir()}
    assert done_in(tmp_path / "out").names == set(names)


def test_without_ray_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DeviseError, match=r"pip install 'devise-zsl\[ray\]'"):
        label_on_cluster(ClusterJob((str(tmp_path),), tmp_path / "out", LabelRequest()))
    assert not (tmp_path / "out").exists()


def test_numbers_that_travelled_come_back():
    assert [ray_job._plain(value) for value in (None, "a", float("nan"), np.int64(3), 4.0)] == [None, "a", None, 3, 4]


@pytest.mark.parametrize(
    ("device", "gpus", "workers", "share"),
    [("cpu", 0, 2, None), ("cuda", 4, 2, 1.0), ("cuda", 1, 3, 0.333), ("gpu", 2, 4, 0.5), ("npu", 0, 2, None)],
)
def test_workers_share_the_gpus_of_the_cluster(device: Any, gpus: int, workers: int, share: float | None):
    ray = SimpleNamespace(cluster_resources=lambda: {"CPU": 8.0, "GPU": float(gpus)})
    assert ray_job._gpu_share(ray, Placement(device), workers) == share


def test_a_cluster_without_a_gpu_is_refused():
    ray = SimpleNamespace(cluster_resources=lambda: {"CPU": 8.0})
    with pytest.raises(DeviseError, match="the Ray cluster has no GPU for --device cuda"):
        ray_job._gpu_share(ray, Placement("cuda"), 2)


def test_workers_open_the_model_where_the_job_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(ray_job, "load", lambda bundle, **more: asked.append(more))
    ClusterJob((), tmp_path, LabelRequest(), fast=False, place=Placement("cuda", "f32")).model()
    assert asked == [
        {"fast": False, "prior": True, "language": None, "device": "cuda", "precision": "f32"},
    ]
