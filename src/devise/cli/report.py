"""devise report: write an evaluation as one HTML page with its photos."""

from pathlib import Path
from typing import Annotated

import typer

from devise.cli.app import app
from devise.cli.options import ExcelOption, check_place
from devise.cli.progress import showing
from devise.errors import UsageError, counted

__all__ = ["report"]


@app.command(no_args_is_help=True)
def report(
    record_file: Annotated[
        Path, typer.Argument(metavar="RECORD", help="Record written by devise evaluate --images FILE.")
    ],
    photos: Annotated[
        list[Path] | None,
        typer.Option("--photos", help="Folder that was evaluated; repeat for several.", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="HTML file to write.")] = Path("report.html"),
    figures: Annotated[
        Path | None,
        typer.Option(help="Folder for every figure as PNG and CSV; created if missing.", show_default=False),
    ] = None,
    excel: ExcelOption = False,
    model: Annotated[str, typer.Option("--scorer", help="Main scorer of the page.")] = "fused",
    beside: Annotated[
        str | None,
        typer.Option(
            help="Scorer to compare it with. [default: softmax, unless the model has none]", show_default=False
        ),
    ] = None,
    cards: Annotated[int, typer.Option(help="Most photos in the gallery, spread evenly over classes.")] = 200,
    title: Annotated[str, typer.Option(help="Title of the page.", show_default=False)] = "",
) -> None:
    """Write one self-contained HTML file: tables, gallery, classes, confusion tree, reliability.

    Without --photos the gallery has no pictures. Exits with 1 if a picture of the gallery is missing.
    """
    from devise.evaluation.record import read_record
    from devise.files import atomic_write
    from devise.pages.frame import printable
    from devise.pages.report.build import ReportOptions, build_content, report_html
    from devise.pages.report.figures import figures_of, write_figures
    from devise.pages.report.measured import finder, measured_of
    from devise.taxonomy.wordnet import default_taxonomy

    check_place("--out", out)
    if figures is not None and figures.exists() and not figures.is_dir():
        raise UsageError(f"--figures needs a folder, got the file {figures}")
    if excel and figures is None:
        raise UsageError("--excel needs --figures FOLDER, which writes CSV")
    options = ReportOptions(model, beside, cards, title=title)
    find = finder(photos or ())
    record, taxonomy = read_record(record_file), default_taxonomy()
    with showing(total=min(cards, len(record.images))) as bar:
        content = build_content(measured_of(record, taxonomy), taxonomy, find, options, on_photo=bar.step)
    page = report_html(content)
    with atomic_write(out) as file:
        file.write(page)
    size = len(page.encode()) / 1e6
    shown = f"{len(content.cards):,} of {counted(content.total, 'photo')} shown"
    print(f"{printable(str(out))}: {size:.1f} MB, {shown}")
    if figures is not None:
        written = write_figures(figures, figures_of(content), content.numbers, excel=excel)
        print(f"{printable(str(figures))}: {counted(len(written), 'file')}")
    if content.missing:
        why = "could not be read in the folders given" if photos else "are not shown: give their folder with --photos"
        print(f"{counted(content.missing, 'picture')} {why}")
        if photos:
            raise typer.Exit(1)
