"""Word vectors as lines of text: word2vec .txt and fastText .vec with a header line, GloVe .txt without."""

import re
from collections.abc import Collection, Iterator
from itertools import chain
from pathlib import Path

from devise.errors import VectorsError, counted
from devise.files import atomic_write
from devise.text.streams import numbered_lines
from devise.text.vectors import WordTable
from devise.text.wordrows import OnBad, WordRows, check_writable, decode_word

__all__ = ["read_vector_lines", "write_vector_lines"]

_Line = tuple[int, list[bytes]]

_BLANKS = re.compile(rb"[ \t]+")


def read_vector_lines(
    path: Path, *, limit: int | None = None, only: Collection[str] | None = None, on_bad: OnBad = "error"
) -> WordTable:
    """Read a file with one word and its numbers per line, compressed or not.

    A first line of just two whole numbers is taken as the header "words dim". Without one, the numbers
    that end the first line say the dimension. A word may hold spaces unless its last part is a number. Fields are
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
    rows = WordRows(only, on_bad)
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


def write_vector_lines(path: Path, table: WordTable, *, header: bool = True) -> None:
    """Write one word and its numbers per line, whole or not at all; every float32 can be read back exactly.

    header: word2vec's and fastText's first line "words dim"; False gives GloVe's form.
    VectorsError if a word holds a blank, a line end or a NUL byte: this form cannot tell where such a word ends.
    """
    check_writable(table.words, " \t\n\r\0")
    line = "%s" + " %.9g" * table.dim + "\n"
    with atomic_write(path) as opened:
        file = opened
        if header:
            file.write(f"{len(table)} {table.dim}\n")
        for word, vector in zip(table.words, table.vectors, strict=True):
            file.write(line % (word, *vector.tolist()))


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


def _add(rows: WordRows, path: Path, number: int, fields: list[bytes], dim: int) -> None:
    place = f"line {number}"
    extra = len(fields) - dim
    if extra > 1 and not fields[0]:  # blanks before the word
        fields, extra = fields[1:], extra - 1
    if extra < 1 or (extra > 1 and _is_number(fields[extra - 1])):
        got = counted(len(fields) - 1, "number")
        raise VectorsError(f"{path} {place}: expected a word and {counted(dim, 'number')}, got {got}")
    word = decode_word(fields[0] if extra == 1 else b" ".join(fields[:extra]), path, place)
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
