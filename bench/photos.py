"""The photos a run is made with: a folder's, or generated ones; many of few; a large one."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from bench.machine import ROOT

__all__ = ["Photos", "find_photos", "large_photo", "many_of"]

_SHORT_SIDE = 256
_SIZES = ((341, 256), (256, 341), (384, 256), (256, 256))


@dataclass(frozen=True, slots=True)
class Photos:
    """Photos to label. folder: where they are. paths: some of them, or all. what: what they are, for the table."""

    folder: Path
    paths: tuple[Path, ...]
    what: str


def find_photos(asked: Path | None, most: int, scratch: Path) -> Photos:
    """The photos of the folder asked; else those of the shared data; else pictures made now under `scratch`.

    The shared data are at $DEVISE_SHARED, or in `shared` beside the checkout.
    """
    shared = Path(os.environ.get("DEVISE_SHARED", ROOT.parent / "shared"))
    default = shared / "data" / "photos" / "ilsvrc-one-per-class"
    source = asked or (default if default.is_dir() else None)
    if source is None:
        paths = _generated(scratch / "generated", most)
        return Photos(scratch / "generated", paths, f"{len(paths)} generated pictures, short side {_SHORT_SIDE}")
    found = sorted(path for path in source.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg"})
    if not found:
        raise SystemExit(f"bench: there is no JPEG under {source}: give a folder of photos by --photos")
    kept = found[:: max(1, len(found) // most)][:most]
    paths = many_of(kept, len(kept), scratch / "photos")
    with Image.open(paths[0]) as first:
        size = min(first.size)
    return Photos(scratch / "photos", paths, f"{len(paths)} photos of {source.name}, short side {size} (the first)")


def many_of(photos: Sequence[Path], count: int, folder: Path) -> tuple[Path, ...]:
    """`count` links to the photos, over and over, in a folder that is made for them."""
    folder.mkdir(parents=True)
    links = tuple(folder / f"{number:06d}.jpg" for number in range(count))
    for number, link in enumerate(links):
        link.symlink_to(photos[number % len(photos)].resolve())
    return links


def large_photo(photo: Path, target: Path, size: tuple[int, int] = (4000, 3000)) -> Path:
    """The photo enlarged, with the noise of a sensor, as a camera would store it: 12 megapixels."""
    rng = np.random.default_rng(0)
    with Image.open(photo) as image:
        pixels = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BICUBIC)).astype(np.float32)
    noisy = pixels + rng.normal(0, 4, pixels.shape).astype(np.float32)
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(target, quality=92, subsampling="4:2:0")
    return target


def _generated(folder: Path, count: int) -> tuple[Path, ...]:
    """Pieces of scikit-image's photos if it is there, of smooth noise if not, each with its own noise."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    sources = _sources(rng)
    paths = []
    for number in range(count):
        source = sources[number % len(sources)]
        wide, high = _SIZES[number % len(_SIZES)]
        share = rng.uniform(0.5, 1.0)
        side = (int(source.width * share), int(source.height * share))
        left, top = rng.integers(0, source.width - side[0] + 1), rng.integers(0, source.height - side[1] + 1)
        box = (int(left), int(top), int(left) + side[0], int(top) + side[1])
        pixels = np.asarray(source.resize((wide, high), Image.Resampling.BICUBIC, box=box)).astype(np.float32)
        noisy = (pixels + rng.normal(0, 6, pixels.shape)).clip(0, 255).astype(np.uint8)
        paths.append(folder / f"{number:06d}.jpg")
        Image.fromarray(noisy).save(paths[-1], quality=90)
    return tuple(paths)


def _sources(rng: np.random.Generator) -> list[Image.Image]:
    try:
        from skimage import data
    except ModuleNotFoundError:
        noise = rng.integers(0, 256, (4, 12, 16, 3), dtype=np.uint8)
        return [Image.fromarray(one).resize((640, 480), Image.Resampling.BICUBIC) for one in noise]
    names = ("astronaut", "chelsea", "coffee")
    return [Image.fromarray(getattr(data, name)()).convert("RGB") for name in names]
