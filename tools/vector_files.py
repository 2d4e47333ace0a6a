"""Files of tokens to train on, and of word vectors in the forms of word2vec, GloVe and fastText."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import get_args

import numpy as np

from devise.errors import TextError, UsageError, VectorsError
from devise.files import atomic_write
from devise.text.corpus import CorpusTally
from devise.text.vectors import WordTable, check_writable
from devise.text.vectorstore import Precision, write_vector_store

__all__ = ["write_tokens", "write_vector_binary", "write_vector_lines", "write_vectors"]


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
            raise VectorsError(f"{path}: expected a name that ends in .safetensors, .bin, .txt or .vec")


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


def write_tokens(path: Path, sentences: Iterable[Sequence[str]]) -> CorpusTally:
    """Write one sentence per line, tokens separated by a space, so that later epochs need not tokenise again.

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
                raise TextError(f"sentence {number} contains a token that is empty or has a space: {line[:60]!r}")
            file.write(line + "\n")
            tally.sentences += 1
            tally.tokens += len(sentence)
    return tally
