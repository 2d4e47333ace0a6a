"""What devise demo prints and writes."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from devise.cli.demo_photos import SHEET, SHEET_REJECT, sheet_photos
from devise.cli.output import IN_DOUBT, keywords_of, open_sheet
from devise.cli.terminal import tell
from devise.errors import UsageError, counted
from devise.files import atomic_write
from devise.model.comparison import Added, PhotoRecord
from devise.model.labeller import LabelRequest, Model
from devise.model.typed import parse_labels
from devise.pages.frame import percent, printable
from devise.pages.gallery import TITLES, typed_summary
from devise.sidecars import names_in_sidecar, sidecar_of, tag_sidecar
from devise.vision.folders import Found
from devise.vision.pipeline import Extracted
from devise.xmp import require_xmp

__all__ = [
    "REPORT",
    "SHEET_PAGE",
    "print_comparison",
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
    for record, told in zip(records, added.photos, strict=True):
        if told is not None:
            best = told.standings[0] if told.standings else None
            choice = told.choice[0] if told.choice else None
            table.add_row(
                Text(printable(record.name)),
                Text(f"number {best.rank:,} {printable(best.label.name)}" if best else "none is new"),
                Text(f"{percent(choice.score):>7} {printable(choice.label.name)}" if choice else ""),
            )
    console.print(table)
    console.print()
