import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

_Found = dict[str, tuple[int, list[float], list[float]]]
NAMES = ("line", "first-violator", "all-negatives", "hardest", "softmax-cosine", "softmax-dot", "l2", "finetune")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[_Found, _Found]:
    """By task: how many processes, weights before and after; trained by one process, and by two."""
    script = str(Path(__file__).parent / "twoprocesses.py")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    work = tmp_path_factory.mktemp("runs")
    return _printed([script, str(work / "one")]), _printed([*torchrun, script, str(work / "two")])


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_do_what_one_does_with_the_same_batch(name: str, found: tuple[_Found, _Found]):
    """The gradient is the mean over the batch either way; only the order of the sums differs."""
    (one, before, alone), (two, _, together) = (of[name] for of in found)
    assert (one, two) == (1, 2)
    assert np.abs(np.subtract(alone, together)).max() < 1e-5
    assert np.abs(np.subtract(alone, before)).max() > 1e-2  # it moved


def _printed(arguments: list[str]) -> _Found:
    environment = os.environ | {"PYTHONPATH": str(Path("src").resolve()), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr
    return {name: tuple(rest) for name, *rest in map(json.loads, done.stdout.splitlines())}
