"""One corpus file from many sources, on all cores, in the order of the sources; can be resumed."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from devise.errors import DeviseError, TextError, UsageError, counted
from devise.text.batches import Batch, BatchReader, GatherTally, Place
from devise.text.corpus import CorpusSource, cut, document_tokens, lead_of
from devise.text.documents import Document
from devise.text.mediawiki import Page, clean_page
from devise.text.partialfile import PartialFile
from devise.text.phrases import PhraseJoiner
from devise.text.readers import open_corpus
from devise.text.workers import ordered_map, uninterrupted

__all__ = ["CorpusForm", "GatherConfig", "GatherProgress", "gather_corpus"]

CorpusForm = Literal["jsonl", "tokens"]
"""jsonl: an object with title and text a document. tokens: a sentence a line, as `write_tokens` has it."""

_BLOCK_CHARACTERS = 4_000_000  # of output between two checkpoints


@dataclass(frozen=True, slots=True)
class GatherConfig:
    """The settings of gathering. phrases: names to join if form is tokens. workers: processes; 1 is only this one."""

    form: CorpusForm = "tokens"
    phrases: tuple[str, ...] = ()
    workers: int = 1

    def __post_init__(self) -> None:
        if self.form not in get_args(CorpusForm):
            raise UsageError(f"the form must be one of {', '.join(get_args(CorpusForm))}, got {self.form!r}")
        if self.workers < 1:
            raise UsageError(f"workers must be at least 1, got {self.workers}")


@dataclass(frozen=True, slots=True)
class GatherProgress:
    """The progress. read, total: bytes of the sources on disk, over all passes.

    documents: written in this run and the runs it goes on from. resumed: how many of them were there before.
    """

    documents: int
    resumed: int
    read: int
    total: int


@dataclass(frozen=True, slots=True)
class _Done:
    text: str
    tally: GatherTally
    place: Place


def gather_corpus(
    sources: Sequence[CorpusSource],
    out: Path,
    config: GatherConfig,
    *,
    resume: bool = False,
    on_progress: Callable[[GatherProgress], None] | None = None,
) -> GatherTally:
    """Write the documents of all sources, one source after the other, into `out`, which may be compressed.

    The order is the sources' own, whatever the workers. Memory does not grow with the sources. Until it is whole,
    what is done stands in `PartialFile`, a valid file at any checkpoint; any error and Ctrl-C keep it.
    resume: go on from there. The result is the same as of an unbroken run.
    TextError if a source breaks off, has changed since, or nothing can be written; UsageError if an unfinished run is
    in the way, or was of other sources or settings, or if another process writes the same file now.
    """
    for source in sources:
        open_corpus(source.path)  # a name that is wrong is told before hours of work, not after
    partial = PartialFile(out, _facts(sources, config))
    with partial.alone():
        return _gathered(partial, sources, config, resume, on_progress)


def _gathered(
    partial: PartialFile,
    sources: Sequence[CorpusSource],
    config: GatherConfig,
    resume: bool,
    on_progress: Callable[[GatherProgress], None] | None,
) -> GatherTally:
    run = _Run(partial, partial.open(resume))
    resumed = run.stored.documents
    reader = BatchReader(sources, run.place)
    try:
        for done in ordered_map(_work, reader.batches(), config.workers, _prepare, (config.form, config.phrases)):
            run.add(done)
            if on_progress is not None:
                on_progress(GatherProgress(run.documents, resumed, reader.read, reader.total))
        run.flush()
        if not run.stored.documents:
            raise TextError(f"no text in {', '.join(str(source.path) for source in sources)}: give other sources")
    except DeviseError as problem:
        raise TextError(f"{problem}; {run.kept()}") from problem
    except KeyboardInterrupt as stop:
        stop.add_note(run.kept())
        raise
    partial.finish()
    return run.stored


class _Run:
    """The finished work, and what of it is not on disk yet. Ctrl-C never separates a text from its position."""

    def __init__(self, partial: PartialFile, state: dict[str, Any] | None) -> None:
        self._partial = partial
        self.stored = GatherTally(**state["tally"]) if state else GatherTally()
        self.place = Place(**state["place"]) if state else Place()
        self._waiting: list[_Done] = []
        self._size = 0

    @property
    def documents(self) -> int:
        return self.stored.documents + sum(done.tally.documents for done in self._waiting)

    def add(self, done: "_Done") -> None:
        """Add a finished batch; write a checkpoint if there is enough."""
        self._waiting.append(done)
        self._size += len(done.text)
        if self._size >= _BLOCK_CHARACTERS:
            self.flush()

    def flush(self) -> None:
        """A checkpoint."""
        if not self._waiting:
            return
        with uninterrupted():
            tally = replace(self.stored)
            for done in self._waiting:
                tally.add(done.tally)
            place = self._waiting[-1].place
            text = "".join(done.text for done in self._waiting)
            self._partial.append(text, {"tally": asdict(tally), "place": asdict(place)})
            self.stored, self.place, self._waiting, self._size = tally, place, [], 0

    def kept(self) -> str:
        """Write what can be written of a failed run, and describe what is kept."""
        if not self._partial.broken:
            with suppress(TextError):  # a full disk now: the last checkpoint is what remains
                self.flush()
        if not self.stored.documents:
            self._partial.discard()
            return "nothing was done yet"
        return (
            f"{counted(self.stored.documents, 'document')} kept in {self._partial.path}, --resume continues from there"
        )


def _facts(sources: Sequence[CorpusSource], config: GatherConfig) -> dict[str, Any]:
    """Return the facts that must match to resume an unfinished run."""
    return {
        "sources": [[str(source.path), str(source.repeat), source.lead] for source in sources],
        "form": config.form,
        "phrases": hashlib.sha256("\n".join(config.phrases).encode()).hexdigest() if config.phrases else None,
    }


class _Maker:
    """Makes the text of a batch; one per worker."""

    def __init__(self, form: CorpusForm, phrases: Iterable[str]) -> None:
        self._form = form
        self._joiner = PhraseJoiner(phrases)

    def __call__(self, batch: Batch) -> _Done:
        tally, lines = batch.tally, list[str]()
        for item in batch.items:
            try:
                document = clean_page(item) if isinstance(item, Page) else item
            except TextError:
                tally.unparsed += 1
                continue
            tally.damaged += document.damaged
            made = self._record(document, batch.lead) if self._form == "jsonl" else self._lines(document, batch, tally)
            tally.documents += bool(made)
            tally.empty += not made
            lines += made
        return _Done("".join(lines), tally, batch.place)

    def _record(self, document: Document, lead: int | None) -> list[str]:
        text = lead_of(document.text, lead)
        if not any(map(str.isalnum, text)):
            return []
        record: dict[str, Any] = {"title": document.title, "text": text}
        if document.defines:
            record["defines"] = True
        return [json.dumps(record, ensure_ascii=False) + "\n"]

    def _lines(self, document: Document, batch: Batch, tally: GatherTally) -> list[str]:
        tokens = document_tokens(document, batch.lead, self._joiner)
        sentences = [" ".join(sentence) + "\n" for sentence in cut(tokens)]
        tally.tokens += len(tokens)
        tally.sentences += len(sentences)
        return sentences


_makers: list[_Maker] = []  # of this process


def _prepare(form: CorpusForm, phrases: tuple[str, ...]) -> None:
    _makers[:] = [_Maker(form, phrases if form == "tokens" else ())]


def _work(batch: Batch) -> _Done:
    return _makers[0](batch)
