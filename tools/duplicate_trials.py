"""Measures the two thresholds of `devise duplicates`; prints tables in Markdown.

python -m tools.duplicate_trials --help

Copies of some photos of an index are made: half as large, recompressed, cropped, brighter. They are the right pairs.
All pairs of different photos of the index are the wrong ones, but for the near-duplicates among them: the photos of
the wrong pairs that the thresholds accept are listed, to be looked at.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from devise.errors import DeviseError
from devise.files import atomic_write
from devise.model.labeller import load
from devise.search.duplicates import LEAST_COSINE, LEAST_SIMILAR, correlations, small_views
from devise.search.photoindex import index_photos
from devise.search.rows import Rows
from devise.search.store import PhotoStore
from devise.tabletext import markdown_table
from tools import parser

PHOTOS = 300
COSINES = (0.6, 0.7, LEAST_COSINE, 0.8, 0.9, 0.95)
SIMILAR = (0.8, 0.9, LEAST_SIMILAR, 0.98)
_QUALITY = 90


def main() -> None:
    """Print the tables; DeviseError is one line and exit code 1."""
    given = parser("duplicate_trials", __doc__)
    given.add_argument("index", type=Path, help="index of photos")
    given.add_argument("--work", type=Path, required=True, help="folder for the copies and their index")
    options = given.parse_args()
    try:
        run(options.index, options.work)
    except DeviseError as error:
        sys.exit(f"devise: {error}")


def run(index: Path, work: Path) -> None:
    """Make the copies, index them, compare, print."""
    rows = PhotoStore.opened(index).rows()
    some = np.sort(np.random.default_rng(0).permutation(len(rows))[:PHOTOS]).tolist()
    (work / "copies").mkdir(parents=True, exist_ok=True)
    for place in some:
        make_copies(Path(rows.facts[place].path), place, work / "copies")
    index_photos(load(), [work / "copies"], work / "index")
    copies = PhotoStore.opened(work / "index").rows()
    print_right(rows, copies)
    print_wrong(rows)


def make_copies(photo: Path, place: int, folder: Path) -> None:
    """Write the copies of a photo; those that are there stay."""
    image = Image.open(photo).convert("RGB")
    for kind, copy, quality in changed(image):
        target = folder / f"{place}-{kind}.jpg"
        if not target.exists():
            with atomic_write(target, "wb") as file:
                copy.save(file, "JPEG", quality=quality)


def changed(image: Image.Image) -> Iterator[tuple[str, Image.Image, int]]:
    """Yield copies with their kind and quality."""
    width, height = image.size
    yield "half as large", image.resize((max(1, width // 2), max(1, height // 2)), Image.Resampling.LANCZOS), _QUALITY
    yield "JPEG quality 40", image, 40
    for percent in (10, 20):
        edge = percent / 200
        box = (round(width * edge), round(height * edge), round(width * (1 - edge)), round(height * (1 - edge)))
        yield f"cropped by {percent} %", image.crop(box), _QUALITY
    yield "25 % brighter", ImageEnhance.Brightness(image).enhance(1.25), _QUALITY
    yield "30 % more contrast", ImageEnhance.Contrast(image).enhance(1.3), _QUALITY
    yield "in grey", ImageOps.grayscale(image), _QUALITY
    yield "mirrored", ImageOps.mirror(image), _QUALITY


def print_right(rows: Rows, copies: Rows) -> None:
    """Print which share of each kind of copy reaches the thresholds, in percent."""
    photos, found = units(rows), units(copies)
    cosines: dict[str, list[float]] = {}
    alike: dict[str, list[float]] = {}
    for fact, vector in zip(copies.facts, found, strict=True):
        place, _, kind = Path(fact.path).stem.partition("-")
        cosines.setdefault(kind, []).append(float(photos[int(place)] @ vector))
        pair = [small_views(Path(path)) for path in (rows.facts[int(place)].path, fact.path)]
        alike.setdefault(kind, []).append(float(correlations(pair[0], pair[1][None])[0]))
    heads = [*(f"cosine {one:g}" for one in COSINES), *(f"both, similar {one:g}" for one in SIMILAR)]
    table = [["copy", *heads]]
    for kind, values in cosines.items():
        near, like = np.array(values), np.array(alike[kind])
        shares = [(near >= one).mean() for one in COSINES]
        shares += [((near >= LEAST_COSINE) & (like >= one)).mean() for one in SIMILAR]
        table.append([kind, *(f"{100 * share:.0f}" for share in shares)])
    print(f"{markdown_table(table, left=1)}\n{len(rows):,} photos, copies of {len(values):,}\n")


def print_wrong(rows: Rows) -> None:
    """Print how many pairs of different photos reach the thresholds, and those that reach both."""
    photos = units(rows)
    cosines = np.triu(photos @ photos.T, 1)
    folders = np.array([str(Path(fact.path).parent) for fact in rows.facts])
    same = folders[:, None] == folders
    ones, others = np.nonzero(cosines >= LEAST_COSINE)
    views = {place: small_views(Path(rows.facts[place].path)) for place in np.union1d(ones, others).tolist()}
    pairs = np.stack([ones, others], axis=1).tolist()
    alike = np.array([correlations(views[one], views[other][None])[0] for one, other in pairs])
    table = [["pairs", "of one class", "of two classes"]]
    both = np.triu(np.ones_like(same), 1)
    table.append(["all", f"{(same & both).sum():,}", f"{(~same & both).sum():,}"])
    for least in COSINES:
        near = cosines >= least
        table.append([f"cosine {least:g}", f"{(near & same).sum():,}", f"{(near & ~same).sum():,}"])
    kind = same[ones, others]
    for least in SIMILAR:
        counts = [((alike >= least) & side).sum() for side in (kind, ~kind)]
        table.append([f"both, similar {least:g}", *(f"{number:,}" for number in counts)])
    print(markdown_table(table, left=1))
    for place in np.argsort(-alike)[: (alike >= LEAST_SIMILAR).sum()].tolist():
        pair = (rows.facts[ones[place]].path, rows.facts[others[place]].path)
        print(f"{alike[place]:.3f} {cosines[ones[place], others[place]]:.3f} {pair[0]} {pair[1]}")


def units(rows: Rows) -> np.ndarray:
    """Return the vectors with length 1."""
    vectors = rows.vectors.astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


if __name__ == "__main__":
    main()
