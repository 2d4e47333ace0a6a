"""devise search: find indexed photos by words, by a WordNet subtree, or by a photo."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from devise.cli import options
from devise.cli.app import app, one_blas_thread
from devise.cli.terminal import tell
from devise.errors import UsageError, counted

if TYPE_CHECKING:
    from devise.search.results import Hits

__all__ = ["search"]


_TOP, _REJECT = 20, "auto"


@app.command(no_args_is_help=True)
def search(
    index: Annotated[Path, typer.Argument(metavar="INDEX", help="Folder made by devise index.")],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            help="Words to find: 'snow leopard', 'zedonk: offspring of a zebra and a donkey'; a phrase: 'a dog on a "
            "sofa'; words and photos joined by + and -, with weights: '2*beach + sunset - person' ./pool.jpg. Put "
            "spaces around + and -: T-shirt is a name.",
            metavar="WORDS...",
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--every", help="Find photos that show all of the words; without it, any of them.")
    ] = False,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Match only the label itself; without it, also its kinds (fruit, bird)."),
    ] = False,
    sense: options.SenseOption = None,
    all_nouns: options.AllNounsOption = False,
    under: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Find photos of anything below this noun in WordNet, such as 'musical instrument'."
        ),
    ] = None,
    like: Annotated[Path | None, typer.Option(metavar="PHOTO", help="Find photos similar to this one.")] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="Only photos taken on this date or later: 2024, 2024-05 or 2024-05-31."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="DATE", help="Only photos taken on this date or earlier.")
    ] = None,
    folders: Annotated[
        list[str] | None,
        typer.Option(
            "--in",
            metavar="PATTERN",
            help="Only photos in this folder: its name, its path, or a pattern as in .gitignore ('2024/rome'); may "
            "be repeated.",
        ),
    ] = None,
    rating: Annotated[
        int | None, typer.Option(metavar="STARS", help="Only photos with at least this many stars, 1 to 5.")
    ] = None,
    by: Annotated[
        Literal["probability", "cosine"],
        typer.Option(metavar="ORDER", help="Order by probability, or by cosine of photo and word."),
    ] = "probability",
    reject: options.RejectOption = _REJECT,
    top: Annotated[int, typer.Option("--top", "-k", help="Most photos to show.")] = _TOP,
    form: Annotated[
        Literal["table", "json", "jsonl", "csv"],
        typer.Option("--format", "-f", metavar="FORM", help="Output format: table, csv, json or jsonl."),
    ] = "table",
    excel: options.ExcelOption = False,
    sheet: Annotated[
        Path | None,
        typer.Option("--sheet", metavar="FILE", help="Write a page of the photos: one self-contained HTML file."),
    ] = None,
    show: Annotated[
        bool, typer.Option("--open", help="Write the page and open it with the system's viewer (xdg-open, open).")
    ] = False,
    grid: Annotated[
        bool,
        typer.Option("--grid", help="Show the photos in the terminal, if it can (kitty, iTerm2, sixel)."),
    ] = False,
    evaluate: Annotated[
        bool, typer.Option("--evaluate", help="Measure the search: query every class folder (n02084071) of the index.")
    ] = False,
    quiet: options.QuietOption = False,
    lang: options.LangOption = None,
    fast: options.FastOption = False,
    device: options.DeviceOption = "cpu",
    precision: options.PrecisionOption = "f32",
    max_pixels: options.MaxPixelsOption = None,
    model: options.ModelOption = None,
) -> None:
    """Find photos in an index.

    A word means its most probable sense and all kinds of it; an id (n02084071, dog.n.01) means that label alone. The
    score is the probability that devise label gives the words; with --like it is the similarity to the photo, at most
    1. Of words and photos joined by + it is the product of theirs, and of what is not: a word after - counts as one
    minus its probability. A weight is an exponent.
    """
    one_blas_thread()
    from devise.cli.output import check_output, tell_notes
    from devise.cli.search_output import quality, written
    from devise.cli.terminal_pictures import pictures_in, require_pictures
    from devise.model.candidates import with_senses
    from devise.search.expression import Expression, parse_expression
    from devise.search.query import open_search
    from devise.search.results import filters_of
    from devise.search.search_quality import measure_search
    from devise.taxonomy.wordnet import taxonomy_in

    opened = options.opener(model, device, precision, fast=fast)
    options.check_excel(excel, form)
    if evaluate:
        given: dict[str, object] = {
            "words": words,
            "--every": every,
            "--exact": exact,
            "--sense": sense,
            "--under": under,
            "--like": like,
            "--by": by != "probability",
            "--reject": reject != _REJECT,
            "--top": top != _TOP,
            **{"--sheet": sheet, "--open": show, "--grid": grid, "--lang": lang},
            **{"--since": since, "--until": until, "--in": folders, "--rating": rating is not None},
        }
        if idle := [name for name, value in given.items() if value not in (None, False)]:
            raise UsageError(f"--evaluate queries the class folders: leave out {', '.join(idle)}")
        loaded = opened()
        sys.stdout.write(quality(measure_search(loaded, open_search(loaded, index)), form, excel=excel))
        return
    if not words and under is None and like is None:
        raise UsageError("nothing to search for: give WORDS, --under NAME or --like PHOTO, or --evaluate")
    typed = parse_expression(*words) if words else Expression()
    typed = typed.changed(lambda labels: with_senses(taxonomy_in(lang), labels, sense or ()))
    wanted = typed.wanted(
        like=like,
        under=under,
        match="all" if every else "any",
        by=by,
        exact=exact,
        reject=options.parse_reject(reject) or 0.0,
        filters=filters_of(since, until, folders or (), rating, prefix="--"),
    )
    if sheet is not None:
        check_output(sheet, "--sheet", "sheet.html")
    viewer = _viewer() if show and sys.stdout.isatty() else None
    if grid and form != "table":
        raise UsageError("--grid goes with the table: leave out --format")
    protocol = require_pictures(sys.stdout, os.environ) if grid else None
    loaded = opened(language=lang)
    found = open_search(loaded, index, all_nouns=all_nouns).find(wanted, top)
    tell_notes(() if quiet else (*filter(None, [loaded.parts.language_note]), *found.notes))
    asked = (" " if wanted.terms else ", ").join(words or ()) or (
        f"under {under}" if under is not None else f"like {like}"
    )
    if protocol is not None:
        sys.stdout.writelines(pictures_in([hit.path for hit in found.hits], protocol))
    sys.stdout.write(written(found, form, sys.stdout, excel=excel))
    if not found.hits:
        named = asked if words else f"any {under}" if under is not None else like
        none = f"none of {counted(found.photos, 'photo')} looks like {named}"
        tell(f"{none} (--reject 0 shows the nearest photos anyway)" if found.photos else "no photo passes the filters")
    if sheet is not None or show:
        _write_page(found, asked, (sheet or index / "search.html").absolute(), viewer)


def _write_page(found: "Hits", asked: str, target: Path, viewer: list[str] | None) -> None:
    """Write the page and open it with this command, if any; the viewer outlives this process."""
    from devise.files import atomic_write
    from devise.pages.contact_sheet import contact_sheet

    with atomic_write(target) as file:
        file.write(contact_sheet(found, asked))
    tell(f"page of {counted(len(found.hits), 'photo')}: {target}")
    if viewer is not None:
        null = subprocess.DEVNULL
        subprocess.Popen([*viewer, str(target)], stdin=null, stdout=null, stderr=null, start_new_session=True)


def _viewer() -> list[str]:
    """Return the command that opens a file with the system's viewer; UsageError if there is none."""
    for command in ("open",) if sys.platform == "darwin" else ("xdg-open", "wslview"):
        if found := shutil.which(command):
            return [found]
    if sys.platform == "win32":
        return ["cmd", "/c", "start", ""]
    raise UsageError("--open found no viewer (xdg-open): leave it out and open the page of --sheet FILE yourself")
