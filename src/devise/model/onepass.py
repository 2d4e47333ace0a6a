"""Run one forward pass of a bundle's network in a separate process that can be killed.

`python -m devise.model.onepass BUNDLE` runs it: exit code 0, or 1 and a line on standard error.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from devise.errors import BundleError, DeviseError
from devise.model.parts import ModelParts

__all__ = ["SECONDS", "try_network"]

SECONDS = 120.0
"""Seconds for loading, compiling and one picture; the largest accepted network needs about 20 on two cores."""


def try_network(bundle: Path, seconds: float = SECONDS) -> None:
    """Compile the network and run it on one grey picture; BundleError if that fails or takes longer than `seconds`."""
    asked = [sys.executable, "-m", "devise.model.onepass", str(bundle)]
    try:
        done = subprocess.run(
            asked,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},  # the code that runs here
        )
    except subprocess.TimeoutExpired:
        raise BundleError(
            f"{bundle}: its network needs more than {seconds:g} s for one picture: get another bundle"
        ) from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        raise BundleError(reason if done.returncode == 1 else f"{bundle}: its network cannot be run ({reason[:200]})")


def _run(bundle: Path) -> None:
    parts = ModelParts.open(bundle)
    backbone = parts.backbone()
    crop = backbone.preprocessing.crop
    backbone.features(np.zeros((1, crop, crop, 3), np.uint8))
    if parts.has_tower and parts.tower.encode(["a photo"]).shape[1] != parts.bundle.manifest.label_space.dim:
        raise BundleError(f"{bundle}: its text tower makes vectors of another length: get or build the bundle again")


if __name__ == "__main__":
    try:
        _run(Path(sys.argv[1]))
    except DeviseError as error:
        sys.exit(str(error))
