import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from devise.errors import DeviseError, LabelError, TaxonomyError, UsageError
from devise.model.candidates import Candidates, choose_candidates, synset_space, with_senses
from devise.model.labeller import Model
from devise.model.sense_choice import Meanings
from devise.model.typed import TypedLabel, parse_labels
from devise.space.labelspace import placed
from devise.taxonomy.wordnet import default_taxonomy

ALL = (
    "n02390738", "n02123045", "n03467517", "n02391049", "n02390101",
    "n00001740", "n02128757", "n04149374", "n03272010",
)  # fmt: skip
SEEN = ("n02123045", "n02391049", "n02128757", "n03272010")
HORSE, DOG = "n02374451", "n02084071"
ZEDONK = TypedLabel("zedonk", "offspring of a zebra and a donkey")

Choose = Callable[..., Candidates]


@pytest.fixture
def choose(small: Model) -> Choose:
    def chosen(candidates: str = "all", **options: object) -> Candidates:
        return choose_candidates(small.parts, candidates, **options)  # type: ignore[arg-type]

    return chosen


@pytest.fixture
def listing(tmp_path: Path) -> Callable[[str | bytes], str]:
    """Writes a file of labels."""

    def written(content: str | bytes, name: str = "labels.txt") -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return written


def composed(small: Model, name: str, definition: str = "") -> np.ndarray:
    """The vector of a typed label, as it should stand in the label space."""
    kinds = Meanings(small.parts).kinds_of(name, definition)
    vector = small.parts.composer.typed(name, definition, kinds).vector
    return placed(vector[None], small.parts.centre)[0]


def test_the_models_own_lists(choose: Choose, small: Model):
    assert choose("all").space.labels.ids == ALL
    assert choose("seen").space.labels.ids == SEEN
    assert choose("unseen").space.labels.ids == tuple(i for i in ALL if i not in SEEN)
    for name in ("all", "seen", "unseen"):
        found = choose(name)
        assert found.notes == ()
        for label, vector in zip(found.space.labels, found.space.vectors, strict=True):
            np.testing.assert_array_equal(vector, small.parts.space.vectors[ALL.index(label.id)])


# Below a name.


def test_under_a_name_keeps_its_subtree(choose: Choose):
    animals = ("n02390738", "n02123045", "n02391049", "n02390101", "n02128757")
    assert choose(under="animal").space.labels.ids == animals
    assert choose(under="n02374149").space.labels.ids == ("n02390738", "n02391049", "n02390101")  # equine
    assert choose("seen", under="feline").space.labels.ids == ("n02123045", "n02128757")
    assert choose(under="guitars").space.labels.ids == ("n03467517", "n03272010")  # the name itself counts


def test_under_a_name_of_several_senses_takes_the_likeliest_with_labels(choose: Choose, small: Model):
    assert small.parts.taxonomy.find("scooter")[1].id == "n04149374"  # its second sense
    assert choose(under="scooter").space.labels.ids == ("n04149374",)


def test_under_an_unknown_name(choose: Choose):
    with pytest.raises(UsageError, match="under needs a noun of WordNet or its id, got 'zorblax'"):
        choose(under="zorblax")


def test_under_a_name_that_leaves_nothing(choose: Choose):
    with pytest.raises(UsageError, match="no candidate label is under 'fruit'"):
        choose(under="fruit")


def test_typed_labels_are_kept_whatever_is_under(choose: Choose):
    found = choose(under="fruit", typed=(ZEDONK,))
    assert found.space.labels.ids == ("user:zedonk",)
    found = choose(under="guitar", typed=(TypedLabel("horse"), ZEDONK))
    assert found.space.labels.ids == ("n03467517", "n03272010", HORSE, "user:zedonk")


def test_labels_of_a_file_that_under_leaves_out_are_told(choose: Choose, listing: Callable[..., str]):
    path = listing("zedonk: offspring of a zebra\ntabby\nkick scooter\n")
    found = choose(path, under="animal")
    assert found.space.labels.ids == ("n02123045",)
    assert any("2 labels" in note for note in found.notes)


# Typed by the user.


def test_typed_label_that_wordnet_knows_is_its_synset(choose: Choose, small: Model):
    found = choose("typed", typed=(TypedLabel("Snow_Leopards"), TypedLabel("horse")))
    assert found.space.labels.ids == ("n02128757", HORSE)
    leopard, horse = found.space.labels
    assert (leopard.seen, leopard.source, leopard.name) == (True, "term", "Snow_Leopards")  # as it was typed
    np.testing.assert_array_equal(found.space.vectors[0], small.parts.space.vectors[6])
    # The horse is no label of the model: its vector is composed as the model's own were.
    assert (horse.seen, horse.source, horse.name) == (False, "term", "horse")
    assert horse.gloss.startswith("solid-hoofed")
    wanted = placed(small.parts.composer.synset(HORSE).vector[None], small.parts.centre)[0]
    np.testing.assert_array_equal(found.space.vectors[1], wanted)
    assert found.notes == ("horse: equine, 3 other meanings and 1 not for photos",)


def test_typed_label_with_several_senses_is_the_commonest_visible_one(choose: Choose, small: Model):
    senses = small.parts.taxonomy.find("scooter")
    assert senses[0].id != "n04149374"
    found = choose("typed", typed=(TypedLabel("scooter"),))
    assert found.space.labels.ids == ("n04149374",)
    assert found.notes == (f"scooter: wheeled vehicle, {len(senses) - 1} other meanings",)
    # None of its senses is a label of the model.
    assert choose("typed", typed=(TypedLabel("dog"),)).space.labels.ids == (DOG,)


def test_the_name_of_a_trained_class_is_seldom_another_sense(packaged: Model):
    parts = packaged.parts
    trained = frozenset(parts.trained_ids)
    names = dict.fromkeys(parts.taxonomy.synset(label_id).name.lower() for label_id in parts.trained_ids)
    found = choose_candidates(parts, "typed", typed=[TypedLabel(name) for name in names])
    others = set(found.space.labels.ids) - trained
    assert len(others) <= 40  # a mouse is an animal, and a plane flies, whatever was trained
    assert "n02330245" in others
    assert sum("several meanings" in note for note in found.notes) == 1


def test_a_list_of_nouns_stands_for_their_kinds(packaged: Model):
    parts = packaged.parts
    typed = [*(TypedLabel(name) for name in ("animal", "cat", "vehicle")), ZEDONK]
    found = choose_candidates(parts, "typed", typed=typed)
    assert [label.name for label in found.space.labels] == ["animal", "cat", "vehicle", "zedonk"]
    assert found.kinds is not None
    owner = dict(zip(found.kinds.space.labels.ids, found.kinds.owner.tolist(), strict=True))
    assert owner["n02084071"] == 0  # dog
    assert owner["n02123045"] == 1  # tabby: the nearer one of animal and cat
    assert owner["n02834778"] == 2  # bicycle
    assert owner["user:zedonk"] == 3
    assert set(owner) - set(found.space.labels.ids) <= set(parts.space.labels.ids)
    animal = parts.taxonomy.subtree("n00015388") & set(parts.space.labels.ids)
    assert {one for one, place in owner.items() if place < 2} == animal
    for exact in ([TypedLabel("n00015388")], [TypedLabel("tabby"), TypedLabel("kiang")]):  # neither has a kind
        assert choose_candidates(parts, "typed", typed=exact).kinds is None
    assert choose_candidates(parts, "typed", typed=typed, exact=True).kinds is None
    assert choose_candidates(parts, typed=typed).kinds is None  # among all labels it is one of them, as before


def test_the_users_own_word_stays(packaged: Model):
    for candidates in ("typed", "all"):
        found = choose_candidates(packaged.parts, candidates, typed=[TypedLabel("toy"), TypedLabel("lions")])
        names = {label.id: label.name for label in found.space.labels}
        assert (names["n03964744"], names["n02129165"]) == ("toy", "lions")


def test_a_file_of_another_tool_names_synsets(choose: Choose, listing: Callable[[str | bytes], str]):
    lines = 'n02129165 lion, king of beasts, Panthera leo\nn02129604\ttiger\nlion.n.02\n"zebra"\n'
    found = choose(listing(lines))
    assert [(label.id, label.name) for label in found.space.labels] == [
        ("n02129165", "lion, king of beasts, Panthera leo"),
        ("n02129604", "tiger"),
        ("n10265070", "lion"),
        ("n02391049", "zebra"),
    ]
    assert found.notes == ()
    typed = parse_labels("n02129165 lion, king of beasts, n02129604 tiger, Panthera tigris")
    assert choose("typed", typed=typed).space.labels.ids == ("n02129165", "n02129604")


@pytest.mark.parametrize(
    "lines",
    [
        "id,name\nn02129165,lion\nn02129604,tiger\n",
        '"wnid","words"\n"n02129165","lion"\n"n02129604","tiger"\n',
        "name;wnid\nlion;n02129165\ntiger;n02129604\n",
    ],
)
def test_a_line_that_names_columns_is_left_out_and_reported(choose: Choose, listing: Callable[[str], str], lines: str):
    found = choose(listing(lines))
    assert [(label.id, label.name) for label in found.space.labels] == [("n02129165", "lion"), ("n02129604", "tiger")]
    assert [note.partition(": ")[2] for note in found.notes] == [
        f"the first line, {lines.splitlines()[0]!r}, is a heading: left out"
    ]


def test_a_single_word_that_may_be_a_heading_is_reported(choose: Choose, listing: Callable[[str], str]):
    found = choose(listing("label\nlion\n"))
    assert [label.name for label in found.space.labels] == ["label", "lion"]
    assert "'label', is read as a label: delete it if it is a heading" in found.notes[0]


def test_names_of_one_synset_are_that_synset(choose: Choose, listing: Callable[[str], str]):
    lines = '0: "lion, king of beasts, Panthera leo",\n1: "tiger, Panthera tigris",\n2: "horse, zebra",\n'
    found = choose(listing(lines))
    assert [label.id for label in found.space.labels] == ["n02129165", "n02129604", "user:horse_zebra"]
    assert found.space.labels[0].name == "lion, king of beasts, Panthera leo"


@pytest.mark.parametrize("line", ["zebra,horse", "zebra; horse", "n02391049 n02374451", "zebra, horse,"])
def test_one_line_of_nouns_is_a_list_of_them(choose: Choose, listing: Callable[[str], str], line: str):
    assert choose(listing(line)).space.labels.ids == ("n02391049", HORSE)
    assert choose(listing("zebra, horse\nkiang\n")).space.labels.ids == ("n02390738", "user:zebra_horse")


@pytest.mark.parametrize(
    "content",
    [
        ["zebra", "horse"],
        {"0": "zebra", "1": "horse"},
        {"id2label": {"0": "zebra", "1": "horse"}},
        [{"name": "zebra", "synset": "zebra.n.01"}, {"name": "horse", "synset": "horse.n.01"}],  # LVIS, Visual Genome
        {"zebra": "zebra.n.01", "horse": "horse.n.01"},
        {"zebra": 0.98, "horse": 0.02},
    ],
)
def test_names_of_classes_in_json(choose: Choose, listing: Callable[..., str], content: object):
    assert choose(listing(json.dumps(content), "l.json")).space.labels.ids == ("n02391049", HORSE)


def test_a_number_that_is_a_noun_is_said(packaged: Model):
    found = choose_candidates(packaged.parts, "typed", typed=parse_labels("2"))
    assert found.notes[0].startswith("'2' looks like a number: read as 'the cardinal number")


def test_other_line_ends_and_hashes_in_a_file(choose: Choose, listing: Callable[[str], str]):
    assert choose(listing("lion\u2028tiger # big\n# none\n")).space.labels.ids == ("n02129165", "n02129604")


@pytest.mark.parametrize("text", ["{0: 'lion',\n 1: 'tiger'}", "['lion', 'tiger']"])
def test_what_is_no_list_is_refused(choose: Choose, listing: Callable[[str], str], text: str):
    with pytest.raises(UsageError, match="is not a list of labels: write one per line"):
        choose(listing(text))


def test_yaml_is_refused(choose: Choose, tmp_path: Path):
    (tmp_path / "l.yaml").write_text("names:\n  0: lion\n")
    with pytest.raises(UsageError, match=r"l\.yaml is YAML: write one label per line"):
        choose(str(tmp_path / "l.yaml"))


def test_a_row_of_several_nouns_is_reported(choose: Choose, listing: Callable[[str], str]):
    assert choose(listing("lion,tiger\ncat,dog\n")).notes[:2] == (
        "'lion,tiger' names several things: read as one label of all its words",
        "'cat,dog' names several things: read as one label of all its words",
    )


@pytest.mark.parametrize("under", ['"zebra"', "“Zebras”", "n02391049 zebra", "Synset('zebra.n.01')", "zebra.n.1"])
def test_the_noun_of_a_subtree_is_read_as_a_label_is(choose: Choose, under: str):
    assert choose("all", under=under).space.labels.ids == ("n02391049",)


@pytest.mark.parametrize(
    "text",
    [
        *("lion.n.99", "lion.v.01", "n99999999", "02129165-n", "n2129165", "lion%1:05:00::", "02129165", "02129165n"),
        *("lion.noun.01", "lion#n#1", "omw-en-02129165-n", "wn:02129165n", "bn:00051333n", "wordnet:lion-n-1"),
        *("ILSVRC2012_n02129165", "n02129165.jpg", "lion#1", "02129165 lion", "n2129165 lion"),
    ],
)
def test_what_looks_like_an_id_and_is_none_is_refused(choose: Choose, text: str):
    with pytest.raises(LabelError, match="looks like the id of a synset, but WordNet 3"):
        choose("typed", typed=parse_labels(f"{text}; tiger"))
    with pytest.raises(LabelError, match="looks like the id of a synset"):
        choose(under=text)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("snow leopard.n.01", ["n02128757"]),
        ("__label__snow_leopard 0.98", ["n02128757"]),
        ("class_lion", ["n02129165"]),
        ("itap of my lion, a black and white photo of the tiger", ["n02129165", "n02129604"]),
        ("lions, tigers", ["n02129165", "n02129604"]),
    ],
)
def test_names_as_other_tools_write_them(packaged: Model, text: str, ids: list[str]):
    assert list(choose_candidates(packaged.parts, "typed", typed=parse_labels(text)).space.labels.ids) == ids


def test_under_a_plural_with_a_name_of_its_own(packaged: Model):
    found = choose_candidates(packaged.parts, "seen", under="tigers")
    assert found.space.labels.ids == choose_candidates(packaged.parts, "seen", under="tiger").space.labels.ids
    assert found.space.labels.ids == ("n02129604",)


def test_an_address_or_a_number_is_said(packaged: Model):
    for text in ("https://example.org/lion", "1984", "LABEL_0"):
        found = choose_candidates(packaged.parts, "typed", typed=parse_labels(text))
        assert f"{text!r} looks like an id, an address or a number" in found.notes[0]


def test_words_without_a_vector_are_named(packaged: Model):
    """Of a definition, they are what it is for."""
    read = "'coffe cup' is read without coffe: no vector"
    for text, notes in (
        ("coffe cup", (read,)),
        ("coffe cup, wibblefrotz jug, qqxx pan", (f"{read}; 2 more like this",)),
        ("coffe cup: a cup for coffee", ()),
    ):
        assert choose_candidates(packaged.parts, "typed", typed=parse_labels(text)).notes == notes


def test_close_spellings_of_an_unknown_label_are_named(packaged: Model):
    with pytest.raises(LabelError, match=r"^unknown label 'elefant': none of .* a vector; close spellings: elephant, "):
        choose_candidates(packaged.parts, "typed", typed=parse_labels("elefant"))
    with pytest.raises(LabelError, match=r"^unknown label 'q+ \.\.\. \(\d+ letters\) .{,300}$"):
        choose_candidates(packaged.parts, "typed", typed=parse_labels(500 * "q"))


def test_a_sense_is_chosen_by_its_id(choose: Choose):
    mouse = TypedLabel("mouse")
    for sense in ("n03793489", "mouse.n.04"):
        (typed,) = with_senses(default_taxonomy(), [mouse], [sense])
        (label,) = choose("typed", typed=(typed,)).space.labels
        assert (label.id, label.name) == ("n03793489", "mouse")
    with pytest.raises(UsageError, match="n02084071 is not a sense of any given word"):
        with_senses(default_taxonomy(), [mouse], ["n02084071"])


def test_typed_label_by_id(choose: Choose):
    found = choose("typed", typed=(TypedLabel("n04562122"), TypedLabel("N02084071")))
    assert found.space.labels.ids == ("n04562122", DOG)
    assert found.notes == ()


def test_a_definition_makes_a_label_of_its_own(choose: Choose, small: Model):
    found = choose("typed", typed=(ZEDONK, TypedLabel("Dog", "a striped horse")))
    zedonk, dog = found.space.labels
    assert (zedonk.id, zedonk.name, zedonk.gloss) == ("user:zedonk", "zedonk", ZEDONK.definition)
    assert (zedonk.seen, zedonk.source) == (False, "gloss")
    assert (dog.id, dog.name, dog.source) == ("user:dog", "Dog", "gloss")
    np.testing.assert_array_equal(found.space.vectors[0], composed(small, "zedonk", ZEDONK.definition))
    np.testing.assert_array_equal(found.space.vectors[1], composed(small, "Dog", "a striped horse"))


def test_a_name_of_known_words_needs_no_definition(choose: Choose, small: Model):
    found = choose("typed", typed=(TypedLabel("striped kick scooter"),))
    assert found.space.labels.ids == ("user:striped_kick_scooter",)
    assert found.space.labels[0].source == "parts"
    np.testing.assert_array_equal(found.space.vectors[0], composed(small, "striped kick scooter"))


def test_a_name_that_nothing_is_known_about(choose: Choose):
    with pytest.raises(LabelError, match=r"unknown label 'frabjous wabe'.*'frabjous wabe: a kind of"):
        choose("typed", typed=(TypedLabel("frabjous wabe"),))
    with pytest.raises(LabelError, match="unknown label 'brillig'"):
        choose("all", typed=(TypedLabel("brillig", "slithy toves"),))


def test_typed_labels_join_the_others_once(choose: Choose):
    found = choose("seen", typed=(TypedLabel("zebra"), ZEDONK, TypedLabel("kiang")))
    assert found.space.labels.ids == (*SEEN, "n02390738", "user:zedonk")
    assert found.notes == ()


def test_typed_alone_needs_labels(choose: Choose):
    with pytest.raises(UsageError, match="no candidate labels in 'typed'"):
        choose("typed")


# Files.


def test_a_file_of_ids_names_and_definitions(choose: Choose, listing: Callable[..., str]):
    path = listing(
        "# what may be in the picture\n"
        "n02084071   # by its id\n"
        "\n"
        "Snow Leopard\n"
        "zedonk: part zebra, part donkey; striped\r\n"
        "kick scooter, striped\n"
    )
    found = choose(path)
    assert found.space.labels.ids == (DOG, "n02128757", "user:zedonk", "user:kick_scooter_striped")
    assert found.space.labels[2].gloss == "part zebra, part donkey; striped"


def test_a_file_of_one_line_is_read_as_one_of_many_lines(choose: Choose, listing: Callable[..., str]):
    assert choose(listing("kick scooter, striped")).space.labels.ids == ("user:kick_scooter_striped",)
    assert choose(listing("zedonk: a zebra, a cat: striped")).space.labels.ids == ("user:zedonk",)


def test_a_byte_order_mark_is_no_part_of_the_first_label(choose: Choose, listing: Callable[..., str]):
    assert choose(listing(b"\xef\xbb\xbfn02084071\nkiang\n")).space.labels.ids == (DOG, "n02390738")


def test_a_file_name_may_hold_a_hash(choose: Choose, listing: Callable[..., str]):
    assert choose(listing("kiang\n", "list#1.txt")).space.labels.ids == ("n02390738",)


def test_json_lists(choose: Choose, listing: Callable[..., str]):
    lists = {"two": [HORSE, "n02123045", HORSE], "none": []}
    path = listing(json.dumps(lists), "lists.json")
    found = choose(f"{path}#two")
    assert found.space.labels.ids == (HORSE, "n02123045")
    assert found.notes == (f"1 duplicate label in {path}#two: each is listed once",)
    assert choose(listing(json.dumps(["n02390738"]), "LIST.JSON")).space.labels.ids == ("n02390738",)
    with pytest.raises(UsageError, match="has no key 'three': use one of two, none"):
        choose(f"{path}#three")
    with pytest.raises(LabelError, match="contains no synset ids"):
        choose(f"{path}#none")
    with pytest.raises(UsageError, match="KEY one of"):
        choose(path)


def test_an_id_that_wordnet_does_not_have(choose: Choose, listing: Callable[..., str]):
    with pytest.raises(TaxonomyError, match="n99999999"):
        choose(listing('["n99999999"]', "list.json"))
    with pytest.raises(DeviseError, match="n99999999"):
        choose(listing("n99999999\n"))


@pytest.mark.parametrize("name", ["every", "absent.txt", "absent.json#key", ""])
def test_no_such_list_or_file(choose: Choose, name: str):
    with pytest.raises(UsageError, match="one of all, seen, unseen, typed, all-nouns or a file"):
        choose(name)


def test_files_that_hold_no_labels(choose: Choose, listing: Callable[..., str]):
    with pytest.raises(UsageError, match="no label was given"):
        choose(listing("# nothing\n\n"))
    with pytest.raises(UsageError, match=r"the label file .* is text in UTF-16"):
        choose(listing(b"\xff\xfe\x00"))


# Synsets in any order.


def test_synset_space_mixes_labels_of_the_model_and_new_ones(small: Model):
    ids = [DOG, "n02123045", HORSE, "n02390738"]
    space = synset_space(small.parts, ids)
    assert list(space.labels.ids) == ids
    np.testing.assert_array_equal(space.vectors[1], small.parts.space.vectors[1])
    np.testing.assert_array_equal(space.vectors[3], small.parts.space.vectors[0])
    raw = small.parts.composer.labels([DOG, HORSE]).vectors
    np.testing.assert_array_equal(space.vectors[[0, 2]], placed(raw, small.parts.centre))
    assert [label.seen for label in space.labels] == [False, True, False, False]


def test_synset_space_of_nothing_and_of_unknown(small: Model):
    assert len(synset_space(small.parts, []).labels) == 0
    with pytest.raises(TaxonomyError, match="n99999999"):
        synset_space(small.parts, ["n02123045", "n99999999"])


def test_what_the_small_model_composed_is_composed_the_same_again(small: Model):
    raw = small.parts.composer.labels(ALL)
    points = placed(raw.vectors, small.parts.centre)
    np.testing.assert_allclose(points, small.parts.space.vectors, atol=0.01)  # stored in 8 bits
    assert raw.sources == tuple(label.source for label in small.labels)
    assert raw.sources[ALL.index("n00001740")] == "none"


def test_synonyms_of_a_list_are_one_label_and_one_line_says_so(choose: Choose):
    names = ("snow leopard", "ounce", "Panthera uncia", "zebra", "tabby", "tabby cat")
    found = choose("typed", typed=tuple(map(TypedLabel, names)))
    assert found.space.labels.ids == ("n02128757", "n02391049", "n02123045")
    assert [note for note in found.notes if "meaning" not in note] == [
        "'snow leopard' and 'ounce' are the same label, n02128757: kept once; 2 more like this"
    ]
