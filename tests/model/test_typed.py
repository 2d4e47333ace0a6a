import re

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from devise.errors import UsageError
from devise.model.typed import TypedLabel, looks_like_id, parse_labels, parse_lines, user_id
from devise.text.phrases import term_key


def pairs(text: str) -> list[tuple[str, str]]:
    return [(label.name, label.definition) for label in parse_labels(text)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("dog", [("dog", "")]),
        ("dog, cat", [("dog", ""), ("cat", "")]),
        ("dog; cat", [("dog", ""), ("cat", "")]),
        ("dog\ncat", [("dog", ""), ("cat", "")]),
        ("dog\r\ncat, wild", [("dog", ""), ("cat, wild", "")]),
        # Semicolons or line ends leave commas alone.
        ("dog, wild; cat", [("dog, wild", ""), ("cat", "")]),
        ("zedonk: part zebra, part donkey; cat", [("zedonk", "part zebra, part donkey"), ("cat", "")]),
        # Commas part labels until a definition begins; a further label needs a colon of its own.
        ("a: b, c", [("a", "b, c")]),
        ("a, b: c", [("a", ""), ("b", "c")]),
        ("a: b, c: d", [("a", "b"), ("c", "d")]),
        ("a: b, c, d: e, f", [("a", "b, c"), ("d", "e, f")]),
        ("a, b: c, d", [("a", ""), ("b", "c, d")]),
        # Only the first colon starts the definition; an empty one is none.
        ("a: b: c", [("a", "b: c")]),
        ("a:", [("a", "")]),
        ("a:, b: c", [("a", ""), ("b", "c")]),
        # Spaces are made single, blank entries passed over.
        ("  kick \t scooter :  a  thing ;; ; cat;", [("kick scooter", "a thing"), ("cat", "")]),
        (", dog,, cat ,", [("dog", ""), ("cat", "")]),
        # The same label twice, however it is written: the first stays.
        ("Snow Leopard, snow_leopard, cat", [("Snow Leopard", ""), ("cat", "")]),
        ("a: b; A:  b", [("a", "b")]),
    ],
)
def test_the_rules(text: str, wanted: list[tuple[str, str]]):
    assert pairs(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        # Quotes are taken off; what they hold is not parted.
        ('"lion", “tiger”, ‘snow leopard’', [("lion", ""), ("tiger", ""), ("snow leopard", "")]),
        ("'lion'; „tiger“; «kiang»", [("lion", ""), ("tiger", ""), ("kiang", "")]),
        ('"lion, king of beasts", tiger', [("lion, king of beasts", ""), ("tiger", "")]),
        ('"Zedonk: the film", tiger', [("Zedonk: the film", ""), ("tiger", "")]),
        (
            'zedonk: "part zebra, part donkey; sterile"; cat',
            [("zedonk", "part zebra, part donkey; sterile"), ("cat", "")],
        ),
        ('"lion', [("lion", "")]),
        ("judge's robe, dogs' home, rock 'n' roll", [("judge's robe", ""), ("dogs' home", ""), ("rock 'n' roll", "")]),
        # An id and a name, as other tools list their classes, or as a definition.
        ("n02129165\tlion", [("lion", "n02129165")]),
        ("n02129165: lion; n02129604 tiger", [("lion", "n02129165"), ("tiger", "n02129604")]),
        (
            "n02119789 1 kit_fox, 207 n02099601 golden_retriever",
            [("kit fox", "n02119789"), ("golden retriever", "n02099601")],
        ),
        ("lion n02129165", [("lion", "n02129165")]),
        ("mouse: n03793489, plate", [("mouse", "n03793489"), ("plate", "")]),
        ("Mouse.n.04 mouse, lion.n.01", [("mouse", "mouse.n.04"), ("lion.n.01", "")]),
        ("n02012849 crane; n03126707 crane", [("crane", "n02012849"), ("crane", "n03126707")]),
        ("https://example.org/lion", [("https://example.org/lion", "")]),
        # A colon inside an id or an address starts no definition, so the label behind it is not swallowed.
        ("http://dbpedia.org/resource/Lion, tiger", [("http://dbpedia.org/resource/Lion", ""), ("tiger", "")]),
        ("wn:02129165n, tiger", [("wn:02129165n", ""), ("tiger", "")]),
        ("wd:Q140, tiger", [("wd:Q140", ""), ("tiger", "")]),
        ("Synset('lion.n.01'), tiger", [("lion.n.01", ""), ("tiger", "")]),
        ("n02129165-lion, n02129604_tiger", [("lion", "n02129165"), ("tiger", "n02129604")]),
        ("‹lion›, 「tiger」, `kiang`", [("lion", ""), ("tiger", ""), ("kiang", "")]),
        ("li\u00adon\u200b, \ufefftiger", [("lion", ""), ("tiger", "")]),
        ("li\u200con\u200d, \u202atiger\u202c, \u2067kiang\u2069", [("lion", ""), ("tiger", ""), ("kiang", "")]),
        ("wn.synset('lion.n.01'), wordnet.synset(\"tiger.n.02\")", [("lion.n.01", ""), ("tiger.n.02", "")]),
        ("n02129165 — lion, n02129604–tiger", [("lion", "n02129165"), ("tiger", "n02129604")]),
        ("Lion (Q140); tiger | Q19939; kiang (/m/01abc)", [("Lion", ""), ("tiger", ""), ("kiang", "")]),
    ],
)
def test_quotes_and_ids(text: str, wanted: list[tuple[str, str]]):
    assert pairs(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("n02129165 n02129604", [("n02129165", ""), ("n02129604", "")]),
        ("lion [n02129165], tiger (n02129604)", [("lion", "n02129165"), ("tiger", "n02129604")]),
        ("n02129165 1300", [("n02129165", "")]),
        ("wordnet:n02129165, wn30:n02129604", [("n02129165", ""), ("n02129604", "")]),
        ("wn31:n02129165, tiger", [("wn31:n02129165", ""), ("tiger", "")]),
        ("user:kick_scooter, tiger", [("kick scooter", ""), ("tiger", "")]),
        ("ili:i46593, tiger", [("ili:i46593", ""), ("tiger", "")]),
        ("291: lion, 292: tiger", [("lion", ""), ("tiger", "")]),
        ("1984: a novel, 2001: a film", [("1984", "a novel"), ("2001", "a film")]),
        ("['lion', 'tiger, cat']", [("lion", ""), ("tiger, cat", "")]),
        ('["lion", "tiger"]', [("lion", ""), ("tiger", "")]),
        ("lion | tiger", [("lion", ""), ("tiger", "")]),
        ("＂lion＂, tiger", [("lion", ""), ("tiger", "")]),
        # A score or a count with a name is not of the name.
        ("lion 0.98, tiger 0.01", [("lion", ""), ("tiger", "")]),
        ("lion: 0.98, tiger: .01", [("lion", ""), ("tiger", "")]),
        ("lion (0.98); tiger=1.0; 0.5 kiang", [("lion", ""), ("tiger", ""), ("kiang", "")]),
        ("lion 98.1 %, tiger 2%", [("lion", ""), ("tiger", "")]),
        ("lion: 1300, tiger: 732", [("lion", ""), ("tiger", "")]),
        ("USB 3.0, web 2.0, 1.5 lion", [("USB 3.0", ""), ("web 2.0", ""), ("1.5 lion", "")]),
        # What marks a label as one.
        ("__label__lion, __label__snow_leopard", [("lion", ""), ("snow_leopard", "")]),
        ("class_lion", [("lion", "")]),
        ("Label_lion; label_tiger", [("lion", ""), ("tiger", "")]),
        ("class:lion, dbr:Tiger, label: a strip", [("lion", ""), ("Tiger", ""), ("label", "a strip")]),
        # A numbered id whose term has a blank.
        ("snow leopard.n.01, tiger.n.02", [("snow_leopard.n.01", ""), ("tiger.n.02", "")]),
        ("snow leopard snow_leopard.n.01", [("snow leopard", "snow_leopard.n.01")]),
    ],
)
def test_lists_and_ids_of_other_tools(text: str, wanted: list[tuple[str, str]]):
    assert pairs(text) == wanted


def test_placeholders_are_no_names():
    assert all(map(looks_like_id, ("LABEL_0", "class 3", "class_lion", "0.98", "category-12")))
    assert not any(map(looks_like_id, ("label", "classroom", "class act", "label maker")))


def test_names_of_files_are_no_names():
    assert [looks_like_id(text) for text in ("lion.jpg", r"C:\lion", "St. Bernard", "lion")] == [
        True,
        True,
        False,
        False,
    ]


def test_a_line_of_another_tools_list_of_classes():
    lines = [
        "n02129165 lion, king of beasts, Panthera leo",
        "n02129604,tiger",
        '"n02085374","toy dog, toy"',
        "kiang,n02390738",
    ]
    assert [(label.name, label.definition) for label in parse_lines(lines)] == [
        ("lion, king of beasts, Panthera leo", "n02129165"),
        ("tiger", "n02129604"),
        ("toy dog, toy", "n02085374"),
        ("kiang", "n02390738"),
    ]


@pytest.mark.parametrize(
    "lines",
    [
        ["lion", "tiger, cat"],
        ["lion,", "tiger, cat;"],
        ['"lion",', '"tiger, cat",'],
        ["- lion", "• tiger, cat"],
        ["* 'lion'", "* tiger, cat"],
        ["0 lion", "1 tiger, cat"],
        ["1. lion", "2) tiger, cat"],
        ["0: 'lion',", "1: 'tiger, cat',"],
        ["0,lion", "1,tiger, cat"],
        ["0\tlion", "1\ttiger, cat"],
    ],
)
def test_bullets_numbers_and_trailing_commas_are_no_part_of_a_name(lines: list[str]):
    assert [(label.name, label.definition) for label in parse_lines(lines)] == [("lion", ""), ("tiger, cat", "")]


def test_numbers_that_do_not_count_are_part_of_the_names():
    assert [label.name for label in parse_lines(["7 up", "9 pins"])] == ["7 up", "9 pins"]
    assert [label.name for label in parse_lines(["1 chair"])] == ["1 chair"]


def test_columns_without_an_id_are_refused():
    with pytest.raises(UsageError, match="'lion 5' has several columns: write NAME or NAME: DEFINITION"):
        parse_lines(["lion\t5", "tiger\tsix"])


@pytest.mark.parametrize("text", ["", " ", ",", ";", " ;\n; ", ",,"])
def test_no_label_at_all(text: str):
    with pytest.raises(UsageError, match="no label was given"):
        parse_labels(text)


@pytest.mark.parametrize("text", [": a thing", "dog, : a thing", "!?; cat", "dog; ;: x", "_"])
def test_a_name_without_a_word(text: str):
    with pytest.raises(UsageError, match="needs a word in its name"):
        parse_labels(text)


@pytest.mark.parametrize("text", ["a: b; a: c", "a; A: b", "a: b, a: c"])
def test_two_definitions_of_one_name(text: str):
    with pytest.raises(UsageError, match=r"duplicate label .* with different definitions"):
        parse_labels(text)


def test_several_texts_are_parted_each_in_its_own_way():
    texts = ("cat, dog", "zedonk: part zebra, part donkey; kiang", "DOG")
    assert [label.name for label in parse_labels(*texts)] == ["cat", "dog", "zedonk", "kiang"]
    with pytest.raises(UsageError, match=r"duplicate label .* with different definitions"):
        parse_labels("cat", "cat: a pet")
    with pytest.raises(UsageError, match="no label was given"):
        parse_labels()


QUOTES = "\"'“”„«»‘’‚‹›「」『』`\xad\u200b\u200e\u200f\u2060\ufeff\ue000\ue001\ue002"
WORD = st.text(
    st.characters(blacklist_characters=";:|=\n\r，、،；؛：" + QUOTES, blacklist_categories=("Cs", "Cf")),
    min_size=1,
    max_size=12,
)


def tidy(text: str) -> str:
    return " ".join(text.split())


def letters(name: str) -> str:
    """Empty if `term_key` is; the package's own functions are checked at random, which strategies must not be."""
    return "".join(filter(str.isalnum, name.lower()))


def plain(text: str) -> bool:
    """Whether nothing in the text is taken for a bullet, a comma that ends a line, an id, a score, or a mark."""
    marks = re.search(r"^[\d.]|\d[^\w]*$|n\d{5}|^_*(label|class|category|cls)_", text.lower())
    return text[:1] not in (*"-*+•·–—",) and text[-1:] != "," and not marks


LABEL = st.builds(
    TypedLabel,
    st.lists(WORD, min_size=1, max_size=3).map(lambda words: tidy(" ".join(words))).filter(letters).filter(plain),
    st.lists(st.one_of(WORD, st.just(": ,")), max_size=3).map(lambda words: tidy(" ".join(words))).filter(plain),
)
LABELS = st.lists(LABEL, min_size=1, max_size=6, unique_by=lambda label: letters(label.name))


@given(LABELS)
@example([TypedLabel("a, b", "c, d: e, f"), TypedLabel("g")])
def test_labels_written_with_semicolons_come_back(labels: list[TypedLabel]):
    assume(len({term_key(label.name) for label in labels}) == len(labels))
    written = [f"{label.name}: {label.definition}" if label.definition else label.name for label in labels]
    assert parse_labels("; ".join(written) + ";") == tuple(labels)
    assert parse_labels("\n".join(written) + "\n") == tuple(labels)
    assert parse_lines(written) == tuple(labels)


@settings(max_examples=40)
@given(LABELS.filter(lambda labels: all("," not in label.name + label.definition for label in labels)))
def test_labels_without_definitions_may_be_written_with_commas(labels: list[TypedLabel]):
    assume(len({term_key(label.name) for label in labels}) == len(labels))
    plain = tuple(TypedLabel(label.name) for label in labels)
    assert parse_labels(",".join(label.name for label in plain)) == plain


@given(st.text(max_size=40))
def test_any_text_gives_labels_or_one_line_that_says_why(text: str):
    try:
        labels = parse_labels(text)
    except UsageError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    keys = [term_key(label.name) for label in labels]
    assert all(keys)
    assert len(set(keys)) == len(keys)
    assert all(label.name == tidy(label.name) and label.definition == tidy(label.definition) for label in labels)


def test_lines_keep_commas_and_semicolons():
    lines = ["zedonk: part zebra, part donkey; sterile", "  ", "bass, largemouth", "cat"]
    assert parse_lines(lines) == (
        TypedLabel("zedonk", "part zebra, part donkey; sterile"),
        TypedLabel("bass, largemouth"),
        TypedLabel("cat"),
    )
    assert parse_lines(lines[2:3]) == (TypedLabel("bass, largemouth"),)
    with pytest.raises(UsageError, match="no label was given"):
        parse_lines(["", " "])


def test_user_ids_do_not_depend_on_how_a_name_is_written():
    assert user_id("Kick Scooter") == user_id(" kick_scooter ") == "user:kick_scooter"
    assert user_id("naïve Œuvre") == "user:naïve_œuvre"
