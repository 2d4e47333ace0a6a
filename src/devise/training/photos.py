"""Features of photos of trained classes, for the calibration; cached on disk."""

import hashlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from devise.arrays import Pixels
from devise.errors import PictureError, UsageError, counted
from devise.evaluation.folders import find_test_photos
from devise.files import atomic_write, open_tensors, reason_of
from devise.training.calibration import CalibrationSet
from devise.vision.backbone import Backbone
from devise.vision.pictures import read_picture
from devise.vision.pipeline import extract

__all__ = ["photo_features"]


def photo_features(
    folders: Sequence[Path], backbone: Backbone, key: str, trained: Sequence[str], work: Path, area: float = 1.0
) -> CalibrationSet:
    """Features of all photos in class folders named by trained synsets.

    area: share of each photo that is seen, in (0, 1]: below 1 a crop at a random place, mirrored by chance, always the
        same for the same list. A network is surer of photos that it was trained on than of new ones; crops make up
        for it.
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
    listing = "\n".join(
        [key, *([] if area == 1 else [f"{area:g}"]), *trained, *(f"{path} {path.stat().st_size}" for path, _ in pairs)]
    )
    stored = work / f"features-{hashlib.sha256(listing.encode()).hexdigest()[:12]}.safetensors"
    if not stored.exists():
        with atomic_write(stored, "wb") as file:
            file.write(save(_extracted(pairs, backbone, rows, area)))
    try:
        with open_tensors(stored) as file:
            return CalibrationSet(file.get_tensor("features"), file.get_tensor("truth"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{stored} is damaged ({reason_of(error)}): remove it to make it again") from None


def _extracted(
    pairs: Sequence[tuple[Path, str]], backbone: Backbone, rows: dict[str, int], area: float
) -> dict[str, Any]:
    features, truth, unread = [], [], 0
    sources = (path for path, _ in pairs) if area == 1 else _crops((path for path, _ in pairs), area)
    for (path, synset_id), one in zip(pairs, extract(sources, backbone), strict=True):
        if one.features is None:
            unread += 1
            print(f"left out {path}: {one.problem}", file=sys.stderr)
            continue
        features.append(one.features)
        truth.append(rows[synset_id])
    print(f"features of {counted(len(truth), 'photo')}, {unread} unreadable", file=sys.stderr)
    if not truth:
        raise UsageError(f"none of {counted(unread, 'photo')} can be read: check the folders of photos")
    return {"features": np.stack(features), "truth": np.array(truth, dtype=np.int64)}


def _crops(paths: Iterable[Path], area: float) -> Iterator[Path | Pixels]:
    """A crop of each photo; the path itself where it cannot be read, for `extract` to say so."""
    rng, side = np.random.default_rng(0), area**0.5
    for path in paths:
        place, mirrored = rng.random(2), rng.random() < 0.5
        try:
            whole = read_picture(path, min_side=None)
        except PictureError:
            yield path
            continue
        size = np.maximum((np.array(whole.shape[:2]) * side).astype(int), 1)
        top, left = ((np.array(whole.shape[:2]) - size + 1) * place).astype(int)
        crop = whole[top : top + size[0], left : left + size[1]]
        yield np.ascontiguousarray(crop[:, ::-1] if mirrored else crop)
