"""The printout of devise evaluate: tables, plain or Markdown, and the facts needed to read them."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from devise.errors import counted
from devise.evaluation.hedging import hedging_cells
from devise.evaluation.tables import caption, cells, measure_cell
from devise.tabletext import markdown_table

if TYPE_CHECKING:
    from devise.evaluation.evaluate import Evaluation
    from devise.evaluation.statistics import Measured

__all__ = ["HEDGING_TITLE", "Rows", "interval_cells", "print_evaluation", "print_rows"]

HEDGING_TITLE = "most informative name that reaches each threshold: percent right at mean bits, over photos"
"""Title of the table of `hedging_cells`."""

Rows = Sequence[Sequence[str]]
"""Cells, the header first."""


def print_evaluation(found: "Evaluation", *, markdown: bool, per_class: bool, measures: bool) -> None:
    """Print the tables, then the facts once."""
    tables: dict[str, Rows] = {"": cells(found.result, per_class=per_class)}
    if found.generalised is not None:
        tables["trained classes"] = cells(found.generalised.seen, per_class=per_class)
        tables["other classes"] = cells(found.generalised.unseen, per_class=per_class)
        tables["harmonic mean of the two"] = _harmonic_cells(found.generalised.harmonic())
    if measures:
        of = found.summary.class_means if per_class else found.summary.measures
        over = "classes" if per_class else "photos"
        tables[f"all metrics over {over}, with 95 % intervals"] = interval_cells(of, per_class=per_class)
        if found.summary.hedging:
            tables[HEDGING_TITLE] = hedging_cells(found.summary.hedging)
    for title, rows in tables.items():
        print(f"\n{title}" + "\n" * markdown if title else "", end="\n" * bool(title))
        print_rows(rows, markdown=markdown)
    if markdown:
        print(f"\n{caption(found.result, per_class=per_class)}")
    for line in _facts(found, brief=markdown):
        print(line)


def print_rows(rows: Rows, *, markdown: bool = False, left: int = 1) -> None:
    """Print a table with its first columns aligned left and the others right."""
    if markdown:
        print(markdown_table(rows, left=left), end="")
        return
    table = Table(box=None, pad_edge=False)
    for number, head in enumerate(rows[0]):
        table.add_column(head, justify="left" if number < left else "right", no_wrap=True)
    for row in rows[1:]:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 200, highlight=False, markup=False).print(table)


def interval_cells(measures: Mapping[str, Mapping[str, "Measured"]], *, per_class: bool = False) -> Rows:
    """Return one row per metric and one column per scorer: the value, then its interval."""
    names = dict.fromkeys(measure for row in measures.values() for measure in row)
    body = [[name, *(_interval_cell(name, row.get(name), per_class) for row in measures.values())] for name in names]
    return [["measure", *measures], *body]


def _interval_cell(name: str, of: "Measured | None", per_class: bool) -> str:
    if of is None:
        return "-"
    end = of.classes if per_class else of.images
    value = measure_cell(name, of.value)
    return value if end is None else f"{value} [{measure_cell(name, end[0])} {measure_cell(name, end[1])}]"


def _harmonic_cells(rows: Sequence[Mapping[str, Any]]) -> Rows:
    heads = list(rows[0])
    return [heads, *([row["scorer"], *(measure_cell(head, row[head]) for head in heads[1:])] for row in rows)]


def _facts(found: "Evaluation", *, brief: bool) -> Iterator[str]:
    """brief: leaves out what the caption says."""
    result, settings = found.result, found.result.settings
    trained = f", {counted(result.trained, 'trained label')}" if result.trained else ""
    if not brief:
        yield (
            f"\n{counted(result.images, 'photo')}, {counted(result.classes, 'class')}, "
            f"{counted(result.candidates, 'candidate')}" + trained
        )
        if result.absent_images:
            yield (
                f"{counted(result.absent_images, 'photo')} of {counted(result.absent_classes, 'class')} "
                "without a right candidate: misses"
            )
    else:
        yield ""
    if truth := found.record.facts.get("truth"):
        yield f"truth: {truth}"
    yield f"candidates: {found.protocol}"
    yield f"vectors of the candidates by source: {_counts(found.coverage)}"
    if result.trained and all(row.scorer != "random" for row in result.rows):
        yield "no row for random embeddings: this model has no map for them"
    for row, what in found.transductive.items():
        yield f"{row} is transductive: {what}; the other rows score each photo alone"
    yield f"left out: {_counts(found.skipped) or 'nothing'}"
    softmax = "the softmax ranks the trained labels among the candidates, or all trained labels if there are none"
    rules = [softmax] if result.trained else []
    if not brief:
        rules = [settings.label_policy, settings.valid_labels, settings.ties, *rules]
        rules.append(f"is-a graph {settings.graph[:12]}")
    if rules:
        yield "; ".join(rules)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
