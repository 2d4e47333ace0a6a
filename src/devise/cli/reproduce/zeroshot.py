"""devise reproduce zeroshot: print the paper's zero-shot tables for folders of photos."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devise.cli.options import ExcelOption, ModelOption, check_place
from devise.cli.progress import showing
from devise.cli.reproduce import reproduce
from devise.cli.terminal import tell
from devise.errors import UsageError

if TYPE_CHECKING:
    from devise.evaluation.zeroshot import ZeroShotTables

__all__ = ["zeroshot"]


@reproduce.command(no_args_is_help=True)
def zeroshot(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDERS...", help="Folders of class folders, each named by a synset id (n02084071)."),
    ],
    splits: Annotated[
        Path, typer.Option(help='JSON file of the published class lists: an object with "3-hops" and "all".')
    ],
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the tables to this file; equal runs give equal bytes.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables as Markdown.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print the tables as LaTeX.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print the tables as CSV.")] = False,
    excel: ExcelOption = False,
    model: ModelOption = None,
) -> None:
    """Print the paper's zero-shot tables: 3-hop and ImageNet 21k, flat hit@k and hierarchical precision@k.

    The first table has only unseen candidates, the second the trained labels too. If there are photos of trained
    classes, a third table has both sides. The paper's rows are printed next to these. Exits with 1 if a photo could
    not be read.
    """
    from devise.evaluation.zeroshot import reproduce_zero_shot
    from devise.files import write_json
    from devise.model.labeller import load

    if markdown + latex + csv > 1:
        raise UsageError("--markdown, --latex and --csv exclude each other: give one of them")
    if excel and not csv:
        raise UsageError("--excel is for CSV: give --csv too")
    check_place("--json", json_file)
    with showing() as bar:
        found = reproduce_zero_shot(load(model), folders, splits, on_progress=bar.at)
    for problem in found.problems:
        tell(problem)
    print("\ufeff" * excel, end="")
    _print(found, "markdown" if markdown else "latex" if latex else "csv" if csv else "table")
    if json_file is not None:
        write_json(json_file, found.to_dict())
    if found.problems:
        raise typer.Exit(1)


def _print(found: "ZeroShotTables", form: str) -> None:
    from devise.cli.evaluation_output import print_rows
    from devise.evaluation.zeroshot import generalised_cells, zero_shot_cells
    from devise.tabletext import as_latex, csv_text

    tables: dict[str, tuple[Sequence[Sequence[str]], int]] = {
        "Zero-shot: unseen labels are the candidates": (zero_shot_cells(found.zero_shot), 3),
        "The trained labels are candidates too": (zero_shot_cells(found.with_trained), 3),
    }
    if found.generalised:
        tables["Both sides, the trained labels among the candidates"] = (generalised_cells(found.generalised), 2)
    for number, (title, (rows, left)) in enumerate(tables.items()):
        if form == "latex":
            print(as_latex(rows, f"{title}. {found.caption}", left=left))
        elif form == "csv":
            print("\n" * (number > 0) + csv_text([[title], *rows, [found.caption]]), end="")
        else:
            print(f"{title}\n")
            print_rows(rows, markdown=form == "markdown", left=left)
            print()
    read = form in ("table", "markdown")
    if read:
        print(found.caption)
    for protocol, reasons in found.skipped.items():
        if reasons:
            counts = ", ".join(f"{reason} {count}" for reason, count in reasons.items())
            print(f"left out of {protocol}: {counts}", file=sys.stdout if read else sys.stderr)
