"""From what people type to synsets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.taxonomy.lexicon import base_forms, normalise
from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import Taxonomy

DOG, SNOW_LEOPARD, MOUSE, CHURCH = "n02084071", "n02128757", "n02330245", "n08082602"


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("dog", DOG),
        ("DOGS", DOG),
        (DOG, DOG),
        (f" {DOG.upper()} ", DOG),
        ("snow leopard", SNOW_LEOPARD),
        ("Snow_Leopard", SNOW_LEOPARD),
        ("  snow   leopard ", SNOW_LEOPARD),
        ("snow leopards", SNOW_LEOPARD),
        ("snow-leopards", SNOW_LEOPARD),
        ("snowleopard", SNOW_LEOPARD),
        ("mice", MOUSE),
        ("churches", CHURCH),
        ("wolves", "n02114100"),
        ("butterflies", "n02274259"),
        ("foxes", "n02118333"),
        ("snowmen", "n04251983"),
        ("heads of state", "n10164747"),
        ("boxesful", "n13765624"),
        ("ice-creams", "n07614500"),
        ("crème brûlée", "n07619409"),
        ("t shirts", "n03595614"),
        ("the dog", DOG),
        ("a photo of a snow leopard.", SNOW_LEOPARD),
        ("photo of snow leopard", SNOW_LEOPARD),
        ("itap of my snow leopard.", SNOW_LEOPARD),
        ("a close-up photo of one snow leopard", SNOW_LEOPARD),
        ("A blurry photo of the dogs", DOG),
        ("*dog*", DOG),
        ("(dogs)!", DOG),
        ("The Hague", "n08950407"),
    ],
)
def test_the_commonest_sense_of_a_name(wordnet: Taxonomy, name, first):
    assert wordnet.find(name)[0].id == first


def test_all_senses_in_wordnets_order(wordnet: Taxonomy):
    """The numbers stand in this order in the line `dog` of WordNet 3.0's index.noun."""
    offsets = ["02084071", "10114209", "10023039", "09886220", "07676602", "03901548", "02710044"]
    assert [synset.id for synset in wordnet.find("dogs")] == [f"n{offset}" for offset in offsets]


@pytest.mark.parametrize("name", ["", "   ", "-", "zzyzx quux", "n99999999"])
def test_a_name_that_nothing_has(wordnet: Taxonomy, name):
    assert wordnet.find(name) == ()


def test_a_plural_that_is_a_term_has_its_own_senses_and_then_those_of_its_singular(wordnet: Taxonomy):
    found = [synset.name for synset in wordnet.find("glasses")]
    assert found == ["spectacles", *[synset.name for synset in wordnet.find("glass")]]
    assert [synset.id for synset in wordnet.find("tigers")[1:]] == [one.id for one in wordnet.find("tiger")]
    assert all("gas" in map(str.lower, one.lemmas) for one in wordnet.find("gas")[:6])


def test_how_common_a_sense_is_and_where_the_name_stands(wordnet: Taxonomy):
    found = wordnet.readings("turtles")
    assert [(one.synset.name, one.rank, one.place) for one in found] == [("turtleneck", 1, 2), ("turtle", 2, 1)]


def test_ids_as_other_tools_write_them(wordnet: Taxonomy):
    senses = wordnet.find("mouse")
    for number, sense in enumerate(senses, start=1):
        assert wordnet.find(f"mouse.n.{number:02}") == (sense,)
        assert wordnet.id_in(f" Mouse.N.{number}") == sense.id
    assert wordnet.id_in("snow_leopard.n.01") == wordnet.find("snow leopard")[0].id
    for text in ("mouse.n.00", "mouse.n.99", "mouse.v.01", "zorblax.n.01", "mouse", "n99999999", ""):
        assert wordnet.id_in(text) is None
    assert wordnet.find("mouse.n.99") == ()


def test_a_plural_of_two_words_gives_both(wordnet: Taxonomy):
    found = {synset.name for synset in wordnet.find("axes")}
    assert {"ax", "axis"} <= found


def test_a_taxonomy_of_ones_own():
    taxonomy = Taxonomy.from_synsets(
        [
            Synset("n00000009", ("Bank", "money house")),
            Synset("n00000002", ("bank",)),
            Synset("n00000003", ("café",)),
            Synset("n00000004", ("person", "Person")),
        ],
        exceptions={"people": ["person"]},
    )
    assert [synset.id for synset in taxonomy.find("banks")] == ["n00000009", "n00000002"]
    assert [synset.id for synset in taxonomy.find("CAFÉ")] == ["n00000003"]
    assert [synset.id for synset in taxonomy.find("cafe")] == ["n00000003"]
    assert [synset.id for synset in taxonomy.find("people")] == ["n00000004"]
    assert taxonomy.find("persons")[0].lemmas == ("person", "Person")
    assert taxonomy.lemma_names() == ("Bank", "Person", "bank", "café", "money house", "person")


@pytest.mark.parametrize(
    ("plural", "forms"),
    [
        ("dogs", ("dog",)),
        ("buses", ("buse", "bus")),
        ("foxes", ("foxe", "fox")),
        ("waltzes", ("waltze", "waltz")),
        ("churches", ("churche", "church")),
        ("dishes", ("dishe", "dish")),
        ("firemen", ("fireman",)),
        ("ladies", ("ladie", "lady")),
        ("spoonsful", ("spoonful",)),
        ("glass", ()),
        ("is", ()),
        ("dog", ()),
        ("polar bears", ("polar bear",)),
        ("lords of creation", ("lord of creation",)),
        ("birds of passages", ("birds of passage", "bird of passages")),
        ("", ()),
    ],
)
def test_the_rules(plural, forms):
    assert base_forms(plural, {}) == forms


def test_exceptions_stand_for_the_rules():
    exceptions = {"axes": ["ax", "axis"], "men": ["man"], "bureaux de change": ["bureau de change"]}
    assert base_forms("axes", exceptions) == ("ax", "axis")
    assert base_forms("battle axes", exceptions) == ("battle ax", "battle axis")
    assert base_forms("men of letters", exceptions) == ("men of letter", "man of letters")
    assert base_forms("bureaux de change", exceptions) == ("bureau de change",)


@given(st.text())
def test_normalising_twice_is_normalising_once(text):
    assert normalise(normalise(text)) == normalise(text)


@given(st.text(alphabet=st.sampled_from("abdems- '_.sy"), max_size=14))
def test_any_name_finds_synsets_or_nothing(farm: Taxonomy, text):
    assert all(synset.id in farm for synset in farm.find(text))
