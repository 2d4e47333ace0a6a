"""The fast form of a model: the bounds of its 8-bit network, measured on photos and added to its bundle."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from devise.bundle.bundle import Bundle, open_bundle
from devise.bundle.manifest import Plain
from devise.bundle.parts import BACKBONE, FAST, encode_fast
from devise.bundle.writer import PartContent, write_bundle
from devise.errors import PictureError, UsageError
from devise.vision.decoding import read_picture
from devise.vision.folders import find_pictures
from devise.vision.preprocessing import Planes, Preprocessing
from devise.vision.quantised import measure_bounds

__all__ = ["FastConfig", "FastPart", "add_fast", "make_fast"]


@dataclass(frozen=True, slots=True)
class FastConfig:
    """photos: the most that are looked at, spread evenly over those given in the order of their names."""

    photos: int = 300

    def __post_init__(self) -> None:
        if self.photos < 1:
            raise UsageError(f"bounds need at least 1 photo, got {self.photos}")


@dataclass(frozen=True, eq=False, slots=True)
class FastPart:
    """data: the part's bytes. facts: on what it was measured. problems: what was left out, and why."""

    data: bytes
    facts: Plain
    problems: tuple[str, ...]


def make_fast(
    onnx: bytes,
    preprocessing: Preprocessing,
    folders: Sequence[Path],
    config: FastConfig,
    on_photo: Callable[[int, int], None] = lambda done, total: None,
) -> FastPart:
    """Measure the bounds of a network; the same photos give the same part.

    on_photo: called with the photos done and the photos in all. UsageError if no photo can be read.
    """
    skipped: list[Path] = []
    found = sorted(one.path for one in find_pictures(folders, skipped.append, lambda folder: None))
    chosen = [found[i * len(found) // config.photos] for i in range(config.photos)] if found else []
    chosen = list(dict.fromkeys(chosen))
    digest, problems = hashlib.sha256(), list[str]()

    def planes() -> Iterator[Planes]:
        for done, path in enumerate(chosen, 1):
            try:
                crop = preprocessing.apply(read_picture(path, min_side=preprocessing.decode_side))
                yield preprocessing.normalised(crop[None])
                digest.update(hashlib.sha256(path.read_bytes()).digest())
            except PictureError as error:
                problems.append(f"{path}: {error}")
            on_photo(done, len(chosen))

    bounds = measure_bounds(onnx, preprocessing, planes())
    facts = asdict(config) | {
        "photos_chosen": len(chosen),
        "photos_read": len(chosen) - len(problems),
        "photos_sha256": digest.hexdigest(),
    }
    if skipped:
        problems.append(f"left out, not pictures by their names: {len(skipped)}")
    return FastPart(encode_fast(bounds), facts, tuple(problems))


def add_fast(
    path: Path,
    folders: Sequence[Path],
    config: FastConfig,
    on_photo: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Bundle, FastPart]:
    """Add or replace the fast part of the bundle at `path`; every other part keeps its bytes."""
    bundle = open_bundle(path)
    made = make_fast(bundle.part_bytes(BACKBONE), bundle.preprocessing(), folders, config, on_photo)
    manifest = bundle.manifest
    parts: dict[str, PartContent] = {part.name: bundle.part_path(part.name) for part in manifest.parts}
    parts[FAST] = made.data
    full = replace(manifest, config={**manifest.config, "fast": made.facts})
    return write_bundle(path, full, parts, overwrite=True), made
