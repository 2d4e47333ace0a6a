"""The table of an evaluation as text cells and as Markdown."""

from devise.errors import counted
from devise.evaluation.protocol import EvaluationResult
from devise.tabletext import markdown_table

__all__ = ["caption", "cells", "markdown", "measure_cell"]


def cells(result: EvaluationResult, *, per_class: bool = False) -> tuple[tuple[str, ...], ...]:
    """The table as text, its header first: hit@k in percent with one decimal, hp@k as ".289", "-" for none.

    per_class: means over classes in place of means over images.
    """
    names = result.settings.measures
    rows = [("scorer", *names)]
    for row in result.rows:
        means = row.per_class if per_class else row.per_image
        rows.append((row.scorer, *(measure_cell(name, means[name]) for name in names)))
    return tuple(rows)


def markdown(result: EvaluationResult, *, per_class: bool = False) -> str:
    """Format a Markdown table with the evaluation's rules below it; ends with a newline."""
    return f"{markdown_table(cells(result, per_class=per_class))}\n{caption(result, per_class=per_class)}\n"


def caption(result: EvaluationResult, *, per_class: bool = False) -> str:
    """Describe the rules that the numbers depend on: hit@k in percent, hp@k in [0, 1]."""
    settings = result.settings
    facts = [
        f"{counted(result.images, 'image')} of {counted(result.classes, 'class')}",
        f"{counted(result.candidates, 'candidate label')}, {counted(result.trained, 'trained label')}",
        f"hit@k in percent, hp@k from 0 to 1, means over the {'classes' if per_class else 'images'}",
        settings.ties,
        settings.valid_labels,
        settings.label_policy,
        f"is-a graph {settings.graph[:12]}",
    ]
    if result.absent_images:
        facts.append(f"{settings.absent_truth} ({counted(result.absent_images, 'image')} without a right candidate)")
    if any(value is None for row in result.rows for value in row.per_image.values()):
        facts.append("- if there are fewer than k labels")
    return "; ".join(facts) + "."


def measure_cell(name: str, value: float | None) -> str:
    """Percent with one decimal for hits, one decimal for ranks, heights and bits, ".289" for the rest, "-" for none.

    >>> measure_cell("unseen hit@5", 0.168), measure_cell("hp@20", 0.3), measure_cell("rank mean", 12.34)
    ('16.8', '.300', '12.3')
    """
    if value is None:
        return "-"
    if "hit@" in name or name.startswith("right@"):
        return f"{100 * value:.1f}"
    if name.startswith(("rank", "lca", "bits@")):
        return f"{value:.1f}"
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.3f}"
