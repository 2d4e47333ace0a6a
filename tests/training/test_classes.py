import json
import re
from pathlib import Path

import pytest

from devise.errors import UsageError
from devise.taxonomy.wordnet import default_taxonomy
from devise.training.classes import imagenet_ids, in_imagenets_order, map_classes, read_class_list, read_review, row_ids

TAXONOMY = default_taxonomy()


def test_ids_and_names_with_one_sense():
    found = map_classes(["n02084071", "zebra", "snow_leopard"], TAXONOMY)
    assert found.ids["n02084071"] == "n02084071"
    assert TAXONOMY.synset(found.ids["zebra"] or "").name == "zebra"
    assert TAXONOMY.synset(found.ids["snow_leopard"] or "").name == "snow leopard"
    assert found.named == 2


def test_an_ambiguous_name_is_listed_with_its_senses_and_never_guessed(tmp_path: Path):
    with pytest.raises(UsageError, match=r"2 class names have several senses or none in WordNet \(crane, xyzzy\)"):
        map_classes(["crane", "zebra", "xyzzy"], TAXONOMY)
    review = tmp_path / "classes.tsv"
    with pytest.raises(UsageError, match="choose in"):
        map_classes(["crane", "zebra", "xyzzy"], TAXONOMY, review)
    text = review.read_text()
    senses = [line for line in text.splitlines() if line.startswith("#crane\t")]
    assert len(senses) == len(TAXONOMY.find("crane")) > 1
    assert "#xyzzy\t-" in text
    with pytest.raises(UsageError, match="choose in"):  # as it was written it settles nothing
        map_classes(["crane", "zebra", "xyzzy"], TAXONOMY, review)
    review.write_text(text.replace(senses[1], senses[1][1:]).replace("#xyzzy\t-", "xyzzy\t-"))
    found = map_classes(["crane", "zebra", "xyzzy"], TAXONOMY, review)
    assert found.ids["crane"] == TAXONOMY.find("crane")[1].id
    assert found.ids["xyzzy"] is None
    assert list(found.kept) == ["crane", "zebra"]


def test_a_number_is_no_name(tmp_path: Path):
    with pytest.raises(UsageError, match=r"2 class names .* \(7, 0\)"):
        map_classes(["7", "0", "zebra"], TAXONOMY)
    review = tmp_path / "classes.tsv"
    review.write_text("7\tn02391049\n0\t-\n")
    assert map_classes(["7", "0"], TAXONOMY, review).kept == {"7": "n02391049"}


def test_what_a_review_file_said_is_kept_when_it_is_written_again(tmp_path: Path):
    review = tmp_path / "classes.tsv"
    review.write_text("\ufeffcrane\tn02012849\tthe bird\nxyzzy\t-\n")  # as Windows' editors begin a file
    with pytest.raises(UsageError, match="choose in"):
        map_classes(["bow"], TAXONOMY, review)
    assert read_review(review, TAXONOMY) == {"crane": "n02012849", "xyzzy": None}
    review.write_bytes("café\t-\n".encode("latin-1"))
    with pytest.raises(UsageError, match="save it as UTF-8"):
        read_review(review, TAXONOMY)


def test_a_name_that_a_review_file_would_read_as_a_remark(tmp_path: Path):
    review = tmp_path / "classes.tsv"
    with pytest.raises(UsageError, match="the class '#1 mug' cannot be in a review file: rename it"):
        map_classes(["crane", "#1 mug"], TAXONOMY, review)
    assert not review.exists()


def test_a_name_that_is_not_utf_8_comes_back(tmp_path: Path):
    review = tmp_path / "classes.tsv"
    names = ["caf\udce9", r"caf\udce9"]
    with pytest.raises(UsageError, match="choose in"):
        map_classes(names, default_taxonomy(), review)
    text = review.read_text(encoding="utf-8")
    review.write_text(re.sub(r"(?m)^#(caf.*|.*caf\S+)\t-$", r"\1\t-", text), encoding="utf-8")
    assert map_classes(names, default_taxonomy(), review).ids == dict.fromkeys(names)


def test_a_number_with_a_sign_is_no_name():
    with pytest.raises(UsageError, match=r"2 class names have several senses or none in WordNet \(-5, 5\.\)"):
        map_classes(["-5", "5."], default_taxonomy())


def test_a_name_that_a_spreadsheet_would_run_comes_back(tmp_path: Path):
    review = tmp_path / "classes.tsv"
    names = ["=xyzzy+2", "@xyzzy", "'=xyzzy"]
    with pytest.raises(UsageError, match="choose in"):
        map_classes(names, default_taxonomy(), review)
    text = review.read_text(encoding="utf-8")
    written = ["#'=xyzzy+2\t-", "#'@xyzzy\t-", "#''=xyzzy\t-"]
    assert [line for line in text.splitlines() if line.endswith("\t-")] == written
    review.write_text(re.sub(r"(?m)^#(.*\t-)$", r"\1", text), encoding="utf-8")
    assert map_classes(names, default_taxonomy(), review).ids == dict.fromkeys(names)


def test_two_names_for_one_synset():
    dog = TAXONOMY.find("zebra")[0].id
    with pytest.raises(UsageError, match=f"'zebra' and '{dog}' both mean {dog}"):
        map_classes(["zebra", dog], TAXONOMY)


def test_a_review_file_with_a_mistake(tmp_path: Path):
    review = tmp_path / "classes.tsv"
    review.write_text("# fine\nzebra\tn99999999\tnothing\n")
    with pytest.raises(UsageError, match="line 2: 'n99999999' is not a WordNet 3"):
        read_review(review, TAXONOMY)
    review.write_text("zebra\t-\nzebra\t-\n")
    with pytest.raises(UsageError, match="line 2: duplicate class 'zebra'"):
        read_review(review, TAXONOMY)


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
    assert "recognised by their names" in told
    assert not in_imagenets_order(names[::-1], TAXONOMY, imagenet)
    assert not in_imagenets_order(names[:10], TAXONOMY, imagenet)
