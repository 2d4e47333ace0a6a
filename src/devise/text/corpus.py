"""Sentences of tokens to train word vectors on, from one or several corpus files."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from devise.errors import TextError, UsageError
from devise.files import atomic_write
from devise.text.documents import Document
from devise.text.phrases import PhraseJoiner, term_key
from devise.text.readers import open_corpus
from devise.text.streams import decoded, numbered_lines
from devise.text.tokens import tokenize

__all__ = ["LONGEST_SENTENCE", "CorpusSource", "CorpusTally", "read_tokens", "sentences", "write_tokens"]

LONGEST_SENTENCE = 1000
"""Tokens after which a document is cut; trainers drop what is behind their own limit (gensim: 10,000)."""


@dataclass(frozen=True, slots=True)
class CorpusSource:
    """A file of `open_corpus`, and how much of it is used.

    repeat: how many times it is read one after the other in each epoch; definitions teach more than prose.
    lead: only the first so many words of each document, or None for all; encyclopaedia articles begin
        like definitions.
    """

    path: Path
    repeat: int = 1
    lead: int | None = None

    def __post_init__(self) -> None:
        if self.repeat < 1 or (self.lead is not None and self.lead < 1):
            raise UsageError(f"{self.path}: repeat and lead must be at least 1, got {self.repeat} and {self.lead}")


@dataclass(slots=True)
class CorpusTally:
    """What was read so far. Grows while `sentences` runs; what is left out is here, nothing goes unsaid.

    empty: documents (for `write_tokens`, sentences) without a word. damaged: places that were not UTF-8.
    """

    documents: int = 0
    sentences: int = 0
    tokens: int = 0
    empty: int = 0
    damaged: int = 0


def sentences(
    sources: Sequence[CorpusSource], joiner: PhraseJoiner, tally: CorpusTally | None = None
) -> Iterator[list[str]]:
    """The documents of all sources in order, tokenised, phrases joined, none longer than LONGEST_SENTENCE.

    A dictionary's definition begins with the term it defines, as `term_key` writes it. No sentence
    is empty. Memory does not grow with the corpus. TextError as `open_corpus` says.
    """
    tally = CorpusTally() if tally is None else tally
    for source in sources:
        for _ in range(source.repeat):
            for document in open_corpus(source.path):
                tokens = _tokens(document, source.lead, joiner)
                tally.documents += 1
                tally.empty += not tokens
                tally.damaged += document.damaged
                tally.tokens += len(tokens)
                for start in range(0, len(tokens), LONGEST_SENTENCE):
                    tally.sentences += 1
                    yield tokens[start : start + LONGEST_SENTENCE]


def write_tokens(path: Path, sentences: Iterable[Sequence[str]]) -> CorpusTally:
    """Write one sentence a line, tokens parted by a space, so that later epochs need not tokenise again.

    The file is whole or not there. Empty sentences are not written but counted. TextError if a token is
    empty or holds a space or a line end.
    """
    tally = CorpusTally()
    with atomic_write(path) as file:
        for number, sentence in enumerate(sentences, start=1):
            if not sentence:
                tally.empty += 1
                continue
            line = " ".join(sentence)
            if line.count(" ") != len(sentence) - 1 or "\n" in line or "" in sentence:
                raise TextError(f"sentence {number} holds a token that is empty or has a space: {line[:60]!r}")
            file.write(line + "\n")
            tally.sentences += 1
            tally.tokens += len(sentence)
    return tally


def read_tokens(path: Path) -> Iterator[list[str]]:
    """The sentences that `write_tokens` wrote; TextError names a line that is not UTF-8."""
    for number, raw in numbered_lines(path, TextError):
        yield decoded(raw, path, number, TextError).rstrip("\n").split(" ")


def _tokens(document: Document, lead: int | None, joiner: PhraseJoiner) -> list[str]:
    tokens = joiner.join(tokenize(document.text, lead))
    term = term_key(document.title) if document.defines else ""
    return [term, *tokens] if term else tokens
