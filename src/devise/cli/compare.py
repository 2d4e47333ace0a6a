"""devise compare: compare two evaluations of the same photos."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devise.cli.app import app
from devise.cli.options import check_place
from devise.cli.terminal import one_line
from devise.errors import UsageError, counted

if TYPE_CHECKING:
    from devise.evaluation.compare import Change, Comparison, Difference
    from devise.taxonomy.wordnet import Taxonomy

__all__ = ["compare", "signed"]


@app.command(no_args_is_help=True)
def compare(
    first: Annotated[Path, typer.Argument(metavar="FIRST", help="Record written by devise evaluate --images.")],
    second: Annotated[Path, typer.Argument(metavar="SECOND", help="The same for another model or version.")],
    scorer: Annotated[str | None, typer.Option(help="Compare only this scorer. [default: all]")] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="With --scorer: the scorer of SECOND to compare with. [default: the same]", show_default=False
        ),
    ] = None,
    show: Annotated[int, typer.Option(help="Photos printed per kind of change.", min=0)] = 5,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write differences and all changed photos to this file.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print tables as Markdown.")] = False,
) -> None:
    """Print the difference of SECOND from FIRST per metric, with paired 95 % intervals, and the changed photos.

    Both records must have the same photos, true labels, candidates and trained labels.
    """
    from devise.cli.evaluation_output import HEDGING_TITLE, print_rows
    from devise.evaluation.compare import compare_records
    from devise.evaluation.hedging import hedging_cells
    from devise.evaluation.record import read_record
    from devise.evaluation.summary import absent_measures
    from devise.files import write_json
    from devise.taxonomy.wordnet import default_taxonomy

    if against is not None and scorer is None:
        raise UsageError("--against needs --scorer: it names the scorer of SECOND to compare --scorer with")
    check_place("--json", json_file)
    taxonomy = default_taxonomy()
    records = read_record(first), read_record(second)
    found = compare_records(*records, taxonomy, scorer=scorer, against=against)
    for path, record in zip((first, second), records, strict=True):
        if absent := absent_measures(record):
            print(one_line(f"{path}: {absent}"), file=sys.stderr)
    for one in found:
        title = one.first if one.first == one.second else f"{one.first} and {one.second}"
        print(
            f"{title}: {counted(one.images, 'photo')}; * marks a difference whose interval over photos leaves out 0\n"
        )
        print_rows(_cells(one), markdown=markdown)
        if one.hedging is not None:
            print(f"\n{HEDGING_TITLE}" + "\n" * markdown)
            print_rows(hedging_cells(dict(zip(("first", "second"), one.hedging, strict=True))), markdown=markdown)
        for kind in ("gained", "lost", "moved"):
            _print_changes(kind, getattr(one, kind), show, taxonomy)
        print()
    if json_file is not None:
        write_json(json_file, [asdict(one) for one in found])


def _cells(one: "Comparison") -> Sequence[Sequence[str]]:
    head = ("measure", "first", "second", "difference", "95 % over photos", "95 % over classes", "")
    return [head, *(_row(name, of) for name, of in one.differences.items())]


def _row(name: str, of: "Difference") -> Sequence[str]:
    from devise.evaluation.tables import measure_cell

    ends = [
        "-" if end is None else f"{signed(name, end[0])} to {signed(name, end[1])}"
        for end in (of.change.images, of.change.classes)
    ]
    over = of.change.images
    sure = over is not None and (over[0] > 0 or over[1] < 0)
    values = measure_cell(name, of.first), measure_cell(name, of.second), signed(name, of.change.value)
    return (name, *values, *ends, "*" if sure else "")


def signed(name: str, value: float | None) -> str:
    """Format a difference with its sign; what rounds to zero has no minus."""
    from devise.evaluation.tables import measure_cell

    if value is None:
        return "-"
    digits = measure_cell(name, abs(value))
    return ("-" if value < 0 and any(one in digits for one in "123456789") else "+") + digits


def _print_changes(kind: str, changes: "Sequence[Change]", show: int, taxonomy: "Taxonomy") -> None:
    words = {
        "gained": "right only in the second",
        "lost": "right only in the first",
        "moved": "wrong in both, with another first label",
    }
    print(f"{kind}: {counted(len(changes), 'photo')} {words[kind]}")
    for change in changes[:show]:
        names = [taxonomy.synset(one).name if one in taxonomy else one for one in (change.first, change.second)]
        print(one_line(f"  {change.image}: {names[0]} -> {names[1]}"))
