"""The noun that a definition begins with."""

import pytest

from devise.taxonomy.genus import genus_of_definition
from devise.taxonomy.wordnet import Taxonomy


@pytest.mark.parametrize(
    ("definition", "synset_id"),
    [
        ("a kind of scooter", "n04562122"),  # a vehicle, not the duck
        ("offspring of a zebra and a donkey", "n02389559"),  # as in "a cross between": one of the two
        ("part zebra, part donkey; sterile", "n02391049"),
        ("any of various small breeds of dog", "n02084071"),
        ("A cat, with orange fur", "n02121620"),
        ("a very large black and white bear from China", "n02131653"),
        ("dog bred for hunting sheep", "n02084071"),
        ("a person riding a horse", "n00007846"),
        ("a stone building in a city", "n02913152"),
        ("a piece of furniture for sitting", "n03405725"),
        ("plant with blue flowers", "n00017222"),  # not the factory, though that sense comes first
        ("(informal) a mobile phone", "n02992529"),
        ("dogs", "n02084071"),
        ("two-wheeled vehicle", "n04524313"),
    ],
)
def test_a_definition_begins_with_it(wordnet: Taxonomy, definition: str, synset_id: str) -> None:
    assert genus_of_definition(wordnet, definition) == synset_id


@pytest.mark.parametrize("definition", ["", "xyzzy", "of the", "kind of", "...", "something that one likes", "猫"])
def test_no_noun(wordnet: Taxonomy, definition: str) -> None:
    assert genus_of_definition(wordnet, definition) is None


def test_of_a_taxonomy_of_ones_own(farm: Taxonomy) -> None:
    assert farm.synset(genus_of_definition(farm, "a tool for dogs") or "").name == "tool"
    assert farm.synset(genus_of_definition(farm, "any of various young dogs") or "").name == "dog"


@pytest.mark.slow
def test_wordnets_definitions_begin_with_a_hypernym(wordnet: Taxonomy) -> None:
    """Of two nouns in three; most of the others begin with a noun that is right but not above them in WordNet."""
    nouns = wordnet.physical_nouns()[::80]
    found = [genus_of_definition(wordnet, wordnet.synset(noun).definition) for noun in nouns]
    right = sum(genus in wordnet.ancestors(noun) for noun, genus in zip(nouns, found, strict=True))
    assert len(nouns) > 400
    assert right / len(nouns) > 0.64
    assert found.count(None) < 5
