"""Text as numbers in a file: counted and written in one pass, then read block by block in every epoch."""

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from devise.arrays import Int32, Int64
from devise.errors import TextError, counted
from devise.files import atomic_write

__all__ = ["ENCODED_NUMBERS", "LONGEST_SENTENCE", "SENTENCE_END", "EncodedText", "encode"]

ENCODED_NUMBERS = "text.int32"
"""The file of the numbers."""

SENTENCE_END = -1
"""Follows each sentence in encoded text."""

LONGEST_SENTENCE = 10_000
"""Tokens after which a sentence is cut, so that blocks stay small."""

_BLOCK = 1 << 15  # tokens after which a block ends with its sentence
_CHUNK = 1 << 20
_MOST_TYPES = 1_500_000
_REPORT_EVERY = 100_000
_GONE = -2


@dataclass(frozen=True, eq=False, slots=True)
class EncodedText:
    """A text whose words are numbers: 0 is the most frequent word; ties are in alphabetical order.

    words, counts: those that are kept. tokens: of the whole text.
    rare_tokens: how many of them are words that are not kept. forgotten: of these, those whose word was dropped
        while counting because there were too many different words; a word's count may lack as many.
    path: the numbers as int32, SENTENCE_END after each sentence. blocks: where each block begins in it, and the
        end. read: tokens of the text up to there, rare ones too.
    """

    words: tuple[str, ...]
    counts: Int64[np.ndarray, "words"]
    tokens: int
    rare_tokens: int
    forgotten: int
    path: Path
    blocks: Int64[np.ndarray, "starts"]
    read: Int64[np.ndarray, "starts"]

    @property
    def size(self) -> int:
        """Numbers in the file."""
        return int(self.blocks[-1])

    def block(self, number: int) -> Int32[np.ndarray, "_"]:
        """The numbers of a block, read from the file: memory does not grow with the text, as it would if mapped."""
        start, end = int(self.blocks[number]), int(self.blocks[number + 1])
        return np.fromfile(self.path, dtype=np.int32, count=end - start, offset=4 * start)


def encode(
    sentences: Iterable[list[str]],
    folder: Path,
    *,
    min_count: int = 1,
    max_words: int | None = None,
    on_tokens: Callable[[int], None] | None = None,
    most_types: int = _MOST_TYPES,
) -> EncodedText:
    """Read the sentences once and write them as numbers into `folder`.

    on_tokens: called with the tokens so far, every 100,000 and at the end. most_types: of more different words the
    rarest are dropped while counting, so that memory does not grow with the text; they are counted as forgotten.
    TextError if no word occurs `min_count` times.
    """
    # Words are numbered as they come, written, and renumbered by frequency: the text itself is read only once.
    draft, path = folder / "draft.int32", folder / ENCODED_NUMBERS
    counter = _Counter(most_types)
    try:
        with draft.open("wb") as file:
            tokens = _drafted(sentences, counter, file, on_tokens or (lambda _: None))
        words, counts, renumbered = counter.kept(min_count, max_words)
        if not words:
            times = f"no word occurs {min_count} times in {counted(tokens, 'token')}: give more text"
            lower = min_count > 1
            raise TextError(times + " or a lower minimum count" * lower, hint="--min-count" * lower)
        with atomic_write(path, "wb") as file:
            blocks, read = _renumbered(draft, renumbered, file)
    finally:
        draft.unlink(missing_ok=True)
    return EncodedText(words, counts, tokens, tokens - int(counts.sum()), counter.forgotten, path, blocks, read)


class _Counter(dict[str, int]):
    """Numbers words as they come and counts them by number. A number is never reused."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.counts = array("q")
        self.forgotten = 0
        self._most = most

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self.counts)
        self.counts.append(0)
        return number

    def add(self, numbers: Int32[np.ndarray, "_"]) -> None:
        """Count these words; drop the rarest if there are too many."""
        if not len(numbers):
            return
        counts = np.frombuffer(self.counts, dtype=np.int64)
        counts += np.bincount(numbers, minlength=len(counts))
        del counts  # an array that something looks at cannot grow
        if len(self) > self._most:
            self._forget()

    def _forget(self) -> None:
        """Drop the words that occur once, then those that occur twice, and so on, until a quarter is free."""
        count = 0
        while len(self) > self._most * 3 // 4:
            count += 1
            rare = [(word, number) for word, number in self.items() if self.counts[number] == count]
            for word, number in rare:
                self.forgotten += self.counts[number]
                del self[word]

    def kept(
        self, min_count: int, max_words: int | None
    ) -> tuple[tuple[str, ...], Int64[np.ndarray, "_"], Int32[np.ndarray, "_"]]:
        """Return the frequent words, their counts, and the new number for each old one and the sentence end."""
        counted = sorted(
            (-self.counts[number], word) for word, number in self.items() if self.counts[number] >= min_count
        )[:max_words]
        renumbered = np.full(len(self.counts) + 1, _GONE, dtype=np.int32)
        renumbered[-1] = SENTENCE_END
        renumbered[[self[word] for _, word in counted]] = np.arange(len(counted))
        counts = np.array([-count for count, _ in counted], dtype=np.int64)
        return tuple(word for _, word in counted), counts, renumbered


def _drafted(
    sentences: Iterable[list[str]], counter: _Counter, file: IO[bytes], on_tokens: Callable[[int], None]
) -> int:
    """Write all sentences with the numbers of the counter; return the number of tokens."""
    number = counter.__getitem__
    waiting = array("i")
    tokens = reported = 0
    for sentence in sentences:
        for start in range(0, len(sentence), LONGEST_SENTENCE):
            waiting.extend(map(number, sentence[start : start + LONGEST_SENTENCE]))
            waiting.append(SENTENCE_END)
        tokens += len(sentence)
        if tokens - reported >= _REPORT_EVERY:
            reported = tokens
            on_tokens(tokens)
        if len(waiting) >= _CHUNK:
            _write(waiting, counter, file)
            waiting = array("i")
    _write(waiting, counter, file)
    on_tokens(tokens)
    return tokens


def _write(waiting: "array[int]", counter: _Counter, file: IO[bytes]) -> None:
    numbers = np.frombuffer(waiting, dtype=np.int32) if waiting else np.zeros(0, dtype=np.int32)
    counter.add(numbers[numbers != SENTENCE_END])
    file.write(numbers.tobytes())


def _renumbered(
    draft: Path, renumbered: Int32[np.ndarray, "_"], file: IO[bytes]
) -> tuple[Int64[np.ndarray, "_"], Int64[np.ndarray, "_"]]:
    """Write the draft with the final numbers; return the start of each block, and the tokens before it."""
    blocks, read = [0], [0]
    written = seen = 0
    with draft.open("rb") as source:
        while chunk := source.read(4 * _CHUNK):
            old = np.frombuffer(chunk, dtype=np.int32)
            new = renumbered[old]
            stays = new != _GONE
            new = new[stays]
            ends = np.flatnonzero(new == SENTENCE_END) + written + 1
            tokens = (np.cumsum(old != SENTENCE_END) + seen)[stays][ends - written - 1]
            while (place := int(np.searchsorted(ends, blocks[-1] + _BLOCK))) < len(ends):
                blocks.append(int(ends[place]))
                read.append(int(tokens[place]))
            file.write(new.tobytes())
            written += len(new)
            seen += int(np.count_nonzero(old != SENTENCE_END))
    if blocks[-1] != written:
        blocks.append(written)
        read.append(seen)
    read[-1] = seen
    return np.array(blocks, dtype=np.int64), np.array(read, dtype=np.int64)
