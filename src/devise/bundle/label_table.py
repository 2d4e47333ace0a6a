"""The label table: a bundle's labels in order, and which of them its classifier was trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from devise.arrays import Int64
from devise.bundle.strict_json import dump_json, parse_json, record, sequence, text
from devise.errors import BundleError, LabelError
from devise.labels import VECTOR_SOURCES, LabelSet, VectorSource

__all__ = ["LabelTable", "TrainedPositions", "decode_label_table", "encode_label_table"]

TrainedPositions = Int64[np.ndarray, "trained"]
"""The position in the labels of each row of the classifier."""

_KEYS = ("ids", "names", "source_names", "sources", "trained")


@dataclass(frozen=True, eq=False, slots=True)
class LabelTable:
    """The labels column by column, which loads faster than 40,000 objects.

    ids, names, sources: one per label, in label order. trained: one position per row of the classifier.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    sources: tuple[VectorSource, ...]
    trained: TrainedPositions

    def labels(self) -> LabelSet:
        """Return the labels with empty glosses; LabelError for a duplicate id."""
        seen: list[bool | None] = [False if len(self.trained) else None] * len(self.ids)
        for place in self.trained.tolist():
            seen[place] = True
        return LabelSet.of_columns(self.ids, self.names, [""] * len(self.ids), seen, self.sources)


def encode_label_table(labels: LabelSet, trained: Sequence[str]) -> bytes:
    """Encode the labels as compact JSON, without their glosses.

    trained: the id of each row of the classifier, in its order. BundleError if one is not a label or
    a duplicate, or if the labels marked as seen are not exactly these.
    """
    try:
        positions = [labels.position(label_id) for label_id in trained]
    except LabelError as error:
        raise BundleError(f"a trained label is not a label of the bundle: {error}") from None
    if len(set(positions)) != len(positions):
        raise BundleError("duplicate trained label: give one id for each row of the classifier")
    seen = np.flatnonzero(labels.seen).tolist()
    if sorted(positions) != seen:
        raise BundleError(
            f"{len(seen)} labels are marked as seen but {len(positions)} ids of trained labels were given, "
            "and they differ: mark exactly the trained labels"
        )
    columns = {
        "ids": list(labels.ids),
        "names": [label.name for label in labels],
        "source_names": list(VECTOR_SOURCES),
        "sources": [VECTOR_SOURCES.index(label.source) for label in labels],
        "trained": positions,
    }
    data = dump_json(columns, indent=None).encode("utf-8")
    decode_label_table(data)
    return data


def decode_label_table(data: bytes) -> LabelTable:
    """Decode `encode_label_table`; BundleError names the wrong column."""
    columns = {key: sequence(value, key) for key, value in record(parse_json(data), _KEYS).items()}
    ids, names = _texts(columns["ids"], "ids"), _texts(columns["names"], "names")
    known = _texts(columns["source_names"], "source_names")
    if strange := [name for name in known if name not in VECTOR_SOURCES]:
        raise BundleError(f"source of a vector {strange[0]!r} is unknown: upgrade devise")
    codes = _positions(columns["sources"], "sources", below=len(known))
    if not len(ids) == len(names) == len(codes):
        raise BundleError(
            f"has {len(ids)} ids, {len(names)} names and {len(codes)} sources: get or build the bundle again"
        )
    trained = _positions(columns["trained"], "trained", below=len(ids))
    for column, values in (("ids", ids), ("trained", trained)):
        if len(set(values)) != len(values):
            raise BundleError(f"duplicate label in {column}: build the bundle again")
    sources = cast("list[VectorSource]", [known[code] for code in codes])
    return LabelTable(ids, names, tuple(sources), np.array(trained, dtype=np.int64))


def _texts(values: list[object], column: str) -> tuple[str, ...]:
    if set(map(type, values)) - {str} or "" in values:
        wrong = next(i for i, value in enumerate(values) if type(value) is not str or not value)
        text(values[wrong], f"{column}[{wrong}]")
    return cast("tuple[str, ...]", tuple(values))


def _positions(values: list[object], column: str, below: int) -> list[int]:
    found = cast("list[int]", values)
    if set(map(type, values)) - {int} or (found and not (min(found) >= 0 and max(found) < below)):
        raise BundleError(f"{column} must be whole numbers from 0 to {below - 1}: get or build the bundle again")
    return found
