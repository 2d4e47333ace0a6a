"""Label and LabelSet: the possible names of a picture, in a fixed order, with the trained ones marked."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import repeat
from typing import Literal, NamedTuple, get_args

import numpy as np

from devise.arrays import Int64, LabelMask
from devise.errors import LabelError, counted

__all__ = ["TOWER", "VECTOR_SOURCES", "Label", "LabelSet", "VectorSource"]

VectorSource = Literal["term", "parts", "gloss", "parents", "none"]
"""How a label came by its vector: a term of its own has one (`term`), only words of a term do (`parts`), only
its definition (`gloss`) or only its hypernyms (`parents`) gave one, or there is `none`."""

VECTOR_SOURCES: tuple[VectorSource, ...] = get_args(VectorSource)

TOWER = "the text tower"
"""The source of all vectors, in words, of a model that was trained on no labels."""


@dataclass(frozen=True, slots=True)
class Label:
    """One possible name of a picture.

    id: a WordNet 3.0 synset id ("n02084071"), or "user:<name>" for a label typed by the user.
    name: the first term, with spaces ("snow leopard").
    gloss: the definition, up to its first example; may be empty.
    seen: whether the classifier was trained on it; None in a model that was trained on no labels.
    source: how it came by its vector.
    """

    id: str
    name: str
    gloss: str = ""
    seen: bool | None = False
    source: VectorSource = "term"

    @property
    def vector_from(self) -> str:
        """Return what made its vector: `source`, or the text tower.

        >>> Label("n02391994", "kiang", source="gloss").vector_from, Label("n02391994", "kiang", seen=None).vector_from
        ('gloss', 'the text tower')
        """
        return TOWER if self.seen is None else self.source

    def to_dict(self) -> dict[str, object]:
        """Return the fields by name, without `seen` where it is None.

        >>> Label("n02391994", "kiang", seen=None).to_dict()
        {'id': 'n02391994', 'name': 'kiang', 'gloss': '', 'source': 'term'}
        """
        return {name: value for name, value in asdict(self).items() if value is not None}


class LabelSet:
    """Labels in a fixed order, without duplicate ids.

    >>> two = LabelSet([Label("n02123045", "tabby", seen=True), Label("n02391994", "kiang")])
    >>> two.position("n02391994"), two.seen.tolist(), len(two)
    (1, [True, False], 2)
    """

    def __init__(self, labels: Iterable[Label]) -> None:
        rows = tuple(labels)
        self._fill(
            _Columns(
                tuple(label.id for label in rows),
                tuple(label.name for label in rows),
                tuple(label.gloss for label in rows),
                tuple(label.seen for label in rows),
                tuple(label.source for label in rows),
            )
        )

    @classmethod
    def of_columns(
        cls,
        ids: Sequence[str],
        names: Sequence[str],
        glosses: Sequence[str],
        seen: Sequence[bool | None],
        sources: Sequence[VectorSource],
    ) -> "LabelSet":
        """Make a set from one sequence per field, all of one length: faster for tens of thousands of labels.

        >>> LabelSet.of_columns(["n02123045"], ["tabby"], [""], [True], ["term"])[0].name
        'tabby'
        """
        return cls._of(_Columns(tuple(ids), tuple(names), tuple(glosses), tuple(seen), tuple(sources)))

    @classmethod
    def _of(cls, columns: "_Columns") -> "LabelSet":
        made = cls.__new__(cls)
        made._fill(columns)
        return made

    def _fill(self, columns: "_Columns") -> None:
        assert len({len(column) for column in columns}) == 1, "one value a label in every column"
        self._columns = columns
        if len(self._positions) != len(self):
            twice = next(label_id for i, label_id in enumerate(self.ids) if self._positions[label_id] != i)
            raise LabelError(f"duplicate label {twice}: list each label once")

    @cached_property
    def _positions(self) -> dict[str, int]:
        return dict(zip(self.ids, range(len(self)), strict=True))

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids in order."""
        return self._columns.ids

    @cached_property
    def seen(self) -> LabelMask:
        """True where the classifier was trained on the label."""
        return np.array(self._columns.seen, dtype=bool)

    def position(self, label_id: str) -> int:
        """Return the position of the label; LabelError if it is not in the set."""
        try:
            return self._positions[label_id]
        except KeyError:
            raise LabelError(f"label {label_id} is not among the {counted(len(self), 'requested label')}") from None

    def places(self, ids: Sequence[str]) -> Int64[np.ndarray, "labels"]:
        """Return the positions of labels; -1 for one that is not in the set."""
        return np.fromiter(map(self._positions.get, ids, repeat(-1)), dtype=np.int64, count=len(ids))

    def renamed(self, names: Mapping[str, str]) -> "LabelSet":
        """Return the same labels, some of them with another name, by id."""
        own = self._columns
        return LabelSet._of(
            own._replace(names=tuple(names.get(one, was) for one, was in zip(own.ids, own.names, strict=True)))
        )

    def subset(self, positions: Iterable[int]) -> "LabelSet":
        """The labels at these positions, in the order given."""
        places, of = tuple(positions), self._columns
        return LabelSet._of(
            _Columns(
                tuple(map(of.ids.__getitem__, places)),
                tuple(map(of.names.__getitem__, places)),
                tuple(map(of.glosses.__getitem__, places)),
                tuple(map(of.seen.__getitem__, places)),
                tuple(map(of.sources.__getitem__, places)),
            )
        )

    def joined(self, other: "LabelSet") -> "LabelSet":
        """Return these labels, then the others; LabelError if one is in both."""
        mine, theirs = self._columns, other._columns
        return LabelSet._of(
            _Columns(
                mine.ids + theirs.ids,
                mine.names + theirs.names,
                mine.glosses + theirs.glosses,
                mine.seen + theirs.seen,
                mine.sources + theirs.sources,
            )
        )

    def __contains__(self, label_id: object) -> bool:
        return label_id in self._positions

    def __getitem__(self, position: int) -> Label:
        of = self._columns
        return Label(
            of.ids[position], of.names[position], of.glosses[position], of.seen[position], of.sources[position]
        )

    def __iter__(self) -> Iterator[Label]:
        of = self._columns
        return map(Label, of.ids, of.names, of.glosses, of.seen, of.sources)

    def __len__(self) -> int:
        return len(self._columns.ids)


class _Columns(NamedTuple):
    """One tuple per field of `Label`; each of 40,000 labels is made only when it is requested."""

    ids: tuple[str, ...]
    names: tuple[str, ...]
    glosses: tuple[str, ...]
    seen: tuple[bool | None, ...]
    sources: tuple[VectorSource, ...]
