import json
from collections.abc import Callable
from typing import Any

import pytest

from devise.bundle.label_table import decode_label_table, encode_label_table
from devise.errors import BundleError
from devise.labels import Label, LabelSet


def test_round_trip(model: Any) -> None:
    table = decode_label_table(encode_label_table(model.labels, model.trained))
    assert list(table.labels()) == list(model.labels)
    assert [table.ids[row] for row in table.trained] == model.trained


def test_glosses_are_not_stored(model: Any) -> None:
    with_gloss = LabelSet([Label("n1", "cat", gloss="a feline")])
    data = encode_label_table(with_gloss, [])
    assert b"feline" not in data
    assert decode_label_table(data).labels()[0].gloss == ""


def test_the_stored_form() -> None:
    labels = LabelSet([Label("n1", "é", source="gloss"), Label("n2", "b", seen=True)])
    assert encode_label_table(labels, ["n2"]).decode() == (
        '{"ids":["n1","n2"],"names":["é","b"],"source_names":["term","parts","gloss","parents","none"],'
        '"sources":[2,0],"trained":[1]}\n'
    )


@pytest.mark.parametrize(
    ("trained", "message"),
    [
        (["n9"], "a trained label is not a label of the bundle: label n9"),
        (["n2", "n2"], "duplicate trained label"),
        ([], "1 labels are marked as seen but 0 ids"),
        (["n1"], "they differ"),
    ],
)
def test_trained_labels_must_be_the_seen_ones(trained: list[str], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        encode_label_table(LabelSet([Label("n1", "a"), Label("n2", "b", seen=True)]), trained)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("ids"), "key ids is missing"),
        (lambda t: t.update(more=[]), "key more is unknown"),
        (lambda t: t.update(ids="n1"), "key ids must be a list"),
        (lambda t: t["ids"].pop(), "has 6 ids, 7 names and 7 sources"),
        (lambda t: t["names"].__setitem__(3, 5), r"key names\[3\] must be text"),
        (lambda t: t["names"].__setitem__(3, ""), r"key names\[3\] must be text that is not empty"),
        (lambda t: t["ids"].__setitem__(3, t["ids"][2]), "duplicate label in ids"),
        (lambda t: t["sources"].__setitem__(3, 5), "sources must be whole numbers from 0 to 4"),
        (lambda t: t["sources"].__setitem__(3, True), "sources must be whole numbers"),
        (lambda t: t["sources"].__setitem__(3, 1.0), "sources must be whole numbers"),
        (lambda t: t["trained"].__setitem__(0, -1), "trained must be whole numbers from 0 to 6"),
        (lambda t: t["trained"].__setitem__(0, 10**30), "trained must be whole numbers from 0 to 6"),
        (lambda t: t["trained"].append(t["trained"][0]), "duplicate label in trained"),
        (lambda t: t["source_names"].append("guess"), "source of a vector 'guess' is unknown"),
    ],
)
def test_a_broken_table_is_refused(model: Any, change: Callable[[dict[str, Any]], object], message: str) -> None:
    stored = json.loads(encode_label_table(model.labels, model.trained))
    change(stored)
    with pytest.raises(BundleError, match=message):
        decode_label_table(json.dumps(stored).encode())


def test_a_label_without_a_name_is_not_written() -> None:
    with pytest.raises(BundleError, match=r"key names\[0\] must be text that is not empty"):
        encode_label_table(LabelSet([Label("n1", "")]), [])
