"""Arrays in one file that is mapped into memory: nothing is parsed, and a hash of each array finds damage."""

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from devise.files import atomic_write, parse_json, require_regular

__all__ = ["read_arrays", "write_arrays"]

_MAGIC = b"devise arrays 1\n"
_ALIGNED = 64  # bytes: each array begins at a multiple
_LARGEST_HEADER = 1 << 24
_HASH = 32
_THREADS = 2  # a hash takes 0.3 s per 600 MB on one core


def write_arrays(path: Path, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays, complete or not at all. facts: JSON to keep with them."""
    stored = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    listed = {
        name: {"kind": array.dtype.str, "shape": array.shape, "sha256": _hash(array)} for name, array in stored.items()
    }
    header = json.dumps({"facts": facts, "arrays": listed}).encode()
    with atomic_write(path, "wb") as file:
        file.write(_MAGIC + len(header).to_bytes(8, "little") + hashlib.sha256(header).digest() + header)
        for array in stored.values():
            file.write(bytes(-file.tell() % _ALIGNED))
            file.write(array.data if array.size else b"")


def read_arrays(path: Path, kinds: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the facts and the arrays of a file, which stays on the disk; the arrays cannot be written to.

    kinds: the arrays that must be there, and their types. FileNotFoundError if the file is missing; OSError or
    ValueError if it is damaged, not a regular file, or of another format.
    """
    size = require_regular(path)
    if size < len(_MAGIC) + 8 + _HASH:
        raise ValueError("it is cut off")
    whole = np.memmap(path, np.uint8, "r")
    start = len(_MAGIC) + 8 + _HASH
    length = int.from_bytes(whole[len(_MAGIC) : len(_MAGIC) + 8].tobytes(), "little")
    header = whole[start : start + min(length, _LARGEST_HEADER)].tobytes()
    if whole[: len(_MAGIC)].tobytes() != _MAGIC or len(header) != length:
        raise ValueError("it is of another format or cut off")
    if hashlib.sha256(header).digest() != whole[start - _HASH : start].tobytes():
        raise ValueError("the sha256 of its header differs")
    stored = parse_json(header)
    if {name: one["kind"] for name, one in stored["arrays"].items()} != dict(kinds):
        raise ValueError("another version wrote it, with other arrays")
    arrays: dict[str, np.ndarray] = {}
    end = start + length
    for name, one in stored["arrays"].items():
        end += -end % _ALIGNED
        count = int(np.prod(one["shape"], dtype=np.int64)) * np.dtype(one["kind"]).itemsize
        if end + count > size:
            raise ValueError("it is cut off")
        arrays[name] = whole[end : end + count].view(one["kind"]).reshape(one["shape"])
        end += count
    with ThreadPoolExecutor(_THREADS) as pool:
        for (name, one), found in zip(stored["arrays"].items(), pool.map(_hash, arrays.values()), strict=True):
            if found != one["sha256"]:
                raise ValueError(f"the sha256 of {name} differs")
    return stored["facts"], arrays


def _hash(array: np.ndarray) -> str:
    return hashlib.sha256(array.data if array.size else b"").hexdigest()
