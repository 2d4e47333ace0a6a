import math
from dataclasses import replace

import numpy as np
import pytest

from devise.errors import LabelError, TaxonomyError
from devise.labels import VECTOR_SOURCES
from devise.space.label_vectors import POLICIES, STOP_WORDS, ComposedLabels, LabelComposer, LabelPolicy
from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import Taxonomy
from devise.text.vectors import WordTable

# One direction a word, so that each number of a label's vector is the share of one word.
WORDS = (
    "the", "cat", "dog", "scooter", "kick", "snow_leopard", "snow", "animal",
    "spots", "horse", "zebra", "donkey", "striped", "pet", "moggy", "hollow",
)  # fmt: skip
COUNTS = (500, 100, 90, 80, 70, 40, 30, 25, 20, 12, 10, 8, 6, 5, 3, 1)

ENTITY, ANIMAL, PET, CAT, LEOPARD, ZEBROID, WHATSIT, TOOL, KICKER, TOM, SCOOTER = (
    f"n{number:08d}" for number in range(1, 12)
)


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    """entity: animal: cat (also a pet), snow leopard, zebroid; whatsit; tool: kick scooter.

    Tom is a cat, a scooter a pet.
    """
    return Taxonomy.from_synsets(
        [
            Synset(ENTITY, ("thingummy",), "that which is"),
            Synset(ANIMAL, ("animal", "beast"), "it breathes", hypernyms=(ENTITY,)),
            Synset(PET, ("pet",), hypernyms=(ENTITY,)),
            Synset(CAT, ("moggy", "cat", "house cat"), "the pet of the animal", hypernyms=(ANIMAL, PET)),
            Synset(LEOPARD, ("ounce", "snow leopard"), "the snow leopard; it has spots", hypernyms=(ANIMAL,)),
            Synset(ZEBROID, ("zebroid",), "a cross of a zebra and a horse", hypernyms=(ANIMAL,)),
            Synset(WHATSIT, ("whatsit",), "no word of it is known", hypernyms=(ENTITY,)),
            Synset(TOOL, ("implement",), hypernyms=(ENTITY,)),
            Synset(KICKER, ("kick scooter",), hypernyms=(TOOL,)),
            Synset(TOM, ("Tom",), instance_hypernyms=(CAT,)),
            Synset(SCOOTER, ("scooter",), hypernyms=(PET,)),
        ]
    )


@pytest.fixture(scope="module")
def words() -> WordTable:
    """Of other lengths than one, so that the composer has to scale them."""
    lengths = np.linspace(0.5, 3, len(WORDS), dtype=np.float32)
    return WordTable(WORDS, np.diag(lengths), np.array(COUNTS))


def shares(vector: np.ndarray) -> dict[str, float]:
    assert len(vector) == len(WORDS)
    return {word: float(x) for word, x in zip(WORDS, vector, strict=True) if abs(x) > 1e-7}


def sums(*weighted: tuple[float, dict[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for weight, part in weighted:
        for word, share in part.items():
            total[word] = total.get(word, 0) + weight * share
    return total


def unit(part: dict[str, float]) -> dict[str, float]:
    length = math.sqrt(sum(share**2 for share in part.values()))
    return {word: share / length for word, share in part.items()}


def about(wanted: dict[str, float]) -> object:
    return pytest.approx(wanted, abs=1e-6)


def rarity(word: str, a: float = 3e-4) -> float:
    return a / (a + COUNTS[WORDS.index(word)] / sum(COUNTS))


# The published policies.


def test_first_term_is_the_first_term_alone(words: WordTable, taxonomy: Taxonomy):
    composer = LabelComposer(words, taxonomy, POLICIES["first-term"])
    assert shares(composer.synset(CAT).vector) == about({"moggy": 1})
    assert composer.synset(CAT).source == "term"
    # "ounce" has no vector, and the second term is not asked.
    assert composer.synset(LEOPARD).source == "none"
    assert not composer.synset(LEOPARD).vector.any()


def test_mean_of_terms_weighs_a_term_of_parts_by_its_length(words: WordTable, taxonomy: Taxonomy):
    composer = LabelComposer(words, taxonomy, POLICIES["mean-of-terms"])
    # "house cat" has no vector of its own: 0.6 of its words, of which only "cat", the head, is known.
    assert shares(composer.synset(CAT).vector) == about(unit({"moggy": 1, "cat": 1 + 0.6}))
    assert composer.synset(CAT).source == "term"
    assert shares(composer.synset(LEOPARD).vector) == about({"snow_leopard": 1})


def test_the_head_of_a_term_of_parts_counts_twice(words: WordTable, taxonomy: Taxonomy):
    composer = LabelComposer(words, taxonomy, POLICIES["mean-of-terms"])
    label = composer.synset(KICKER)
    assert shares(label.vector) == about({"kick": 1 / 5**0.5, "scooter": 2 / 5**0.5})
    assert label.source == "parts"


def test_a_hyphen_parts_words_as_a_space_does(words: WordTable, taxonomy: Taxonomy):
    composer = LabelComposer(words, taxonomy, POLICIES["mean-of-terms"])
    assert shares(composer.typed("dog-horse scooter").vector) == about(unit({"dog": 1, "horse": 1, "scooter": 2}))


def test_mean_of_terms_knows_neither_gloss_nor_parents(words: WordTable, taxonomy: Taxonomy):
    composer = LabelComposer(words, taxonomy, POLICIES["mean-of-terms"])
    assert composer.synset(ZEBROID).source == "none"
    assert composer.synset(TOM).source == "none"


# The sense-aware policy: 0.5 terms + gloss + parents, each of unit length.


def test_gloss_words_weigh_by_rarity_and_stop_words_not_at_all(words: WordTable, taxonomy: Taxonomy):
    assert "the" in STOP_WORDS
    composer = LabelComposer(words, taxonomy, LabelPolicy("gloss", term_weight=0.0, gloss_weight=1.0))
    # "snow leopard" in a definition is the term, not the two words.
    wanted = unit({"snow_leopard": rarity("snow_leopard"), "spots": rarity("spots")})
    assert shares(composer.synset(LEOPARD).vector) == about(wanted)
    assert wanted["spots"] > wanted["snow_leopard"]  # the rarer word


def test_a_word_that_stands_twice_in_a_gloss_counts_twice(words: WordTable, taxonomy: Taxonomy):
    composer = LabelComposer(words, taxonomy, LabelPolicy("gloss", term_weight=0.0, gloss_weight=1.0))
    wanted = unit({"zebra": 2 * rarity("zebra"), "horse": rarity("horse")})
    assert shares(composer.typed("thing", "zebra, horse and Zebra").vector) == about(wanted)


def test_without_counts_zipf_tells_rare_words_from_common_ones(words: WordTable, taxonomy: Taxonomy):
    policy = LabelPolicy("gloss", term_weight=0.0, gloss_weight=1.0, rarity=0.01)
    composer = LabelComposer(WordTable(words.words, words.vectors), taxonomy, policy)
    harmonic = sum(1 / rank for rank in range(1, len(WORDS) + 1))
    weights = {word: 0.01 / (0.01 + 1 / (WORDS.index(word) + 1) / harmonic) for word in ("cat", "donkey")}
    assert shares(composer.typed("thing", "a cat, a donkey").vector) == about(unit(weights))


def test_sense_aware_by_hand(words: WordTable, taxonomy: Taxonomy):
    composer = LabelComposer(words, taxonomy, POLICIES["sense-aware"])
    animal = unit({"animal": 0.5})  # the gloss says nothing known, entity has no vector
    assert shares(composer.synset(ANIMAL).vector) == about(animal)
    # zebroid: no term, the gloss, and the parent
    gloss = unit({"zebra": rarity("zebra"), "horse": rarity("horse")})
    assert shares(composer.synset(ZEBROID).vector) == about(unit(sums((1, gloss), (1, animal))))
    # snow leopard: the known one of its two terms at weight 0.5, the gloss, and the parent
    gloss = unit({"snow_leopard": rarity("snow_leopard"), "spots": rarity("spots")})
    own = {"snow_leopard": 1.0}
    assert shares(composer.synset(LEOPARD).vector) == about(unit(sums((0.5, own), (1, gloss), (1, animal))))


def test_two_parents_count_the_same_and_instances_have_parents_too(words: WordTable, taxonomy: Taxonomy):
    composer = LabelComposer(words, taxonomy, POLICIES["sense-aware"])
    terms = unit({"moggy": 1, "cat": 1.6})
    gloss = unit({"pet": rarity("pet"), "animal": rarity("animal")})
    parents = unit({"animal": 1, "pet": 1})
    cat = unit(sums((0.5, terms), (1, gloss), (1, parents)))
    assert shares(composer.synset(CAT).vector) == about(cat)
    assert shares(composer.synset(TOM).vector) == about(cat)  # Tom is known by his kind only
    assert composer.synset(TOM).source == "parents"


def test_all_weights_are_the_policys(words: WordTable, taxonomy: Taxonomy):
    policy = LabelPolicy(
        "own", term_weight=2.0, gloss_weight=3.0, parents_weight=0.25, parts_weight=0.1, head_weight=5.0, rarity=0.05
    )
    composer = LabelComposer(words, taxonomy, policy)
    animal = unit({"animal": 2.0})
    entity_less = shares(composer.synset(ANIMAL).vector)
    assert entity_less == about(animal)
    terms = unit({"moggy": 1, "cat": 1 + 0.1})
    gloss = unit({word: rarity(word, 0.05) for word in ("pet", "animal")})
    wanted = unit(sums((2, terms), (3, gloss), (0.25, unit({"animal": 1, "pet": 1}))))
    assert shares(composer.synset(CAT).vector) == about(wanted)
    kicker = unit({"kick": 1, "scooter": 5})
    assert shares(composer.synset(KICKER).vector) == about(kicker)


def test_every_source_and_the_counts_add_up(words: WordTable, taxonomy: Taxonomy):
    composer = LabelComposer(words, taxonomy, POLICIES["sense-aware"])
    asked = {CAT: "term", KICKER: "parts", ZEBROID: "gloss", TOM: "parents", WHATSIT: "none", LEOPARD: "term"}
    found = composer.labels(list(asked))
    assert found.sources == tuple(asked.values())
    assert set(asked.values()) == set(VECTOR_SOURCES)
    assert found.coverage() == {"term": 2, "parts": 1, "gloss": 1, "parents": 1, "none": 1}
    assert sum(found.coverage().values()) == len(asked)
    lengths = np.linalg.norm(found.vectors, axis=1)
    np.testing.assert_allclose(lengths, [source != "none" for source in found.sources], rtol=1e-6)


def test_labels_are_in_the_order_asked_whatever_was_asked_before(words: WordTable, taxonomy: Taxonomy):
    ids = list(taxonomy.ids)
    together = LabelComposer(words, taxonomy, POLICIES["sense-aware"]).labels(ids)
    backwards = LabelComposer(words, taxonomy, POLICIES["sense-aware"]).labels(ids[::-1])
    np.testing.assert_array_equal(together.vectors, backwards.vectors[::-1])
    assert together.sources == backwards.sources[::-1]


def test_no_label_at_all(words: WordTable, taxonomy: Taxonomy):
    found = LabelComposer(words, taxonomy, POLICIES["sense-aware"]).labels([])
    assert found.vectors.shape == (0, len(WORDS))
    assert found.coverage() == dict.fromkeys(VECTOR_SOURCES, 0)


def test_an_unknown_synset_is_refused(words: WordTable, taxonomy: Taxonomy):
    with pytest.raises(TaxonomyError, match="n00000099"):
        LabelComposer(words, taxonomy, POLICIES["sense-aware"]).labels([CAT, "n00000099"])


def test_a_word_whose_vector_is_zeros_is_no_vector(taxonomy: Taxonomy):
    vectors = np.eye(len(WORDS), dtype=np.float32)
    vectors[WORDS.index("pet")] = vectors[WORDS.index("snow_leopard")] = 0
    composer = LabelComposer(WordTable(WORDS, vectors, np.array(COUNTS)), taxonomy, POLICIES["mean-of-terms"])
    pet = composer.synset(PET)
    assert (pet.source, pet.vector.any()) == ("none", False)
    leopard = composer.synset(LEOPARD)  # its words remain
    assert leopard.source == "parts"
    assert shares(leopard.vector) == about({"snow": 1})


def test_parts_that_cancel_leave_no_vector(taxonomy: Taxonomy):
    table = WordTable(("moggy", "cat"), np.array([[1, 0], [-1, 0]], np.float32))
    composer = LabelComposer(table, taxonomy, replace(POLICIES["mean-of-terms"], terms=2))
    label = composer.synset(CAT)
    assert (label.source, label.vector.any()) == ("none", False)


# Names typed by a user.


def test_typed_name_with_a_vector(words: WordTable, taxonomy: Taxonomy):
    composer = LabelComposer(words, taxonomy, POLICIES["sense-aware"])
    for name in ("Snow Leopard", "snow_leopard", " snow  leopard "):
        label = composer.typed(name)
        assert label.source == "term"
        assert shares(label.vector) == about({"snow_leopard": 1})


def test_typed_name_with_what_it_is_a_kind_of(words: WordTable, taxonomy: Taxonomy):
    composer = LabelComposer(words, taxonomy, POLICIES["sense-aware"])
    terms = unit({"striped": 1, "cat": 2})
    cat = shares(composer.synset(CAT).vector)
    assert shares(composer.typed("striped cat", kinds=(CAT,)).vector) == about(unit(sums((0.5, terms), (1, cat))))
    kicker = shares(composer.synset(KICKER).vector)
    terms = unit({"dog": 1, "kick": 1, "scooter": 2})
    assert shares(composer.typed("dog kick scooter", kinds=(KICKER,)).vector) == about(
        unit(sums((0.5, terms), (1, kicker)))
    )


def test_typed_name_that_nothing_but_its_head_is_known_of(words: WordTable, taxonomy: Taxonomy):
    label = LabelComposer(words, taxonomy, POLICIES["sense-aware"]).typed("frumious zebroid", kinds=(ZEBROID,))
    assert label.source == "parents"


def test_typed_name_with_a_definition(words: WordTable, taxonomy: Taxonomy):
    composer = LabelComposer(words, taxonomy, POLICIES["sense-aware"])
    label = composer.typed("zedonk", "offspring of a zebra and a donkey")
    gloss = unit({"zebra": rarity("zebra"), "donkey": rarity("donkey")})
    assert shares(label.vector) == about(gloss)
    assert label.source == "gloss"
    label = composer.typed("dog", "a striped horse")
    gloss = unit({"striped": rarity("striped"), "horse": rarity("horse")})
    assert shares(label.vector) == about(unit(sums((0.5, {"dog": 1}), (1, gloss))))
    assert label.source == "term"


def test_typed_name_that_nothing_is_known_of(words: WordTable, taxonomy: Taxonomy):
    label = LabelComposer(words, taxonomy, POLICIES["sense-aware"]).typed("frabjous wabe")
    assert (label.source, label.vector.any()) == ("none", False)


@pytest.mark.parametrize("name", ["", "  ", "!?", "_"])
def test_typed_name_without_a_word_is_refused(words: WordTable, taxonomy: Taxonomy, name: str):
    with pytest.raises(LabelError, match="a label needs a word"):
        LabelComposer(words, taxonomy, POLICIES["sense-aware"]).typed(name)


# Policies as they are stored.


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_policies_are_kept_and_read(name: str):
    policy = POLICIES[name]
    assert policy.name == name
    assert LabelPolicy.from_dict(policy.to_dict()) == policy


def test_policy_with_other_keys_is_refused():
    stored = POLICIES["sense-aware"].to_dict()
    with pytest.raises(LabelError, match="head_twice"):
        LabelPolicy.from_dict(stored | {"head_twice": True})
    del stored["rarity"]
    with pytest.raises(LabelError, match="rarity"):
        LabelPolicy.from_dict(stored)


def test_coverage_of_given_sources():
    found = ComposedLabels(np.zeros((3, 2), np.float32), ("none", "term", "none"))
    assert found.coverage() == {"term": 1, "parts": 0, "gloss": 0, "parents": 0, "none": 2}
