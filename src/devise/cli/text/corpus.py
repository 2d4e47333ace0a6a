"""devise text corpus: make one file of clean text from dumps, dictionaries and other texts."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from devise.cli.progress import progress
from devise.cli.terminal import tell
from devise.cli.text import text
from devise.errors import UsageError, counted

if TYPE_CHECKING:
    from rich.progress import Progress

    from devise.text.corpus import CorpusTally
    from devise.text.gathering import CorpusForm, GatherProgress

__all__ = ["corpus"]


@text.command(no_args_is_help=True)
def corpus(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCES...",
            help="FILE, FILE@3 (read three times), FILE@0.5 (every second document), FILE@lead=100 (the first 100 "
            "words of each document), FILE@3,lead=100. MediaWiki dumps (.xml), JSON lines (.jsonl), plain text (.txt), "
            "WordNet's folder; .bz2, .gz and .xz too.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="Corpus file to write: .txt (tokens) or .jsonl, optionally with .xz, .gz or .bz2."
        ),
    ],
    form: Annotated[
        Literal["tokens", "jsonl"] | None,
        typer.Option(
            "--format",
            help="tokens: one sentence per line, phrases joined. jsonl: title and text. [default: by the file's "
            "ending]",
        ),
    ] = None,
    phrases: Annotated[bool, typer.Option(help="Join the multi-word nouns of WordNet: snow_leopard.")] = True,
    phrase_list: Annotated[
        list[Path] | None, typer.Option("--phrase-list", help="File of more phrases to join, one per line.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Number of processes. [default: one per core]")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume an interrupted run.")] = False,
) -> None:
    """Write one clean corpus from many sources, in their order, on all cores.

    Each source is first written to a file of its own, in a folder next to the corpus (corpus.txt.parts). Ctrl-C, a
    damaged source and a full disk keep the sources that are complete.
    """
    from devise.text.corpus import parse_source
    from devise.text.gathering import GatherConfig, gather_corpus
    from devise.vision.pipeline import cores

    wanted = form or _form_of(out)
    config = GatherConfig(wanted, _phrases(wanted, phrases, phrase_list or []), workers or cores())
    try:
        with _progress() as shown:
            task = shown.add_task("", total=None, documents=0, speed="")

            def show(now: "GatherProgress") -> None:
                elapsed = shown.tasks[0].elapsed or 0
                speed = f"{(now.documents - now.resumed) / elapsed:,.0f}/s" if elapsed > 1 else ""
                shown.update(task, completed=now.read, total=now.total, documents=now.documents, speed=speed)

            tally = gather_corpus(
                [parse_source(source) for source in sources], out, config, resume=resume, on_progress=show
            )
    except KeyboardInterrupt as stop:
        for note in getattr(stop, "__notes__", ()):
            tell(note)
        raise
    for line in _facts(out, tally):
        print(line)


def _form_of(out: Path) -> "CorpusForm":
    from devise.text.streams import inner_suffix

    match inner_suffix(out):
        case ".txt":
            return "tokens"
        case ".jsonl":
            return "jsonl"
    raise UsageError(
        f"--out needs a name that ends in .txt or .jsonl, optionally followed by .xz, .gz or .bz2, got {out.name}"
    )


def _phrases(form: "CorpusForm", nouns: bool, lists: list[Path]) -> tuple[str, ...]:
    from devise.taxonomy.wordnet import default_taxonomy
    from devise.text.phrases import read_phrases

    if form == "jsonl":
        if lists:
            raise UsageError("--phrase-list needs --format tokens: JSON lines keep the text unchanged")
        return ()
    listed = [phrase for path in lists for phrase in read_phrases(path)]
    return (*(default_taxonomy().lemma_names() if nouns else ()), *listed)


def _progress() -> "Progress":
    from rich.progress import BarColumn, DownloadColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

    documents = TextColumn("{task.fields[documents]:,} documents {task.fields[speed]}")
    return progress(BarColumn(), TaskProgressColumn(), documents, DownloadColumn(), TimeRemainingColumn())


def _facts(out: Path, tally: "CorpusTally") -> Iterator[str]:
    words = (
        f" with {counted(tally.tokens, 'word')} in {counted(tally.sentences, 'sentence')}" if tally.sentences else ""
    )
    yield f"{out}: {counted(tally.documents, 'document')}{words}"
    if tally.pages:
        yield f"from {counted(tally.pages, 'page')} of dumps"
    reasons = {
        "redirects": tally.redirects,
        "pages of other namespaces": tally.other_namespaces,
        "pages that are not wikitext": tally.other_models,
        "pages that the parser gives up on": tally.unparsed,
        "documents without a word": tally.empty,
        "documents skipped by a weight": tally.passed_over,
    }
    left_out = ", ".join(f"{reason} {count:,}" for reason, count in reasons.items() if count)
    yield f"left out: {left_out or 'nothing'}"
