"""Queries as typed: operators, weights, photos, phrases."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from devise.errors import LabelError, PictureError, UsageError
from devise.model.labeller import Model
from devise.search.expression import Expression, nouns_of, parse_expression, understood


def parts(*texts: str) -> list[tuple[float, object]]:
    """Weight, and the names or the photo, of each term."""
    asked = parse_expression(*texts)
    return [(one.weight, one.photo or tuple(word.name for word in one.words)) for one in asked.terms]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("beach - person + sunset", [(1, ("beach",)), (-1, ("person",)), (1, ("sunset",))]),
        ("2*beach + sunset", [(2, ("beach",)), (1, ("sunset",))]),
        ("beach - 0.5 * person", [(1, ("beach",)), (-0.5, ("person",))]),
        ("lion, tiger + water", [(1, ("lion", "tiger")), (1, ("water",))]),
        ("T-shirt − C++", [(1, ("T-shirt",)), (-1, ("C++",))]),
        ("beach + pool.jpg", [(1, ("beach",)), (1, Path("pool.jpg"))]),
        ("beach + '3 * my - photo.jpg'", [(1, ("beach",)), (1, Path("3 * my - photo.jpg"))]),
        ('"rock - paper" + beach', [(1, ("rock - paper",)), (1, ("beach",))]),
        ("mouse: n03793489 + cat", [(1, ("mouse",)), (1, ("cat",))]),
        ("cat + zedonk: part zebra - part donkey", [(1, ("cat",)), (1, ("zedonk",))]),
    ],
)
def test_operators_have_spaces_around_them(text: str, expected: list):
    assert parts(text) == expected


def test_a_definition_keeps_its_signs():
    assert parse_expression("cat + zedonk: part zebra - part donkey").terms[1].words[0].definition == (
        "part zebra - part donkey"
    )


def test_several_texts_are_one_query():
    assert parts("beach", "-", "person", "x.png") == [(1, ("beach",)), (-1, ("person",)), (1, Path("x.png"))]
    assert [word.name for word in parse_expression("lion", "tiger, T-shirt").words] == ["lion", "tiger", "T-shirt"]


def test_a_file_is_known_by_its_ending_or_its_folder(tmp_path: Path):
    odd = tmp_path / "my - photo"
    odd.write_bytes(b"")
    assert parts(str(odd)) == [(1, odd)]
    assert parse_expression("AC/DC").words[0].name == "AC/DC"
    assert parse_expression("x.jpg").wanted().like == Path("x.jpg")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- dog", "needs something to find"),
        ("beach +", "nothing after \\+"),
        ("beach + - dog", "one sign"),
        ("beach -person", "-person: \\+ and - need a space on both sides"),
        ("0*beach + dog", "above 0 and at most 100"),
        ("101*beach + dog", "above 0 and at most 100"),
        ("2*", "^2\\*: a weight is one number above 0 and at most 100 before a term, as in 2\\*beach"),
        ("1e9*cat", "^1e9\\*cat: a weight is one number"),
        ("beach + 2 *", "^2 \\*: a weight is one number"),
        ("lion, 2*cat", "^2\\*cat: a weight is one number"),
        ("2*3*cat", "^3\\*cat: a weight is one number"),
        ("-2*cat", "^-2\\*cat: a weight is one number"),
        ("1234567*cat", "put a name with \\* in quotes"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, message: str):
    with pytest.raises(UsageError, match=message):
        parse_expression(text)


def test_a_star_in_a_name_is_no_weight():
    for text, name in (("'2*'", "2*"), ('"1e9*cat"', "1e9*cat"), ("M*A*S*H", "M*A*S*H"), ("7 up", "7 up")):
        (label,) = parse_expression(text).words
        assert label.name == name
    assert parse_expression("cat: a 2*thing").words[0].definition == "a 2*thing"


def test_photos_can_be_refused(tmp_path: Path):
    Image.new("RGB", (4, 4)).save(tmp_path / "here.png")
    for text in ("beach + pool.jpg", str(tmp_path / "here.png")):
        with pytest.raises(UsageError, match="takes words alone"):
            parse_expression(text, photos=False)


def test_a_query_without_photos_does_not_tell_which_files_there_are(tmp_path: Path):
    (tmp_path / "there").write_bytes(b"")
    (tmp_path / "a + b").write_bytes(b"")
    for form in ("{}", "{} + beach", "beach - 2*{}", "'{}'"):
        asked = [parse_expression(form.format(tmp_path / name), photos=False) for name in ("there", "gone")]
        names = [[w.name for w in (*one.words, *(w for term in one.terms for w in term.words))] for one in asked]
        assert [name.replace("there", "gone") for name in names[0]] == names[1]
    assert len(parse_expression(str(tmp_path / "a + b"), photos=False).terms) == 2


@pytest.mark.parametrize(
    ("text", "expected", "passed"),
    [
        ("a dog on a sofa", [(1, ("dog",)), (1, ("sofa",))], ()),
        ("photos of my cat", [(1, ("cat",))], ()),
        ("a snow leopard in the snow", [(1, ("snow leopard",)), (1, ("snow",))], ()),
        ("my fluffy cat sleeping on the couch", [(1, ("cat",)), (1, ("couch",))], ("fluffy", "sleeping")),
        ("a street without people", [(1, ("street",)), (-1, ("people",))], ()),
        ("a dog or a cat in the snow", [(1, ("dog", "cat")), (1, ("snow",))], ()),
        ("lily of the valley in a vase", [(1, ("lily of the valley",)), (1, ("vase",))], ()),
    ],
)
def test_a_phrase_means_its_nouns(packaged: Model, text: str, expected: list, passed: tuple[str, ...]):
    found, rest = nouns_of(packaged.parts, text)
    assert [(one.weight, tuple(word.name for word in one.words)) for one in found] == expected
    assert rest == passed


def test_what_was_understood_is_noted(packaged: Model):
    asked, notes = understood(packaged.parts, parse_expression("a fluffy dog on a sofa - cat"))
    assert [one.weight for one in asked.terms] == [1, 1, -1]
    assert notes == ("a fluffy dog on a sofa: read as dog + sofa; passed over: fluffy",)
    for plain in ("snow leopard", "kick scooter", "man of war", "cat: a pet with fur"):  # names, not phrases
        typed = parse_expression(plain)
        assert understood(packaged.parts, typed) == (typed, ())
    assert understood(packaged.parts, parse_expression("photos of my cat"))[0].words[0].name == "cat"
    with pytest.raises(LabelError, match="no noun in 'of the wzx'"):
        understood(packaged.parts, parse_expression("of the wzx"))
    with pytest.raises(UsageError, match="needs something to find"):
        understood(packaged.parts, parse_expression("photos without people"))


def test_labels_are_exchanged_in_their_order():
    asked = parse_expression("lion, tiger + water - boat")
    assert asked.changed(lambda labels: labels[::-1]).terms[0].words[0].name == "boat"
    assert asked.changed(lambda labels: labels) == asked
    assert Expression().changed(lambda labels: labels) == Expression()


def test_a_missing_photo_is_named(packaged: Model, tmp_path: Path):
    pytest.importorskip("pyarrow")
    from devise.search.photoindex import index_photos
    from devise.search.query import open_search

    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(tmp_path / "a.png")
    index_photos(packaged, [tmp_path / "a.png"], tmp_path / "index")
    with pytest.raises(PictureError, match=r"nowhere\.png: no such file"):
        open_search(packaged, tmp_path / "index").find(f"dog + {tmp_path}/nowhere.png")
