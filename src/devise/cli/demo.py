"""devise demo: compare all methods on photos, in the terminal and on two HTML pages."""

from pathlib import Path
from typing import Annotated

import typer

from devise.cli.app import app
from devise.cli.options import ModelOption
from devise.errors import UsageError

__all__ = ["demo"]


@app.command()
def demo(
    photos: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PHOTOS...", help="Your photos and folders, shown before the samples."),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for report.html and sheet.html; created if missing.")
    ] = Path("demo"),
    top: Annotated[int, typer.Option("--top", "-k", help="Guesses per photo and method.")] = 5,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            "-l",
            help="Labels to type instead of the demo's: 'kick scooter, zedonk: offspring of a zebra and a donkey'.",
            show_default=False,
        ),
    ] = None,
    model: ModelOption = None,
) -> None:
    """Compare softmax, ConSE, DeViSE and the fused method on photos, with typed labels; write an HTML page.

    A second page is a contact sheet: your photos with all labels, or else sample photos with nine nouns. Last, the
    keywords of one photo are written into an XMP sidecar in the folder of the pages, and read back.

    Exits with 1 if a photo could not be read; the others are still shown.
    """
    from devise.cli.demo_output import (
        CREDITS,
        SHEET_PAGE,
        own_photos,
        print_comparison,
        sample_labels,
        samples,
        write_keywords,
        write_report,
        write_sheet,
    )
    from devise.cli.progress import showing
    from devise.model.comparison import add_labels, compare
    from devise.model.labeller import load
    from devise.model.typed import parse_labels
    from devise.pages.frame import printable
    from devise.pages.gallery import Gallery, gallery_html

    if out.exists() and not out.is_dir():
        raise UsageError(f"--out needs a folder, got the file {out}")
    typed = parse_labels(labels if labels is not None else sample_labels())
    own = own_photos(photos or ())
    shipped = samples(needed=not own, meant=labels is None)
    loaded = load(model)
    with showing(total=len(own) + len(shipped)) as bar:
        records, extracted = compare(loaded, [*own, *shipped], top=top, on_photo=bar.step)
        added = add_labels(loaded, extracted, typed)
    facts = (loaded.parts.bundle.manifest.name, len(loaded.labels), len(loaded.parts.trained_ids))
    print_comparison(records, added)
    page = write_report(out, gallery_html(Gallery(*facts, records, added, (CREDITS,) if shipped else ())))
    print(f"\nThe page: {printable(str(page))}")
    write_sheet(loaded, [photo.found for photo in own], page.parent / SHEET_PAGE, top)
    write_keywords(loaded, extracted, page.parent)
    if any(record.problem is not None for record in records) or (photos and not own):
        raise typer.Exit(1)
