"""Files of word vectors, identified by their extensions and, for the two forms of word2vec, by their content."""

import codecs
import re
from collections.abc import Collection
from lzma import LZMAError
from pathlib import Path
from typing import get_args

from devise.errors import UsageError, VectorsError
from devise.text.streams import COMPRESSIONS, inner_suffix, open_bytes
from devise.text.vectorbinary import read_vector_binary, write_vector_binary
from devise.text.vectorlines import read_vector_lines, write_vector_lines
from devise.text.vectors import WordTable
from devise.text.vectorstore import Precision, read_vector_store, write_vector_store
from devise.text.wordrows import OnBad

__all__ = ["read_vectors", "write_vectors"]

_LOOKED_AT = 1 << 16  # bytes: a header and a vector of some thousand numbers
_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_KNOWN = ".safetensors, .bin (word2vec), .txt (word2vec or GloVe) or .vec (fastText)"


def read_vectors(
    path: Path | str, *, limit: int | None = None, only: Collection[str] | None = None, on_bad: OnBad = "error"
) -> WordTable:
    """Read word vectors from `.safetensors`, `.bin`, `.txt` or `.vec`.

    The last three may be compressed (`.gz`, `.xz`, `.bz2`). GloVe's and word2vec's `.txt` are told apart by
    the header line "words dim" that only word2vec writes.
    limit: look at the first so many vectors of the file only. only: keep these words only.
    on_bad: whether a word that cannot be read (not UTF-8, no finite numbers) refuses the file or is left out.
    Of a word that stands twice the first vector is kept; the table says how many were left out, and what was odd.
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


def write_vectors(path: Path | str, table: WordTable, *, precision: Precision = "float32", header: bool = True) -> None:
    """Write word vectors in the format of the extension; the file is whole or not written.

    precision: for `.safetensors` only. header: for `.txt` only; False writes GloVe's form.
    Only `.safetensors` keeps the counts.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if precision not in get_args(Precision) or (precision != "float32" and suffix != ".safetensors"):
        raise UsageError(f"{path}: {suffix} cannot store {precision}: write float16 and int8 as .safetensors")
    if not header and suffix != ".txt":
        raise UsageError(f"{path}: only .txt can be written without a header, not {suffix}")
    match suffix:
        case ".safetensors":
            write_vector_store(path, table, precision=precision)
        case ".bin":
            write_vector_binary(path, table)
        case ".txt" | ".vec":
            write_vector_lines(path, table, header=header)
        case _:
            raise VectorsError(f"{path}: expected a name that ends in {_KNOWN}")
