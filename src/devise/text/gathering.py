"""One corpus file from many sources, on all cores, in the order of the sources; a stopped run resumes by source."""

import bz2
import gzip
import json
import lzma
import multiprocessing
import os
import shutil
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import IO, Any, Literal, TypeVar, get_args

from devise.errors import DeviseError, TextError, UsageError, counted
from devise.files import atomic_write, read_json, sole_writer, write_json
from devise.text.corpus import CorpusSource, CorpusTally, cut, document_tokens, lead_of, taken
from devise.text.documents import Document
from devise.text.mediawiki import Page, clean_page, read_pages
from devise.text.phrases import PhraseJoiner
from devise.text.readers import corpus_type, open_corpus

__all__ = ["CorpusForm", "GatherConfig", "GatherProgress", "gather_corpus", "ordered_map"]

_DOCUMENTS = 200  # per batch
_CHARACTERS = 400_000  # per batch

CorpusForm = Literal["jsonl", "tokens"]
"""jsonl: one object with title and text per document. tokens: one sentence per line, as `read_tokens` reads it."""


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

    documents: written in this run and the runs it resumes. resumed: how many of them were there before.
    """

    documents: int
    resumed: int
    read: int
    total: int


def gather_corpus(
    sources: Sequence[CorpusSource],
    out: Path,
    config: GatherConfig,
    *,
    resume: bool = False,
    on_progress: Callable[[GatherProgress], None] | None = None,
) -> CorpusTally:
    """Write the documents of all sources, one source after the other, into `out`, which may be compressed.

    The order is the sources' own, whatever the workers. Memory does not grow with the sources. Each source is first
    written to a file of its own in the folder `out`.parts; any error and Ctrl-C keep those that are complete.
    resume: take them. A source that has changed since, or is used otherwise, is read again.
    TextError if a source breaks off or nothing can be written; UsageError if an unfinished run is in the way, or if
    another process writes the same corpus now.
    """
    for source in sources:
        open_corpus(source.path)  # a wrong name is an error before hours of work, not after
    if out.exists() and not out.is_file():
        raise UsageError(f"{out} is not a file: give the name of one")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"{out} needs a folder that exists: create {out.parent} first")
    folder = out.with_name(f"{out.name}.parts")
    with sole_writer(folder, UsageError):
        if not resume and any(folder.glob("*.json")):
            raise UsageError(f"{folder} has the parts of an unfinished run: continue with --resume, or remove it")
        tally = _gathered(_Parts(folder, sources, out.suffix.lower(), config), out, on_progress)
    with suppress(OSError):  # it was there before, and may have files of others
        folder.rmdir()
    return tally


class _Parts:
    """The part file of each source, and its counts in a JSON file, which is written last.

    Both are named by a hash of what they were made of: source, its size and time, and the settings.
    """

    def __init__(self, folder: Path, sources: Sequence[CorpusSource], ending: str, config: GatherConfig) -> None:
        self.folder, self.sources, self.config, self._ending = folder, sources, config, ending
        self.paths = [folder / f"{_key(source, config)}.part" for source in sources]
        self.tallies = {path: tally for path in self.paths if (tally := _read_tally(path)) is not None}
        self.resumed = self.documents

    @property
    def documents(self) -> int:
        return sum(self.tallies[path].documents for path in self.paths if path in self.tallies)

    def missing(self) -> dict[int, CorpusSource]:
        """Return the sources without a part, by number; each path once."""
        first = {path: number for number, path in reversed(list(enumerate(self.paths))) if path not in self.tallies}
        return {number: self.sources[number] for number in sorted(first.values())}

    def write(self, number: int, made: Iterable["_Done"], on_batch: Callable[[CorpusTally], None]) -> None:
        path, tally = self.paths[number], CorpusTally()
        with atomic_write(path, "wb") as file, _compressed(file, self._ending) as packed:
            for one in made:
                packed.write(one.text.encode("utf-8", "replace"))
                tally.add(one.tally)
                on_batch(tally)
        write_json(path.with_suffix(".json"), asdict(tally))
        self.tallies[path] = tally

    def join(self, out: Path) -> CorpusTally:
        """Write the corpus and return its counts; compressed streams may follow each other in one file."""
        whole = CorpusTally()
        with atomic_write(out, "wb") as file:
            for path in self.paths:
                whole.add(self.tallies[path])
                with path.open("rb") as part:
                    shutil.copyfileobj(part, file, 1 << 20)
        return whole

    def remove(self) -> None:
        for path in self.folder.glob("*.part"):
            path.unlink()
            path.with_suffix(".json").unlink(missing_ok=True)

    def kept(self) -> str:
        """Describe for people what an unfinished run leaves."""
        if not self.tallies:
            return "nothing was done yet"
        done = f"{counted(self.documents, 'document')} of {counted(len(self.tallies), 'source')}"
        return f"{done} kept in {self.folder}, --resume continues from there"


def _gathered(parts: _Parts, out: Path, on_progress: Callable[[GatherProgress], None] | None) -> CorpusTally:
    config = parts.config
    reader = _Reader(parts.sources, parts.missing())

    def show(tally: CorpusTally) -> None:
        if on_progress is not None:
            documents = parts.documents + tally.documents
            on_progress(GatherProgress(documents, parts.resumed, reader.read, reader.total))

    try:
        made = ordered_map(_work, reader.batches(), config.workers, _prepare, (config.form, config.phrases))
        for number, of_source in groupby(made, attrgetter("source")):
            parts.write(number, of_source, show)
        if not parts.documents:
            parts.remove()
            parts.tallies.clear()
            raise TextError(f"no text in {', '.join(str(source.path) for source in parts.sources)}: give other sources")
        tally = parts.join(out)
    except DeviseError as problem:
        raise TextError(f"{problem}; {parts.kept()}") from problem
    except OSError as problem:
        reason = problem.strerror or problem
        raise TextError(f"{problem.filename or parts.folder} cannot be written: {reason}; {parts.kept()}") from problem
    except KeyboardInterrupt as stop:
        stop.add_note(parts.kept())
        raise
    parts.remove()
    return tally


def _key(source: CorpusSource, config: GatherConfig) -> str:
    """Return the name of a source's part: other content or settings, another name."""
    files = sorted(source.path.glob("data.*")) if source.path.is_dir() else [source.path]
    states = [(file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    facts = (str(source.path), states, str(source.repeat), source.lead, config.form, config.phrases)
    return sha256(repr(facts).encode("utf-8", "surrogateescape")).hexdigest()[:24]


def _read_tally(part: Path) -> CorpusTally | None:
    """Return the counts of a complete part; None if it is not there or its counts are damaged: it is made again."""
    try:
        counts = read_json(part.with_suffix(".json"))
        if part.is_file() and all(type(count) is int and count >= 0 for count in counts.values()):
            return CorpusTally(**counts)
    except (OSError, ValueError, TypeError, AttributeError):
        pass
    return None


def _compressed(file: IO[bytes], ending: str) -> AbstractContextManager[Any]:
    match ending:
        case ".gz":
            return gzip.GzipFile("", "wb", 6, file, mtime=0)
        case ".xz":
            return lzma.LZMAFile(file, "wb", preset=3)
        case ".bz2":
            return bz2.BZ2File(file, "wb")
    return nullcontext(file)


@dataclass(slots=True)
class _Batch:
    """The task of one worker. source: its number."""

    source: int
    lead: int | None
    items: list[Page | Document] = field(default_factory=list)
    characters: int = 0
    tally: CorpusTally = field(default_factory=CorpusTally)

    def full(self) -> bool:
        return self.tally.pages + len(self.items) >= _DOCUMENTS or self.characters >= _CHARACTERS


class _Reader:
    """Reads the sources without a part in batches, at least one per source, and counts the bytes of all sources."""

    def __init__(self, sources: Sequence[CorpusSource], missing: Mapping[int, CorpusSource]) -> None:
        self._missing = missing
        sizes = [_size(source.path) * len(source.shares) for source in sources]
        self.total = sum(sizes)
        self.read = self.total - sum(sizes[number] for number in missing)

    def batches(self) -> Iterator[_Batch]:
        """Yield the batches; if reading fails, yield the input up to there first."""
        for number, source in self._missing.items():
            for share in source.shares:
                before = self.read
                batch = _Batch(number, source.lead)
                articles = 0
                for item in self._items(source.path):
                    if _is_article(item, batch.tally):
                        articles += 1
                        if taken(articles, share):
                            batch.items.append(item)
                            batch.characters += len(item.wikitext if isinstance(item, Page) else item.text)
                        else:
                            batch.tally.passed_over += 1
                    if batch.full():
                        yield batch
                        batch = _Batch(number, source.lead)
                yield batch
                self.read = before + _size(source.path)

    def _items(self, path: Path) -> Iterator[Page | Document]:
        read = read_pages if corpus_type(path) == ".xml" else open_corpus
        yield from read(path, self._watch)

    def _watch(self, count: int) -> None:
        self.read += count


def _is_article(item: Page | Document, tally: CorpusTally) -> bool:
    if isinstance(item, Document):
        return True
    tally.pages += 1
    reason = item.no_article
    if reason is not None:
        setattr(tally, reason, getattr(tally, reason) + 1)
    return reason is None


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.glob("data.*"))
    return path.stat().st_size if path.exists() else 0


@dataclass(frozen=True, slots=True)
class _Done:
    source: int
    text: str
    tally: CorpusTally


class _Maker:
    """Makes the text of a batch; one per worker."""

    def __init__(self, form: CorpusForm, phrases: Iterable[str]) -> None:
        self._form = form
        self._joiner = PhraseJoiner(phrases)

    def __call__(self, batch: _Batch) -> _Done:
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
        return _Done(batch.source, "".join(lines), tally)

    def _record(self, document: Document, lead: int | None) -> list[str]:
        text = lead_of(document.text, lead)
        if not any(map(str.isalnum, text)):
            return []
        record: dict[str, Any] = {"title": document.title, "text": text}
        if document.defines:
            record["defines"] = True
        return [json.dumps(record, ensure_ascii=False) + "\n"]

    def _lines(self, document: Document, batch: _Batch, tally: CorpusTally) -> list[str]:
        tokens = document_tokens(document, batch.lead, self._joiner)
        sentences = [" ".join(sentence) + "\n" for sentence in cut(tokens)]
        tally.tokens += len(tokens)
        tally.sentences += len(sentences)
        return sentences


_makers: list[_Maker] = []  # of this process


def _prepare(form: CorpusForm, phrases: tuple[str, ...]) -> None:
    _makers[:] = [_Maker(form, phrases if form == "tokens" else ())]


def _work(batch: _Batch) -> _Done:
    return _makers[0](batch)


_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_AHEAD = 4  # tasks on the way a worker


def ordered_map(
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    workers: int,
    prepare: Callable[..., None],
    given: tuple[Any, ...] = (),
) -> Iterator[_Result]:
    """Map function over the items, in order, in `workers` processes; 1 is only this process.

    prepare: called as prepare(*given) once in each process before the first item. At most four items a worker are
    read ahead, so memory does not grow with them. If `items` raises, the results of the items before come first.
    function, items and prepare must be such that they can be pickled. DeviseError if a worker dies.
    """
    if workers == 1:
        prepare(*given)
        yield from map(function, items)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _begin, (prepare, given))
    waiting: deque[Future[_Result]] = deque()
    problem: DeviseError | None = None
    source = iter(items)
    try:
        while problem is None:
            try:
                item = next(source)
            except StopIteration:
                break
            except DeviseError as error:
                problem = error
                break
            with _deaf_children():
                waiting.append(pool.submit(function, item))
            if len(waiting) >= _AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise DeviseError("a worker process died, perhaps because memory ran out: use fewer --workers") from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    if problem is not None:
        raise problem


def _begin(prepare: Callable[..., None], given: tuple[Any, ...]) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    prepare(*given)


def _end_with(parent: Any) -> None:
    """End a worker with its parent process, even if that was killed."""
    parent.join()
    os._exit(1)


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Make processes started in the block ignore Ctrl-C; this process handles it after the block.

    A blocked signal is blocked in the children too, and is not lost as an ignored one would be.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
