"""Files of word vectors, identified by their extensions and, for the two forms of word2vec, by their content."""

import codecs
import io
import math
import mmap
import re
from array import array
from collections.abc import Collection, Iterator
from itertools import chain
from lzma import LZMAError
from pathlib import Path
from typing import Literal

import numpy as np

from devise.errors import UsageError, VectorsError, counted
from devise.text.streams import COMPRESSIONS, inner_suffix, numbered_lines, open_bytes
from devise.text.vectors import WordTable
from devise.text.vectorstore import read_vector_store

__all__ = [
    "OnBad",
    "read_vector_binary",
    "read_vector_lines",
    "read_vectors",
]

OnBad = Literal["error", "skip"]
"""What becomes of a word that cannot be read: the file is refused, or the word is left out and counted."""

_LOOKED_AT = 1 << 16  # bytes: a header and a vector of some thousand numbers
_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_KNOWN = ".safetensors, .bin (word2vec), .txt (word2vec or GloVe) or .vec (fastText)"


def read_vectors(
    path: Path | str, *, limit: int | None = None, only: Collection[str] | None = None, on_bad: OnBad = "error"
) -> WordTable:
    """Read word vectors from `.safetensors`, `.bin`, `.txt` or `.vec`.

    The last three may be compressed (`.gz`, `.xz`, `.bz2`). GloVe's and word2vec's `.txt` are distinguished by
    the header line "words dim" that only word2vec writes.
    limit: look at the first so many vectors of the file only. only: keep these words only.
    on_bad: whether a word that cannot be read (not UTF-8, no finite numbers) refuses the file or is left out.
    Of a duplicate word the first vector is kept; the table says how many were left out, and what was odd.
    VectorsError names the file, and the line or vector, that is broken.
    """
    path = Path(path)
    if limit is not None and limit < 0:
        raise UsageError(f"limit must be at least 0, got {limit}")
    match inner_suffix(path):
        case ".bin" | ".txt" | ".vec" as suffix:
            text = _is_text(path, suffix != ".bin")
            read = read_vector_lines if text else read_vector_binary
            table = read(path, limit=limit, only=only, on_bad=on_bad)
            if on_bad == "skip" and limit is None and only is None and not len(table):
                raise VectorsError(f"{path}: no word of it could be read: expected {_KNOWN}")
            return table
        case ".safetensors" if path.suffix.lower() not in COMPRESSIONS:
            return read_vector_store(path, limit=limit, only=only)
        case _:
            raise VectorsError(
                f"{path}: expected a file of word vectors named {_KNOWN}; unpack .zip, .7z and .zst first"
            )


def _is_text(path: Path, named: bool) -> bool:
    """Whether the file has lines. named: what its name says, unless a header and a vector contradict it."""
    with open_bytes(path, VectorsError) as file:
        try:
            head = file.read(_LOOKED_AT)
        except (EOFError, OSError, ValueError, LZMAError):  # damaged, as the reader says better
            return named
    header, _, rest = head.partition(b"\n")
    promised = header.split()
    if len(promised) != 2 or not all(number.isdigit() for number in promised):
        return named
    dim, fields = int(promised[1]), rest.partition(b"\n")[0].split()
    if 0 < dim < len(fields) and all(map(_NUMBER.fullmatch, fields[-dim:])):
        return True
    return named and not _is_of_bytes(rest)


def _is_of_bytes(data: bytes) -> bool:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(data)  # which lets a letter at the end be incomplete
    except UnicodeDecodeError:
        return True
    return any(letter < "\t" for letter in text)


class _WordRows:
    """Collects the rows of a file: the first of each word, and only the words asked for.

    notes: what was odd in the file and did no harm; a reader adds to them.
    """

    def __init__(self, only: Collection[str] | None = None, on_bad: OnBad = "error") -> None:
        self._only = None if only is None else frozenset(only)
        self._words: dict[str, None] = {}
        self._duplicates = 0
        self._on_bad = on_bad
        self._bad: list[str] = []  # why, of those left out
        self.notes: list[str] = []
        self.values = array("f")
        """The numbers of all rows so far; a reader adds those of a wanted word."""

    def wants(self, word: str) -> bool:
        """Whether the reader must add the numbers of this word now; counts duplicates."""
        if self._only is not None and word not in self._only:
            return False
        if word in self._words:
            self._duplicates += 1
            return False
        self._words[word] = None
        return True

    def bad(self, problem: VectorsError) -> None:
        """Count an unreadable word; raise the error unless unreadable words are skipped."""
        if self._on_bad == "error":
            raise VectorsError(f"{problem}; --on-bad skip leaves such words out") from None
        self._bad.append(str(problem))

    def take_back(self, word: str, dim: int) -> None:
        """Remove the last wanted word and its numbers: it was not a word."""
        del self._words[word]
        del self.values[len(self._words) * dim :]

    def table(self, path: Path, dim: int) -> WordTable:
        """Return the collected table; VectorsError names the file if a value is not finite."""
        words = tuple(self._words)
        vectors = np.frombuffer(self.values, dtype=np.float32).reshape(len(words), dim)
        if self._on_bad == "skip":
            finite = np.flatnonzero(np.isfinite(vectors).all(axis=1))
            kept = tuple(words[row] for row in finite.tolist())
            broken = sorted(set(words).difference(kept))
            self._bad += [f"{path}: the vector of {word!r} contains a value that is not finite" for word in broken]
            words, vectors = kept, vectors[finite]
        if self._bad:
            self.notes.append(f"{path}: left out {counted(len(self._bad), 'bad word')}, the first: {self._bad[0]}")
        try:
            return WordTable(words, vectors, duplicates=self._duplicates, bad=len(self._bad), notes=tuple(self.notes))
        except VectorsError as problem:
            raise VectorsError(f"{path}: {problem}") from None


def _decode_word(raw: bytes, path: Path, place: str) -> str:
    """A word's bytes as text; VectorsError names the place if they are empty, not UTF-8 or have a NUL byte."""
    if not raw:
        raise VectorsError(f"{path} {place}: expected a word, got nothing before the numbers")
    if b"\0" in raw:
        raise VectorsError(f"{path} {place}: the word {raw[:40]!r} contains a NUL byte")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise VectorsError(f"{path} {place}: the word {raw[:40]!r} is not UTF-8") from None


_Line = tuple[int, list[bytes]]

_BLANKS = re.compile(rb"[ \t]+")


def read_vector_lines(
    path: Path, *, limit: int | None = None, only: Collection[str] | None = None, on_bad: OnBad = "error"
) -> WordTable:
    """Read a file with one word and its numbers per line, compressed or not.

    A first line of just two whole numbers is taken as the header "words dim". Without one, the numbers
    that end the first line say the dimension. A word may contain spaces unless its last part is a number. Fields are
    separated by one or more spaces or tabs.
    limit: look at the first so many vectors only. only: keep these words only. on_bad: see `OnBad`.
    VectorsError names the line for another number of numbers, something that is not a number or not
    UTF-8, and for a file of fewer or more vectors than its header says.
    """
    lines = _fields(path)
    first = next(lines, None)
    if first is None:
        raise VectorsError(f"{path} is empty: expected one word and its numbers per line")
    promised = _header(first[1])
    if promised is None:
        dim = _numbers_at_end(first[1])
        lines = chain([first], lines)
    else:
        dim = promised[1]
    if dim == 0:
        raise VectorsError(f"{path} line {first[0]}: expected a word and its numbers, got no numbers")
    rows = _WordRows(only, on_bad)
    seen = 0
    for number, fields in lines:
        if seen == limit:
            break
        seen += 1
        try:
            _add(rows, path, number, fields, dim)
        except VectorsError as problem:
            rows.bad(problem)
    if promised is not None and seen != min(promised[0], promised[0] if limit is None else limit):
        raise VectorsError(
            f"{path}: its header says {counted(promised[0], 'vector')}, it contains {seen}: get the file again"
        )
    return rows.table(path, dim)


def _fields(path: Path) -> Iterator[_Line]:
    """The lines that are not blank, cut at spaces and tabs."""
    for number, line in numbered_lines(path, VectorsError):
        stripped = line.rstrip(b" \t\r\n")
        if b"\t" in stripped or b"  " in stripped:  # which is slower, and rare
            yield number, _BLANKS.split(stripped)
        elif stripped:
            yield number, stripped.split(b" ")


def _header(fields: list[bytes]) -> tuple[int, int] | None:
    if len(fields) == 2 and fields[0].isdigit() and fields[1].isdigit():
        return int(fields[0]), int(fields[1])
    return None


def _numbers_at_end(fields: list[bytes]) -> int:
    """Count the numbers at the end of the line; its first field is always the word."""
    count = 0
    while count < len(fields) - 1 and _is_number(fields[-1 - count]):
        count += 1
    return count


def _add(rows: _WordRows, path: Path, number: int, fields: list[bytes], dim: int) -> None:
    place = f"line {number}"
    extra = len(fields) - dim
    if extra > 1 and not fields[0]:  # blanks before the word
        fields, extra = fields[1:], extra - 1
    if extra < 1 or (extra > 1 and _is_number(fields[extra - 1])):
        got = counted(len(fields) - 1, "number")
        raise VectorsError(f"{path} {place}: expected a word and {counted(dim, 'number')}, got {got}")
    word = _decode_word(fields[0] if extra == 1 else b" ".join(fields[:extra]), path, place)
    if rows.wants(word):
        try:
            rows.values.extend(map(float, fields[extra:]))
        except ValueError:
            rows.take_back(word, dim)
            bad = next(field for field in fields[extra:] if not _is_number(field))
            raise VectorsError(f"{path} {place}: expected {dim} numbers, got {bad[:40]!r} among them") from None


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


_LONGEST_HEADER = 64
_FASTTEXT = b"\xba\x16\x4f\x2f"  # what its models begin with
_LONGEST_WORD = 4096
_CONTROLS = frozenset(range(0x20)) | {0x7F}

_Bytes = bytes | mmap.mmap


def read_vector_binary(
    path: Path, *, limit: int | None = None, only: Collection[str] | None = None, on_bad: OnBad = "error"
) -> WordTable:
    """Read a `.bin` file of word2vec or gensim, compressed or not.

    The form is "words dim", a line end, then for each word its bytes, a space and `dim` little-endian
    float32; word2vec ends each with a line end, gensim does not. A word that contains spaces itself is read
    too: of the spaces that can end it, so that the next word begins right after the numbers, that one is
    taken whose numbers are of the most equal size; letters taken for numbers are far too large or small.
    What gensim reads is read too, and the table's notes say what was odd: a last line end that is missing, bytes
    after the last vector, an empty word.
    limit: look at the first so many vectors only. only: keep these words only. on_bad: see `OnBad`.
    VectorsError if the file is truncated, or contains a word that is not UTF-8 or a value that is not finite.
    """
    with open_bytes(path, VectorsError) as file:
        if not isinstance(file, io.BufferedReader):  # compressed
            return _read_binary(file.read(), path, limit, _WordRows(only, on_bad))
        if not path.stat().st_size:
            raise VectorsError(f'{path} is empty: expected a first line "words dim"')
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _read_binary(data, path, limit, _WordRows(only, on_bad))


def _read_binary(data: _Bytes, path: Path, limit: int | None, rows: _WordRows) -> WordTable:
    count, dim, position = _binary_header(data, path)
    size = 4 * dim
    if count * (size + 1) > len(data) - position:
        raise VectorsError(
            f"{path}: its header says {counted(count, 'vector')} of {dim}, but the file is too short: get it again"
        )
    lines = _has_line_ends(data, position, size, last=count == 1)
    wanted = count if limit is None else min(limit, count)
    empty = 0
    for index in range(wanted):
        end = _word_end(data, position, size, last=index == count - 1, lines=lines)
        if end < 0:
            raise VectorsError(
                f"{path}: no vector {index + 1} of {count} could be read at byte {position}: "
                "the file is truncated or damaged, or of another form"
            )
        empty += end == position
        try:
            word = _decode_word(data[position:end], path, f"vector {index + 1}") if end > position else ""
            if rows.wants(word):
                rows.values.frombytes(data[end + 1 : end + 1 + size])
        except VectorsError as problem:
            rows.bad(problem)
        position = end + 1 + size + lines
    if empty:
        rows.notes.append(f"{path}: the word of {empty} of its {counted(count, 'vector')} is empty")
    if wanted == count and len(data) > position:
        rows.notes.append(
            f"{path}: {counted(len(data) - position, 'byte')} after the last of its "
            f"{counted(count, 'vector')}: not read"
        )
    if wanted == count > 0 and len(data) < position:
        rows.notes.append(f"{path}: the line end after its last vector is missing")
    return rows.table(path, dim)


def _binary_header(data: _Bytes, path: Path) -> tuple[int, int, int]:
    """Words, dim and where the header ends."""
    line = data[:_LONGEST_HEADER].partition(b"\n")
    fields = line[0].split()
    if data[: len(_FASTTEXT)] == _FASTTEXT:
        raise VectorsError(f"{path}: a model of fastText, not word2vec's .bin: take the .vec file of the same words")
    if not line[1] or len(fields) != 2 or not all(field.isdigit() for field in fields):
        raise VectorsError(f'{path}: expected a first line "words dim", got {data[:20]!r}: not a word2vec .bin file')
    count, dim = map(int, fields)
    if dim == 0:
        raise VectorsError(f"{path}: its header says vectors of 0 numbers: expected at least 1")
    begin = len(line[0]) + 1
    return count, dim, begin + (data[begin : begin + 1] == b"\n")  # some have the line end before each word


def _has_line_ends(data: _Bytes, position: int, size: int, *, last: bool) -> bool:
    """Whether a line end follows the first vector, whichever space ends its word."""
    best: list[float | None] = []
    for lines in (True, False):
        ends = _word_ends(data, position, size, last=last, lines=lines)
        best.append(min((_spread(data, end, size) for end in ends), default=None))
    with_ends, without = best
    if with_ends is None and without is None:  # an odd word follows
        after = data.find(b" ", position, position + _LONGEST_WORD) + 1 + size
        return data[after : after + 1] == b"\n"
    return with_ends is not None and (without is None or with_ends <= without)


def _word_end(data: _Bytes, position: int, size: int, *, last: bool, lines: bool) -> int:
    """Find the space that ends the word at `position`; -1 if there is none.

    If none fits to the byte, it is the first after whose numbers the file may continue, as gensim takes it: with an
    empty word, one that is not UTF-8, or bytes that are not a vector.
    """
    ends = list(_word_ends(data, position, size, last=last, lines=lines))
    if len(ends) > 1:
        return min(ends, key=lambda end: _spread(data, end, size))
    if ends:
        return ends[0]
    end = data.find(b" ", position, position + _LONGEST_WORD)
    after = end + 1 + size
    if end < 0 or after > len(data) or not _CONTROLS.isdisjoint(data[position:end]):
        return -1
    if last:
        return end
    ended = not lines or data[after : after + 1] == b"\n"
    following = data[after + lines : max(data.find(b" ", after + lines, after + lines + _LONGEST_WORD), 0)]
    return end if ended and _CONTROLS.isdisjoint(following) else -1


def _word_ends(data: _Bytes, position: int, size: int, *, last: bool, lines: bool) -> Iterator[int]:
    """All spaces that can end the word at `position`: the text before contains none, and after the
    numbers comes what must follow."""
    end = data.find(b" ", position, position + _LONGEST_WORD)
    while end >= 0:
        after = end + 1 + size
        ended = data[end - 1 : end] != b" " and (not lines or data[after : after + 1] == b"\n")
        if ended and (after + lines == len(data) if last else _text_before_space(data, after + lines)):
            yield end
        part, end = end + 1, data.find(b" ", end + 1, position + _LONGEST_WORD)
        if end > part and not _text_before_space(data, part):
            return


def _text_before_space(data: _Bytes, position: int) -> bool:
    """Whether the bytes up to the next space can be (a part of) a word."""
    end = data.find(b" ", position, position + _LONGEST_WORD)
    raw = data[position:end]
    if end <= position or not _CONTROLS.isdisjoint(raw):
        return False
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _spread(data: _Bytes, end: int, size: int) -> float:
    """Log ratio of the largest to the smallest number after the space at `end`, ignoring zeros."""
    numbers = np.frombuffer(data[end + 1 : end + 1 + size], dtype="<f4")
    if not np.isfinite(numbers).all():
        return math.inf
    sizes = np.abs(numbers[numbers != 0]).astype(np.float64)
    return float(np.log(sizes.max()) - np.log(sizes.min())) if len(sizes) else 0.0
