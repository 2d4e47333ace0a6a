"""The photos of devise demo: the user's own, and those in scikit-image and scikit-learn."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from devise.cli.terminal import tell
from devise.errors import UsageError
from devise.model.comparison import Photo
from devise.vision.folders import Found, find_pictures

__all__ = [
    "CONTROL",
    "CREDITS",
    "SAMPLES",
    "SHEET",
    "SHEET_REJECT",
    "Sample",
    "own_photos",
    "sample_folder",
    "sample_labels",
    "sample_photos",
    "samples",
    "sheet_photos",
]


@dataclass(frozen=True, slots=True)
class Sample:
    """A photo inside the scikit-image package. shows: what a person sees. label: NAME: DEFINITION to type."""

    file: str
    shows: str
    label: str


SAMPLES = (
    Sample(
        "astronaut.png",
        "A woman in an orange space suit in front of a flag and a model of a space shuttle",
        "astronaut portrait: a woman in a space suit before a flag",
    ),
    Sample("brick.png", "A wall of bricks, grey", "brick wall: a wall built of bricks and mortar"),
    Sample(
        "camera.png",
        "A man looks through a camera on a tripod, grey",
        "cameraman at work: a man filming with a camera on a tripod",
    ),
    Sample("chelsea.png", "The face of a ginger cat", "ginger cat: a house cat with orange striped fur"),
    Sample(
        "coffee.png",
        "A cup of espresso on a red saucer with a spoon",
        "espresso cup: a small cup for strong coffee",
    ),
    Sample("coins.png", "Four rows of ancient coins, grey", "coin collection: old coins laid out in rows"),
    Sample("grass.png", "Short grass seen from above, grey", "lawn: a field of mown grass"),
    Sample("gravel.png", "Gravel seen from above, grey", "gravel bed: many small stones on the ground"),
    Sample(
        "hubble_deep_field.jpg",
        "Many small galaxies on a black sky",
        "deep sky: galaxies and stars seen through a telescope",
    ),
    Sample("moon.png", "Craters on the moon, grey", "moonscape: craters on the surface of the moon"),
    Sample(
        "motorcycle_left.png",
        "A red motorcycle in a garage",
        "parked motorbike: a motorcycle standing in a garage",
    ),
    Sample(
        "rocket.jpg",
        "A rocket on its launch pad at dusk",
        "space launch: a rocket standing on its pad, ready to fly into space",
    ),
)
"""Every photo of a thing or place that scikit-image carries inside its wheel, chosen without a look at the results.

Left out: test patterns, drawings, pages of text, microscope and medical pictures, a clock blurred on purpose, and
the second view of the motorcycle.
"""

SHEET = {
    "astronaut.png": "space suit",
    "camera.png": "camera",
    "chelsea.png": "cat",
    "china.jpg": "pagoda",
    "coffee.png": "coffee",
    "coins.png": "coin",
    "flower.jpg": "dahlia",
    "motorcycle_left.png": "motorcycle",
    "rocket.jpg": "rocket",
}
"""For the sheet: photos of one thing each, with a noun that was never trained on. Textures and skies are left out.

`china.jpg` and `flower.jpg` are scikit-learn's, the others scikit-image's. Kinds of a camera, a cat, a coffee, a
motorcycle and a rocket were trained on; nothing above or below the other four.
"""

SHEET_REJECT = 0.55
"""Set with the answers to these photos in sight: it shows what `--reject` does, not how well it does it."""

CONTROL = "zedonk: offspring of a zebra and a donkey"
"""No photo shows one."""

CREDITS = (
    "The sample photos come inside the scikit-image package; its documentation of skimage.data names their authors."
)

_IMAGES = {"skimage": "data", "sklearn": "datasets/images"}


def sample_labels() -> str:
    """Return the labels to type: one per sample, and one that no photo shows."""
    return "; ".join([*(sample.label for sample in SAMPLES), CONTROL])


def sample_folder(package: str = "skimage") -> Path | None:
    """Where an installed package (or sklearn) keeps its pictures; None if it is not installed. Does not import it."""
    spec = find_spec(package)
    places = spec.submodule_search_locations if spec is not None else None
    return Path(places[0]) / _IMAGES[package] if places else None


def sheet_photos() -> list[Path]:
    """Return those photos of `SHEET` that are installed."""
    folders = [folder for package in _IMAGES if (folder := sample_folder(package)) is not None]
    found = (folder / file for file in SHEET for folder in folders)
    return [path for path in found if path.is_file()]


def sample_photos(folder: Path, *, meant: bool) -> tuple[list[Photo], list[str]]:
    """Return the samples in the folder, and the files of missing ones. meant: whether their labels are typed."""
    photos, lacking = [], []
    for sample in SAMPLES:
        path = folder / sample.file
        if path.is_file():
            name = sample.label.partition(":")[0] if meant else ""
            photos.append(Photo(Found(path), sample.file, sample.shows, name))
        else:
            lacking.append(sample.file)
    return photos, lacking


def samples(*, needed: bool, meant: bool) -> list[Photo]:
    """Return the samples of the installed scikit-image, and print which are missing.

    UsageError if `needed` and there is none.
    """
    folder = sample_folder()
    if folder is None:
        hint = "the sample photos are in scikit-image: pip install 'devise-zsl[demo]'"
        if needed:
            raise UsageError(f"{hint}, or give your own photos")
        tell(f"shown without samples: {hint}")
        return []
    photos, lacking = sample_photos(folder, meant=meant)
    if lacking:
        tell(f"this version of scikit-image lacks {len(lacking)} of {len(SAMPLES)} samples: {', '.join(lacking)}")
    if needed and not photos:
        raise UsageError("this version of scikit-image has none of the sample photos: give your own photos")
    return photos


def own_photos(paths: Sequence[Path]) -> list[Photo]:
    """Return the photos at these paths; print how many files are not pictures."""
    skipped: list[Path] = []
    photos = [Photo(found, str(found.path)) for found in find_pictures(paths, skipped.append)]
    if skipped:
        tell(f"files left out, not pictures by their names: {len(skipped)}")
    if paths and not photos:
        tell("no picture in the given paths: give photos or folders of photos")
    return photos
