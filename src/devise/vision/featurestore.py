"""The feature store: features of a frozen backbone, computed once and read by memory map.

A store is a folder: `features.f32`, raw little-endian float32, one row per sample; `state.u8`, one byte per sample
(0 not yet, 1 done, 2 broken); `notes.txt`, lines on harmless faults of files; `store.json`, which describes its origin
and is written last. Rows are on disk before their states say so: a process may be killed at any time and the next one
resumes.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from devise.arrays import Float32, Int64, UInt8
from devise.errors import TrainingError
from devise.files import atomic_write, read_file, read_json, reason_of, require_regular, sole_writer
from devise.vision.backbone import Backbone
from devise.vision.pipeline import extract
from devise.vision.samples import BROKEN_SHARE, Samples, check_broken

__all__ = ["FeatureStore", "StoredFeatures", "feature_store", "make_room", "open_store", "store_key"]

StoredFeatures = Float32[np.ndarray, "samples features"]

_FEATURES, _STATE, _NOTES, _INDEX = "features.f32", "state.u8", "notes.txt", "store.json"
_VERSION = 1
_BLOCK = 256  # samples between two writes
_PENDING, _MADE, _BROKEN = 0, 1, 2


@dataclass(frozen=True, eq=False, slots=True)
class FeatureStore:
    """Features on disk; `features` is a read-only memory map, with zeros for broken samples.

    rows: of the samples that have features, ascending. truth: which of `class_names` each sample shows, broken ones
    too. names: of the samples. key: hash of weights, preprocessing and the list of photos.
    weights: SHA-256 of the network's file. broken: how many samples had no features, those without an entry too.
    notes: lines on harmless faults of files.
    """

    path: Path
    key: str
    weights: str
    features: StoredFeatures
    rows: Int64[np.ndarray, "good"]
    truth: Int64[np.ndarray, "samples"]
    class_names: tuple[str, ...]
    names: tuple[str, ...]
    broken: int
    notes: tuple[str, ...] = ()

    @property
    def dim(self) -> int:
        """Return the number of features per photo."""
        return int(self.features.shape[1])


def store_key(weights: bytes, backbone: Backbone, samples: Samples, *more: str) -> str:
    """Return the hexadecimal SHA-256 of the network's file, the preprocessing, the list of photos and more facts."""
    settings = json.dumps(asdict(backbone.preprocessing), sort_keys=True)
    facts = (sha256(weights).hexdigest(), settings, samples.fingerprint(), *more)
    return sha256("\n".join(facts).encode()).hexdigest()


def feature_store(
    folder: Path,
    samples: Samples,
    backbone: Backbone,
    weights: bytes,
    *,
    on_progress: Callable[[int, int], None] | None = None,
    on_problem: Callable[[str], None] | None = None,
    most_broken: float = BROKEN_SHARE,
    more: Sequence[str] = (),
) -> FeatureStore:
    """Open the store of these samples in `folder`, under its key; complete or create it if needed.

    weights: the file that `backbone` was made of. on_progress: samples done and samples in all. on_problem: called
    with one line per broken sample. more: facts that the features depend on too.
    most_broken: TrainingError if a higher share of the samples is broken, or if another process makes the same store.
    Above the default, what was broken is tried again each time: a disk may have failed, not the photo.
    """
    key = store_key(weights, backbone, samples, *more)
    path = folder / key[:16]
    if not (path / _INDEX).exists() or (most_broken > BROKEN_SHARE and open_store(path).broken):
        with sole_writer(path, TrainingError):
            _fill(path, samples, backbone, on_progress or _silent, on_problem or _silent, most_broken)
            _finish(path, key, sha256(weights).hexdigest(), samples, backbone.dim)
    store = open_store(path)
    if store.key != key:
        raise TrainingError(f"{path} is the store of another network or of other photos: remove it and extract again")
    return store


def make_room(folder: Path, most: int) -> None:
    """Remove the oldest stores of a folder until the others have at most `most` bytes; one in use stays."""
    stores = [path for path in folder.glob("*") if (path / _STATE).exists()]
    sizes = {path: sum(one.stat().st_size for one in path.iterdir()) for path in stores}
    for path in sorted(stores, key=lambda one: (one / _STATE).stat().st_mtime_ns):
        if sum(sizes.values()) <= most:
            return
        with suppress(OSError, TrainingError), sole_writer(path, TrainingError):
            del sizes[path]
            for name in (_INDEX, _FEATURES, _NOTES, _STATE):
                (path / name).unlink(missing_ok=True)
        with suppress(OSError):
            path.rmdir()


def open_store(path: Path) -> FeatureStore:
    """Open a finished store; TrainingError if it is unfinished, damaged or of a newer version."""
    try:
        index: dict[str, Any] = read_json(path / _INDEX)
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"{path} is not a finished feature store ({reason_of(error)}): remove it and extract the features again"
        ) from None
    if not isinstance(index, dict):
        raise TrainingError(f"{path} is not a finished feature store: extract the features again")
    if index.get("version") != _VERSION:
        raise TrainingError(
            f"{path} is a store of version {index.get('version')}, not {_VERSION}: use the devise that made it"
        )
    try:
        return _opened(path, index)
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise TrainingError(
            f"{path / _INDEX} is damaged ({reason_of(error)}): remove the store and extract again"
        ) from None


def _opened(path: Path, index: Mapping[str, Any]) -> FeatureStore:
    """Raise ValueError or the like if the index is not as `_finish` writes it."""
    count, dim = len(index["names"]), int(index["dim"])
    truth = np.array(index["truth"], dtype=np.int64)
    classes = len(index["class_names"])
    if dim < 1 or truth.shape != (count,) or not all(type(name) is str for name in index["names"]):
        raise ValueError("its lists do not fit each other")
    if count and not 0 <= truth.min() <= truth.max() < classes:
        raise ValueError("a photo has an unknown class")
    state = _mapped(path / _STATE, np.uint8, (count,))
    return FeatureStore(
        path=path,
        key=index["key"],
        weights=index["weights"],
        features=_mapped(path / _FEATURES, np.float32, (count, dim)),
        rows=np.flatnonzero(state == _MADE).astype(np.int64),
        truth=truth,
        class_names=tuple(index["class_names"]),
        names=tuple(index["names"]),
        broken=int((state == _BROKEN).sum()) + int(index["broken_listing"]),
        notes=tuple(dict.fromkeys(read_file(path / _NOTES).decode("utf-8", "surrogateescape").splitlines()))
        if (path / _NOTES).exists()
        else (),
    )


def _fill(
    path: Path,
    samples: Samples,
    backbone: Backbone,
    on_progress: Callable[[int, int], None],
    on_problem: Callable[[str], None],
    most_broken: float,
) -> None:
    """Compute the features of all samples that have none yet."""
    total = len(samples) + len(samples.broken)
    state = _state(path / _STATE, len(samples))
    state[state == _BROKEN] = _PENDING  # a disk may have failed, not the photo
    for line in samples.broken:
        on_problem(line)
    first = samples.broken[0] if samples.broken else ""
    check_broken(len(samples.broken), total, first, most_broken)
    todo = np.flatnonzero(state == _PENDING).tolist()
    done = len(samples) - len(todo)
    with (path / _FEATURES).open("r+b" if (path / _FEATURES).exists() else "w+b") as file:
        file.truncate(len(samples) * backbone.dim * 4)
        results = extract(samples.sources(todo), backbone)
        waiting = iter(todo)
        while block := list(islice(waiting, _BLOCK)):
            notes = []
            for row in block:
                one = next(results)
                if one.features is None:
                    state[row] = _BROKEN
                    problem = f"{samples.place(row)}: {one.problem}"
                    first = first or problem
                    on_problem(problem)
                else:
                    file.seek(row * backbone.dim * 4)
                    file.write(np.ascontiguousarray(one.features, "<f4").tobytes())
                    state[row] = _MADE
                    if one.note:
                        notes.append(f"{samples.place(row)}: {one.note}\n")
                done += 1
                on_progress(done, len(samples))
            file.flush()
            os.fsync(file.fileno())
            if notes:
                with (path / _NOTES).open("a", encoding="utf-8", errors="surrogateescape") as lines:
                    lines.writelines(notes)
            with atomic_write(path / _STATE, "wb") as states:
                states.write(state.tobytes())
            check_broken(len(samples.broken) + int((state == _BROKEN).sum()), total, first, most_broken)


def _finish(path: Path, key: str, weights: str, samples: Samples, dim: int) -> None:
    index = {
        "version": _VERSION,
        "key": key,
        "weights": weights,
        "dim": dim,
        "class_names": list(samples.class_names),
        "truth": samples.truth.tolist(),
        "names": list(samples.names),
        "broken_listing": len(samples.broken),
    }
    with atomic_write(path / _INDEX) as file:
        json.dump(index, file)


def _state(path: Path, count: int) -> UInt8[np.ndarray, "samples"]:
    data = read_file(path) if path.exists() else b""
    return np.frombuffer(data.ljust(count, b"\0")[:count], dtype=np.uint8).copy()


def _mapped(path: Path, kind: type, shape: tuple[int, ...]) -> Any:
    wanted = int(np.prod(shape)) * np.dtype(kind).itemsize
    size = require_regular(path) if path.exists() else -1
    if size != wanted:
        raise TrainingError(f"{path} must have {wanted} bytes, got {size}: remove the store and extract again")
    return np.memmap(path, kind, "r", shape=shape)


def _silent(*_: object) -> None:
    """Ignore progress."""
