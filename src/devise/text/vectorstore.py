"""Word vectors as safetensors: rows of floats or of 8-bit codes, written piece by piece and never copied as a whole."""

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, cast, get_args, runtime_checkable

import numpy as np

from devise.arrays import Shaped, WordVectors
from devise.errors import VectorsError, counted
from devise.files import atomic_write, open_tensors, parse_json, reason_of
from devise.text.vectors import QuantizedRows, WordTable, check_writable

__all__ = [
    "FORMAT_VERSION",
    "AnyTensor",
    "Precision",
    "Sink",
    "quantize_rows",
    "read_vector_store",
    "write_tensors",
    "write_vector_store",
]

AnyTensor = Shaped[np.ndarray, "..."]
"""An array of any shape and type of numbers."""

_KINDS = {"uint8": "U8", "int8": "I8", "int32": "I32", "float16": "F16", "float32": "F32", "int64": "I64"}
_ORDER = ("U8", "I8", "F16", "I32", "F32", "I64")  # of safetensors' own writer, the last comes first
_PIECE = 1 << 24


@runtime_checkable
class Sink(Protocol):
    """What bytes are written to: an open file, or a buffer."""

    def write(self, data: bytes | memoryview, /) -> int:
        """Take all of `data`."""


def write_tensors(file: Sink, tensors: Mapping[str, AnyTensor], metadata: Mapping[str, str]) -> None:
    """Write the same bytes as `safetensors.numpy.save`, with at most one metadata entry.

    The arrays need not lie in memory in one piece. KeyError for a type of numbers that is not known here.
    """
    names = sorted(tensors, key=lambda name: (-_ORDER.index(_KINDS[tensors[name].dtype.name]), name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    at = 0
    for name in names:
        tensor = tensors[name]
        header[name] = {
            "dtype": _KINDS[tensor.dtype.name],
            "shape": list(tensor.shape),
            "data_offsets": [at, at + tensor.nbytes],
        }
        at += tensor.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little"))
    file.write(text)
    for name in names:
        for piece in _pieces(tensors[name]):
            file.write(np.ascontiguousarray(piece).data)


def _pieces(tensor: AnyTensor) -> Iterator[AnyTensor]:
    if not tensor.size:
        return
    rows = max(1, _PIECE * len(tensor) // tensor.nbytes)
    for start in range(0, len(tensor), rows):
        yield tensor[start : start + rows]


_LARGEST = 127
_BLOCK = 1 << 14


def quantize_rows(rows: WordVectors) -> QuantizedRows:
    """Symmetric codes, scale = max |value| of the row / 127, rounded up to the next float32.

    So |value - code * scale| <= scale / 2 for every value. VectorsError if a value is not finite.
    """
    codes = np.empty(rows.shape, dtype=np.int8)
    scales = np.zeros(len(rows), dtype=np.float32)
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK].astype(np.float64)
        largest = np.abs(block).max(axis=1, initial=0.0)
        if not np.isfinite(largest).all():
            row = start + int(np.flatnonzero(~np.isfinite(largest))[0])
            raise VectorsError(f"row {row} contains a value that is not finite: 8-bit codes need finite values")
        scale = (largest / _LARGEST).astype(np.float32)
        too_small = scale.astype(np.float64) * _LARGEST < largest
        scale[too_small] = np.nextafter(scale[too_small], np.float32(np.inf))
        scales[start : start + _BLOCK] = scale
        divisor = np.where(scale > 0, scale, 1).astype(np.float64)
        codes[start : start + _BLOCK] = np.rint(block / divisor[:, None])
    return QuantizedRows(codes, scales)


FORMAT_VERSION = 1

Precision = Literal["float32", "float16", "int8"]
"""How a number is kept: exactly, to about 3 digits, or as one of 255 steps of its row's largest value."""

_FORMAT = "devise-word-vectors"


def write_vector_store(path: Path, table: WordTable, *, precision: Precision = "float32") -> None:
    """Write words, vectors and counts, whole or not at all; the same table gives the same bytes.

    Tensors: `vectors` [words, dim], `words` (UTF-8, a line end between words), `counts` int64 if the
    table has them, `scales` float32 [words] for int8. One metadata entry, `devise`, says format and
    version as JSON: a single entry, since safetensors does not keep the order of several.
    VectorsError if a word is empty or contains a line end, or if a value is too large for float16.
    """
    if precision not in get_args(Precision):
        raise VectorsError(f"precision {precision!r} is not known: take one of {', '.join(get_args(Precision))}")
    check_writable(table.words, "\n")
    blob = np.frombuffer("\n".join(table.words).encode(), dtype=np.uint8)
    tensors: dict[str, Any] = {"words": blob, **_encoded(table, precision)}
    if table.counts is not None:
        tensors["counts"] = table.counts
    described = {"format": _FORMAT, "precision": precision, "version": FORMAT_VERSION}
    with atomic_write(path, "wb") as file:
        write_tensors(file, tensors, {"devise": json.dumps(described, sort_keys=True)})


def read_vector_store(path: Path, *, limit: int | None = None, only: Collection[str] | None = None) -> WordTable:
    """Read a file of `write_vector_store`; its vectors are float32 for any stored precision.

    limit: look at the first so many vectors only. only: keep these words only.
    VectorsError if the file is damaged, not of this form, or of a later version.
    """
    if not path.is_file():
        raise VectorsError(f"{path} does not exist: give the path of a file")
    try:
        with open_tensors(path) as file:
            _check_form(path, file)
            rows, words = _chosen(path, file, limit, None if only is None else frozenset(only))
            tensors = {name: _rows_of(file, name, rows) for name in _per_word(file)}
    except (OSError, ValueError) as problem:
        raise VectorsError(
            f"{path} is not a whole safetensors file: {reason_of(problem)}; write or get it again"
        ) from problem
    if not all(np.isfinite(array).all() for array in tensors.values() if array.dtype.kind == "f"):
        raise VectorsError(f"{path}: a number in it is not finite: write it again")
    try:
        return WordTable(words, _decodable(tensors), tensors.get("counts"))
    except VectorsError as problem:
        raise VectorsError(f"{path}: {problem}") from None


def _encoded(table: WordTable, precision: Precision) -> dict[str, Any]:
    if precision == "int8":
        quantized = quantize_rows(table.vectors)
        return {"vectors": quantized.codes, "scales": quantized.scales}
    if precision == "float32":
        return {"vectors": table.vectors}
    with np.errstate(over="ignore"):
        half = table.vectors.astype(np.float16)
    broken = np.flatnonzero(~np.isfinite(half).all(axis=1))
    if len(broken):
        word = table.words[broken[0]]
        raise VectorsError(f"the vector of {word!r} is too large for float16: write float32 or int8")
    return {"vectors": half}


def _decodable(tensors: dict[str, Any]) -> WordVectors | QuantizedRows:
    if "scales" in tensors:
        return QuantizedRows(tensors["vectors"], tensors["scales"])
    rows: WordVectors = tensors["vectors"].astype(np.float32, copy=False)
    return rows


_FEW = 64  # rows that are read one by one


def _rows_of(file: Any, name: str, rows: list[int] | None) -> AnyTensor:
    """Read these rows of a tensor; None are all."""
    if rows is None or len(rows) > _FEW:
        tensor: AnyTensor = file.get_tensor(name)
        return tensor if rows is None else tensor[rows]
    part = file.get_slice(name)
    return np.concatenate([part[0:0], *(part[row : row + 1] for row in rows)])


def _chosen(
    path: Path, file: Any, limit: int | None, only: frozenset[str] | None
) -> tuple[list[int] | None, tuple[str, ...]]:
    """Return the rows to read, None if all, and their words."""
    try:
        text = bytes(file.get_tensor("words")).decode("utf-8")
    except UnicodeDecodeError:
        raise VectorsError(f"{path}: its words are not UTF-8: the file is damaged, write it again") from None
    words = text.split("\n") if text else []
    shapes = {name: file.get_slice(name).get_shape()[0] for name in _per_word(file)}
    if {len(words)} != set(shapes.values()):
        said = ", ".join(counted(count, name.removesuffix("s")) for name, count in sorted(shapes.items(), reverse=True))
        raise VectorsError(f"{path}: {counted(len(words), 'word')} but {said}: the file is damaged, write it again")
    rows = [place for place, word in enumerate(words[:limit]) if only is None or word in only]
    return (None if len(rows) == len(words) else rows), tuple(words[place] for place in rows)


def _per_word(file: Any) -> list[str]:
    return [name for name in file.keys() if name != "words"]  # noqa: SIM118


def _check_form(path: Path, file: Any) -> None:
    """Check format, version, and the types of all tensors."""
    precision = _precision(path, file.metadata() or {})
    names = file.keys()
    expected = {"words": ("U8", 1), "vectors": (_KINDS[precision], 2)}
    expected |= {"scales": ("F32", 1)} if precision == "int8" else {}
    expected |= {"counts": ("I64", 1)} if "counts" in names else {}
    parts = {name: file.get_slice(name) for name in names}
    if {name: (part.get_dtype(), len(part.get_shape())) for name, part in parts.items()} != expected:
        raise VectorsError(
            f"{path}: its tensors {sorted(names)} are not those of {precision} word vectors: write it again"
        )


def _precision(path: Path, metadata: dict[str, str]) -> Precision:
    try:
        described = parse_json(metadata["devise"])
        name, version, precision = described["format"], described["version"], described["precision"]
    except (KeyError, TypeError, ValueError):
        name = version = precision = None
    if name != _FORMAT:
        raise VectorsError(f"{path} does not contain word vectors of devise: expected the format {_FORMAT}")
    if version != FORMAT_VERSION or precision not in get_args(Precision):
        raise VectorsError(
            f"{path} has word vectors of version {version} ({precision}), this devise reads {FORMAT_VERSION}: "
            "update devise, or write the file again"
        )
    return cast("Precision", precision)
