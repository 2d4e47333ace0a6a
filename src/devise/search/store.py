"""A directory of Parquet parts that grows by complete parts: a kill loses nothing stored."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from devise.errors import PhotoIndexError, UsageError
from devise.files import atomic_write, read_json, reason_of, remove_unfinished, require_regular, sole_writer
from devise.search.arrayfile import read_arrays, write_arrays
from devise.search.photofacts import FactColumns, PhotoFact
from devise.search.rows import (
    FACTS,
    LATER,
    NULLABLE,
    Rows,
    content_of,
    facts_of,
    from_table,
    import_pyarrow,
    in_range,
    paths_of,
    read_parquet,
    to_table,
)

__all__ = ["HEADER_FILE", "Header", "Known", "PhotoStore"]

if TYPE_CHECKING:
    import pyarrow as pa

HEADER_FILE = "index.json"
_FORMAT = "devise photo index"
_VERSION = 1
_PARTS = "parts"
_LOCK = "lock"
_LARGEST_HEADER = 1 << 20  # bytes
ROWS_FILE = "rows.bin"
_END = 1 << 16  # bytes of a part that identify it
_FACT_KINDS = {
    "text": "|u1",
    "ends": "<i8",
    "sizes": "<i8",
    "times": "<i8",
    "hashes": "|u1",
    "taken": "<i8",
    "ratings": "|i1",
    "sidecars": "<i8",
}
_CONTENT_KINDS = {"vectors": "<f2", "totals": "<f4", "labels": "<i4", "classes": "<u2", "shares": "<f4"}
_CONTENT = ("vector", "total", "label", "classes", "shares")
_PART = re.compile(r"part-(\d{8,18})\.parquet")
_SMALL = 8192  # rows; a part with fewer is merged with others when there are many
_MANY = 32  # small parts that are left alone
_MERGED = 1 << 16  # rows of a merged part: readers have the content of one part in memory


@dataclass(frozen=True, slots=True)
class Header:
    """Facts shared by all rows of an index.

    model: its name. model_sha256: of its manifest, which contains the hash of every part. dim: of the label space.
    best: number of classifier classes stored per photo.
    """

    model: str
    model_sha256: str
    dim: int
    best: int


_HEADER = {"model": str, "model_sha256": str, "dim": int, "best": int}


class Known(NamedTuple):
    """A photo of the index, and the place of its row."""

    fact: PhotoFact
    part: int
    row: int


class PhotoStore:
    """Rows of photos on disk; for each path, the last row counts.

    path: the directory. header: see `Header`.
    """

    def __init__(self, path: Path, header: Header) -> None:
        """Use `opened` or `created`."""
        self.path = path
        self.header = header

    @classmethod
    def opened(cls, path: Path, header: Header | None = None) -> "PhotoStore":
        """Open the index at `path`; PhotoIndexError if absent, or of another model or version.

        header: of the model that is to search it; None opens an index of any model.
        """
        import_pyarrow()
        file = path / HEADER_FILE
        try:
            stored = read_json(file, _LARGEST_HEADER)
            form, version = stored.pop("format"), stored.pop("version")
            known = (form, version) == (_FORMAT, _VERSION)
            if known and any(type(stored[name]) is not kind for name, kind in _HEADER.items() if name in stored):
                raise TypeError("its values are of other types")
            found = Header(**stored) if known else None
        except (FileNotFoundError, NotADirectoryError):
            raise PhotoIndexError(f"{path}: no index of photos here: make one with devise index") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise PhotoIndexError(
                f"{file}: is damaged ({reason_of(error)}): remove {path} and index the photos again"
            ) from None
        if found is None:
            raise PhotoIndexError(f"{file}: is {form} {version}, this package reads {_FORMAT} {_VERSION}: update it")
        if header is not None and found != header:
            if found.model_sha256 == header.model_sha256:
                raise PhotoIndexError(
                    f"{file}: is damaged (numbers that do not fit the model): remove {path} and index the photos again"
                )
            raise PhotoIndexError(_of_another_model(path, found, header))
        return cls(path, found)

    @classmethod
    def created(cls, path: Path, header: Header) -> "PhotoStore":
        """Open or create the index at `path`; UsageError if something else is there."""
        import_pyarrow()
        if (path / HEADER_FILE).exists():
            return cls.opened(path, header)
        if path.exists() and not path.is_dir():
            raise UsageError(f"an index is a folder, but {path} is a file: give another name")
        if path.is_dir() and any(name not in (_PARTS, _LOCK) and not name.startswith(".") for name in os.listdir(path)):
            raise UsageError(f"{path} contains other files and no index of photos: give a new or empty folder")
        (path / _PARTS).mkdir(parents=True, exist_ok=True)
        with atomic_write(path / HEADER_FILE) as file:
            file.write(json.dumps({"format": _FORMAT, "version": _VERSION, **asdict(header)}, indent=1) + "\n")
        return cls(path, header)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Lock the index for the writing process; PhotoIndexError if another writes. Ends with the process."""
        with sole_writer(self.path, PhotoIndexError, _LOCK):
            (self.path / _PARTS).mkdir(exist_ok=True)
            remove_unfinished(self.path / _PARTS)
            yield

    def parts(self) -> tuple[int, ...]:
        """Return the numbers of the parts, oldest first."""
        names = os.listdir(self.path / _PARTS) if (self.path / _PARTS).is_dir() else []
        return tuple(sorted(int(found[1]) for name in names if (found := _PART.fullmatch(name))))

    def known(self) -> dict[str, Known]:
        """Return the photos of the index by path; read only the columns of their facts."""
        return self._known(self.parts())

    def append(self, rows: Rows) -> int:
        """Write the rows as one part, complete or not at all; return its number."""
        number = (self.parts() or (0,))[-1] + 1
        self._write(number, [to_table(rows)])
        return number

    def read(self, part: int) -> Rows:
        """Return all rows of a part, including outdated ones; PhotoIndexError if it is damaged."""
        with self._naming(part):
            return from_table(self._table(part), self.header.dim, self.header.best)

    def check(self) -> None:
        """Read everything once; PhotoIndexError if a part is damaged. An update reads facts alone."""
        for part in self.parts():
            self.read(part)

    def rows(self) -> Rows:
        """Return all photos of the index, ordered by path; PhotoIndexError if its folder of parts is missing."""
        return self.rows_and_note()[0]

    def rows_and_note(self) -> tuple[Rows, str]:
        """Return all photos, and why the file of all rows was not used although it is there, or ""."""
        if not (self.path / _PARTS).is_dir():
            raise PhotoIndexError(f"{self.path / _PARTS}: is missing, with all photos: run devise index again")
        for _ in range(3):
            parts = self.parts()
            try:
                kept, note = self._kept(parts)
                return kept or self._gathered(parts), note
            except FileNotFoundError:  # merged by a process that writes at this moment
                continue
        raise PhotoIndexError(f"{self.path}: changes while it is read: try again when the writer has finished")

    def keep(self, rows: Rows) -> None:
        """Keep all rows in one file too, which opens at once: a million photos in 0.5 s instead of 14.

        rows: those of the parts. The file counts only for the same parts. It takes as much disk as they do.
        """
        facts = rows.facts
        assert isinstance(facts, FactColumns), "rows of the whole index"
        columns = {name: getattr(facts, name) for name in _FACT_KINDS}
        content = {name: getattr(rows, name) for name in _CONTENT_KINDS}
        write_arrays(self.path / ROWS_FILE, {"parts": self._marks(self.parts())}, columns | content)

    def forget_kept(self) -> None:
        """Remove the file of all rows."""
        (self.path / ROWS_FILE).unlink(missing_ok=True)

    def keeps(self) -> bool:
        """Return whether all rows are kept, of the parts that are there."""
        kept, _ = self._kept(self.parts())
        return kept is not None

    def _kept(self, parts: Sequence[int]) -> tuple[Rows | None, str]:
        try:
            facts, arrays = read_arrays(self.path / ROWS_FILE, _FACT_KINDS | _CONTENT_KINDS)
            if facts != {"parts": self._marks(parts)}:
                return None, ""
            columns = FactColumns(**{name: arrays[name] for name in _FACT_KINDS}).checked()
            blank = Rows.blank((), self.header.dim, self.header.best)
            for name in _CONTENT_KINDS:
                if arrays[name].shape != (len(columns), *getattr(blank, name).shape[1:]):
                    raise ValueError(f"its {name} are not those of {len(columns)} photos")
            return in_range(Rows(columns, **{name: arrays[name] for name in _CONTENT_KINDS})), ""
        except FileNotFoundError:
            return None, ""
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            return None, f"{self.path / ROWS_FILE}: cannot be used ({reason_of(error)}): run devise index again"

    def _marks(self, parts: Sequence[int]) -> list[list[object]]:
        """Return what identifies parts: name, size, and the hash of the end, where Parquet lists its columns."""
        marks: list[list[object]] = []
        for part in parts:
            size = require_regular(self._file(part))
            with self._file(part).open("rb") as file:
                file.seek(max(0, size - _END))
                marks.append([self._file(part).name, size, hashlib.sha256(file.read(_END)).hexdigest()])
        return marks

    def _gathered(self, parts: Sequence[int]) -> Rows:
        """Return the rows of the parts that count, each part's content read once."""
        last: dict[str, int] = {}  # rows are counted over all parts
        tables, starts = [], [0]
        for part in parts:
            with self._naming(part):
                tables.append(self._table(part, FACTS))
                paths = paths_of(tables[-1])
            gone = tables[-1].column("gone").to_pylist()
            for row, (path, without) in enumerate(zip(paths, gone, strict=True), starts[-1]):
                if without:
                    last.pop(path, None)
                else:
                    last[path] = row
            starts.append(starts[-1] + len(paths))
        order = sorted(last)
        if not order:
            return Rows.blank((), self.header.dim, self.header.best)
        rows = np.fromiter((last[path] for path in order), np.int64, len(order))
        whole = Rows.blank((), self.header.dim, self.header.best, len(order))
        columns, filled = [], []
        for part, table, first, end in zip(parts, tables, starts[:-1], starts[1:], strict=True):
            places = np.flatnonzero((rows >= first) & (rows < end))
            if not len(places):
                continue
            here = rows[places] - first
            with self._naming(part):
                content = content_of(self._table(part, _CONTENT), (), self.header.dim, self.header.best)
                named = [order[place] for place in places.tolist()]
                columns.append(FactColumns.of(table, named, here))
            for name in _CONTENT_KINDS:
                getattr(whole, name)[places] = getattr(content, name)[here]
            filled.append(places)
        back = np.argsort(np.concatenate(filled))
        return replace(whole, facts=FactColumns.joined(columns).at(back))

    def merge(self) -> bool:
        """Merge the current rows into few parts if there are many small parts or outdated rows.

        A kill changes no photos: the new parts are written first, then the old ones are removed, oldest first.
        """
        parts = self.parts()
        known = self._known(parts)
        lengths = {part: self._length(part) for part in parts}
        small = sum(length < _SMALL for length in lengths.values())
        if small <= _MANY and sum(lengths.values()) <= 2 * len(known) + _SMALL:
            return False
        tables = (to_table(held) for part in parts if len(held := self._held(part, known)))
        for number, together in enumerate(_together(tables), parts[-1] + 1):
            self._write(number, together)
        for part in parts:
            self._file(part).unlink()
        return True

    def _known(self, parts: Iterable[int]) -> dict[str, Known]:
        known: dict[str, Known] = {}
        for part in parts:
            with self._naming(part):
                facts = facts_of(self._table(part, FACTS))
            for row, fact in enumerate(facts):
                known.pop(fact.path, None)
                if not fact.gone:
                    known[fact.path] = Known(fact, part, row)
        return known

    def _held(self, part: int, known: dict[str, Known]) -> Rows:
        rows = self.read(part)
        held = [
            row
            for row, fact in enumerate(rows.facts)
            if (now := known.get(fact.path)) is not None and (now.part, now.row) == (part, row)
        ]
        return rows.taken(np.array(held, dtype=np.int64))

    def _file(self, part: int) -> Path:
        return self.path / _PARTS / f"part-{part:08d}.parquet"

    def _table(self, part: int, columns: Iterable[str] | None = None) -> "pa.Table":
        with self._naming(part):
            schema = to_table(Rows.blank((), self.header.dim, self.header.best)).schema
            return read_parquet(
                self._file(part), schema, list(columns or schema.names), nullable=NULLABLE, optional=LATER
            )

    def _length(self, part: int) -> int:
        with self._naming(part):
            require_regular(self._file(part))
            return int(import_pyarrow().parquet.read_metadata(self._file(part)).num_rows)

    def _write(self, part: int, tables: Iterable["pa.Table"]) -> None:
        parquet = import_pyarrow().parquet
        with atomic_write(self._file(part), "wb") as file:
            writer = None
            for table in tables:
                if writer is None:
                    writer = parquet.ParquetWriter(
                        file, table.schema, compression="zstd", use_dictionary=False, write_page_checksum=True
                    )
                writer.write_table(table)
            assert writer is not None, "a part has rows"
            writer.close()

    @contextmanager
    def _naming(self, part: int) -> Iterator[None]:
        """Name an unreadable part, with the cure."""
        arrow_error: Any = import_pyarrow().lib.ArrowException
        try:
            yield
        except FileNotFoundError:
            raise
        except (PhotoIndexError, arrow_error, OSError, ValueError) as error:
            if isinstance(error, PhotoIndexError) and str(self.path) in str(error):
                raise
            raise PhotoIndexError(
                f"{self._file(part)}: is damaged ({reason_of(error)}): remove this file and run devise index again, "
                "which reads its photos again"
            ) from None


def _together(tables: Iterable["pa.Table"]) -> Iterator[list["pa.Table"]]:
    """Yield the tables in lists of `_MERGED` rows or a few more; the last list may have fewer."""
    some: list[pa.Table] = []
    for table in tables:
        some.append(table)
        if sum(map(len, some)) >= _MERGED:
            yield some
            some = []
    if some:
        yield some


def _of_another_model(path: Path, found: Header, this: Header) -> str:
    again = "or index the photos again into another folder"
    if found.model != this.model and found.model.partition(" --")[0] == this.model.partition(" --")[0]:
        return f"{path}: was made by {found.model}, but this is {this.model}: give the same options, {again}"
    return (
        f"{path}: was made by model {found.model} ({found.model_sha256[:12]}), but this is {this.model} "
        f"({this.model_sha256[:12]}) with different vectors: give that model with --model, {again}"
    )
