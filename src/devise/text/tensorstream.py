"""safetensors files written piece by piece, so that a large matrix is never copied as a whole."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Shaped

__all__ = ["AnyTensor", "Sink", "write_tensors"]

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
