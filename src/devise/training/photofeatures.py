"""Features of photos in class folders, which choose and fit what a new model needs; kept for the next run."""

import hashlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from devise.arrays import Features, Pixels, Truth
from devise.errors import PictureError, UsageError, counted
from devise.evaluation.photos import class_photos
from devise.resumable import kept_tensors
from devise.vision.backbone import Backbone
from devise.vision.decoding import read_picture
from devise.vision.folders import Found
from devise.vision.pipeline import extract
from devise.vision.samples import Samples

__all__ = ["PhotoFeatures", "photo_features"]


@dataclass(frozen=True, eq=False, slots=True)
class PhotoFeatures:
    """Features of photos of trained classes, and the classifier row of each photo."""

    features: Features
    truth: Truth


def photo_features(
    folders: Sequence[Path], backbone: Backbone, key: str, trained: Sequence[str], work: Path, area: float = 1.0
) -> PhotoFeatures:
    """Features of all photos in class folders named by trained synsets.

    area: share of each photo that is seen, in (0, 1]: below 1 a crop at a random place, mirrored by chance, always the
        same for the same list. A network is surer of photos that it was trained on than of new ones; crops make up
        for it.
    key: names the backbone; features are read from `work` again if it, the trained classes, the files and their
        sizes are the same.
    UsageError if there is no photo, or none can be read.
    """
    rows = {synset_id: row for row, synset_id in enumerate(trained)}
    samples, skipped = class_photos(folders, rows)
    for reason, count in skipped.items():
        print(f"left out {count}: {reason}", file=sys.stderr)
    listing = "\n".join([key, *([] if area == 1 else [f"{area:g}"]), *trained, samples.fingerprint()])
    stored = work / f"features-{hashlib.sha256(listing.encode()).hexdigest()[:12]}.safetensors"
    make = partial(_extracted, samples, backbone, rows, area)
    return PhotoFeatures(*kept_tensors(stored, ("features", "truth"), make, UsageError))


def _extracted(samples: Samples, backbone: Backbone, rows: dict[str, int], area: float) -> dict[str, Any]:
    features, truth = [], []
    for line in samples.broken:
        print(f"left out {line}", file=sys.stderr)
    sources = samples.sources(range(len(samples)))
    for row, one in enumerate(extract(sources if area == 1 else _crops(sources, area), backbone)):
        if one.features is None:
            print(f"left out {samples.place(row)}: {one.problem}", file=sys.stderr)
            continue
        features.append(one.features)
        truth.append(rows[samples.class_names[int(samples.truth[row])]])
    unread = len(samples) + len(samples.broken) - len(truth)
    print(f"features of {counted(len(truth), 'photo')}, {unread} unreadable", file=sys.stderr)
    if not truth:
        raise UsageError(f"none of {counted(unread, 'photo')} can be read: check the folders of photos")
    return {"features": np.stack(features), "truth": np.array(truth, dtype=np.int64)}


def _crops(sources: Iterable[Path | bytes | Found], area: float) -> Iterator[Path | bytes | Found | Pixels]:
    """A crop of each photo; the source itself where it cannot be read, for `extract` to say so."""
    rng, side = np.random.default_rng(0), area**0.5
    for source in sources:
        place, mirrored = rng.random(2), rng.random() < 0.5
        if isinstance(source, Found):
            yield source
            continue
        try:
            whole = read_picture(source, min_side=None)
        except PictureError:
            yield source
            continue
        size = np.maximum((np.array(whole.shape[:2]) * side).astype(int), 1)
        top, left = ((np.array(whole.shape[:2]) - size + 1) * place).astype(int)
        crop = whole[top : top + size[0], left : left + size[1]]
        yield np.ascontiguousarray(crop[:, ::-1] if mirrored else crop)
