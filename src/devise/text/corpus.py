"""Sentences of tokens to train word vectors on, from one or several corpus files."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from math import floor
from pathlib import Path

from devise.errors import TextError, UsageError
from devise.text.documents import Document, tagged
from devise.text.phrases import PhraseJoiner, term_key
from devise.text.readers import DATA_FILES, NOUN_FILE, open_corpus
from devise.text.streams import decoded, numbered_lines
from devise.text.tokens import tokenize

__all__ = [
    "LONGEST_SENTENCE",
    "MOST_REPEATS",
    "CorpusSource",
    "CorpusTally",
    "TextFiles",
    "cut",
    "document_tokens",
    "lead_of",
    "parse_source",
    "read_tokens",
    "sentences",
    "taken",
]

LONGEST_SENTENCE = 1000
"""Tokens after which a document is cut; trainers drop what is after their own limit (gensim: 10,000)."""

MOST_REPEATS = 1000

_PIECE = re.compile(r"\S+")
_SETTINGS = re.compile(r"(?=.)(?P<weight>\d+(?:\.\d+)?)?(?:(?:(?<=\d),|(?<!\d))lead=(?P<lead>\d+))?")


@dataclass(frozen=True, slots=True)
class CorpusSource:
    """A file for `open_corpus`, and how much of it is used.

    repeat: how many times it is read one after the other in each epoch; definitions teach more than prose. Its
        fraction is a pass over some documents, evenly: with 1/2 over every second one, with 5/2 twice over all before.
    lead: only the first so many words of each document, or None for all; encyclopaedia articles begin
        like definitions.
    """

    path: Path
    repeat: int | Fraction = 1
    lead: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.repeat <= MOST_REPEATS or (self.lead is not None and self.lead < 1):
            raise UsageError(
                f"{self.path}: repeat must be above 0 and at most {MOST_REPEATS}, and lead at least 1, "
                f"got {self.repeat} and {self.lead}"
            )

    @property
    def shares(self) -> tuple[Fraction, ...]:
        """The share of documents that each pass takes: 1 in all passes but perhaps the last."""
        whole, rest = divmod(Fraction(self.repeat), 1)
        return (Fraction(1),) * whole + ((rest,) if rest else ())


def parse_source(text: str) -> CorpusSource:
    """Parse a typed source: FILE, FILE@3, FILE@0.5, FILE@lead=100 or FILE@3,lead=100.

    A file that is called so in full is meant itself. UsageError if what follows the last @ is something else.

    >>> parse_source("wiki.jsonl.xz@0.5,lead=100")
    CorpusSource(path=PosixPath('wiki.jsonl.xz'), repeat=Fraction(1, 2), lead=100)
    """
    name, at, settings = text.rpartition("@")
    if not at or Path(text).exists():
        return CorpusSource(Path(text))
    found = _SETTINGS.fullmatch(settings)
    if found is None or not name:
        raise UsageError(f"{text}: after @ give a weight, as in {name}@3 or {name}@0.5, or ,lead=100, or both")
    return CorpusSource(Path(name), Fraction(found["weight"] or 1), int(found["lead"]) if found["lead"] else None)


def taken(number: int, share: Fraction) -> bool:
    """Whether a pass with this share of all documents takes this one, numbered from 1; evenly spaced.

    >>> [number for number in range(1, 7) if taken(number, Fraction(1, 2))]
    [2, 4, 6]
    """
    return floor(number * share) > floor((number - 1) * share)


@dataclass(slots=True)
class CorpusTally:
    """Counts of the input so far, and of what is left out, by reason. Grows while `sentences` runs.

    documents: in the corpus; tokens and sentences are counted where the text is split into words. empty: documents
    without a word. passed_over: documents that a fraction of `repeat` leaves out.
    pages: of dumps; the next three: see `NoArticle`. unparsed: pages whose wikitext the parser gives up.
    """

    documents: int = 0
    sentences: int = 0
    tokens: int = 0
    empty: int = 0
    passed_over: int = 0
    pages: int = 0
    redirects: int = 0
    other_namespaces: int = 0
    other_models: int = 0
    unparsed: int = 0

    def add(self, other: "CorpusTally") -> None:
        """Add the counts of another tally."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))


def sentences(
    sources: Sequence[CorpusSource],
    joiner: PhraseJoiner,
    tally: CorpusTally | None = None,
    *,
    sense_tags: bool = False,
) -> Iterator[list[str]]:
    """The documents of all sources in order, tokenised, phrases joined, none longer than LONGEST_SENTENCE.

    A dictionary's definition begins with the term it defines, as `term_key` writes it. No sentence
    is empty. Memory does not grow with the corpus. sense_tags: as `tagged` puts them. TextError as `open_corpus` says.
    """
    tally = CorpusTally() if tally is None else tally
    for source in sources:
        for share in source.shares:
            for number, document in enumerate(open_corpus(source.path), start=1):
                if not taken(number, share):
                    tally.passed_over += 1
                    continue
                tokens = document_tokens(document, source.lead, joiner)
                if sense_tags:
                    tokens = tagged(document, tokens)
                tally.documents += 1
                tally.empty += not tokens
                tally.tokens += len(tokens)
                for sentence in cut(tokens):
                    tally.sentences += 1
                    yield sentence


def read_tokens(path: Path) -> Iterator[list[str]]:
    """Yield the sentences of a file of tokens, one per line; TextError names a line that is not UTF-8."""
    for number, raw in numbered_lines(path, TextError, own=True):
        yield decoded(raw, path, number, TextError, own=True).rstrip("\n").split(" ")


def document_tokens(document: Document, lead: int | None, joiner: PhraseJoiner) -> list[str]:
    """Return the words of a document, phrases joined; a definition starts with its term."""
    tokens = joiner.join(tokenize(document.text, lead))
    term = term_key(document.title) if document.defines else ""
    return [term, *tokens] if term else tokens


def cut(tokens: list[str]) -> Iterator[list[str]]:
    """Split the tokens into pieces of LONGEST_SENTENCE."""
    for start in range(0, len(tokens), LONGEST_SENTENCE):
        yield tokens[start : start + LONGEST_SENTENCE]


def lead_of(text: str, lead: int | None) -> str:
    """Return the beginning of the text with its first `lead` words, cut at a space; all of it for None.

    >>> lead_of("The snow-leopard, or ounce, is a cat.", 3)
    'The snow-leopard, or'
    """
    if lead is None:
        return text
    words = 0
    for piece in _PIECE.finditer(text):
        words += len(tokenize(piece.group()))
        if words >= lead:
            return text[: piece.end()]
    return text


@dataclass(frozen=True, slots=True)
class TextFiles:
    """Files to train on, in order.

    tokenised: lines of tokens separated by spaces, read as they are; else what `open_corpus` knows. phrases: joined
    where they occur in the text; None joins none. sense_tags: see `tagged`; for WordNet's folder, not for tokenised
    text.
    """

    paths: tuple[Path, ...]
    tokenised: bool = False
    phrases: tuple[str, ...] | None = None
    sense_tags: bool = False

    def check(self) -> None:
        """Raise TextError if a file is missing or of an unknown type, or if no file has glosses to tag."""
        nouns = any(path.name == NOUN_FILE or (path / NOUN_FILE).is_file() for path in self.paths)
        if self.sense_tags and (self.tokenised or not nouns):
            raise TextError("sense tags need WordNet's glosses: give its folder or data.noun, not tokenised text")
        for path in self.paths:
            if self.tokenised and not path.is_file():
                raise TextError(f"{path} is not a file: give files of tokens separated by spaces")
            if not self.tokenised:
                open_corpus(path)

    def hashes(self) -> dict[str, str]:
        """SHA-256 of each file by its place and name, and of how they are read."""
        found = {f"{number} {path.name}": _hash(path) for number, path in enumerate(self.paths, start=1)}
        phrases = "none" if self.phrases is None else hashlib.sha256("\n".join(self.phrases).encode()).hexdigest()
        tags = {"sense tags": "True"} if self.sense_tags else {}
        return found | {"phrases": phrases, "tokenised": str(self.tokenised)} | tags

    def sentences(self, tally: CorpusTally) -> Iterator[list[str]]:
        """Yield the sentences of all files; the tally grows while they are read."""
        joiner = PhraseJoiner(self.phrases or ())
        if not self.tokenised:
            files = [CorpusSource(path) for path in self.paths]
            yield from sentences(files, joiner, tally, sense_tags=self.sense_tags)
            return
        for path in self.paths:
            for tokens in read_tokens(path):
                joined = joiner.join(list(filter(None, tokens)))
                tally.documents += 1
                tally.sentences += bool(joined)
                tally.empty += not joined
                tally.tokens += len(joined)
                yield joined


def _hash(path: Path) -> str:
    """Of a file, or of WordNet's files in a folder."""
    files: Sequence[Path] = [path / name for name in DATA_FILES] if path.is_dir() else [path]
    whole = hashlib.sha256()
    for file in files:
        if file.is_file():
            whole.update(_file_hash(file).encode())
    return whole.hexdigest()


def _file_hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise TextError(f"{path} cannot be read ({error.strerror}): give the path of a file") from None
