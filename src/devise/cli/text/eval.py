"""devise text eval: measure how well word vectors agree with people."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from devise.cli.options import OnBadOption
from devise.cli.terminal import tell
from devise.cli.text import text
from devise.errors import UsageError, counted

if TYPE_CHECKING:
    from devise.text.similarity import AnalogyResult, PairsResult

__all__ = ["evaluate"]


@text.command("eval", no_args_is_help=True)
def evaluate(
    vectors: Annotated[Path, typer.Argument(metavar="VECTORS", help="Word vectors: .safetensors, .bin, .vec or .txt.")],
    pairs: Annotated[
        list[Path] | None,
        typer.Option(help="File with two words and a human score per line; may be repeated.", show_default=False),
    ] = None,
    analogies: Annotated[
        Path | None,
        typer.Option(
            help="File with four words per line, and sections that start with ':' (questions-words.txt).",
            show_default=False,
        ),
    ] = None,
    most_words: Annotated[
        int | None,
        typer.Option(help="Search analogies only among this many first words. [default: all]", show_default=False),
    ] = None,
    on_bad: OnBadOption = "error",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure word vectors: Spearman's correlation with human word similarity, and the share of analogies solved.

    Only pairs and analogies whose words all have a vector are measured; coverage is their share.

    Example: devise text eval vectors.safetensors --pairs EN-MEN-TR-3k.txt --analogies questions-words.txt
    """
    from devise.text.similarity import judge_analogies, judge_pairs, read_analogies, read_pairs
    from devise.text.vectorfiles import read_vectors

    if not pairs and analogies is None:
        raise UsageError("nothing to measure: give --pairs FILE or --analogies FILE")
    if most_words is not None and most_words < 1:
        raise UsageError(f"--most-words must be at least 1, got {most_words}")
    sets = [(path.stem, read_pairs(path)) for path in pairs or ()]
    questions = read_analogies(analogies) if analogies is not None else ()
    table = read_vectors(vectors, on_bad=on_bad)
    for note in table.notes:
        tell(note)
    judged = [(name, judge_pairs(table, one)) for name, one in sets]
    solved = judge_analogies(table, questions, most_words=most_words) if questions else ()
    if as_json:
        print(json.dumps(_record(len(table), table.dim, judged, solved), indent=1))
    else:
        print(f"{counted(len(table), 'word')} of {counted(table.dim, 'number')}")
        _print(judged, solved)


def _record(
    words: int, dim: int, judged: "Sequence[tuple[str, PairsResult]]", solved: "Sequence[AnalogyResult]"
) -> dict[str, Any]:
    return {
        "words": words,
        "dim": dim,
        "pairs": [
            {
                "set": name,
                "pairs": one.pairs,
                "covered": one.covered,
                "coverage": one.coverage,
                "spearman": one.spearman,
            }
            for name, one in judged
        ],
        "analogies": [
            {
                "section": one.section,
                "analogies": one.analogies,
                "covered": one.covered,
                "coverage": one.coverage,
                "right": one.right,
                "accuracy": one.accuracy,
            }
            for one in solved
        ],
    }


def _print(judged: "Sequence[tuple[str, PairsResult]]", solved: "Sequence[AnalogyResult]") -> None:
    from devise.cli.evaluation_output import print_rows

    if judged:
        rows = [
            (name, "-" if of.spearman is None else f"{of.spearman:.3f}", f"{of.covered} of {of.pairs}", _share(of))
            for name, of in judged
        ]
        print_rows([("word pairs", "Spearman", "measured", "coverage"), *rows])
    if solved:
        lines = [
            (
                one.section,
                "-" if one.accuracy is None else f"{100 * one.accuracy:.1f} %",
                f"{one.covered} of {one.analogies}",
                _share(one),
            )
            for one in solved
        ]
        print_rows([("analogies", "right", "measured", "coverage"), *lines])


def _share(of: "PairsResult | AnalogyResult") -> str:
    return f"{100 * of.coverage:.1f} %"
