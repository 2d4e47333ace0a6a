"""A space whose vectors are read on use gives the vectors of the space that has them all."""

from collections.abc import Callable

import numpy as np
import pytest

from devise.labels import Label, LabelSet
from devise.space.labelspace import DeferredSpace, LabelSpace

Derive = Callable[[LabelSpace], LabelSpace]
VECTORS = np.array([[1, 0], [0, 1], [0, 0], [0.6, 0.8]], dtype=np.float32)


def labels(names: str) -> LabelSet:
    return LabelSet(Label(name, name, "", True, "term") for name in names)


OTHER = LabelSpace(labels("xy"), np.array([[0, 0], [-1, 0]], dtype=np.float32))


@pytest.mark.parametrize(
    ("derive", "by_hand"),
    [
        (lambda space: space.subset([3, 0]), VECTORS[[3, 0]]),
        (lambda space: space.subset([]), VECTORS[:0]),
        (lambda space: space.joined(OTHER), np.concatenate([VECTORS, OTHER.vectors])),
        (lambda space: OTHER.joined(space).subset([5, 1, 2]), np.array([[0.6, 0.8], [-1, 0], [1, 0]], np.float32)),
        (lambda space: space.named(labels("pqrs")), VECTORS),
    ],
)
def test_derived_spaces(derive: Derive, by_hand: np.ndarray):
    read: list[int] = []

    def rows(positions: np.ndarray) -> np.ndarray:
        read.extend(positions.tolist())
        return VECTORS[positions]

    made = derive(DeferredSpace(labels("abcd"), rows))
    assert not read
    assert len(made.labels) == len(by_hand)
    for place, vector in enumerate(by_hand):
        np.testing.assert_array_equal(made.rows(np.array([place])), [vector])
    assert len(read) <= len(by_hand)  # no row but the requested ones
    np.testing.assert_array_equal(made.vectors, by_hand)
    np.testing.assert_array_equal(made.without_vector, np.flatnonzero(~by_hand.any(axis=1)))
    np.testing.assert_array_equal(derive(LabelSpace(labels("abcd"), VECTORS)).vectors, by_hand)
