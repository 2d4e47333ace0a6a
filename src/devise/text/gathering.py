"""One corpus file from many sources, on all cores, in the order of the sources; can be resumed."""

import bz2
import gzip
import hashlib
import json
import lzma
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

from devise.errors import DeviseError, TextError, UsageError, counted
from devise.files import atomic_write, locked, read_json
from devise.text.corpus import CorpusSource, cut, document_tokens, lead_of, taken
from devise.text.documents import Document
from devise.text.mediawiki import Page, clean_page, read_pages
from devise.text.phrases import PhraseJoiner
from devise.text.readers import corpus_type, open_corpus
from devise.text.streams import COMPRESSIONS
from devise.text.workers import ordered_map, uninterrupted

__all__ = [
    "Batch",
    "BatchReader",
    "CorpusForm",
    "GatherConfig",
    "GatherProgress",
    "GatherTally",
    "PartialFile",
    "Place",
    "gather_corpus",
]

_DOCUMENTS = 200  # a batch
_CHARACTERS = 400_000  # a batch


@dataclass(slots=True)
class GatherTally:
    """Counts of the input, and of what is not in the corpus, by reason.

    documents: those written; tokens and sentences are counted for the form tokens only. empty: documents without a
    word. passed_over: documents that a weight such as 0.5 leaves out. unparsed: pages whose wikitext the parser
    gives up. pages and the next three: see `NoArticle`.
    """

    documents: int = 0
    sentences: int = 0
    tokens: int = 0
    empty: int = 0
    passed_over: int = 0
    unparsed: int = 0
    pages: int = 0
    redirects: int = 0
    other_namespaces: int = 0
    other_models: int = 0

    def add(self, other: "GatherTally") -> None:
        """Add the counts of another tally."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))


@dataclass(frozen=True, slots=True)
class Place:
    """The position of reading: the source, the pass over it, and the input of that pass.

    items: pages or documents. articles: those that are articles or documents. crc: of what was read, which tells
    whether a source is still the same when reading goes on.
    """

    source: int = 0
    turn: int = 0
    items: int = 0
    articles: int = 0
    crc: int = 0


@dataclass(slots=True)
class Batch:
    """The task of one worker, and the position of reading after it."""

    lead: int | None
    items: list[Page | Document] = field(default_factory=list)
    characters: int = 0
    tally: GatherTally = field(default_factory=GatherTally)
    place: Place = Place()

    def full(self) -> bool:
        """Whether there is enough for one task."""
        return self.tally.pages + len(self.items) >= _DOCUMENTS or self.characters >= _CHARACTERS


class BatchReader:
    """Reads the sources from a position and counts their bytes."""

    def __init__(self, sources: Sequence[CorpusSource], place: Place) -> None:
        self._sources = sources
        self._place = place
        sizes = [_size(source.path) for source in sources]
        self.total = sum(size * len(source.shares) for size, source in zip(sizes, sources, strict=True))
        self.read = 0

    def batches(self) -> Iterator[Batch]:
        """Yield the batches; if reading fails, yield the input up to there first."""
        start = self._place
        for number, source in enumerate(self._sources):
            for turn in range(len(source.shares)):
                before = self.read
                if (number, turn) >= (start.source, start.turn):
                    here = start if (number, turn) == (start.source, start.turn) else Place(number, turn)
                    yield from self._pass(source, here)
                self.read = before + _size(source.path)

    def _pass(self, source: CorpusSource, place: Place) -> Iterator[Batch]:
        share = source.shares[place.turn]
        items = _items(source.path, self._watch)
        crc = 0
        for item in islice(items, place.items):
            crc = _checked(item, crc)
        if crc != place.crc:
            raise TextError(f"{source.path} has changed since this run began: start again without --resume")
        batch = Batch(source.lead, place=place)
        count, articles = place.items, place.articles
        try:
            for item in items:
                count += 1
                crc = _checked(item, crc)
                if _is_article(item, batch.tally):
                    articles += 1
                    if taken(articles, share):
                        batch.items.append(item)
                        batch.characters += len(item.wikitext if isinstance(item, Page) else item.text)
                    else:
                        batch.tally.passed_over += 1
                batch.place = Place(place.source, place.turn, count, articles, crc)
                if batch.full():
                    yield batch
                    batch = Batch(source.lead, place=batch.place)
        except TextError:
            yield batch
            raise
        yield batch

    def _watch(self, count: int) -> None:
        self.read += count


def _items(path: Path, watch: Callable[[int], None]) -> Iterator[Page | Document]:
    return read_pages(path, watch) if corpus_type(path) == ".xml" else open_corpus(path, watch)


def _is_article(item: Page | Document, tally: GatherTally) -> bool:
    if isinstance(item, Document):
        return True
    tally.pages += 1
    reason = item.no_article
    if reason is not None:
        setattr(tally, reason, getattr(tally, reason) + 1)
    return reason is None


def _checked(item: Page | Document, crc: int) -> int:
    text = item.wikitext if isinstance(item, Page) else item.text
    return zlib.crc32(f"{item.title}\n{text}".encode("utf-8", "surrogatepass"), crc)


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.glob("data.*"))
    return path.stat().st_size if path.exists() else 0


_VERSION = 2
_PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda data: gzip.compress(data, 6, mtime=0),
    ".xz": lambda data: lzma.compress(data, preset=3),
    ".bz2": bz2.compress,
}


class PartialFile:
    """Grows next to its target as `corpus.partial.txt.xz` and takes the target's name when it is complete.

    Each `append` is a checkpoint: the text is on the disk, compressed by itself (compressed streams may stand one
    behind the other), and `corpus.partial.txt.xz.json` says how long the file is and what the caller needs to go on.
    What a crash leaves behind the last checkpoint is cut off.

    target: its ending says whether it is compressed. facts: what must be equal for a run to go on, JSON values.
    """

    def __init__(self, target: Path, facts: dict[str, Any]) -> None:
        self._target = target
        ending = "".join(target.suffixes[-2:] if target.suffix.lower() in COMPRESSIONS else target.suffixes[-1:])
        self.path = target.with_name(f"{target.name.removesuffix(ending)}.partial{ending}")
        self._notes = self.path.with_name(f"{self.path.name}.json")
        self._pack = _PACKERS.get(target.suffix.lower(), bytes)
        self._facts = facts
        self._length = 0
        self.broken = False

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock the file for the block; UsageError if another process writes it, or as `open` raises it."""
        self._require_place()
        try:
            with locked(self.path) as free:
                if not free:
                    raise UsageError(f"{self.path}: another process is writing to it: wait until it ends")
                yield
        except OSError as problem:
            if problem.filename != str(self.path):
                raise
            raise self._unwritable(problem) from problem

    def open(self, resume: bool) -> dict[str, Any] | None:
        """Return the state of the last checkpoint, or None if there is none to resume.

        UsageError if an unfinished file is there and `resume` is false, or it is of other facts, or the target is no
        place for a file; TextError if it is damaged.
        """
        self._require_place()
        if not self._notes.exists():
            try:
                self.path.write_bytes(b"")
            except OSError as problem:
                raise self._unwritable(problem) from problem
            return None
        if not resume:
            raise UsageError(f"{self.path} is an unfinished run: continue with --resume, or remove {self._notes}")
        notes = self._read_notes()
        if notes["facts"] != self._facts:
            raise UsageError(
                f"{self.path} was made of other sources or settings: give the same, or remove {self._notes}"
            )
        self._length = notes["length"]
        if not self.path.exists() or self.path.stat().st_size < self._length:
            raise TextError(f"{self.path} is shorter than at its last checkpoint: remove {self._notes} and start again")
        os.truncate(self.path, self._length)
        state: dict[str, Any] = notes["state"]
        return state

    def _require_place(self) -> None:
        if self._target.exists() and not self._target.is_file():
            raise UsageError(f"{self._target} is not a file: give the name of one")
        if not self._target.absolute().parent.is_dir():
            raise UsageError(f"{self._target} needs a folder that exists: create {self._target.parent} first")

    def append(self, text: str, state: dict[str, Any]) -> None:
        """Append text and save the state after it; TextError, and `broken`, if that fails, as on a full disk.

        Whatever ends it, the file is then what it was at the last checkpoint.
        """
        data = self._pack(text.encode("utf-8", "replace"))
        length = self._length + len(data)
        notes = {"version": _VERSION, "facts": self._facts, "length": length, "state": state}
        try:
            with self.path.open("ab") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            with atomic_write(self._notes) as file_of_notes:
                file_of_notes.write(json.dumps(notes, sort_keys=True) + "\n")
        except OSError as problem:
            self.broken = True
            os.truncate(self.path, self._length)
            raise self._unwritable(problem) from problem
        except BaseException:
            os.truncate(self.path, self._length)
            raise
        self._length = length

    def finish(self) -> None:
        """Rename the file to the target's name, replacing any old file."""
        self.path.replace(self._target)
        self._notes.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove the file and its notes."""
        self.path.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)

    def _read_notes(self) -> dict[str, Any]:
        try:
            notes = read_json(self._notes)
            known = (
                notes["version"] == _VERSION
                and type(notes["length"]) is int
                and notes["length"] >= 0
                and "state" in notes
            )
            if known:
                return {key: notes[key] for key in ("facts", "length", "state")}
        except (OSError, ValueError, KeyError, TypeError):
            pass
        raise self.damaged()

    def damaged(self) -> TextError:
        """Return the error of notes that do not have what they should."""
        return TextError(f"{self._notes} does not say how to resume {self.path}: remove it and start again")

    def _unwritable(self, problem: OSError) -> TextError:
        return TextError(f"{self.path} cannot be written: {problem.strerror or problem}")


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


def _resumed(partial: PartialFile, state: Any) -> tuple[GatherTally, Place]:
    """Return the counts and the position that a state has; TextError unless all are known, and none is negative."""
    try:
        numbers = [*state["tally"].values(), *state["place"].values()]
        if all(type(one) is int and one >= 0 for one in numbers):
            return GatherTally(**state["tally"]), Place(**state["place"])
    except (KeyError, TypeError, AttributeError):
        pass
    raise partial.damaged()


class _Run:
    """The finished work, and what of it is not on disk yet. Ctrl-C never separates a text from its position."""

    def __init__(self, partial: PartialFile, state: dict[str, Any] | None) -> None:
        self._partial = partial
        self.stored, self.place = (GatherTally(), Place()) if state is None else _resumed(partial, state)
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
