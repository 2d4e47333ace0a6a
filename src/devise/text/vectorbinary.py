"""Word vectors in word2vec's binary form."""

import io
import math
import mmap
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from devise.errors import VectorsError, counted
from devise.files import atomic_write
from devise.text.streams import open_bytes
from devise.text.vectors import WordTable
from devise.text.wordrows import OnBad, WordRows, check_writable, decode_word

__all__ = ["read_vector_binary", "write_vector_binary"]

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
    float32; word2vec ends each with a line end, gensim does not. A word that holds spaces itself is read
    too: of the spaces that can end it, so that the next word begins right behind the numbers, that one is
    taken whose numbers are of the most equal size; letters taken for numbers are far too large or small.
    What gensim reads is read too, and the table's notes say what was odd: a last line end that is missing, bytes
    behind the last vector, an empty word.
    limit: look at the first so many vectors only. only: keep these words only. on_bad: see `OnBad`.
    VectorsError if the file is truncated, or holds a word that is not UTF-8 or a value that is not finite.
    """
    with open_bytes(path, VectorsError) as file:
        if not isinstance(file, io.BufferedReader):  # compressed
            return _read(file.read(), path, limit, WordRows(only, on_bad))
        if not path.stat().st_size:
            raise VectorsError(f'{path} is empty: expected a first line "words dim"')
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _read(data, path, limit, WordRows(only, on_bad))


def write_vector_binary(path: Path, table: WordTable) -> None:
    """Write word2vec's form, a line end after each vector; whole or not at all.

    VectorsError if a word holds a space or a control character: readers could not tell where it ends.
    """
    check_writable(table.words, " \x7f" + "".join(map(chr, range(0x20))))
    rows = np.ascontiguousarray(table.vectors, dtype="<f4")
    with atomic_write(path, "wb") as opened:
        file = opened
        file.write(f"{len(table)} {table.dim}\n".encode())
        for word, row in zip(table.words, rows, strict=True):
            file.write(word.encode() + b" " + row.tobytes() + b"\n")


def _read(data: _Bytes, path: Path, limit: int | None, rows: WordRows) -> WordTable:
    count, dim, position = _header(data, path)
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
            word = decode_word(data[position:end], path, f"vector {index + 1}") if end > position else ""
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


def _header(data: _Bytes, path: Path) -> tuple[int, int, int]:
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

    Where none fits to the byte, it is the first behind whose numbers the file may go on, as gensim takes it: with an
    empty word, one that is not UTF-8, or bytes that are no vector.
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
    numbers stands what must follow."""
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
