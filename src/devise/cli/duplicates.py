"""devise duplicates: list near-duplicates in an index of photos, or move all but the largest away."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from devise.cli.app import app
from devise.cli.options import ExcelOption, MaxPixelsOption, check_excel
from devise.cli.progress import counting
from devise.cli.terminal import one_line, tell
from devise.errors import UsageError, counted
from devise.files import atomic_write, text_name
from devise.tabletext import csv_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devise.search.duplicates import Copy, Duplicates, Group
    from devise.search.photoindex import Problem

__all__ = ["duplicates"]


_Form = Literal["table", "json", "csv"]

_LISTED = 20  # problems by name
_COLUMNS = ("group", "keep", "similar", "same_bytes", "size", "path")


@app.command(no_args_is_help=True)
def duplicates(
    index: Annotated[Path, typer.Argument(metavar="INDEX", help="Folder made by devise index.")],
    similar: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Least similarity of two photos, from 0 to 1: the correlation of their small grey pictures. "
            "[default: 0.95]",
            show_default=False,
        ),
    ] = None,
    same_bytes: Annotated[
        bool, typer.Option("--same-bytes", help="Only group photos with the same bytes; no photo is opened.")
    ] = False,
    form: Annotated[
        _Form, typer.Option("--format", "-f", metavar="FORM", help="Output format: table, csv or json.")
    ] = "table",
    excel: ExcelOption = False,
    sheet: Annotated[
        Path | None,
        typer.Option("--sheet", metavar="FILE", help="Write a page of the groups: one self-contained HTML file."),
    ] = None,
    move: Annotated[
        Path | None,
        typer.Option(
            "--move",
            metavar="FOLDER",
            help="Move all photos but the largest of each group, with their sidecars, below this folder. Nothing is "
            "deleted or overwritten.",
        ),
    ] = None,
    max_pixels: MaxPixelsOption = None,
) -> None:
    """List near-duplicates: copies that are smaller, recompressed, cropped or brighter.

    The first photo of a group is the largest file; all others of the group are similar to it. Without --move, nothing
    is changed. Exits with 1 if a photo could not be compared or moved.
    """
    from devise.cli.output import check_output
    from devise.pages.contact_sheet import duplicate_sheet
    from devise.search.duplicates import LEAST_SIMILAR, find_duplicates, forget_moved, move_copies

    check_excel(excel, form)
    if same_bytes and similar is not None:
        raise UsageError("--same-bytes compares no pictures: leave out --similar")
    if sheet is not None:
        check_output(sheet, "--sheet", "sheet.html")
    if move is not None and os.path.lexists(move) and not move.is_dir():
        raise UsageError(f"--move needs a folder, but {move} is a file")
    if move is not None and (count := forget_moved(index, move)):
        tell(f"{counted(count, 'photo')} that a stopped run had moved left the index")
    with counting("photos compared") as advance:
        found = find_duplicates(
            index,
            similar=LEAST_SIMILAR if similar is None else similar,
            same_bytes=same_bytes,
            outside=move,
            on_photo=advance,
        )
    sys.stdout.write(_written(found, form, excel=excel))
    _report(found.problems)
    if sheet is not None:
        with atomic_write(sheet) as file:
            file.writelines(duplicate_sheet(found))
        tell(f"page of {counted(len(found.groups), 'group')}: {sheet.absolute()}")
    if found.left_out:
        tell(f"{counted(found.left_out, 'photo')} of the index left out: below {move}")
    tell(_summary(found))
    failed = bool(found.problems)
    if move is not None and found.groups:
        done = move_copies(index, found, move)
        _report(done.problems)
        tell(f"moved to {move}: {counted(done.photos, 'photo')}, {counted(done.sidecars, 'sidecar')}")
        failed |= bool(done.problems)
    if failed:
        raise typer.Exit(1)


def _report(problems: "Sequence[Problem]") -> None:
    for problem in problems[:_LISTED]:
        tell(f"{problem.path}: {problem.reason}")
    if len(problems) > _LISTED:
        tell(f"and {counted(len(problems) - _LISTED, 'photo')} more like these")


def _summary(found: "Duplicates") -> str:
    copies = [copy for group in found.groups for copy in group.copies]
    size = sum(copy.fact.size for copy in copies)
    return (
        f"{counted(found.photos, 'photo')}: {counted(len(found.groups), 'group')} of near-duplicates, with "
        f"{counted(len(copies), 'photo')} ({size / 1e6:,.1f} MB) next to the largest"
    )


def _written(found: "Duplicates", form: _Form, *, excel: bool) -> str:
    if form == "json":
        return json.dumps([_record(group) for group in found.groups], indent=1) + "\n"
    if form == "csv":
        rows = [_COLUMNS, *(row for number, group in enumerate(found.groups, start=1) for row in _rows(number, group))]
        return "\ufeff" * excel + csv_text(rows)
    return "\n".join("".join(f"{line}\n" for line in _lines(group)) for group in found.groups)


def _record(group: "Group") -> dict[str, object]:
    return {
        "keep": {"path": group.kept.path, "size": group.kept.size},
        "copies": [
            {
                "path": copy.fact.path,
                "size": copy.fact.size,
                "similar": round(copy.similar, 4),
                "same_bytes": copy.same_bytes,
            }
            for copy in group.copies
        ],
    }


def _rows(number: int, group: "Group") -> list[tuple[object, ...]]:
    kept = (number, "yes", "", "", group.kept.size, text_name(group.kept.path))
    return [kept, *((number, "no", *_how(copy), copy.fact.size, text_name(copy.fact.path)) for copy in group.copies)]


def _how(copy: "Copy") -> tuple[str, str]:
    return f"{copy.similar:.4f}", "yes" if copy.same_bytes else "no"


def _lines(group: "Group") -> list[str]:
    kept = f"keep        {group.kept.size / 1e6:8.2f} MB  {one_line(text_name(group.kept.path))}"
    return [
        kept,
        *(
            f"{'same bytes' if copy.same_bytes else f'{copy.similar:.3f}':<10}  {copy.fact.size / 1e6:8.2f} MB  "
            f"{one_line(text_name(copy.fact.path))}"
            for copy in group.copies
        ),
    ]
