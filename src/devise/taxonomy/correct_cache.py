"""Correct sets cached on disk: for tens of thousands of classes, reading is faster than growing."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from devise.files import atomic_write
from devise.taxonomy.correct_sets import CorrectSets

if TYPE_CHECKING:
    from devise.taxonomy.wordnet import Taxonomy

__all__ = ["cache_folder", "cached_correct_sets"]

_FORMAT = "correct sets 1"


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/devise/correct-sets, by default in ~/.cache."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(given) if Path(given).is_absolute() else Path.home() / ".cache"
    return base / "devise" / "correct-sets"


def cached_correct_sets(
    taxonomy: "Taxonomy", ids: Sequence[str], ks: Sequence[int], valid: Sequence[str], folder: Path | None
) -> CorrectSets:
    """Return `Taxonomy.correct_sets`, from the cache folder if it is there; without a folder, grow them.

    The file is named by the hash of the graph, the classes, the ks and the valid labels, and holds a hash of its own: a
    file that is cut, altered or unreadable is grown anew and written again. A folder that cannot be written to is
    no error.
    """
    ks = tuple(ks) or (1,)
    if folder is None:
        return taxonomy.correct_sets(ids, ks, valid)
    asked = [_FORMAT, taxonomy.graph_hash, *map(str, ks), "classes", *ids, "valid", *valid]
    path = folder / f"{hashlib.sha256(chr(10).join(asked).encode()).hexdigest()}.bin"
    found = _read(path, tuple(ids), ks, len(valid))
    if found is None:
        found = taxonomy.correct_sets(ids, ks, valid)
        _write(path, found)
    return found


def _read(path: Path, ids: tuple[str, ...], ks: tuple[int, ...], valid: int) -> CorrectSets | None:
    """The sets in a file: a SHA-256, then little-endian 32-bit numbers: sizes, counts, members."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    body = data[32:]
    if hashlib.sha256(body).digest() != data[:32] or len(body) % 4:
        return None
    numbers = np.frombuffer(body, dtype="<i4").astype(np.int64)
    fixed = len(ids) * (1 + len(ks))
    sizes, counts, members = numbers[: len(ids)], numbers[len(ids) : fixed], numbers[fixed:]
    if len(numbers) < fixed or sizes.sum() != len(members) or (len(members) and members.max() >= valid):
        return None
    nearest = tuple(np.split(members, np.cumsum(sizes)[:-1])) if len(ids) else ()
    return CorrectSets(ids, ks, nearest, counts.reshape(len(ids), len(ks)))


def _write(path: Path, sets: CorrectSets) -> None:
    sizes = np.array([len(found) for found in sets.nearest], dtype=np.int64)
    body = np.concatenate([sizes, sets.counts.ravel(), *sets.nearest]).astype("<i4").tobytes()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, "wb") as file:
            file.write(hashlib.sha256(body).digest() + body)
    except OSError:  # full or read-only: the sets are grown each time
        return
