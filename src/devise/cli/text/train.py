"""devise text train: train word vectors on text."""

import math
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devise.cli.terminal import tell
from devise.cli.text import text
from devise.errors import UsageError, counted

if TYPE_CHECKING:
    from devise.text.corpus import CorpusTally
    from devise.text.skipgram import ProgressCallback, SkipGramOutcome, SkipGramProgress

__all__ = ["train"]

_SETTINGS = re.compile(r"\b(dim|window|epochs|min_count|max_words|sample|hs|negative|threads|seed)\b")


@text.command(no_args_is_help=True)
def train(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILES...",
            help="Text: .jsonl (title and text) or .txt (one document per line), both also as .gz, .xz or .bz2; "
            "WordNet's folder.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for vectors.safetensors, training.json and checkpoints.")],
    dim: Annotated[int, typer.Option(help="Dimensions of the vectors.")] = 300,
    window: Annotated[int, typer.Option(help="Largest window: words on each side that a word predicts.")] = 20,
    hs: Annotated[
        bool | None,
        typer.Option(
            "--hs/--no-hs", help="Hierarchical softmax. [default: yes, unless --negative]", show_default=False
        ),
    ] = None,
    negative: Annotated[int, typer.Option(help="Noise words per word (negative sampling); 0 for none.")] = 0,
    epochs: Annotated[int, typer.Option(help="Passes over the text.")] = 5,
    min_count: Annotated[int, typer.Option(help="Smallest count of a word that gets a vector.")] = 2,
    max_words: Annotated[
        int | None,
        typer.Option(help="Largest vocabulary; the rarest words are dropped. [default: all]", show_default=False),
    ] = None,
    sample: Annotated[
        float, typer.Option(help="Threshold frequency above which words are subsampled; 0 never.")
    ] = 1e-3,
    threads: Annotated[
        int | None,
        typer.Option(help="Threads; 1 makes runs reproducible. [default: all cores]", show_default=False),
    ] = None,
    alpha: Annotated[float, typer.Option(help="Initial learning rate; it falls linearly to 0.0001.")] = 0.025,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 1,
    tokenised: Annotated[bool, typer.Option("--tokenised", help="FILES contain tokens separated by spaces.")] = False,
    phrases: Annotated[
        bool | None,
        typer.Option(
            "--phrases/--no-phrases",
            help="Join WordNet's multi-word nouns into one word. [default: yes, unless --tokenised]",
            show_default=False,
        ),
    ] = None,
    phrase_list: Annotated[
        Path | None, typer.Option(help="File of more phrases to join, one per line.", show_default=False)
    ] = None,
    sense_tags: Annotated[
        bool,
        typer.Option(
            "--sense-tags", help="Add a token per noun synset in WordNet's glosses, for the policy sense-tagged."
        ),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume from the last checkpoint in --out, or start.")
    ] = False,
    every: Annotated[float, typer.Option("--checkpoint-every", help="Seconds between checkpoints.")] = 300.0,
) -> None:
    """Train skip-gram word vectors. After a stop, --resume continues from the last checkpoint.

    Example: devise text train articles.jsonl.xz --out vectors --dim 500 --epochs 1
    """
    from devise.text.corpus import CorpusTally, TextFiles
    from devise.text.skipgram import VECTORS, SkipGramConfig, train_in_folder
    from devise.vision.pipeline import cores

    if not every > 0:
        raise UsageError(f"--checkpoint-every must be above 0, got {every:g}")
    if not 0 <= alpha < math.inf:
        raise UsageError(f"--alpha must be at least 0 and finite, got {alpha:g}")
    try:
        config = SkipGramConfig(
            dim=dim,
            window=window,
            epochs=epochs,
            min_count=min_count,
            sample=sample,
            hierarchical_softmax=negative == 0 if hs is None else hs,
            negative=negative,
            threads=cores() if threads is None else threads,
            seed=seed,
            alpha=alpha,
            min_alpha=min(alpha, 1e-4),
            max_words=max_words,
        )
    except UsageError as error:
        raise UsageError(_in_options(str(error))) from None
    joined = _phrases(not tokenised if phrases is None else phrases, phrase_list)
    texts = TextFiles(tuple(files), tokenised, joined, sense_tags)
    texts.check()
    tally = CorpusTally()
    with _shown() as progress:
        outcome = train_in_folder(
            lambda: texts.sentences(tally),
            config,
            out,
            text=texts.hashes(),
            resume=resume,
            every=every,
            progress=progress,
        )
    for line in _facts(outcome, tally):
        tell(line)
    print(out / VECTORS)


def _in_options(message: str) -> str:
    """Write the settings in an error as options of this command.

    >>> _in_options("min_count must be at least 1, got 0")
    '--min-count must be at least 1, got 0'
    """
    return _SETTINGS.sub(lambda found: "--" + found[0].replace("_", "-"), message.replace("hierarchical_softmax", "hs"))


def _phrases(nouns: bool, file: Path | None) -> tuple[str, ...] | None:
    from devise.taxonomy.wordnet import Taxonomy
    from devise.text.phrases import read_phrases

    if not nouns and file is None:
        return None
    return (*(Taxonomy.load().lemma_names() if nouns else ()), *(read_phrases(file) if file is not None else ()))


@contextmanager
def _shown() -> Iterator["ProgressCallback | None"]:
    """Show words per second, loss and time left on a terminal; None without one."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[facts]}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("counting", total=None, facts="")
        clock = _Clock()

        def show(report: "SkipGramProgress") -> None:
            if report.total is None:
                bar.update(task, facts=f"{report.tokens:,} words")
                return
            done = (report.epoch - 1) * report.total + report.tokens
            loss = "" if report.loss is None else f", loss {report.loss:.2f}"
            bar.update(
                task,
                description=f"pass {report.epoch} of {report.epochs}",
                total=report.total * report.epochs,
                completed=done,
                facts=f"{clock.speed(done):,.0f} words/s{loss}",
            )

        yield show


class _Clock:
    """Words per second since the first report of this process."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None

    def speed(self, done: int) -> float:
        now = time.monotonic()
        if self._first is None:
            self._first = (now, done)
        since, before = self._first
        return (done - before) / (now - since) if now > since else 0.0


def _facts(outcome: "SkipGramOutcome", tally: "CorpusTally") -> Iterator[str]:
    resumed = f"; resumed at {100 * outcome.resumed_at:.0f} %" if outcome.resumed_at else ""
    loss = "" if outcome.loss is None else f", loss {outcome.loss:.3f}"
    yield (
        f"{counted(outcome.words, 'vector')} from a text of {counted(outcome.tokens, 'word')}{loss}, "
        f"{outcome.seconds:.0f} s{resumed}"
    )
    if outcome.rare_tokens:
        yield f"left out: {counted(outcome.rare_tokens, 'occurrence')} of rare words"
    if outcome.forgotten:
        yield f"{outcome.forgotten:,} of these are of words dropped while counting: too many different words"
    if tally.empty:
        yield f"{counted(tally.empty, 'document')} without a word"
