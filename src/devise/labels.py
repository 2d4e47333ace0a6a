"""Label and LabelSet: what a picture can be called, in a fixed order, with the trained ones marked."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from devise.arrays import LabelMask
from devise.errors import LabelError

__all__ = ["VECTOR_SOURCES", "Label", "LabelSet", "VectorSource"]

VectorSource = Literal["term", "parts", "gloss", "parents", "none"]
"""How a label came by its vector: a term of its own has one (`term`), only words of a term do (`parts`), only
its definition (`gloss`) or only its hypernyms (`parents`) gave one, or there is `none`."""

VECTOR_SOURCES: tuple[VectorSource, ...] = get_args(VectorSource)


@dataclass(frozen=True, slots=True)
class Label:
    """One name a picture can get.

    id: a WordNet 3.0 synset id ("n02084071"), or "user:<name>" for a label typed by the user.
    name: the first term, with spaces ("snow leopard").
    gloss: the definition, up to its first example; may be empty.
    seen: whether the classifier was trained on it.
    source: how it came by its vector.
    """

    id: str
    name: str
    gloss: str = ""
    seen: bool = False
    source: VectorSource = "term"


class LabelSet:
    """Labels in a fixed order; no id stands twice.

    >>> two = LabelSet([Label("n02123045", "tabby", seen=True), Label("n02391994", "kiang")])
    >>> two.position("n02391994"), two.seen.tolist(), len(two)
    (1, [True, False], 2)
    """

    def __init__(self, labels: Iterable[Label]) -> None:
        self._labels = tuple(labels)
        if len(self._positions) != len(self._labels):
            twice = next(label.id for i, label in enumerate(self._labels) if self._positions[label.id] != i)
            raise LabelError(f"label {twice} stands twice in a label set: give each label once")

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {label.id: position for position, label in enumerate(self._labels)}

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The ids in order."""
        return tuple(label.id for label in self._labels)

    @cached_property
    def seen(self) -> LabelMask:
        """True where the classifier was trained on the label."""
        return np.array([label.seen for label in self._labels], dtype=bool)

    def position(self, label_id: str) -> int:
        """Where the label stands; LabelError if it is not in the set."""
        try:
            return self._positions[label_id]
        except KeyError:
            raise LabelError(f"label {label_id} is not among the {len(self)} labels asked") from None

    def subset(self, positions: Iterable[int]) -> "LabelSet":
        """The labels at these positions, in the order given."""
        return LabelSet(self._labels[position] for position in positions)

    def __contains__(self, label_id: object) -> bool:
        return label_id in self._positions

    def __getitem__(self, position: int) -> Label:
        return self._labels[position]

    def __iter__(self) -> Iterator[Label]:
        return iter(self._labels)

    def __len__(self) -> int:
        return len(self._labels)
