"""The files of a training run, from which it resumes after a kill."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from devise.errors import TextError
from devise.files import atomic_write, open_tensors, parse_json, reason_of, require_regular
from devise.text.engine.config import SkipGramConfig
from devise.text.engine.encoding import EncodedText
from devise.text.engine.rows import Rows, fresh_rows
from devise.text.tensorstream import write_tensors

__all__ = ["CHECKPOINT", "ENCODED", "read_checkpoint", "read_encoded", "write_checkpoint", "write_encoded"]

CHECKPOINT = "checkpoint.safetensors"
"""Both matrices, and in its metadata how many blocks they were trained on; chance has no other state."""

ENCODED = "text.safetensors"
"""Words, counts and blocks of the encoded text; written last, so that the text is whole where it stands."""

_VERSION = 1
_AT_ONCE = 4096
_DAMAGED = "is damaged: remove the folder and train again"


def write_checkpoint(folder: Path, rows: Rows, position: int) -> None:
    """Write both matrices after so many blocks, whole or not at all; OSError if the disk is full."""
    tensors = {"inputs": rows.inputs[:, : rows.dim], "outputs": rows.outputs[:, : rows.dim]}
    with atomic_write(folder / CHECKPOINT, "wb") as file:
        write_tensors(file, tensors, _described({"position": position}))


def read_checkpoint(folder: Path, words: int, config: SkipGramConfig) -> tuple[Rows, int]:
    """Read the last checkpoint and its number of blocks, or the initial matrices and 0. TextError if damaged."""
    rows = fresh_rows(words, config)
    path = folder / CHECKPOINT
    if not path.exists():
        return rows, 0
    try:
        with open_tensors(path) as file:
            position = _count(_facts(file.metadata(), path), "position")
            for name, matrix in (("inputs", rows.inputs), ("outputs", rows.outputs)):
                _fill(matrix, file.get_slice(name), config.dim, path)
    except (OSError, ValueError) as problem:
        raise TextError(f"{path} {_DAMAGED} ({reason_of(problem)})") from None
    return rows, position


def write_encoded(folder: Path, text: EncodedText) -> None:
    """Write the encoded text except its numbers, which are in a separate file."""
    blob = np.frombuffer("\n".join(text.words).encode(), dtype=np.uint8)
    tensors = {"words": blob, "counts": text.counts, "blocks": text.blocks, "read": text.read}
    facts = {"tokens": text.tokens, "rare_tokens": text.rare_tokens, "forgotten": text.forgotten}
    with atomic_write(folder / ENCODED, "wb") as file:
        write_tensors(file, tensors, _described(facts))


def read_encoded(folder: Path, numbers: Path) -> EncodedText | None:
    """Read the text, or None if its encoding is incomplete. TextError if a file is damaged."""
    path = folder / ENCODED
    if not path.exists():
        return None
    try:
        with open_tensors(path) as file:
            facts = _facts(file.metadata(), path)
            tokens, rare_tokens, forgotten = (_count(facts, name) for name in ("tokens", "rare_tokens", "forgotten"))
            tensors = {name: file.get_tensor(name) for name in ("words", "counts", "blocks", "read")}
        words = tuple(tensors["words"].tobytes().decode().split("\n"))
        _require_whole(words, tensors)
        size = require_regular(numbers)
    except (OSError, ValueError) as problem:
        raise TextError(f"{path} {_DAMAGED} ({reason_of(problem)})") from None
    if size != 4 * tensors["blocks"][-1]:
        raise TextError(f"{numbers} {_DAMAGED} ({size} bytes instead of {4 * tensors['blocks'][-1]})")
    return EncodedText(
        words, tensors["counts"], tokens, rare_tokens, forgotten, numbers, tensors["blocks"], tensors["read"]
    )


def _require_whole(words: tuple[str, ...], tensors: Mapping[str, Any]) -> None:
    """Raise ValueError unless the arrays fit one text: blocks rise from 0, one count above 0 per word."""
    counts, blocks, read = (tensors[name] for name in ("counts", "blocks", "read"))
    if any(array.dtype != np.int64 or array.ndim != 1 for array in (counts, blocks, read)):
        raise ValueError("an array is not a row of 64-bit numbers")
    rising = (
        len(blocks) > 0 and blocks[0] == 0 and bool((np.diff(blocks) > 0).all()) and bool((np.diff(read) >= 0).all())
    )
    if not rising or len(read) != len(blocks) or len(counts) != len(words) or (counts < 1).any():
        raise ValueError("its arrays do not fit each other")


def _fill(matrix: Float32[np.ndarray, "_ padded"], stored: Any, dim: int, path: Path) -> None:
    if tuple(stored.get_shape()) != (len(matrix), dim):
        raise TextError(f"{path} {_DAMAGED} (rows of another size)")
    for start in range(0, len(matrix), _AT_ONCE):
        end = min(start + _AT_ONCE, len(matrix))
        matrix[start:end, :dim] = stored[start:end]


def _described(facts: dict[str, int]) -> dict[str, str]:
    return {"devise": json.dumps({"format": "devise-skipgram", "version": _VERSION, **facts}, sort_keys=True)}


def _count(facts: Mapping[str, Any], name: str) -> int:
    count = facts.get(name)
    if type(count) is not int or count < 0:
        raise ValueError(f"{name} is not a count")
    return count


def _facts(metadata: dict[str, str] | None, path: Path) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = parse_json((metadata or {})["devise"])
        version = facts["version"]
    except (KeyError, TypeError, ValueError):
        raise TextError(f"{path} {_DAMAGED} (it does not say what it is)") from None
    if version != _VERSION:
        raise TextError(f"{path} is of version {version}, this devise reads {_VERSION}: train in another folder")
    return facts
