"""Features of photos of trained classes, for the calibration; kept on the disk once they are made."""

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from devise.errors import UsageError
from devise.evaluation.folders import find_test_photos
from devise.files import atomic_write, open_tensors, reason_of
from devise.training.calibration import CalibrationSet
from devise.vision.backbone import Backbone
from devise.vision.pipeline import extract

__all__ = ["photo_features"]


def photo_features(
    folders: Sequence[Path], backbone: Backbone, key: str, trained: Sequence[str], work: Path
) -> CalibrationSet:
    """Features of all photos in class folders named by trained synsets.

    key: names the backbone; features are read from `work` again if it, the trained classes, the files and their
        sizes are the same.
    UsageError if there is no photo, or none can be read.
    """
    rows = {synset_id: row for row, synset_id in enumerate(trained)}
    found = [find_test_photos(folder, rows) for folder in folders]
    pairs = [pair for one in found for pair in one.pairs]
    for one in found:
        for reason, count in one.skipped_counts.items():
            print(f"left out {count}: {reason}", file=sys.stderr)
    if not pairs:
        raise UsageError(f"no photo of a trained class in {', '.join(map(str, folders))}: name folders by synset")
    listing = "\n".join([key, *trained, *(f"{path} {path.stat().st_size}" for path, _ in pairs)])
    stored = work / f"features-{hashlib.sha256(listing.encode()).hexdigest()[:12]}.safetensors"
    if not stored.exists():
        with atomic_write(stored, "wb") as file:
            file.write(save(_extracted(pairs, backbone, rows)))
    try:
        with open_tensors(stored) as file:
            return CalibrationSet(file.get_tensor("features"), file.get_tensor("truth"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{stored} is damaged ({reason_of(error)}): remove it, and it is made again") from None


def _extracted(pairs: Sequence[tuple[Path, str]], backbone: Backbone, rows: dict[str, int]) -> dict[str, Any]:
    features, truth, unread = [], [], 0
    for (path, synset_id), one in zip(pairs, extract((path for path, _ in pairs), backbone), strict=True):
        if one.features is None:
            unread += 1
            print(f"left out {path}: {one.problem}", file=sys.stderr)
            continue
        features.append(one.features)
        truth.append(rows[synset_id])
    print(f"features of {len(truth)} photos, {unread} unreadable", file=sys.stderr)
    if not truth:
        raise UsageError(f"none of {unread} photos can be read: check the folders of photos")
    return {"features": np.stack(features), "truth": np.array(truth, dtype=np.int64)}
