"""Facts about the files of photos: one photo's as a value, those of an index as columns."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from devise.arrays import Int8, Int64, UInt8
from devise.vision.metadata import MOST_RATING

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FactColumns", "PhotoFact", "check_fact"]

_LONGEST_TIME = 1 << 40  # seconds since 1970
_UNDATED = int(np.iinfo(np.int64).min)
_UNREAD = int(np.iinfo(np.int8).min)
_HASH = 32  # bytes; zeros for a photo without one
_BLOCK = 4096  # photos that become values at once

_Places = Int64[np.ndarray, "some"]


@dataclass(frozen=True, slots=True)
class PhotoFact:
    """The facts that identify a photo's file.

    path: absolute. size: bytes. mtime_ns: time of the last change, nanoseconds. sha256: of its content, 32 bytes.
    gone: the photo no longer exists; the row only cancels earlier ones of the same path.
    taken, rating: see `PhotoMetadata`; a rating of None says that neither was read yet. sidecar_ns: time of the last
        change of its sidecars, 0 without one.
    """

    path: str
    size: int
    mtime_ns: int
    sha256: bytes
    gone: bool = False
    taken: int | None = None
    rating: int | None = None
    sidecar_ns: int = 0


def check_fact(path: str, taken: int | None = None, rating: int | None = None) -> None:
    """ValueError unless a photo can have this path, date and rating: a file must not lead its reader elsewhere."""
    if not os.path.isabs(path) or "\0" in path:
        raise ValueError("a path is not absolute")
    if abs(taken or 0) > _LONGEST_TIME or not -1 <= (rating or 0) <= MOST_RATING:
        raise ValueError("a date or a rating is out of range")


@dataclass(frozen=True, eq=False, slots=True)
class FactColumns(Sequence[PhotoFact]):
    """Facts of photos that exist, as arrays: a million take 130 MB, and open without a value for each.

    text: their paths as bytes of the file system, one after the other. ends: where each path ends in it.
    hashes: zeros if unknown. taken, ratings: the least number of the type if unknown.
    """

    text: UInt8[np.ndarray, "bytes"]
    ends: Int64[np.ndarray, "photos"]
    sizes: Int64[np.ndarray, "photos"]
    times: Int64[np.ndarray, "photos"]
    hashes: UInt8[np.ndarray, "photos 32"]
    taken: Int64[np.ndarray, "photos"]
    ratings: Int8[np.ndarray, "photos"]
    sidecars: Int64[np.ndarray, "photos"]

    @classmethod
    def of(cls, table: "pa.Table", paths: Sequence[str], rows: _Places) -> "FactColumns":
        """Return the columns of some rows of a table. paths: of these rows.

        ValueError if a value is out of range.
        """

        def numbers(name: str, unknown: int, kind: type[np.generic]) -> Any:
            if name not in table.column_names:  # a part of an earlier version
                return np.full(len(rows), unknown, kind)
            return table.column(name).fill_null(unknown).to_numpy()[rows].astype(kind, copy=False)

        text = [os.fsencode(path) for path in paths]
        hashes = [one.ljust(_HASH, b"\0") for one in table.column("sha256").take(rows).to_pylist()]
        if any(len(one) != _HASH for one in hashes):
            raise ValueError("a hash is too long")
        return cls(
            np.frombuffer(b"".join(text), np.uint8),
            np.cumsum(np.fromiter(map(len, text), np.int64, len(text))),
            numbers("size", 0, np.int64),
            numbers("mtime_ns", 0, np.int64),
            np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, _HASH),
            numbers("taken", _UNDATED, np.int64),
            numbers("rating", _UNREAD, np.int8),
            numbers("sidecar_ns", 0, np.int64),
        ).checked()

    @classmethod
    def made(cls, facts: Sequence[PhotoFact]) -> "FactColumns":
        """Return the columns of some facts, themselves if they are columns."""
        if isinstance(facts, cls):
            return facts
        text = [os.fsencode(fact.path) for fact in facts]
        hashes = b"".join(fact.sha256.ljust(_HASH, b"\0") for fact in facts)
        taken = [_UNDATED if fact.taken is None else fact.taken for fact in facts]
        ratings = [_UNREAD if fact.rating is None else fact.rating for fact in facts]
        return cls(
            np.frombuffer(b"".join(text), np.uint8),
            np.cumsum([len(one) for one in text], dtype=np.int64),
            np.array([fact.size for fact in facts], np.int64),
            np.array([fact.mtime_ns for fact in facts], np.int64),
            np.frombuffer(hashes, np.uint8).reshape(-1, _HASH),
            np.array(taken, np.int64),
            np.array(ratings, np.int8),
            np.array([fact.sidecar_ns for fact in facts], np.int64),
        )

    def checked(self) -> "FactColumns":
        """Return the columns; ValueError if they do not fit each other, or a fact is out of range."""
        count = len(self.ends)
        shapes = {one.name: getattr(self, one.name).shape for one in fields(self)[1:]}
        hashes = shapes.pop("hashes")
        starts = self._starts() if self.ends.ndim == 1 else self.ends
        if hashes != (count, _HASH) or set(shapes.values()) != {(count,)} or self.text.ndim != 1:
            raise ValueError("its columns have different lengths")
        if (self.ends < starts).any() or (self.ends[-1] if count else 0) != len(self.text):
            raise ValueError("its paths do not end where they should")
        if (self.ends == starts).any():
            raise ValueError("a path is not absolute")
        if os.sep == "/":  # a million paths at once
            if (self.text[starts] != ord("/")).any() or not self.text.all():
                raise ValueError("a path is not absolute")
        else:
            for path in self.paths():
                check_fact(path)
        dates, stars = self.taken[self.dated()], self.ratings[self.read()]
        if (np.abs(dates) > _LONGEST_TIME).any() or ((stars < -1) | (stars > MOST_RATING)).any():
            raise ValueError("a date or a rating is out of range")
        return self

    @classmethod
    def joined(cls, blocks: Sequence["FactColumns"]) -> "FactColumns":
        """Concatenate at least one."""
        starts = np.cumsum([0, *(len(block.text) for block in blocks[:-1])])
        ends = [block.ends + start for block, start in zip(blocks, starts, strict=True)]
        rest = [np.concatenate([getattr(block, one.name) for block in blocks]) for one in fields(cls)[2:]]
        return cls(np.concatenate([block.text for block in blocks]), np.concatenate(ends), *rest)

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, place: int) -> PhotoFact: ...
    @overload
    def __getitem__(self, place: slice) -> "FactColumns": ...
    def __getitem__(self, place: int | slice) -> "PhotoFact | FactColumns":
        if isinstance(place, slice):
            return self.at(np.arange(len(self))[place])
        row = range(len(self))[place]
        return next(self._values(row, row + 1))

    def __iter__(self) -> Iterator[PhotoFact]:
        for start in range(0, len(self), _BLOCK):
            yield from self._values(start, min(start + _BLOCK, len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(PhotoFact.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]

    def at(self, places: _Places) -> "FactColumns":
        """Return the facts at these positions."""
        ends = self.ends[places]
        lengths = ends - self._starts()[places]
        stops = np.cumsum(lengths)
        letters = np.arange(lengths.sum()) + np.repeat(ends - stops, lengths)
        return FactColumns(self.text[letters], stops, *(getattr(self, one.name)[places] for one in fields(self)[2:]))

    def paths(self) -> Iterator[str]:
        """Yield all paths."""
        start, text = 0, self.text
        for end in self.ends.tolist():
            yield os.fsdecode(text[start:end].tobytes())
            start = end

    def dated(self) -> Any:
        """Return which photos have a date."""
        return self.taken != _UNDATED

    def read(self) -> Any:
        """Return of which photos date and rating were read."""
        return self.ratings != _UNREAD

    def _starts(self) -> Int64[np.ndarray, "photos"]:
        starts = np.zeros(len(self), np.int64)
        starts[1:] = self.ends[:-1]
        return starts

    def _values(self, first: int, last: int) -> Iterator[PhotoFact]:
        block = slice(first, last)
        start = int(self.ends[first - 1]) if first else 0
        columns = (getattr(self, one.name)[block].tolist() for one in fields(self)[1:] if one.name != "hashes")
        hashes = self.hashes[block]
        for row, (end, size, time, taken, rating, sidecar) in enumerate(zip(*columns, strict=True)):
            path, sha256 = os.fsdecode(self.text[start:end].tobytes()), hashes[row].tobytes()
            start = end
            yield PhotoFact(
                path,
                size,
                time,
                sha256 if sha256 != bytes(_HASH) else b"",
                taken=None if taken == _UNDATED else taken,
                rating=None if rating == _UNREAD else rating,
                sidecar_ns=sidecar,
            )
