"""Corpus sources split into batches, each with the position from which reading can resume."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from itertools import islice
from pathlib import Path

from devise.errors import TextError
from devise.text.corpus import CorpusSource, taken
from devise.text.documents import Document
from devise.text.mediawiki import Page, read_pages
from devise.text.readers import corpus_type, open_corpus

__all__ = ["Batch", "BatchReader", "GatherTally", "Place"]

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
