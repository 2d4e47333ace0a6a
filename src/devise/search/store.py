"""A directory of Parquet parts that grows by complete parts: a kill loses nothing stored."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from devise.arrays import Float16, Float32, Int32, Int64, UInt16
from devise.errors import PhotoIndexError, UsageError
from devise.files import atomic_write, read_json, reason_of, require_regular, sole_writer, text_name
from devise.search.arrayfile import read_arrays, write_arrays
from devise.search.photofacts import FactColumns, PhotoFact, check_fact

__all__ = [
    "FACTS",
    "HEADER_FILE",
    "Header",
    "Known",
    "PhotoStore",
    "Rows",
    "facts_of",
    "fingerprint",
    "from_table",
    "import_pyarrow",
    "read_parquet",
    "to_table",
]

if TYPE_CHECKING:
    import pyarrow as pa


FACTS = ("path", "path_bytes", "size", "mtime_ns", "sha256", "gone", "taken", "rating", "sidecar_ns")
"""The columns that identify photos, and their metadata; the others describe their content."""

_LATER = ("taken", "rating", "sidecar_ns")  # columns that parts of earlier versions lack
_NULLABLE = ("path_bytes", "taken", "rating")

_Any = TypeVar("_Any", bound=np.generic)
_UNPACKED = 1 << 30  # bytes that any file may say it has when unpacked; a larger file more
_RATIO = 1000  # times its size
_ROWS = 1 << 20  # of any file; a larger one has at least a byte for each
_LONGEST = 1.01  # of a vector's numbers: its length is 1, and 16 bits round it
_TOTALS = 1e8  # the lowest temperature of a model gives 1e6 and a little


@dataclass(frozen=True, eq=False, slots=True)
class Rows:
    """Photos and their content, in one order.

    vectors: points of the label space, unit length but for their storage in 16 bits.
    totals: the logarithm of the sum that turns a photo's scores into probabilities over all labels of the model.
    labels: a photo's top label among all labels of the model, as a position.
    classes, shares: the columns of the classifier's most probable classes, and their probabilities.
    """

    facts: Sequence[PhotoFact]
    vectors: Float16[np.ndarray, "photos dim"]
    totals: Float32[np.ndarray, "photos"]
    labels: Int32[np.ndarray, "photos"]
    classes: UInt16[np.ndarray, "photos best"]
    shares: Float32[np.ndarray, "photos best"]

    def __len__(self) -> int:
        return len(self.facts)

    @classmethod
    def gone(cls, paths: Sequence[str], dim: int, best: int) -> "Rows":
        """Return rows that cancel these paths."""
        facts = tuple(PhotoFact(path, 0, 0, b"", gone=True) for path in paths)
        return cls.blank(facts, dim, best)

    @classmethod
    def blank(cls, facts: tuple[PhotoFact, ...], dim: int, best: int, count: int | None = None) -> "Rows":
        """Return rows without content. count: their number, if they have no facts yet."""
        count = len(facts) if count is None else count
        return cls(
            facts,
            np.zeros((count, dim), np.float16),
            np.zeros(count, np.float32),
            np.zeros(count, np.int32),
            np.zeros((count, best), np.uint16),
            np.zeros((count, best), np.float32),
        )

    @classmethod
    def joined(cls, blocks: Sequence["Rows"]) -> "Rows":
        """Concatenate at least one."""
        return cls(
            tuple(fact for block in blocks for fact in block.facts),
            np.concatenate([block.vectors for block in blocks]),
            np.concatenate([block.totals for block in blocks]),
            np.concatenate([block.labels for block in blocks]),
            np.concatenate([block.classes for block in blocks]),
            np.concatenate([block.shares for block in blocks]),
        )

    def taken(self, places: Int64[np.ndarray, "some"], facts: Sequence[PhotoFact] | None = None) -> "Rows":
        """Return the rows at these positions. facts: replace their own facts."""
        if facts is None:
            columns = self.facts if isinstance(self.facts, FactColumns) else None
            facts = columns.at(places) if columns else tuple(self.facts[place] for place in places.tolist())
        return Rows(
            facts,
            self.vectors[places],
            self.totals[places],
            self.labels[places],
            self.classes[places],
            self.shares[places],
        )


def import_pyarrow() -> Any:
    """Import the module; PhotoIndexError with what to install if it is missing."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise PhotoIndexError("this needs pyarrow, which is not installed: pip install 'devise-zsl[search]'") from None
    return pyarrow


def read_parquet(
    path: Path,
    schema: "pa.Schema",
    columns: Sequence[str],
    *,
    nullable: Container[str] = (),
    optional: Container[str] = (),
) -> "pa.Table":
    """Read columns of a Parquet file with this schema; only nullable columns may lack values.

    optional: columns that may be missing; the table lacks them then.

    FileNotFoundError if it is absent. ValueError, one line, for every other fault: not a regular file, damaged or of
    another format, a missing column or one of another type, a missing value, more rows than the file can contain.
    """
    pyarrow = import_pyarrow()
    size = require_regular(path)
    texts = [name for name in columns if pyarrow.types.is_string(schema.field(name).type)]
    try:
        metadata = pyarrow.parquet.read_metadata(path)
        found = metadata.schema.to_arrow_schema()
        columns = [name for name in columns if name not in optional or name in found.names]
        for name in schema.names:
            if name in optional and name not in found.names:
                continue
            if found.field(name).type != schema.field(name).type:
                raise TypeError(f"column {name} is {found.field(name).type}, not {schema.field(name).type}")
        unpacked = sum(metadata.row_group(place).total_byte_size for place in range(metadata.num_row_groups))
        most = max(_UNPACKED, _RATIO * size)
        if not 0 <= unpacked <= most:
            raise ValueError(f"it claims to unpack to {unpacked:,} bytes")
        if metadata.num_rows > max(_ROWS, size):
            raise ValueError(f"it claims to have {metadata.num_rows:,} rows")
        checked = {"page_checksum_verification": True, "read_dictionary": texts}
        with pyarrow.parquet.ParquetFile(path, metadata=metadata, **checked) as file:
            table = file.read(list(columns))
        table.validate(full=True)
        for name in texts:  # a text that is stored once, for very many rows
            if (unpacked := sum(map(_letters, table.column(name).chunks))) > most:
                raise ValueError(f"column {name} unpacks to {unpacked:,} bytes")
            place = table.schema.get_field_index(name)
            table = table.set_column(place, schema.field(name), table.column(name).cast(schema.field(name).type))
        for name in columns:
            if name not in nullable and table.column(name).null_count:
                raise ValueError(f"column {name} lacks values")
    except FileNotFoundError:
        raise
    except (ArithmeticError, AttributeError, LookupError, MemoryError, OSError, TypeError, ValueError) as error:
        raise ValueError(reason_of(error)) from None
    except pyarrow.lib.ArrowException as error:
        raise ValueError(reason_of(error)) from None
    return table


def _letters(chunk: Any) -> int:
    """Return the bytes of the texts of an array with a dictionary."""
    import pyarrow.compute

    lengths = pyarrow.compute.binary_length(chunk.dictionary)
    return int(pyarrow.compute.sum(lengths.take(chunk.indices)).as_py() or 0)


def to_table(rows: Rows) -> "pa.Table":
    """Convert rows to an Arrow table; a path that is not UTF-8 is also kept as bytes."""
    pa = import_pyarrow()
    shown = [text_name(fact.path) for fact in rows.facts]
    exact = [
        None if text == fact.path else os.fsencode(fact.path) for text, fact in zip(shown, rows.facts, strict=True)
    ]
    return pa.table(
        {
            "path": pa.array(shown, pa.string()),
            "path_bytes": pa.array(exact, pa.binary()),
            "size": pa.array([fact.size for fact in rows.facts], pa.int64()),
            "mtime_ns": pa.array([fact.mtime_ns for fact in rows.facts], pa.int64()),
            "sha256": pa.array([fact.sha256 for fact in rows.facts], pa.binary()),
            "gone": pa.array([fact.gone for fact in rows.facts], pa.bool_()),
            "taken": pa.array([fact.taken for fact in rows.facts], pa.int64()),
            "rating": pa.array([fact.rating for fact in rows.facts], pa.int8()),
            "sidecar_ns": pa.array([fact.sidecar_ns for fact in rows.facts], pa.int64()),
            "vector": _lists(pa, rows.vectors),
            "total": pa.array(rows.totals),
            "label": pa.array(rows.labels),
            "classes": _lists(pa, rows.classes),
            "shares": _lists(pa, rows.shares),
        }
    )


def from_table(table: "pa.Table", dim: int, best: int) -> Rows:
    """Convert a table of `to_table` to rows; PhotoIndexError if its columns or values cannot be of an index."""
    return _content(table, facts_of(table), dim, best)


def _content(table: "pa.Table", facts: Sequence[PhotoFact], dim: int, best: int) -> Rows:
    return _checked(
        lambda: _in_range(
            Rows(
                facts,
                _matrix(table, "vector", dim, np.float16),
                table.column("total").to_numpy().astype(np.float32, copy=False),
                table.column("label").to_numpy().astype(np.int32, copy=False),
                _matrix(table, "classes", best, np.uint16),
                _matrix(table, "shares", best, np.float32),
            )
        )
    )


def _in_range(rows: Rows) -> Rows:
    ranges = ((rows.vectors, -_LONGEST, _LONGEST), (rows.totals, -_TOTALS, _TOTALS), (rows.shares, 0, _LONGEST))
    if not all(((low <= numbers) & (numbers <= high)).all() for numbers, low, high in ranges):  # so none is NaN
        raise ValueError("a number is out of range or not finite")
    return rows


def facts_of(table: "pa.Table") -> tuple[PhotoFact, ...]:
    """Return the facts alone, which need no other columns; PhotoIndexError if one is missing.

    The metadata of a part of an earlier version is unknown.
    """
    names = table.column_names
    return _checked(lambda: tuple(map(_fact, *(table.column(name).to_pylist() for name in FACTS if name in names))))


def _paths_of(table: "pa.Table") -> list[str]:
    """Return the exact paths."""
    names: list[str] = table.column("path").to_pylist()
    exact = table.column("path_bytes")
    if exact.null_count == len(exact):
        return names
    return [
        name if stored is None else os.fsdecode(stored) for name, stored in zip(names, exact.to_pylist(), strict=True)
    ]


def _fact(
    path: str,
    exact: bytes | None,
    size: int,
    mtime_ns: int,
    sha256: bytes,
    gone: bool,
    taken: int | None = None,
    rating: int | None = None,
    sidecar_ns: int = 0,
) -> PhotoFact:
    path = path if exact is None else os.fsdecode(exact)
    check_fact(path, taken, rating)
    return PhotoFact(path, size, mtime_ns, sha256, gone, taken, rating, sidecar_ns)


def _lists(pa: Any, matrix: np.ndarray) -> Any:
    if not matrix.shape[1]:  # of a model without trained labels; Arrow has no lists of a fixed length of 0
        return pa.array([[]] * len(matrix), pa.list_(pa.from_numpy_dtype(matrix.dtype)))
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(matrix).ravel()), matrix.shape[1])


def _matrix(table: "pa.Table", name: str, width: int, kind: type[_Any]) -> Any:
    column = table.column(name).combine_chunks()
    flat = column.flatten().to_numpy(zero_copy_only=False)
    if flat.dtype != kind or len(flat) != width * len(table):
        raise PhotoIndexError(f"column {name} must contain {width} numbers of {kind.__name__} per photo")
    return flat.reshape(len(table), width)


_Read = TypeVar("_Read")


def _checked(read: Callable[[], _Read]) -> _Read:
    try:
        return read()
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise PhotoIndexError(f"does not have the columns of a photo index ({error})") from None


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
            raise PhotoIndexError(
                f"{path}: was made by model {found.model} ({found.model_sha256[:12]}), but this is {header.model} "
                f"({header.model_sha256[:12]}) with different vectors: give that model with --model, or index the "
                "photos again into another folder"
            )
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
            for left in (self.path / _PARTS).glob(".*.part"):
                left.unlink()
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
        except FileNotFoundError:
            return None, ""
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            return None, f"{self.path / ROWS_FILE}: is damaged ({reason_of(error)}): run devise index again"
        if facts != {"parts": self._marks(parts)}:
            return None, ""
        columns = FactColumns(**{name: arrays[name] for name in _FACT_KINDS})
        return Rows(columns, **{name: arrays[name] for name in _CONTENT_KINDS}), ""

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
                paths = _paths_of(tables[-1])
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
                content = _content(self._table(part, _CONTENT), (), self.header.dim, self.header.best)
                named = [order[place] for place in places.tolist()]
                columns.append(FactColumns.of(table, named, here))
            for name in _CONTENT_KINDS:
                getattr(whole, name)[places] = getattr(content, name)[here]
            filled.append(places)
        back = np.argsort(np.concatenate(filled))
        return replace(whole, facts=FactColumns.joined(columns).at(back))

    def merge(self) -> bool:
        """Merge the current rows into one part if there are many small parts or outdated rows.

        A kill changes no photos: the new part is written first, then the old ones are removed, oldest first.
        """
        parts = self.parts()
        known = self._known(parts)
        lengths = {part: self._length(part) for part in parts}
        small = sum(length < _SMALL for length in lengths.values())
        if small <= _MANY and sum(lengths.values()) <= 2 * len(known) + _SMALL:
            return False
        if known:
            self._write(parts[-1] + 1, (to_table(held) for part in parts if len(held := self._held(part, known))))
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
                self._file(part), schema, list(columns or schema.names), nullable=_NULLABLE, optional=_LATER
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


def fingerprint(rows: Rows) -> str:
    """Return a hash that identifies these rows in this order."""
    facts, digest = FactColumns.made(rows.facts), hashlib.sha256()
    for column in (facts.text, facts.ends, facts.hashes):
        digest.update(np.ascontiguousarray(column).data if column.size else b"")
    return digest.hexdigest()
