"""devise label: name what is in photos."""

import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devise.cli.app import app
from devise.cli.options import ModelOption

if TYPE_CHECKING:
    from devise.vision.folders import Found

__all__ = ["label"]


class Format(StrEnum):
    """How answers are written."""

    table = "table"
    json = "json"
    jsonl = "jsonl"
    csv = "csv"


class MethodName(StrEnum):
    """How pictures and labels are joined."""

    fused = "fused"
    devise = "devise"
    conse = "conse"
    softmax = "softmax"


@app.command(no_args_is_help=True)
def label(
    paths: Annotated[
        list[str],
        typer.Argument(help="Photos and folders (with all folders in them); - reads a list of paths from stdin."),
    ],
    top: Annotated[int, typer.Option("--top", "-k", help="Guesses for each photo.")] = 5,
    method: Annotated[MethodName, typer.Option(help="How pictures and labels are joined.")] = MethodName.fused,
    candidates: Annotated[
        str,
        typer.Option(
            help="Which labels compete: all, seen (trained on), unseen, typed (only --labels), or a file: one synset "
            "id, name or 'name: definition' a line, or FILE.json#KEY."
        ),
    ] = "all",
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--labels", "-l", help="Labels to add: 'kick scooter, zedonk: offspring of a zebra and a donkey'."
        ),
    ] = None,
    under: Annotated[
        str | None, typer.Option(help="Only labels below this one in WordNet, such as 'musical instrument'.")
    ] = None,
    reject: Annotated[
        float, typer.Option(help="Say 'none of these' when the best score is below this (0 to 1).")
    ] = 0.0,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Add path, gloss, source of the vector and what a guess leans on."),
    ] = False,
    form: Annotated[
        Format | None,
        typer.Option(
            "--format",
            "-f",
            help="[default: table; csv, json or jsonl by the ending of --output]",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write answers here instead, whole or not at all.")
    ] = None,
    model: ModelOption = None,
) -> None:
    """Name what is in photos.

    Exits with 1 if any photo could not be read; the others are still labelled.
    """
    from devise.cli.output import Formatter, open_output
    from devise.labeller.model import LabelRequest, load
    from devise.labeller.typed import parse_labels

    typed = parse_labels(*labels) if labels else ()
    request = LabelRequest(top, method.value, candidates, under, typed, reject, explain)
    run = load(model).run(request)
    for note in run.notes:
        print(f"devise: {note}", file=sys.stderr)
    chosen = form.value if form else _form_of(output)
    with open_output(output) as target:
        writer = Formatter.of(chosen, target, request, run)
        tally = writer.write(run.answers(_found(paths, writer.skip)))
    for line in tally.lines():
        print(f"devise: {line}", file=sys.stderr)
    if tally.failed or not tally.labelled:
        raise typer.Exit(1)


def _form_of(output: Path | None) -> str:
    ending = output.suffix.lstrip(".").lower() if output else ""
    return ending if ending in Format.__members__ else "table"


def _found(paths: list[str], on_skip: Callable[[Path], None]) -> Iterator["Found"]:
    from devise.vision.folders import find_pictures

    listed = (path for argument in paths for path in (_stdin_paths() if argument == "-" else (argument,)))
    return find_pictures((Path(path) for path in listed), on_skip)


def _stdin_paths() -> Iterator[str]:
    """One path a line; parted by zero bytes instead if there is one, as `find -print0` writes."""
    data = sys.stdin.buffer.read()
    separator = b"\0" if b"\0" in data else b"\n"
    for line in data.split(separator):
        if line.strip():
            yield line.rstrip(b"\r").decode("utf-8", "surrogateescape")
