import json
from pathlib import Path

import pytest

from devise.errors import UsageError
from devise.taxonomy.wordnet import default_taxonomy
from devise.training.classes import imagenet_ids, in_imagenets_order, read_class_list, row_ids

TAXONOMY = default_taxonomy()
ZEBRA, TENCH, GUITAR = "n02391049", "n01440764", "n03272010"


def test_lines_and_json(tmp_path: Path):
    path = tmp_path / "classes"
    for text in (
        f"zebra\n{TENCH} tench, Tinca tinca\nelectric guitar\n\n",
        json.dumps(["zebra", TENCH, "electric guitar"]),
        json.dumps({"0": "zebra", "2": "electric guitar", "1": [TENCH, "tench"]}),
        json.dumps({"id2label": {"0": "zebra", "1": TENCH, "2": "electric guitar"}}),
    ):
        path.write_text(text)
        assert read_class_list(path) == ("zebra", TENCH, "electric guitar")
    for text, message in (
        ("zebra\n\ntench", "line 2: empty"), ('{"1": "zebra"}', "keys are not the rows 0 to 0"),
        ("[3]", "row 0: 3 is not a class"), ("{", "is not JSON"), ("[]", "is not a list of classes"),
    ):  # fmt: skip
        path.write_text(text)
        with pytest.raises(UsageError, match=message):
            read_class_list(path)


def test_names_become_synsets(tmp_path: Path):
    names = ("zebra", TENCH, "electric guitar")
    ids, told = row_ids(names, 3, TAXONOMY, imagenet_ids(), None)
    assert ids == (ZEBRA, TENCH, GUITAR)
    assert told == "classes: 3 synsets, 2 of them by a name with one sense"
    with pytest.raises(UsageError, match="the class list has 3 classes, the network 4: give one line per output"):
        row_ids(names, 4, TAXONOMY, imagenet_ids(), None)
    with pytest.raises(UsageError, match="duplicate class 'zebra' in rows 1 and 3"):
        row_ids(("zebra", TENCH, "zebra"), 3, TAXONOMY, imagenet_ids(), None)
    with pytest.raises(UsageError, match="both mean n02391049"):
        row_ids(("zebra", ZEBRA), 2, TAXONOMY, imagenet_ids(), None)
    review = tmp_path / "review.txt"
    with pytest.raises(UsageError, match=r"several senses or none in WordNet \(background\): give --review FILE"):
        row_ids(("background", *names), 4, TAXONOMY, imagenet_ids(), None)
    review.write_text("background\t-\n")
    ids, told = row_ids(("background", *names), 4, TAXONOMY, imagenet_ids(), review)
    assert ids == (None, ZEBRA, TENCH, GUITAR)
    assert told.endswith(", 1 row left out")


def test_several_terms_mean_what_all_of_them_can_mean():
    names = ("crane, Grus", "tench, Tinca tinca")  # crane has five senses, Grus none of the machine
    ids, _ = row_ids(("great white shark, white shark, man-eater", "tench, Tinca tinca"), 2, TAXONOMY, (), None)
    assert ids == ("n01484850", TENCH)
    assert names[1].split(",")[0] == "tench"


def test_imagenets_thousand_are_told_by_their_names():
    imagenet = imagenet_ids()
    assert len(imagenet) == 1000
    assert list(imagenet) == sorted(imagenet)
    names = [", ".join(TAXONOMY.synset(one).lemmas) for one in imagenet]
    assert len(set(names)) < 1001
    ids, told = row_ids(names, 1000, TAXONOMY, imagenet, None)
    assert ids == imagenet
    assert "told by their names" in told
    assert not in_imagenets_order(names[::-1], TAXONOMY, imagenet)
    assert not in_imagenets_order(names[:10], TAXONOMY, imagenet)
