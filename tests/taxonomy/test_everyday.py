"""The list of everyday words names what it says, and adds only what WordNet leaves out."""

import re

from devise.taxonomy.everyday import EVERYDAY_FILE, everyday_kinds, everyday_senses, kinds
from devise.taxonomy.wordnet import default_taxonomy

TAXONOMY = default_taxonomy()


def test_each_sense_is_one_of_its_word() -> None:
    wrong = {
        word: sense
        for word, sense in everyday_senses().items()
        if sense not in [one.id for one in TAXONOMY.find(word)] or word != word.lower()
    }
    assert not wrong


def test_each_kind_is_named_and_not_below_already() -> None:
    section = EVERYDAY_FILE.read_text(encoding="utf-8").partition("[kinds]")[2]
    for synset, name in re.findall(r"(n\d{8}) ([^+\n]+?)(?= \+|\n)", section):
        assert name in TAXONOMY.synset(synset).lemmas, f"{synset} is not {name}"
    for one, more in everyday_kinds().items():
        assert not TAXONOMY.subtree(one) & set(more)


def test_no_word_is_listed_twice() -> None:
    lines = [line for line in EVERYDAY_FILE.read_text(encoding="utf-8").splitlines() if re.match(r"[a-z]", line)]
    words = [line if re.match(r"n\d{8}", line) else line.split("\t")[0] for line in lines]
    assert len(words) == len(set(words))


def test_a_boat_includes_a_schooner_and_a_cat_no_more_than_its_subtree() -> None:
    boat, schooner, cat = "n02858304", "n04147183", "n02121620"
    assert schooner not in TAXONOMY.subtree(boat)
    assert schooner in kinds(TAXONOMY, boat)
    assert kinds(TAXONOMY, cat) == TAXONOMY.subtree(cat)
