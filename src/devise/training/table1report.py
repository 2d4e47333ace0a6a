"""Table 1 as Markdown, LaTeX, CSV and JSON, with the paper's own rows."""

import json
from collections.abc import Iterator

from devise.errors import counted
from devise.tabletext import csv_text, markdown_table
from devise.training.table1 import MEASURES, Table1, TableRow

__all__ = ["PAPER", "as_csv", "as_json", "as_latex", "as_markdown", "ratios"]

PAPER: tuple[tuple[str, int | None, tuple[float, ...]], ...] = (
    ("Softmax", None, (55.6, 67.4, 78.5, 85.0, 0.452, 0.342, 0.313, 0.319)),
    ("DeViSE", 500, (53.2, 65.2, 76.7, 83.3, 0.447, 0.352, 0.331, 0.341)),
    ("DeViSE", 1000, (54.9, 66.9, 78.4, 85.0, 0.454, 0.351, 0.325, 0.331)),
    ("Random embeddings", 500, (52.4, 63.9, 74.8, 80.6, 0.428, 0.315, 0.271, 0.248)),
    ("Random embeddings", 1000, (50.5, 62.2, 74.2, 81.5, 0.418, 0.318, 0.290, 0.292)),
    ("Chance", None, (0.1, 0.2, 0.5, 1.0, 0.007, 0.013, 0.022, 0.042)),
)
"""Frome et al. 2013, table 1: ILSVRC-2012, 1000 classes; hit@k in per cent."""

_RATIOS = ("hit@1", "hit@10", "hp@20")


def as_markdown(table: Table1) -> str:
    """Two tables, ours with spreads and the paper's, and what was measured how."""
    head = ("model", "dim", *MEASURES)
    ours = [(row.name, str(row.dim or "-"), *(_cell(row, measure) for measure in MEASURES)) for row in table.rows]
    paper = [(name, str(dim or "-"), *map(_number, MEASURES, values)) for name, dim, values in PAPER]
    lines = [markdown_table([head, *ours]), _caption(table), "", "The paper's own rows (ImageNet, 1000 classes):", ""]
    lines += [markdown_table([head, *paper]), "Ratios to the softmax:", "", *_ratio_lines(table)]
    lines += ["", "Chosen on the photos held out (mean of hit@1 and hit@5 there):", "", *_chosen_lines(table)]
    return "\n".join(lines) + "\n"


def as_latex(table: Table1) -> str:
    """A tabular with both parts."""
    lines = [rf"\begin{{tabular}}{{lr{'r' * len(MEASURES)}}}", r"\hline"]
    lines += [f"Model & dim & {' & '.join(MEASURES)} \\\\", r"\hline"]
    for row in table.rows:
        cells = [_cell(row, measure).replace(" ± ", r" $\pm$ ") for measure in MEASURES]
        lines.append(f"{row.name} & {row.dim or '--'} & {' & '.join(cells)} \\\\")
    lines.append(r"\hline")
    for name, dim, values in PAPER:
        cells = list(map(_number, MEASURES, values))
        lines.append(f"{name} (paper) & {dim or '--'} & {' & '.join(cells)} \\\\")
    return "\n".join([*lines, r"\hline", r"\end{tabular}"]) + "\n"


def as_csv(table: Table1) -> str:
    """Format one row per model; hit@k in per cent as in the paper, a spread after each mean."""
    rows: list[list[object]] = [["source", "model", "dim", *(name for m in MEASURES for name in (m, f"{m} spread"))]]
    for row in table.rows:
        values = [value for m in MEASURES for value in (_values(row, m) if m in row.means else ("", ""))]
        rows.append(["here", row.name, row.dim or "", *values])
    for name, dim, figures in PAPER:
        rows.append(["paper", name, dim or "", *(value for figure in figures for value in (figure, ""))])
    return csv_text(rows)


def as_json(table: Table1) -> str:
    """Everything; measures in [0, 1]."""
    rows = [
        {
            "model": row.name,
            "dim": row.dim,
            "means": dict(row.means),
            "spreads": dict(row.spreads),
            "chosen": dict(row.chosen),
            "held_out": row.held_out,
        }
        for row in table.rows
    ]
    facts = {
        "train_photos": table.train_photos,
        "test_photos": table.test_photos,
        "classes": table.classes,
        "seeds": table.seeds,
        "epochs": table.epochs,
        "tried": table.tried,
        "graph": table.graph,
        "notes": list(table.notes),
    }
    return json.dumps({**facts, "rows": rows, "ratios": ratios(table)}, indent=1, sort_keys=True) + "\n"


def ratios(table: Table1) -> dict[str, dict[str, float]]:
    """Return hit@1, hit@10 and hp@20 relative to the softmax, for every row except softmax and chance."""
    softmax = next(row for row in table.rows if row.name == "Softmax")
    return {
        f"{row.name} {row.dim}": {
            measure: row.means[measure] / softmax.means[measure]
            for measure in _RATIOS
            if softmax.means.get(measure) and measure in row.means
        }
        for row in table.rows
        if row.dim is not None
    }


def _ratio_lines(table: Table1) -> Iterator[str]:
    for name, found in ratios(table).items():
        yield f"- {name}: " + ", ".join(f"{measure} {value:.3f}" for measure, value in found.items())
    yield from _against_random(table)


def _chosen_lines(table: Table1) -> Iterator[str]:
    for row in table.rows:
        if row.chosen and row.held_out is not None:
            settings = ", ".join(f"{key} {value}" for key, value in row.chosen.items())
            yield f"- {_named(row)}: {settings} ({row.held_out:.1f})"


def _against_random(table: Table1) -> Iterator[str]:
    """Compare word vectors with random ones of the same length, by hierarchical precision."""
    random = {row.dim: row.means for row in table.rows if row.name.startswith("Random")}
    for row in table.rows:
        if not row.name.startswith("DeViSE") or row.dim not in random:
            continue
        told = [measure for measure in MEASURES if measure.startswith("hp@") and measure in row.means]
        below = [measure for measure in told if row.means[measure] <= random[row.dim][measure]]
        found = f"not on {', '.join(below)}" if below else "on every hp@k"
        yield f"- {_named(row)} above random embeddings of its length: {found}"


def _named(row: TableRow) -> str:
    return f"{row.name} {row.dim or ''}".strip()


def _caption(table: Table1) -> str:
    facts = (
        f"{table.train_photos:,} training and {counted(table.test_photos, 'test photo')} of "
        f"{counted(table.classes, 'class')}",
        f"mean ± standard deviation over {table.seeds} seeds",
        f"{counted(table.epochs, 'epoch')} and {counted(table.tried, 'setting')} tried for every row",
        "hit@k in percent, hp@k from 0 to 1, correct sets among these classes",
        f"is-a graph {table.graph[:12]}",
        *table.notes,
    )
    return "; ".join(facts) + "."


def _cell(row: TableRow, measure: str) -> str:
    if measure not in row.means:
        return "-"
    mean, spread = _values(row, measure)
    return _number(measure, mean) if row.name == "Chance" else f"{_number(measure, mean)} ± {_number(measure, spread)}"


def _values(row: TableRow, measure: str) -> tuple[float, float]:
    scale = 100 if measure.startswith("hit@") else 1
    return scale * row.means[measure], scale * row.spreads[measure]


def _number(measure: str, value: float) -> str:
    return f"{value:.1f}" if measure.startswith("hit@") else f"{value:.3f}".removeprefix("0")
