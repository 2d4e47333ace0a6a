import inspect
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from devise import errors
from devise.errors import DeviseError, LabelError
from devise.labels import VECTOR_SOURCES, Label, LabelSet

TABBY = Label("n02123045", "tabby", seen=True)
KIANG = Label("n02391994", "kiang", "wild ass of Tibet and Mongolia", source="gloss")
ZEDONK = Label("user:zedonk", "zedonk")


@pytest.fixture
def three() -> LabelSet:
    return LabelSet(iter([TABBY, KIANG, ZEDONK]))


def test_order_positions_and_membership(three: LabelSet):
    assert list(three) == [TABBY, KIANG, ZEDONK]
    assert three.ids == ("n02123045", "n02391994", "user:zedonk")
    assert [three.position(label.id) for label in three] == [0, 1, 2]
    assert [three[i] for i in range(3)] == list(three)
    assert len(three) == 3
    assert "n02391994" in three
    assert "kiang" not in three
    assert three.seen.tolist() == [True, False, False]
    assert three.seen.dtype == np.bool_


def test_unknown_label(three: LabelSet):
    with pytest.raises(LabelError, match="n00000001 is not among the 3 requested labels"):
        three.position("n00000001")


@pytest.mark.parametrize("order", [(0, 1, 0), (0, 0, 1), (1, 2, 2)])
def test_no_id_stands_twice(order: tuple[int, ...]):
    labels = [TABBY, KIANG, ZEDONK]
    twice = next(labels[i].id for i in order if order.count(i) == 2)
    with pytest.raises(LabelError, match=f"duplicate label {twice}"):
        LabelSet(labels[i] for i in order)


def test_subset_is_in_the_order_given(three: LabelSet):
    assert three.subset([2, 0]).ids == ("user:zedonk", "n02123045")
    assert len(three.subset([])) == 0
    assert three.subset([]).seen.shape == (0,)
    with pytest.raises(LabelError, match="duplicate label"):
        three.subset([1, 1])


def test_columns_are_the_same_labels(three: LabelSet):
    columns = zip(*((x.id, x.name, x.gloss, x.seen, x.source) for x in three), strict=True)
    assert list(LabelSet.of_columns(*columns)) == list(three)
    with pytest.raises(AssertionError, match="every column"):
        LabelSet.of_columns(["a", "b"], ["a"], ["", ""], [True, False], ["term", "term"])
    with pytest.raises(LabelError, match="duplicate label a"):
        LabelSet.of_columns(["a", "a"], ["a", "b"], ["", ""], [True, False], ["term", "term"])


def test_joined_sets_keep_their_order(three: LabelSet):
    more = LabelSet([Label("n02391049", "zebra", seen=True)])
    assert list(three.joined(more)) == [TABBY, KIANG, ZEDONK, more[0]]
    assert three.joined(more).seen.tolist() == [True, False, False, True]
    assert list(more.joined(LabelSet([]))) == list(more)
    with pytest.raises(LabelError, match="duplicate label"):
        three.joined(three.subset([1]))


def test_labels_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        TABBY.name = "tiger"  # type: ignore[misc]


def test_sources_are_named_once_each():
    assert VECTOR_SOURCES == ("term", "parts", "gloss", "parents", "none")


def test_every_error_is_a_devise_error_and_only_usage_exits_with_two():
    children = [one for one in (getattr(errors, name) for name in errors.__all__) if inspect.isclass(one)]
    assert all(issubclass(child, DeviseError) for child in children)
    assert {child.__name__ for child in children if child.exit_code == 2} == {"UsageError"}
    assert {child.__name__ for child in children if child.exit_code == 143} == {"TrainingStoppedError"}
