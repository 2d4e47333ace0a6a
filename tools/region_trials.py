"""Measures `devise label --regions` on pictures made of photos with known labels; prints tables in Markdown.

python -m tools.region_trials PHOTOS

PHOTOS is the folder of Caltech-101's class folders: `seen`, named by trained classes, and `unseen`. Half of the seen
classes (every second) were used to choose windows and thresholds, the other half and the unseen ones report. A picture
is two photos side by side, four in a square, one with a small one in a corner, or one alone. Where two photos meet is
random, so that no grid fits. A name finds a photo if it is its label or above it; it is wrong if it is not related to
any label of the picture. The true box is the photo's, not that of the thing in it.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
from PIL import Image, ImageOps

from devise.errors import DeviseError, UsageError
from devise.model.answers import Region, Regions
from devise.model.labeller import LabelRequest, LabelRun, Model, load
from devise.tabletext import markdown_table
from devise.taxonomy.wordnet import Taxonomy
from devise.vision.pipeline import Box, Windows
from devise.vision.regions import DAMPED, FeatureMaps
from tools import parser

__all__ = ["KINDS", "Composite", "composites", "grid", "iou", "main", "measured"]

KINDS = ("four", "two", "inset", "one")
MAP = "map of the photo"
SIDE = 640  # pixels of a picture
CROPS = 4  # that the feature map chooses
LEAST = {"crops": 0.8, "large": 0.7, "map": 0.7, "undamped": 0.9}
"""Shares that a name needs in each way, chosen on the first half of the seen classes."""


@dataclass(frozen=True, slots=True)
class Composite:
    """A picture and what it shows where. kind: one of KINDS. truth: id and box of each photo."""

    kind: str
    image: Image.Image
    truth: tuple[tuple[str, Box], ...]


def composites(folders: Sequence[Path], count: int, seed: int = 0) -> Iterator[Composite]:
    """Yield `count` pictures of each kind; the photos of one picture are of different classes."""
    rng = np.random.default_rng(seed)

    def picked(number: int) -> list[tuple[str, Image.Image]]:
        classes = rng.choice(len(folders), number, replace=False)
        photos = [sorted(folders[one].glob("*.jpg")) for one in classes]
        chosen = [of_class[int(rng.integers(len(of_class)))] for of_class in photos]
        return [(path.parent.name, Image.open(path).convert("RGB")) for path in chosen]

    for _ in range(count):
        x, y = (round(SIDE * share) for share in rng.uniform(0.38, 0.62, 2).tolist())
        quarters = [Box(0, 0, x, y), Box(x, 0, SIDE - x, y), Box(0, y, x, SIDE - y), Box(x, y, SIDE - x, SIDE - y)]
        yield _pasted("four", (SIDE, SIDE), picked(4), quarters)
        half = SIDE // 2
        yield _pasted("two", (SIDE, half), picked(2), [Box(0, 0, x, half), Box(x, 0, SIDE - x, half)])
        small = round(SIDE * float(rng.uniform(0.3, 0.4)))
        left, top = (int(place) * (SIDE - small) for place in rng.integers(0, 2, 2))
        yield _pasted("inset", (SIDE, SIDE), picked(2), [Box(0, 0, SIDE, SIDE), Box(left, top, small, small)])
        ((label, photo),) = picked(1)
        scale = 480 / min(photo.size)
        size = round(photo.width * scale), round(photo.height * scale)
        yield _pasted("one", size, [(label, photo)], [Box(0, 0, *size)])


def _pasted(
    kind: str, size: tuple[int, int], photos: Sequence[tuple[str, Image.Image]], boxes: Sequence[Box]
) -> Composite:
    page = Image.new("RGB", size)
    for (_, photo), box in zip(photos, boxes, strict=True):
        page.paste(ImageOps.fit(photo, (box.width, box.height), Image.Resampling.BICUBIC), (box.x, box.y))
    return Composite(kind, page, tuple((label, box) for (label, _), box in zip(photos, boxes, strict=True)))


def grid(size: tuple[int, int]) -> list[Box]:
    """Return squares of the short side and of half of it, which overlap by half."""
    boxes = []
    for side in (min(size), min(size) // 2):
        starts = []
        for length in size:
            count = -(-(length - side) // (side // 2)) + 1
            starts.append([round(place) for place in np.linspace(0, length - side, count)])
        boxes += [Box(x, y, side, side) for y in starts[1] for x in starts[0]]
    return boxes


def iou(one: Box, other: Box) -> float:
    """Return the common area of two boxes over that of both."""
    if not one.overlaps(other):
        return 0.0
    around = one.around(other)
    across, down = one.width + other.width - around.width, one.height + other.height - around.height
    across = min(across, one.width, other.width)
    down = min(down, one.height, other.height)
    common = across * down
    return common / (one.width * one.height + other.width * other.height - common)


class Ways:
    """The ways to find regions; each returns the regions of a picture and how many forward passes they cost."""

    def __init__(self, model: Model) -> None:
        self.model, self.maps, self.backbone = model, model.feature_maps(), model.backbone()
        self.photos = model.run(LabelRequest(sure=0.7))
        self.crops, self.large, self.parts, self.undamped = (_run(model, least) for least in LEAST.values())
        self.all: dict[str, Callable[[Image.Image], tuple[Regions, float]]] = {
            "whole photo": self.whole,
            "grid of crops": self.grid,
            f"{CROPS} crops that the map chooses": self.chosen,
            "map of the photo twice as large": self.large_map,
            MAP: lambda image: self.map(image, self.parts),
            "the same without damping": lambda image: self.map(image, self.undamped, 1 / DAMPED),
        }

    def whole(self, image: Image.Image) -> tuple[Regions, float]:
        """Return the sure name of the whole picture, as without --regions."""
        answer = next(self.photos.answers([np.asarray(image)]))
        hedge = answer.hedge
        if answer.rejected or hedge is None or hedge.name is None or not hedge.name.bits:
            return Regions(*image.size, ()), 1
        side = round(min(image.size) * self.backbone.preprocessing.crop / self.backbone.preprocessing.resize)
        box = Box((image.width - side) // 2, (image.height - side) // 2, side, side)
        return Regions(*image.size, (Region(box, hedge.name, ()),)), 1

    def grid(self, image: Image.Image) -> tuple[Regions, float]:
        """Name crops of a grid as photos."""
        return self._crops(image, grid(image.size))

    def chosen(self, image: Image.Image) -> tuple[Regions, float]:
        """Name crops as photos: the windows of the map where the classifier is most confident, without overlap."""
        windows, passes = self._windows(self.maps, image)
        best = self.model.parts.classifier.evidence(windows.features).probabilities.max(axis=1)
        boxes: list[Box] = []
        for place in np.argsort(-best).tolist():
            box = windows.boxes[place]
            if all(iou(box, other) < 1 / 3 for other in boxes) and len(boxes) < CROPS:
                boxes.append(box)
        regions, crops = self._crops(image, boxes)
        return regions, passes + crops

    def map(self, image: Image.Image, run: LabelRun, factor: float = 1) -> tuple[Regions, float]:
        """Name windows of the feature map: what --regions does with factor 1."""
        windows, passes = self._windows(self.maps, image)
        return run.regions_of(replace(windows, features=np.float32(factor) * windows.features)), passes

    def large_map(self, image: Image.Image) -> tuple[Regions, float]:
        """Name windows of the feature map of the picture at twice the scale, as many cells each as a whole photo."""
        preprocessing = self.maps.preprocessing
        crop = preprocessing.crop
        high, wide = (
            crop + 32 * round((2 * side / min(image.size) - 1) * crop / 32) for side in (image.height, image.width)
        )
        cells = self.maps.feature_map(preprocessing.stretched(np.asarray(image), wide, high))
        short = min(cells.shape[1:])
        boxes = [
            (x, y)
            for y in range(0, cells.shape[1] - short // 2, short // 4)
            for x in range(0, cells.shape[2] - short // 2, short // 4)
        ]
        side = short // 2 + 1
        features = [cells[:, y : y + side, x : x + side].mean(axis=(1, 2)) for x, y in boxes]
        across, down = image.width / cells.shape[2], image.height / cells.shape[1]
        placed = [Box(round(x * across), round(y * down), round(side * across), round(side * down)) for x, y in boxes]
        windows = Windows(image.size, tuple(placed), np.stack(features))
        return self.large.regions_of(windows), wide * high / crop**2

    def _windows(self, maps: FeatureMaps, image: Image.Image) -> tuple[Windows, float]:
        whole = maps.preprocessing.whole(np.asarray(image))
        windows, _ = maps.windows_of(whole, image.size)
        return windows, whole[..., 0].size / maps.preprocessing.crop**2

    def _crops(self, image: Image.Image, boxes: Sequence[Box]) -> tuple[Regions, float]:
        crops = [np.asarray(image.crop((b.x, b.y, b.x + b.width, b.y + b.height))) for b in boxes]
        preprocessing = self.backbone.preprocessing
        features = self.backbone.features(np.stack([preprocessing.apply(crop) for crop in crops]))
        return self.crops.regions_of(Windows(image.size, tuple(boxes), features)), len(boxes)


def _run(model: Model, least: float) -> LabelRun:
    """Prepare a run whose parts need this share."""
    return model.run(LabelRequest(sure=least, regions=True))


@dataclass(slots=True)
class Counts:
    """Sums over pictures. overlap: over the photos found, of the best box that names each."""

    pictures: int = 0
    photos: int = 0
    found: int = 0
    exact: int = 0
    wrong: int = 0
    overlap: float = 0.0
    passes: float = 0.0
    seconds: float = 0.0

    def cells(self) -> list[str]:
        """Return the columns of a table."""
        shares = [f"{100 * part / max(1, self.photos):.0f}" for part in (self.found, self.exact)]
        means = [f"{part / max(1, self.pictures):.2f}" for part in (self.wrong,)]
        costs = [f"{part / max(1, self.pictures):.1f}" for part in (self.passes,)]
        milliseconds = f"{1000 * self.seconds / max(1, self.pictures):.0f}"
        return [*shares, *means, f"{self.overlap / max(1, self.found):.2f}", *costs, milliseconds]


def measured(
    counts: Counts, taxonomy: Taxonomy, picture: Composite, found: Sequence[Region], passes: float, seconds: float
) -> None:
    """Add a picture to the counts."""
    above = {label: _above(taxonomy, label) for label, _ in picture.truth}
    counts.pictures += 1
    counts.passes += passes
    counts.seconds += seconds
    for label, box in picture.truth:
        right = [region for region in found if region.name.id in above[label]]
        counts.photos += 1
        counts.found += bool(right)
        counts.exact += any(region.name.id == label for region in right)
        counts.overlap += max((iou(region.box, box) for region in right), default=0.0)
    for region in found:
        counts.wrong += not any(
            region.name.id in above[label] or label in _above(taxonomy, region.name.id) for label in above
        )


def _above(taxonomy: Taxonomy, label: str) -> set[str]:
    return {one for path in taxonomy.hypernym_paths(label) for one in path} | {label}


def main() -> None:
    """Print the tables; DeviseError is one line and exit code 1."""
    given = parser("region_trials", __doc__)
    given.add_argument("photos", type=Path, help="folder of Caltech-101, with the folders seen and unseen")
    given.add_argument("--count", type=int, default=40, help="pictures of each kind and split")
    options = given.parse_args()
    try:
        run(options.photos, options.count)
    except DeviseError as error:
        sys.exit(f"devise: {error}")


def run(photos: Path, count: int) -> None:
    """Make the pictures, find the regions in each way, print."""
    seen, unseen = (sorted(one for one in (photos / name).glob("n*") if one.is_dir()) for name in ("seen", "unseen"))
    if not seen or not unseen:
        raise UsageError(f"{photos} needs the folders seen and unseen, with class folders named by synset")
    model = load()
    ways = Ways(model)
    for split, folders in (("chosen on", seen[::2]), ("reported", seen[1::2]), ("unseen", unseen)):
        found: dict[tuple[str, str], Counts] = {}
        for picture in composites(folders, count):
            for name, way in ways.all.items():
                begun = perf_counter()
                regions, passes = way(picture.image)
                seconds = perf_counter() - begun
                for kind in (picture.kind, "all"):
                    counts = found.setdefault((name, kind), Counts())
                    measured(counts, model.parts.taxonomy, picture, regions.found, passes, seconds)
        heads = ["way", "found", "exact", "wrong names", "overlap", "passes", "ms"]
        rows = [[name, *found[name, "all"].cells()] for name in ways.all]
        print(f"{split}: {len(folders)} classes, {4 * count} pictures\n\n{markdown_table([heads, *rows], left=1)}")
        by_kind = [[kind, *found[MAP, kind].cells()] for kind in KINDS]
        print(f"{markdown_table([[MAP, *heads[1:]], *by_kind], left=1)}", flush=True)


if __name__ == "__main__":
    main()
