"""Output formats of the photos found."""

import json
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.text import Text

from devise.cli.terminal import Stream, one_line
from devise.errors import counted
from devise.files import text_name
from devise.search.results import Hit, Hits, shown_score
from devise.search.search_quality import ORDERS, Quality
from devise.tabletext import csv_text, markdown_table

__all__ = ["quality", "written"]

_COLUMNS = ("rank", "score", "path", "id", "name")
_MEASURES = (
    *("ordered_by", "trained", "classes", "mean_average_precision", "precision_at_5", "precision_at_10"),
    *("found_of_the_right", "found_of_the_others"),
)
_QUALITY_HEAD = [
    *("ordered by", "classes", "mean average precision", "precision@5", "precision@10"),
    *("found of the right, %", "of the others, %"),
]


_KINDS = {True: " trained on", False: " others", None: ""}  # of classes; None: the model was trained on no labels


def written(found: Hits, form: str, stream: Stream, *, excel: bool = False) -> str:
    """Format the photos found (table, json, jsonl or csv) for this stream. excel: start CSV with a byte order mark."""
    if form == "table":
        return _table(found, stream)
    records = [_record(rank, hit) for rank, hit in enumerate(found.hits, start=1)]
    if form == "json":
        return json.dumps(records, indent=1) + "\n"
    if form == "jsonl":
        return "".join(json.dumps(record) + "\n" for record in records)
    rows = [[text_name(cell) if isinstance(cell, str) else cell for cell in record.values()] for record in records]
    return "\ufeff" * excel + csv_text([_COLUMNS, *rows])


def quality(found: Quality, form: str = "table", *, excel: bool = False) -> str:
    """Return how good a search is: a Markdown table, or its unrounded numbers as json, jsonl or csv.

    excel: see `written`.
    """
    rows = list(_quality_rows(found))
    if form == "json":
        return json.dumps({"photos": found.photos, "orders": rows}, indent=1) + "\n"
    if form == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows)
    if form == "csv":
        return "\ufeff" * excel + csv_text([_MEASURES, *(list(row.values()) for row in rows)])
    table = [_QUALITY_HEAD]
    for order, trained, classes, *means, kept, wrong in (row.values() for row in rows):
        group = f"{classes}{_KINDS[trained]}"
        table.append(
            [str(order), group, *(f"{one:.3f}" for one in means), *(f"{100 * one:.1f}" for one in (kept, wrong))]
        )
    return f"{markdown_table(table, left=2)}\n{counted(found.photos, 'photo')}, one word per class\n"


def _quality_rows(found: Quality) -> Iterator[dict[str, Any]]:
    """Yield the means of each order and group of classes under the names of `_MEASURES`."""
    for trained in _KINDS:
        for by in ORDERS:
            if (mean := found.mean(by, trained)) is not None:
                count = sum((row.trained, row.by) == (trained, by) for row in found.classes)
                means = (mean.average_precision, mean.precision_at_5, mean.precision_at_10)
                yield dict(zip(_MEASURES, (by, trained, count, *means, *found.found(by, trained)), strict=True))


def _record(rank: int, hit: Hit) -> dict[str, Any]:
    """Return rank, score and path; id and name of the photo's label."""
    return dict(zip(_COLUMNS, (rank, round(hit.score, 6), hit.path, hit.label.id, hit.label.name), strict=True))


def _table(found: Hits, stream: Stream) -> str:
    lines = [
        Text.assemble(
            f"{shown_score(hit.score):>8}  ",
            (one_line(text_name(hit.path)), "bold"),
            (f"  {one_line(hit.label.name)}", "dim"),
        )
        for hit in found.hits
    ]
    if not stream.isatty():
        return "".join(line.plain + "\n" for line in lines)
    console = Console(highlight=False)
    with console.capture() as shown:
        for line in lines:
            console.print(line, soft_wrap=True)
    return shown.get()
