"""Lists of classes of other tools come down to lines of names."""

from typing import Any

import pytest

from devise.model.classlist import is_foreign_text, json_lines, unnumbered, without_heading
from devise.model.typed import parse_lines


@pytest.mark.parametrize(
    "lines",
    [
        ["1: lion", "2: tiger", "4: zebra"],  # COCO leaves numbers out
        ["1 lion", "2 tiger", "4 zebra"],
        ["291: lion", "292: tiger", "293: zebra"],
        ['"0","lion"', '"1","tiger"', '"2","zebra"'],
        ["7,lion", "3,tiger", "12,zebra"],
        ["0 -> lion", "1 -> tiger", "2 -> zebra"],
        ["0=lion", "1=tiger", "2=zebra"],
        ["1 001.lion", "2 002.tiger", "3 003.zebra"],  # CUB-200
        ["105.lion", "106.tiger", "107.zebra"],  # Caltech-256
        ["lion 0", "tiger 1", "zebra 2"],
        ["lion,0", "tiger,1", "zebra,2"],
        ["lion\t291", "tiger\t292", "zebra\t340"],
        ["lion,1300", "tiger,1300", "zebra,732"],  # how many photos each has
        ["/l/lion 0", "/t/tiger 1", "/z/zebra 2"],  # Places365
        ["/m/096mb,lion", "/m/07dm6,tiger", "/m/0898b,zebra"],  # Open Images
        ["Q140\tlion", "Q19939\ttiger", "Q32789\tzebra"],  # Wikidata
        ["| lion |", "| tiger |", "| zebra |"],
        ["__label__lion", "__label__tiger", "__label__zebra"],  # fastText
        ["__label__lion 0.98", "__label__tiger 0.01", "__label__zebra 1e-05"],
        ["class_lion", "class_tiger", "class_zebra"],
        ["     12 lion", "      7 tiger", "      7 zebra"],  # uniq -c
        ["lion = 0", "tiger = 1", "zebra = 2"],
        ["lion\t0.98", "tiger\t0.01", "zebra\t.5"],
        ["0.98,lion", "0.01,tiger", "1.00,zebra"],
    ],
)
def test_numbers_and_foreign_ids_are_taken_off(lines: list[str]) -> None:
    assert [label.name for label in parse_lines(lines)] == ["lion", "tiger", "zebra"]


@pytest.mark.parametrize(
    "lines",
    [
        ["21 lion", "23 tiger", "27 zebra"],
        ["1 dollar bill", "5 dollar bill", "20 dollar bill"],
        ["1,000 island dressing", "2,lion"],
        ["1.5 lion", "2.5 tiger"],
        ["Apollo 0", "Apollo 1"],  # one name would be left
        ["Boeing 737", "Airbus 320"],
        ["2 lions"],
    ],
)
def test_numbers_that_belong_to_names_stay(lines: list[str]) -> None:
    assert unnumbered(lines) == lines


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        (["name,id", "lion,0", "tiger,1"], [("lion", ""), ("tiger", "")]),
        (["label,score", "lion,0.98", "tiger,0.01"], [("lion", ""), ("tiger", "")]),
        ([",label", "0,lion", "1,tiger"], [("lion", ""), ("tiger", "")]),
        (["sep=;", "name;id", "lion;0", "tiger;1"], [("lion", ""), ("tiger", "")]),  # Excel's
        (["LabelName,DisplayName", "/m/096mb,Lion", "/m/07dm6,Tiger"], [("Lion", ""), ("Tiger", "")]),
        (["wnid,words", "n02129165,lion, king of beasts", 'n02129604,"tiger"'],
         [("lion, king of beasts", "n02129165"), ("tiger", "n02129604")]),
        (["class_index;wnid;name", "0;n02129165;lion", "1;n02129604;"], [("lion", "n02129165"), ("n02129604", "")]),
        (["name\tdefinition", "zedonk\tpart zebra, part donkey", "kiang\t"],
         [("zedonk", "part zebra, part donkey"), ("kiang", "")]),
    ],
)  # fmt: skip
def test_the_columns_of_a_table_are_taken_by_their_names(lines: list[str], names: list[tuple[str, str]]) -> None:
    found, heading = without_heading(lines)
    assert heading == lines[lines[0] == "sep=;"]
    assert [(label.name, label.definition) for label in parse_lines(found)] == names


def test_a_list_without_a_heading_stays() -> None:
    assert without_heading(["lion,1", "tiger,2"]) == (["lion,1", "tiger,2"], "")
    assert without_heading(["name", "lion"]) == (["name", "lion"], "name")


@pytest.mark.parametrize(
    "content",
    [
        ["lion", "tiger"],
        {"1": "tiger", "0": "lion"},
        {"lion": 0, "tiger": 1},
        {"id2label": {"0": "lion", "1": "tiger"}, "label2id": {"lion": 0, "tiger": 1}, "model_type": "vit"},
        {
            "images": [],
            "categories": [{"id": 3, "name": "lion", "supercategory": "animal"}, {"id": 7, "name": "tiger"}],
        },
        [{"name": "lion"}, {"name": "tiger"}],
        {"names": ["lion", "tiger"]},
        {"label2id": {"tiger": 1, "lion": 0}},
        {"lion": 0.98, "tiger": 0.01},
    ],
)
def test_json_that_names_classes(content: Any) -> None:
    assert json_lines(content) == ["lion", "tiger"]


@pytest.mark.parametrize(
    "content",
    [
        {"0": ["n02129165", "lion"], "1": ["n02129604", "tiger"]},
        {"n02129165": "lion", "n02129604": "tiger"},
        {"lion": "n02129165", "tiger": "n02129604"},
        [["n02129165", "lion"], ["n02129604", "tiger"]],
        [{"wnid": "n02129165", "name": "lion"}, {"wnid": "n02129604", "name": "tiger"}],
    ],
)
def test_json_that_names_classes_and_ids(content: Any) -> None:
    assert json_lines(content) == ["n02129165 lion", "n02129604 tiger"]


@pytest.mark.parametrize("content", [None, 3, "lion", [], {}, [1], ["lion", 3], {"a": ["b"]}, {"a": True}, [[]], [{}]])
def test_other_json_names_no_classes(content: Any) -> None:
    assert json_lines(content) is None


@pytest.mark.parametrize(
    "text",
    ["nc: 2\nnames: [lion, tiger]\n", "names:\n  0: lion\n", "item {\n  name: 'lion'\n}\n", "<class>lion</class>\n",
     "classes = [\n 'lion',\n]\n", "classes= 2\ntrain  = a.txt\nnames = obj.names\n", '{"name": "lion"}\n'],
)  # fmt: skip
def test_what_is_no_list_of_lines(text: str) -> None:
    assert is_foreign_text(text)
    assert not is_foreign_text("labels: pieces of paper\nlion <big>\nC++\n")
