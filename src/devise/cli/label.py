"""devise label: name what is in photos."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from time import monotonic, thread_time
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from devise.cli import options
from devise.cli.app import app, one_blas_thread, stoppable
from devise.cli.progress import counting
from devise.cli.terminal import tell
from devise.errors import DeviseError, UsageError
from devise.files import check_encoding, exact_name, real_path
from devise.sidecars import SidecarName
from devise.tabletext import cell_text
from devise.xmp import require_xmp

if TYPE_CHECKING:
    from devise.cli.output import KeywordPlaces, Tally
    from devise.cli.timing import Timing
    from devise.model.answers import Answer
    from devise.model.labeller import LabelRequest, LabelRun, Model
    from devise.vision.folders import Found
    from devise.vision.pipeline import Extracted

__all__ = ["label"]

_Form = Literal["table", "json", "jsonl", "csv", "parquet"]
_Method = Literal["fused", "kernel", "branch", "devise", "conse", "softmax"]

_BLOCK = 64  # pictures scored at once, at most
_PATIENCE = 1.0  # seconds after which a smaller block is scored
_PICTURE_STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF")


@app.command(no_args_is_help=True)
def label(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATHS...",
            help="Photos and folders, including subfolders; - reads a list of paths from standard input.",
        ),
    ],
    top: Annotated[
        int | None,
        typer.Option("--top", "-k", help="Guesses per photo. [default: 5]", show_default=False),
    ] = None,
    method: Annotated[
        _Method,
        typer.Option(
            metavar="METHOD",
            help="Method that scores labels for a picture: fused, kernel, branch (the kernel picks the subtree of "
            "WordNet, the softmax the trained label in it), devise, conse or softmax.",
        ),
    ] = "fused",
    candidates: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="Candidate labels: all, seen (trained), unseen, typed (only --labels: each photo gets one of them, "
            "unless --reject says none), or a file with one synset id, name or 'name: definition' per line, or "
            "FILE.json#KEY.",
        ),
    ] = "all",
    all_nouns: options.AllNounsOption = False,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--labels",
            "-l",
            metavar="LABELS",
            help="Labels to add: 'kick scooter, zedonk: offspring of a zebra and a donkey, mouse: n03793489'.",
        ),
    ] = None,
    sense: options.SenseOption = None,
    under: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only labels below this one in WordNet, such as 'musical instrument'."),
    ] = None,
    reject: options.RejectOption = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Add the WordNet path, the gloss, the source of the vector, and the trained labels that each guess "
            "relies on.",
        ),
    ] = False,
    sure: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Add the most informative name whose WordNet subtree has at least "
            "this share of the probability (0 to 1), and its most probable narrower names.",
            show_default=False,
        ),
    ] = None,
    context: Annotated[
        bool,
        typer.Option(
            "--context",
            help="Let the most similar photos of this run help each photo: better if several photos show the same "
            "thing. All photos are read before the first answer.",
        ),
    ] = False,
    regions: Annotated[
        bool,
        typer.Option(
            "--regions",
            help="Also name several things in each photo, each with its box: parts that have a name as sure as --sure "
            "asks, 0.7 unless you set it. Takes three times as long.",
        ),
    ] = False,
    form: Annotated[
        _Form | None,
        typer.Option(
            "--format",
            "-f",
            metavar="FORM",
            help="table, csv, json or jsonl; parquet for very many photos: parts in the folder --output. [default: by "
            "the ending of --output, else table]",
            show_default=False,
        ),
    ] = None,
    excel: options.ExcelOption = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write answers to this file, complete or not at all."),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            "--sheet",
            metavar="FILE",
            help="Also write a page of the photos with their names: one self-contained HTML file.",
        ),
    ] = None,
    tree: Annotated[
        Path | None,
        typer.Option(
            "--tree",
            metavar="FILE.svg",
            help="Also draw the names as a WordNet tree: the guesses of one photo, or the counts of several.",
        ),
    ] = None,
    xmp: Annotated[
        bool,
        typer.Option(
            "--xmp",
            help="Also write the sure names as keywords into an XMP sidecar next to each photo, which photo programs "
            "read. Uses --sure 0.7 unless you set it. `devise unlabel` takes them back.",
        ),
    ] = False,
    embed: Annotated[
        bool,
        typer.Option(
            "--embed",
            help="With --xmp: write the keywords into the photos themselves: JPEG, PNG, WebP and TIFF. Their pixels "
            "stay the same bytes. Photos in other formats get a sidecar.",
        ),
    ] = False,
    keep_time: Annotated[
        bool, typer.Option("--keep-time", help="With --embed: photos keep the time of their last change.")
    ] = False,
    xmp_name: Annotated[
        SidecarName | None,
        typer.Option(
            metavar="NAME",
            help="With --xmp: full (the default) is photo.jpg.xmp, for digiKam and darktable; stem is photo.xmp, for "
            "Lightroom.",
            show_default=False,
        ),
    ] = None,
    ray: Annotated[
        int,
        typer.Option(metavar="WORKERS", help="With --format parquet: label on a Ray cluster with this many workers."),
    ] = 0,
    video: options.VideoOption = False,
    frames: options.FramesOption = None,
    exclude: options.ExcludeOption = None,
    timing: Annotated[
        bool, typer.Option("--timing", help="Print the time per photo: decoding, network, scores and output.")
    ] = False,
    quiet: options.QuietOption = False,
    no_prior: options.NoPriorOption = False,
    lang: options.LangOption = None,
    fast: options.FastOption = False,
    device: options.DeviceOption = "cpu",
    precision: options.PrecisionOption = "f32",
    max_pixels: options.MaxPixelsOption = None,
    weights: options.WeightsOption = None,
    model: options.ModelsOption = None,
) -> None:
    """Name what is in photos.

    Exits with 1 if a photo could not be read or its keywords not written; the others are still labelled.
    """
    one_blas_thread()
    from devise.cli.answers_output import form_of
    from devise.cli.output import (
        IN_DOUBT,
        Tally,
        open_output,
        open_sheet,
        open_sidecars,
        open_tree,
        write_answers,
    )
    from devise.cli.timing import Timing
    from devise.model.candidates import with_senses
    from devise.model.ensemble import load_ensemble
    from devise.model.labeller import LabelRequest, load
    from devise.model.typed import parse_labels
    from devise.taxonomy.wordnet import taxonomy_in

    if "" in paths:
        raise UsageError("a path is empty: give a photo or a folder, such as . for this folder")
    if all_nouns and candidates not in ("all", "all-nouns"):
        raise UsageError(f"--all-nouns sets the candidates: leave out --candidates {candidates}")
    candidates = "all-nouns" if all_nouns else candidates
    typed = with_senses(taxonomy_in(lang), parse_labels(*labels) if labels else (), sense or ())
    chosen = form or _form_of(output)
    place = options.chosen_place(device, precision, fast=fast)
    bundles = options.bundles_of(model, weights)
    pages = sheet is not None or tree is not None or xmp
    _check_form(
        chosen, len(bundles), excel=excel, timing=timing, context=context, video=video, regions=regions, pages=pages
    )
    opener = partial(load, bundles[0]) if len(bundles) == 1 else partial(load_ensemble, bundles, weights)
    open_model = partial(
        opener, fast=fast, prior=not no_prior, language=lang, device=place.device, precision=place.precision
    )
    places = _keyword_places(xmp, xmp_name, embed, keep_time)
    if places is not None and sure is None:
        sure = IN_DOUBT
    in_doubt = IN_DOUBT if sure is None and (sheet is not None or chosen == "table") else None
    request = LabelRequest(
        top, method, candidates, under, typed, options.parse_reject(reject), explain, sure, in_doubt, context, regions
    )
    tally = Tally(frames=options.frames_of(video, frames))
    if chosen == "parquet":
        from devise.cli.label_parts import PartsJob, label_in_parts

        label_in_parts(
            open_model(),
            request,
            PartsJob(tuple(paths), output, ray, bundles[0], tuple(exclude or ()), lang),
            ready=partial(_ready, quiet=quiet),
        )
        return
    if ray:
        raise UsageError("--ray needs --format parquet --output FOLDER")
    _check_outputs(("--output", output, "labels.csv"), ("--sheet", sheet, "sheet.html"), ("--tree", tree, "names.svg"))
    clock = Timing()
    loaded = open_model()
    loaded.prepare()

    run = _ready(loaded, request, quiet)
    run.prepare()
    with (
        stoppable(),
        open_tree(tree, loaded) as drawn,
        open_output(output, tally) as target,
        open_sheet(sheet, loaded, run) as shown,
        open_sidecars(places, tally) as tagged,
    ):
        found = _found(paths, exclude or (), tally)
        answers = _in_context(run, found) if context else _answers(loaded, run, found, clock)
        passed_on = tagged(shown(drawn(answers)))
        if chosen != "table" and sure is None:
            passed_on = (replace(answer, hedge=None) for answer in passed_on)  # a name in doubt is for people
        write_answers(
            passed_on,
            form_of(chosen, target.file, run.request, excel=excel, trained=not loaded.parts.has_tower),
            target,
            tally,
        )
    for line in (*tally.lines(), *(clock.lines() if timing else ())):
        tell(line)
    if tally.failed or tally.folders or tally.unwritten or not tally.labelled:
        raise typer.Exit(1)


def _check_form(
    form: str, models: int, *, excel: bool, timing: bool, context: bool, video: bool, regions: bool, pages: bool
) -> None:
    """Raise UsageError for options that do not go with the form of the output, or with each other."""
    in_parts = form == "parquet"
    options.check_excel(excel, form)
    if timing and (context or in_parts):
        other = "--context" if context else "--format parquet"
        raise UsageError(f"--timing is for one pass over photos: leave out {other}")
    if in_parts and video:
        raise UsageError("--format parquet takes no videos: leave out --video, or use --format csv or jsonl")
    if in_parts and pages:
        raise UsageError(
            "--format parquet has no page and no sidecars: leave out --sheet, --tree and --xmp, or use --format csv"
        )
    if models > 1 and in_parts:
        raise UsageError("--format parquet takes one model: give another format")
    if models > 1 and (video or regions):
        raise UsageError(f"{'--video' if video else '--regions'} takes one model: give --model once")


def _keyword_places(xmp: bool, name: SidecarName | None, embed: bool, keep_time: bool) -> "KeywordPlaces | None":
    """Return where keywords go; UsageError if an option needs another, or the library for XMP is missing."""
    from devise.cli.output import KeywordPlaces

    if name and not xmp:
        raise UsageError("--xmp-name is for sidecars: give --xmp too")
    if embed and not xmp:
        raise UsageError("--embed is for keywords: give --xmp too")
    if keep_time and not embed:
        raise UsageError("--keep-time is for photos with keywords inside: give --xmp --embed too")
    if not xmp:
        return None
    require_xmp()
    return KeywordPlaces(name or SidecarName.full, embed, keep_time)


def _check_outputs(*asked: tuple[str, Path | None, str]) -> None:
    """Raise UsageError if a file cannot be written or two are the same.

    asked: option, path and an example of a valid name.
    """
    from devise.cli.output import check_output

    before: dict[Path, str] = {}
    for option, path, example in asked:
        if path is None:
            continue
        check_output(path, option, example)
        other = before.setdefault(real_path(path), option)
        if other != option:
            raise UsageError(f"{other} and {option} are both {path}: give each its own file")


def _ready(model: "Model", request: "LabelRequest", quiet: bool) -> "LabelRun":
    """Prepare the request, and print notes on its labels."""
    from devise.cli.output import tell_notes
    from devise.model.candidates import OWN_CANDIDATES

    listed = request.candidates
    try:
        run = model.run(request)
    except DeviseError as error:
        if listed in OWN_CANDIDATES or listed in str(error):
            raise
        raise type(error)(f"with --candidates {listed}: {error}", hint=error.hint) from None
    tell_notes(() if quiet else (*filter(None, [model.parts.language_note]), *run.notes))
    return run


def _answers(model: "Model", run: "LabelRun", pictures: "Iterable[Found]", clock: "Timing") -> "Iterator[Answer]":
    """Yield answers in order, scored in blocks: faster, but no longer than a person likes to wait."""
    extracted = model.features(pictures, regions=run.request.regions)
    clock.started()
    while block := list(_block(extracted)):
        begun = thread_time()
        answers = run.answers_of(block)
        clock.add(block, thread_time() - begun)
        yield from answers


def _in_context(run: "LabelRun", pictures: "Iterable[Found]") -> "Iterator[Answer]":
    """Yield answers in order; read all photos first, so that a refusal comes before any output."""
    with counting("photos read") as advance:
        answers = run.answers(pictures, advance)
        first = tuple(islice(answers, 1))
    return _saying(first, answers)


def _saying(*runs: "Iterable[Answer]") -> "Iterator[Answer]":
    """Yield their answers; print a note before the first photo that others helped."""
    said = False
    for answers in runs:
        for answer in answers:
            if answer.context and not said:
                tell("names depend on the other photos of this run (--context)")
                said = True
            yield answer


def _block(extracted: "Iterator[Extracted]") -> "Iterator[Extracted]":
    begun = monotonic()
    for one in islice(extracted, _BLOCK):
        yield one
        if monotonic() - begun > _PATIENCE:
            return


def _form_of(output: Path | None) -> str:
    ending = output.suffix.lstrip(".").lower() if output else ""
    return ending if ending in get_args(_Form) else "table"


def _found(paths: list[str], exclude: Sequence[str], tally: "Tally") -> Iterator["Found"]:
    from devise.vision.folders import find_pictures

    listed = (path for argument in paths for path in (_stdin_paths() if argument == "-" else (argument,)))
    return find_pictures(
        (Path(path) for path in listed),
        tally.skip,
        lambda folder: tell(f"{folder}: no picture in this folder"),
        exclude=exclude,
        on_exclude=tally.leave_out,
        frames=tally.frames,
    )


def _stdin_paths() -> Iterator[str]:
    """Split a list into paths: one per line, or separated by NUL bytes as `find -print0` writes.

    A byte order mark is left out; lines may end in LF, CR LF, or CR if no line ends in LF. UsageError for UTF-16.
    """
    if sys.stdin is None:
        raise DeviseError("standard input is closed: - reads a list of paths from it")
    try:
        data = sys.stdin.buffer.read()
    except OSError as error:
        raise DeviseError(f"standard input cannot be read: {error.strerror}") from None
    if data.startswith(_PICTURE_STARTS):
        raise UsageError(
            "standard input contains a picture, and - reads a list of paths: give the picture's path instead"
        )
    if not data.strip(b"\0\r\n\t "):
        tell("standard input contains no path")
        return
    data = data[check_encoding(data, "standard input", UsageError) :]
    nul = b"\0" in data
    for line in data.split(b"\0" if nul else b"\n" if b"\n" in data else b"\r"):
        path = line if nul else line.rstrip(b"\r")
        if path.strip():
            text = path.decode("utf-8", "surrogateescape")
            yield text if nul else _called(text)


def _called(path: str) -> str:
    """Return the line if a file has this name; else its unquoted text, or the name as our CSV writes it."""
    quoted = len(path) > 2 and path[0] == path[-1] == '"'
    for form in (path, path[1:-1] if quoted else path, exact_name(cell_text(path))):
        if os.path.lexists(form):
            return form
    return path
