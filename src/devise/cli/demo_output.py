"""The photos of devise demo, the user's own or those in two Python packages, and what it prints and writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from devise.cli.output import IN_DOUBT, keywords_of, open_sheet
from devise.cli.terminal import tell
from devise.errors import UsageError, counted
from devise.files import atomic_write
from devise.model.comparison import Added, Photo, PhotoRecord
from devise.model.labeller import LabelRequest, Model
from devise.model.typed import parse_labels
from devise.pages.frame import percent, printable
from devise.pages.gallery import TITLES, typed_summary
from devise.sidecars import names_in_sidecar, sidecar_of, tag_sidecar
from devise.vision.folders import Found, find_pictures
from devise.vision.pipeline import Extracted
from devise.xmp import require_xmp

__all__ = [
    "CONTROL",
    "CREDITS",
    "REPORT",
    "SAMPLES",
    "SHEET",
    "SHEET_PAGE",
    "SHEET_REJECT",
    "Sample",
    "own_photos",
    "print_comparison",
    "sample_folder",
    "sample_labels",
    "sample_photos",
    "samples",
    "sheet_photos",
    "write_keywords",
    "write_report",
    "write_sheet",
]

REPORT = "report.html"
SHEET_PAGE = "sheet.html"

_PLAIN_WIDTH = 120  # columns, where no terminal says how many it has


def write_report(folder: Path, page: str) -> Path:
    """Write the page into the folder, creating it if missing; return the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / REPORT) as file:
        file.write(page)
    return folder / REPORT


def write_sheet(model: Model, own: Sequence[Found], path: Path, top: int) -> None:
    """Write the contact sheet: the user's photos with all labels, or else samples with one noun each.

    Prints how many samples got their own noun. Writes nothing if there is no photo.
    """
    photos = own or [Found(path) for path in sheet_photos()]
    if not photos:
        return
    request = LabelRequest(top=top, in_doubt=IN_DOUBT)
    if not own:
        nouns = parse_labels("; ".join(SHEET.values()))
        request = LabelRequest(top=3, candidates="typed", typed=nouns, reject=SHEET_REJECT)
    run = model.run(request)
    with open_sheet(path, model, run) as shown:
        answers = list(shown(run.answers(photos)))
    if not own:
        named = [answer for answer in answers if answer.problem is None and not answer.rejected]
        right = sum(SHEET[Path(one.source).name] == one.guesses[0].label.name for one in named)
        print(
            f"{counted(len(answers), 'photo')}, {counted(len(SHEET), 'untrained noun')} as candidates: "
            f"{len(named)} named, {right} of them "
            f"correctly, {sum(answer.rejected for answer in answers)} none of these"
        )
    print(f"The sheet: {printable(str(path))}")


def write_keywords(model: Model, photos: Sequence[Extracted], folder: Path) -> None:
    """Write the keywords of the photo with the surest name into a sidecar in this folder, and print them from there.

    Prints what to install if the library for XMP is missing, and nothing if no name is sure.
    """
    try:
        require_xmp()
    except UsageError as error:
        tell(str(error))
        return
    answers = model.run(LabelRequest(sure=IN_DOUBT)).answers_of(photos)
    named = [(keywords, answer.source) for answer in answers if (keywords := keywords_of(answer))]
    if not named:
        return
    keywords, photo = max(named, key=lambda one: one[0][-1].probability)
    path = folder / sidecar_of(Path(photo)).name
    tag_sidecar(path, keywords)
    print(f"The keywords of one photo, as {printable(str(path))} has them: {', '.join(names_in_sidecar(path))}")


def print_comparison(records: Sequence[PhotoRecord], added: Added) -> None:
    """Print every photo with its columns, then the typed labels; problems go to standard error."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    for record in records:
        _print_photo(console, record)
    if any(record.problem is None for record in records):
        guesses = (guess for record in records for column in record.columns for guess in column.guesses)
        if any(guess.label.seen is False for guess in guesses):
            console.print("* no training photo carried this label\n")
        _print_added(console, records, added)
    for line in (*typed_summary(records, added), *added.notes):
        console.print(line, soft_wrap=True)


def _print_photo(console: Console, record: PhotoRecord) -> None:
    name = printable(record.name)
    if record.problem is not None:
        tell(f"{name}: {record.problem}")
        return
    console.print(f"{name}: {record.shows}" if record.shows else name, style="bold", soft_wrap=True)
    table = Table(box=None, pad_edge=False, expand=True, header_style="underline")
    for column in record.columns:
        table.add_column(f"{TITLES[column.method]} of {column.labels:,}", ratio=1, overflow="fold")
    for row in zip(*(column.guesses for column in record.columns), strict=True):
        cells = (f"{percent(g.score):>7} {g.label.name}{'*' if g.label.seen is False else ''}" for g in row)
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)
    console.print()


def _print_added(console: Console, records: Sequence[PhotoRecord], added: Added) -> None:
    """Print one row per photo: its best typed label among all labels, and among the typed alone."""
    table = Table(box=None, pad_edge=False, header_style="underline")
    for head in (
        "Labels typed by hand",
        f"best typed of all {added.competing:,}",
        f"of the {added.typed:,} typed alone",
    ):
        table.add_column(head, overflow="fold")
    for record, result in zip(records, added.photos, strict=True):
        if result is not None:
            best = result.standings[0] if result.standings else None
            choice = result.choice[0] if result.choice else None
            table.add_row(
                Text(printable(record.name)),
                Text(f"number {best.rank:,} {printable(best.label.name)}" if best else "none is new"),
                Text(f"{percent(choice.score):>7} {printable(choice.label.name)}" if choice else ""),
            )
    console.print(table)
    console.print()


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
