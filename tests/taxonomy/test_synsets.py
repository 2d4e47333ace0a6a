"""Synsets made by hand, and those that are refused."""

import pytest

from devise.errors import TaxonomyError
from devise.taxonomy.synsets import Synset, definition_of
from devise.taxonomy.wordnet import Taxonomy

ONE, TWO = "n00000001", "n00000002"


def test_a_synset_comes_back_as_it_was_given():
    gloss = 'a drum; "she hit it"; "it was hit"'
    root = Synset(ONE, ("thing",))
    drum = Synset(TWO, ("drum", "side drum"), "a drum", gloss, hypernyms=(ONE,))
    taxonomy = Taxonomy.from_synsets([drum, root])
    assert taxonomy.synset(TWO) == drum
    assert taxonomy.synset(ONE) == root
    assert drum.name == "drum"
    assert taxonomy.ids == (ONE, TWO)
    assert len(taxonomy) == 2
    assert TWO in taxonomy
    assert "n00000003" not in taxonomy
    assert 2 not in taxonomy


def test_a_definition_alone_is_the_gloss():
    taxonomy = Taxonomy.from_synsets([Synset(ONE, ("thing",), definition="what is")])
    assert taxonomy.synset(ONE).gloss == "what is"


@pytest.mark.parametrize(
    ("gloss", "definition"),
    [
        ('a whole; "the team is a unit"', "a whole"),
        ('made ready for war: "mobilization of the troops"', "made ready for war"),
        ('a workplace; as in the expression "on the job";', 'a workplace; as in the expression "on the job"'),
        ('the word "dog" itself; "it is a word"', 'the word "dog" itself'),
        ("no example; two parts", "no example; two parts"),
        ("", ""),
    ],
)
def test_definitions(gloss, definition):
    assert definition_of(gloss) == definition


@pytest.mark.parametrize("synset_id", ["dog", "n123", "02084071", "n99999999", ""])
def test_an_unknown_id_says_what_an_id_is(farm: Taxonomy, synset_id):
    for asked in (farm.synset, farm.parents, farm.subtree, farm.depth, farm.is_instance, farm.hypernym_paths):
        with pytest.raises(TaxonomyError, match=r"an id is n and the 8 digits .* such as n02084071") as caught:
            asked(synset_id)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("synsets", "message"),
    [
        ([], "at least one synset"),
        ([Synset("dog", ("dog",))], "'dog' is not n and 8 digits"),
        ([Synset(ONE, ("a",)), Synset(ONE, ("b",))], "duplicate synset n00000001"),
        ([Synset(ONE, ())], "needs terms"),
        ([Synset(ONE, ("snow_leopard",))], "needs terms with single spaces"),
        ([Synset(ONE, ("a\tb",))], "needs terms with single spaces"),
        ([Synset(ONE, ("",))], "needs terms"),
        ([Synset(ONE, ("a",), gloss="x\ny")], "more than one line"),
        ([Synset(ONE, ("a",), "other", 'this; "that"')], "definition of synset n00000001"),
        ([Synset(ONE, ("a",), hypernyms=(TWO,))], "n00000002 of synset n00000001 is not among"),
        (
            [Synset(ONE, ("a",)), Synset(TWO, ("b",), hypernyms=(ONE,), instance_hypernyms=(ONE,))],
            "duplicate hypernym",
        ),
        ([Synset(f"n{n:08d}", ("a",)) for n in range(256)], "256 senses"),
    ],
)
def test_what_is_refused(synsets, message):
    with pytest.raises(TaxonomyError, match=message):
        Taxonomy.from_synsets(synsets)


def test_the_hash_is_of_ids_and_edges_only():
    root, dog = Synset(ONE, ("thing",)), Synset(TWO, ("dog",), hypernyms=(ONE,))
    named = Synset(TWO, ("hound",), gloss="barks", hypernyms=(ONE,))
    particular = Synset(TWO, ("dog",), instance_hypernyms=(ONE,))
    hashes = [
        Taxonomy.from_synsets(synsets).graph_hash
        for synsets in ([root, dog], [named, root], [root, particular], [root, Synset(TWO, ("dog",))])
    ]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3
