"""Files of word vectors, identified by their extensions."""

from collections.abc import Collection
from pathlib import Path
from typing import get_args

from devise.errors import UsageError, VectorsError
from devise.text.streams import COMPRESSIONS, inner_suffix
from devise.text.vectorbinary import read_vector_binary, write_vector_binary
from devise.text.vectorlines import read_vector_lines, write_vector_lines
from devise.text.vectors import WordTable
from devise.text.vectorstore import Precision, read_vector_store, write_vector_store
from devise.text.wordrows import OnBad

__all__ = ["read_vectors", "write_vectors"]

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
        case ".bin":
            return read_vector_binary(path, limit=limit, only=only, on_bad=on_bad)
        case ".txt" | ".vec":
            return read_vector_lines(path, limit=limit, only=only, on_bad=on_bad)
        case ".safetensors" if path.suffix.lower() not in COMPRESSIONS:
            return read_vector_store(path, limit=limit, only=only)
        case _:
            raise VectorsError(
                f"{path}: expected a file of word vectors named {_KNOWN}; unpack .zip, .7z and .zst first"
            )


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
