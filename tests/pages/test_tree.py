"""The drawn tree: its shape by hand, and a file that any reader of XML takes."""

from xml.etree import ElementTree

import pytest

from devise.errors import UsageError
from devise.labels import Label
from devise.model.answers import Answer, Guess
from devise.model.labeller import Model
from devise.pages.tree import Leaf, NameTree, Node, grown, tree_svg

SVG = "{http://www.w3.org/2000/svg}"
CAT, TABBY, GUITAR = "n02121808", "n02123045", "n03467517"


def shape(node: Node) -> object:
    return (node.id, node.weight, [shape(one) for one in node.children])


def texts(svg: str) -> list[str]:
    return ["".join(one.itertext()) for one in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_names_with_one_branch_are_left_out_and_weights_add_up():
    leaves = [
        Leaf(("entity", "whole", "animal", "cat", "tabby"), 2),
        Leaf(("entity", "whole", "animal", "cat", "tom"), 3),
        Leaf(("entity", "whole", "artifact", "cup"), 9),
        Leaf(("entity", "whole", "animal", "cat", "tabby"), 1),
    ]
    cat = ("cat", 6, [("tabby", 3, []), ("tom", 3, [])])
    assert shape(grown(leaves)) == ("whole", 15, [("cup", 9, []), cat])


def test_a_name_above_another_stays():
    leaves = [Leaf(("entity", "animal", "cat"), 1), Leaf(("entity", "animal", "cat", "tabby"), 2)]
    assert shape(grown(leaves)) == ("cat", 3, [("tabby", 2, [])])


def test_one_name_alone_and_none():
    assert shape(grown([Leaf(("entity", "cat"), 1)])) == ("cat", 1, [])
    with pytest.raises(UsageError, match="at least one name"):
        grown([])


def test_every_name_is_drawn_once_inside_the_picture_and_names_are_text():
    leaves = [Leaf(("a", str(number)), 1, f"{number}") for number in range(40)]
    names = {"a": "<script>&\x07"} | {str(number): "é" * 80 for number in range(40)}
    svg = tree_svg(grown(leaves), names, "<title>")
    root = ElementTree.fromstring(svg)
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    places = [(float(one.get("x", -1)), float(one.get("y", -1))) for one in root.iter(f"{SVG}text")]
    assert len(places) == len(set(places)) == 41
    assert all(0 < x < width and 0 < y < height for x, y in places)
    assert "<script>&\\x07" in texts(svg)
    assert root.findtext(f"{SVG}title") == "<title>"
    assert "é" * 39 + "… 7" in texts(svg)


@pytest.fixture(scope="module")
def model() -> Model:
    import devise

    return devise.load()


def answer(source: str, *guesses: tuple[Label, float]) -> Answer:
    return Answer(source, tuple(Guess(label, score) for label, score in guesses))


def test_of_one_photo_its_guesses_and_a_typed_label_below_its_kind(model: Model):
    zedonk = Label("user:zedonk", "zedonk", "a tabby cat")
    tree = NameTree(model)
    tree.add(answer("a.jpg", (Label(TABBY, "tabby"), 0.75), (zedonk, 0.2), (Label(GUITAR, "guitar"), 0.05)))
    assert texts(tree.drawing())[:2] == ["zedonk 20.0 %", "tabby 75.0 %"]
    assert "guitar 5.0 %" in texts(tree.drawing())


def test_of_several_photos_how_many_have_each_name(model: Model):
    tree = NameTree(model)
    with pytest.raises(UsageError, match="at least one name"):
        tree.drawing()
    for name in ("a", "b", "c"):
        tree.add(answer(name, (Label(TABBY, "tabby"), 0.9), (Label(CAT, "cat"), 0.1)))
    tree.add(answer("d", (Label(GUITAR, "guitar"), 0.9)))
    tree.add(Answer("e", rejected=True))
    tree.add(Answer("f", problem="cut off"))
    drawing = tree.drawing()
    assert "The names of 4 photos" in drawing
    assert {"tabby 3", "guitar 1"} < set(texts(drawing))
    assert "cat 1" not in texts(drawing)
