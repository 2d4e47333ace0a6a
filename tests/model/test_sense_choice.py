from pathlib import Path

import numpy as np
import pytest

from devise.model import sense_choice
from devise.model.parts import ModelParts
from devise.model.sense_choice import Meanings

WORDS = Path(__file__).parents[1] / "data" / "everyday_words.tsv"
"""500 words that people with photos type: the word, the senses meant (judged by eye), the first one's definition."""


@pytest.fixture(scope="module")
def parts() -> ModelParts:
    return ModelParts.open()


@pytest.fixture(scope="module")
def meanings(parts: ModelParts) -> Meanings:
    return Meanings(parts)


def wrong_words(meanings: Meanings) -> list[str]:
    rows = [line.split("\t") for line in WORDS.read_text(encoding="utf-8").splitlines()]
    assert len({word for word, *_ in rows}) == 500
    found = {word: meanings.of(word) for word, *_ in rows}
    return [word for word, meant, _ in rows if (one := found[word]) is None or one.chosen.id not in meant.split()]


def test_everyday_words_mean_what_a_person_with_photos_means(meanings: Meanings):
    assert not wrong_words(meanings)


def test_the_weights_alone_are_right_on_487_of_500_words(meanings: Meanings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sense_choice, "everyday_senses", dict)
    assert len(wrong_words(meanings)) <= 13


@pytest.mark.parametrize(
    ("plural", "name", "other"),
    [
        ("tigers", "tiger", "Liberation Tigers of Tamil Eelam"),
        ("porcupines", "porcupine", "porcupine ball"),
        ("glasses", "spectacles", "glass"),
        ("alps", "alp", "Alps"),
        ("parks", "park", "Parks"),
        ("peanuts", "peanut", "peanuts"),
        ("taxis", "cab", "taxis"),
        ("stripes", "stripe", "chevron"),
        ("twins", "twin", "twins"),
        ("hot springs", "hot spring", "Hot Springs"),
        ("shorts", "short pants", "short circuit"),
        ("physics", "physics", "purgative"),
        ("bleachers", "bleachers", "bleacher"),
        ("cola", "cola", "colon"),
        ("buns", "bun", "buttocks"),
        ("boxers", "boxer", "drawers"),
        ("trunks", "trunk", "short pants"),
        ("whiskers", "whisker", "beard"),
        ("cobblers", "deep-dish pie", "cobblers"),
        ("wales", "Wales", "wale"),
        ("optics", "optics", "eye"),
        ("judges", "judge", "Judges"),
        ("boy scouts", "Boy Scout", "Boy Scouts"),
    ],
)
def test_a_plural_with_a_name_of_its_own_has_both_readings(meanings: Meanings, plural: str, name: str, other: str):
    found = meanings.of(plural)
    assert found is not None
    assert found.chosen.name == name
    assert other in [sense.name for sense in found.senses]


def test_a_plural_means_what_its_singular_does_unless_wordnet_lists_it(meanings: Meanings):
    found = {
        word: one.chosen.id for word in ("castle", "castles", "ARMS", "flat", "flats") if (one := meanings.of(word))
    }
    assert found["castle"] == found["castles"] == "n02980441"
    assert found["ARMS"] == "n05563770"
    assert found["flat"] != found["flats"], "flats are shoes too, with a sense of their own"


def test_what_was_taken_is_one_short_line(meanings: Meanings):
    mug, plane, zebra = (meanings.of(word) for word in ("mug", "plane", "zebra"))
    assert mug is not None
    assert plane is not None
    assert zebra is not None
    assert mug.note == "mug: drinking vessel, 1 other meaning and 2 not for photos"
    assert plane.note == "plane: airplane, 2 other meanings and 2 not for photos"
    assert zebra.note == ""


def test_the_name_that_only_a_plural_has_is_shown_though_no_photo_can_be_answered_with_it(meanings: Meanings):
    alps, pies = meanings.of("alps"), meanings.of("cobblers")
    assert alps is not None
    assert pies is not None
    assert alps.note == "alps: alp, 1 other meaning"
    assert [sense.name for sense in meanings.others(alps)] == ["Alps"]
    assert "n05525100" in [sense.id for sense in pies.senses]
    assert "n05525100" not in [sense.id for sense in meanings.others(pies)], "it is withheld"


def test_an_id_is_one_sense(meanings: Meanings):
    for text in ("n03793489", "mouse.n.04", " MOUSE.n.4 "):
        found = meanings.of(text)
        assert found is not None
        assert [sense.id for sense in found.senses] == ["n03793489"]
    assert meanings.of("mouse.n.99") is None
    assert meanings.of("zorblax") is None


def test_a_prior_of_one_number_per_label_weighs(parts: ModelParts):
    bird, machine = "n02012849", "n03126707"  # two cranes, both trained
    taken = []
    for one in (bird, machine):
        prior = np.zeros(len(parts.space.labels), np.float32)
        prior[parts.space.labels.position(one)] = 1
        scores = {
            reading.synset.id: Meanings(parts, prior)._evidence(reading, {})
            for reading in parts.taxonomy.readings("crane")
        }
        taken.append(scores[bird] - scores[machine])
    assert taken[0] - taken[1] == pytest.approx(1.0, abs=1e-3)  # twice the weight of .5
