"""Photos of an index as columns, and as tables of Parquet; files from anywhere are checked."""

import hashlib
import os
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from devise.arrays import Float16, Float32, Int32, Int64, UInt16
from devise.errors import PhotoIndexError
from devise.files import reason_of, require_regular, text_name
from devise.search.photofacts import FactColumns, PhotoFact, check_fact

__all__ = [
    "FACTS",
    "LATER",
    "NULLABLE",
    "Rows",
    "content_of",
    "facts_of",
    "fingerprint",
    "from_table",
    "import_pyarrow",
    "in_range",
    "paths_of",
    "read_parquet",
    "to_table",
]

if TYPE_CHECKING:
    import pyarrow as pa

FACTS = ("path", "path_bytes", "size", "mtime_ns", "sha256", "gone", "taken", "rating", "sidecar_ns")
"""The columns that identify photos, and their metadata; the others describe their content."""

LATER = ("taken", "rating", "sidecar_ns")
"""Columns that parts of earlier versions lack."""
NULLABLE = ("path_bytes", "taken", "rating")
"""Columns that may be empty."""

_Any = TypeVar("_Any", bound=np.generic)
_UNPACKED = 1 << 30  # bytes that any file may say it has when unpacked; a larger file more
_RATIO = 1000  # times its size
_ROWS = 1 << 20  # of any file; a larger one has at least a byte for each
_LONGEST = 1.01  # of a vector's numbers: its length is 1, and 16 bits round it
_BLOCK = 1 << 14  # rows looked at together
_TOTALS = 1e8  # the lowest temperature of a model gives 1e6 and a little


@dataclass(frozen=True, eq=False, slots=True)
class Rows:
    """Photos and their content, in one order.

    vectors: points of the label space, of unit length, up to rounding to 16 bits.
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
    return content_of(table, facts_of(table), dim, best)


def content_of(table: "pa.Table", facts: Sequence[PhotoFact], dim: int, best: int) -> Rows:
    """Return the rows of a table with these facts; PhotoIndexError for an invalid column."""
    return _checked(
        lambda: in_range(
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


def in_range(rows: Rows) -> Rows:
    """Return the rows; ValueError if a number is out of range or NaN, whoever wrote it."""
    ranges = ((rows.totals, -_TOTALS, _TOTALS), (rows.shares, 0, _LONGEST))
    # Without its sign, a 16-bit float has the order of its bits, with NaN last: a tenth of the time of comparisons.
    most = np.float16(_LONGEST).view(np.uint16)
    bits = np.ascontiguousarray(rows.vectors).view(np.uint16)
    blocks = (bits[start : start + _BLOCK] & 0x7FFF for start in range(0, len(bits), _BLOCK))
    if not (
        all(block.max(initial=0) <= most for block in blocks)
        and all(((low <= numbers) & (numbers <= high)).all() for numbers, low, high in ranges)  # so none is NaN
    ):
        raise ValueError("a number is out of range or not finite")
    return rows


def facts_of(table: "pa.Table") -> tuple[PhotoFact, ...]:
    """Return the facts alone, which need no other columns; PhotoIndexError if one is missing.

    The metadata of a part of an earlier version is unknown.
    """
    names = table.column_names
    return _checked(lambda: tuple(map(_fact, *(table.column(name).to_pylist() for name in FACTS if name in names))))


def paths_of(table: "pa.Table") -> list[str]:
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


def fingerprint(rows: Rows) -> str:
    """Return a hash that identifies these rows in this order."""
    facts, digest = FactColumns.made(rows.facts), hashlib.sha256()
    for column in (facts.text, facts.ends, facts.hashes):
        digest.update(np.ascontiguousarray(column).data if column.size else b"")
    return digest.hexdigest()
