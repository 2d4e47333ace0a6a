"""devise also: add another zero-shot model to an evaluation, on the same photos."""

from pathlib import Path
from typing import Annotated

import typer

from devise.cli.app import app
from devise.cli.options import check_place
from devise.cli.progress import showing
from devise.errors import UsageError

__all__ = ["also"]


@app.command(no_args_is_help=True)
def also(
    record_file: Annotated[
        Path, typer.Argument(metavar="RECORD", help="Record written by devise evaluate --images FILE.")
    ],
    scorers: Annotated[
        list[str],
        typer.Option(
            "--scorer",
            help="NAME=MODULE:ATTRIBUTE or NAME=FILE.py:ATTRIBUTE, an object with scores(pictures, names). Its code "
            "is run. Repeat for several scorers.",
        ),
    ],
    photos: Annotated[list[Path], typer.Option("--photos", help="Folder that was evaluated.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Output file: the record with the new rows.")],
) -> None:
    """Score the same photos and candidates with other models, and add the rows to the record.

    devise report and devise compare read the new record like the old one.
    """
    from devise.cli.evaluation_output import print_rows
    from devise.evaluation.adapters import load_adapter, with_others
    from devise.evaluation.record import read_record, write_record
    from devise.evaluation.tables import caption, cells, evaluate_record
    from devise.pages.frame import printable
    from devise.pages.report.measured import finder
    from devise.taxonomy.wordnet import default_taxonomy

    check_place("--out", out)
    named = [one.partition("=") for one in scorers]
    if wrong := next((one for one, (name, _, spec) in zip(scorers, named, strict=True) if not (name and spec)), None):
        raise UsageError(f"--scorer needs NAME=MODULE:ATTRIBUTE, got {wrong!r}")
    if len({name for name, _, _ in named}) < len(named):
        raise UsageError("two scorers have the same name: give each its own name")
    find, record, taxonomy = finder(photos), read_record(record_file), default_taxonomy()
    others = {name: load_adapter(spec) for name, _, spec in named}
    with showing(total=len(record.images)) as bar:
        made = with_others(record, others, taxonomy, find, on_photo=bar.step)
    write_record(made, out)
    table = evaluate_record(made, taxonomy)
    print_rows(cells(table))
    print(f"\n{caption(table)}\n{printable(str(out))}: {len(made.scorers)} scorers")
