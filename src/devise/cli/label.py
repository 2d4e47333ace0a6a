"""devise label: name what is in photos."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from enum import StrEnum
from functools import partial
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from devise.cli.app import app
from devise.cli.options import (
    AllNounsOption,
    ExcelOption,
    FastOption,
    MaxPixelsOption,
    ModelOption,
    NoPriorOption,
    QuietOption,
    RejectOption,
    SenseOption,
    parse_reject,
)
from devise.cli.terminal import tell
from devise.csvtext import cell_text
from devise.errors import DeviseError, UsageError
from devise.files import check_encoding, exact_name, real_path

if TYPE_CHECKING:
    from devise.model.answers import Answer
    from devise.model.labeller import LabelRequest, LabelRun, Model
    from devise.vision.folders import Found
    from devise.vision.pipeline import Extracted

__all__ = ["Format", "MethodName", "label"]

_BLOCK = 64  # pictures scored at once, at most
_PATIENCE = 1.0  # seconds after which a smaller block is scored
_PICTURE_STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF")


class Format(StrEnum):
    """How answers are written."""

    table = "table"
    json = "json"
    jsonl = "jsonl"
    csv = "csv"
    parquet = "parquet"


class MethodName(StrEnum):
    """How pictures and labels are joined."""

    fused = "fused"
    kernel = "kernel"
    devise = "devise"
    conse = "conse"
    softmax = "softmax"


@app.command(no_args_is_help=True)
def label(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATHS...",
            help="Photos and folders (with all folders in them); - takes a list of paths from standard input.",
        ),
    ],
    top: Annotated[
        int | None,
        typer.Option("--top", "-k", help="Guesses for each photo. [default: 5]", show_default=False),
    ] = None,
    method: Annotated[
        MethodName,
        typer.Option(
            metavar="METHOD", help="How pictures and labels are joined: fused, kernel, devise, conse or softmax."
        ),
    ] = MethodName.fused,
    candidates: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="Which labels compete: all, seen (trained on), unseen, typed (only --labels), or a file: one synset "
            "id, name or 'name: definition' a line, or FILE.json#KEY.",
        ),
    ] = "all",
    all_nouns: AllNounsOption = False,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--labels",
            "-l",
            metavar="LABELS",
            help="Labels to add: 'kick scooter, zedonk: offspring of a zebra and a donkey, mouse: n03793489'.",
        ),
    ] = None,
    sense: SenseOption = None,
    under: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only labels below this one in WordNet, such as 'musical instrument'."),
    ] = None,
    reject: RejectOption = None,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Add path, gloss, source of the vector and what a guess leans on."),
    ] = False,
    sure: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="As wide a name as is sure: one line per photo with the most informative name that has at least this "
            "share of the probability (0 to 1), all below it in WordNet included, and its likeliest narrower names.",
            show_default=False,
        ),
    ] = None,
    context: Annotated[
        bool,
        typer.Option(
            "--context",
            help="Let each photo be helped by the photos of this run that are most like it: better where photos of one "
            "thing come together. All are read before the first answer.",
        ),
    ] = False,
    form: Annotated[
        Format | None,
        typer.Option(
            "--format",
            "-f",
            metavar="FORM",
            help="table, csv, json or jsonl; parquet for very many photos: parts in the folder --output. [default: by "
            "the ending of --output, else table]",
            show_default=False,
        ),
    ] = None,
    excel: ExcelOption = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write answers here instead, whole or not at all."),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            "--sheet",
            metavar="FILE",
            help="Also write a page of the photos with their names: one HTML file that needs no other.",
        ),
    ] = None,
    tree: Annotated[
        Path | None,
        typer.Option(
            "--tree",
            metavar="FILE.svg",
            help="Also draw the names as branches of WordNet: of one photo its guesses, of several how many have each.",
        ),
    ] = None,
    ray: Annotated[
        int,
        typer.Option(metavar="WORKERS", help="With --format parquet: label on a Ray cluster, with so many workers."),
    ] = 0,
    quiet: QuietOption = False,
    no_prior: NoPriorOption = False,
    fast: FastOption = False,
    max_pixels: MaxPixelsOption = None,
    model: ModelOption = None,
) -> None:
    """Name what is in photos.

    Exits with 1 if any photo could not be read; the others are still labelled.
    """
    # Before numpy is imported: the photos keep all cores busy, and idle threads of its BLAS would only spin.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from devise.cli.forms import form_of
    from devise.cli.output import IN_DOUBT, Tally, open_output, open_sheet, open_tree, write_answers
    from devise.model.candidates import with_senses
    from devise.model.labeller import LabelRequest, load
    from devise.model.typed import parse_labels

    if "" in paths:
        raise UsageError("a path is empty: give a photo or a folder, . is this one")
    if all_nouns and candidates not in ("all", "all-nouns"):
        raise UsageError(f"--all-nouns is a list of its own: leave out --candidates {candidates}")
    candidates = "all-nouns" if all_nouns else candidates
    typed = with_senses(parse_labels(*labels) if labels else (), sense or ())
    chosen = form.value if form else _form_of(output)
    if excel and chosen != Format.csv:
        raise UsageError("--excel is for CSV: give --format csv too")
    in_doubt = IN_DOUBT if sure is None and (sheet is not None or chosen == Format.table) else None
    request = LabelRequest(
        top, method.value, candidates, under, typed, parse_reject(reject), explain, sure, in_doubt, context
    )
    if chosen == Format.parquet:
        if sheet is not None or tree is not None:
            raise UsageError(
                "--format parquet is for very many photos and has no page: leave out --sheet and --tree, or take csv"
            )
        from devise.cli.label_parts import PartsJob, label_in_parts

        label_in_parts(
            load(model, fast=fast, prior=not no_prior),
            request,
            PartsJob(tuple(paths), output, ray, model),
            ready=partial(_ready, quiet=quiet),
        )
        return
    if ray:
        raise UsageError("--ray writes parts: give --format parquet --output FOLDER with it")
    _check_outputs(("--output", output, "labels.csv"), ("--sheet", sheet, "sheet.html"), ("--tree", tree, "names.svg"))
    loaded = load(model, fast=fast, prior=not no_prior)
    loaded.prepare()
    tally = Tally()

    def skip(path: Path) -> None:
        tally.skipped += 1

    run = _ready(loaded, request, quiet)
    run.prepare()
    with (
        open_tree(tree, loaded) as drawn,
        open_output(output, tally) as target,
        open_sheet(sheet, loaded, run) as shown,
    ):
        answers = _in_context(run, _found(paths, skip)) if context else _answers(loaded, run, _found(paths, skip))
        told = shown(drawn(answers))
        if chosen != Format.table and sure is None:
            told = (replace(answer, hedge=None) for answer in told)  # a name in doubt is for people
        write_answers(told, form_of(chosen, target.file, run.request, excel=excel), target, tally)
    for line in tally.lines():
        tell(line)
    if tally.failed or not tally.labelled:
        raise typer.Exit(1)


def _check_outputs(*asked: tuple[str, Path | None, str]) -> None:
    """UsageError if one cannot be written, or two are the same file. asked: option, path and a name that fits it."""
    from devise.cli.output import check_output

    before: dict[Path, str] = {}
    for option, path, example in asked:
        if path is None:
            continue
        check_output(path, option, example)
        other = before.setdefault(real_path(path), option)
        if other != option:
            raise UsageError(f"{other} and {option} are both {path}: give each a file of its own")


def _ready(model: "Model", request: "LabelRequest", quiet: bool) -> "LabelRun":
    """The request made ready; what the user should know of its labels is told."""
    from devise.cli.output import tell_notes
    from devise.model.candidates import OWN_CANDIDATES

    listed = request.candidates
    try:
        run = model.run(request)
    except DeviseError as error:
        if listed in OWN_CANDIDATES or listed in str(error):
            raise
        raise type(error)(f"with --candidates {listed}: {error}", hint=error.hint) from None
    tell_notes(() if quiet else run.notes)
    return run


def _answers(model: "Model", run: "LabelRun", pictures: "Iterable[Found]") -> "Iterator[Answer]":
    """Answers in order; scored in blocks, which is faster, that take no longer than a person likes to wait."""
    extracted = model.features(pictures)
    while block := list(_block(extracted)):
        yield from run.answers_of(block)


def _in_context(run: "LabelRun", pictures: "Iterable[Found]") -> "Iterator[Answer]":
    """Answers in order; all photos are read now, so that a refusal comes before anything is written."""
    from devise.cli.output import counting

    with counting("photos read") as advance:
        answers = run.answers(pictures, advance)
        first = tuple(islice(answers, 1))
    return _saying(first, answers)


def _saying(*runs: "Iterable[Answer]") -> "Iterator[Answer]":
    """Their answers; before the first photo that others helped, the user is told."""
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
    return ending if ending in Format.__members__ else "table"


def _found(paths: list[str], on_skip: Callable[[Path], None]) -> Iterator["Found"]:
    from devise.vision.folders import find_pictures

    listed = (path for argument in paths for path in (_stdin_paths() if argument == "-" else (argument,)))
    return find_pictures(
        (Path(path) for path in listed), on_skip, lambda folder: tell(f"{folder}: no picture in this folder")
    )


def _stdin_paths() -> Iterator[str]:
    """One path a line; separated by NUL bytes instead if there is one, as `find -print0` writes.

    A byte order mark is left out; lines may end in CR LF, or in CR where none ends in LF. UsageError for UTF-16.
    """
    if sys.stdin is None:
        raise DeviseError("standard input is closed, and - takes a list of paths from it")
    try:
        data = sys.stdin.buffer.read()
    except OSError as error:
        raise DeviseError(f"standard input cannot be read: {error.strerror}") from None
    if data.startswith(_PICTURE_STARTS):
        raise UsageError("- takes a list of paths, and standard input holds a picture: give its path instead")
    if not data.strip(b"\0\r\n\t "):
        tell("standard input: no path in it")
        return
    data = data[check_encoding(data, "standard input", UsageError) :]
    nul = b"\0" in data
    for line in data.split(b"\0" if nul else b"\n" if b"\n" in data else b"\r"):
        path = line if nul else line.rstrip(b"\r")
        if path.strip():
            text = path.decode("utf-8", "surrogateescape")
            yield text if nul else _called(text)


def _called(path: str) -> str:
    """The line itself if a file is called so; else what is in its quotes, or the name that our own CSV writes so."""
    quoted = len(path) > 2 and path[0] == path[-1] == '"'
    for form in (path, path[1:-1] if quoted else path, exact_name(cell_text(path))):
        if os.path.lexists(form):
            return form
    return path
