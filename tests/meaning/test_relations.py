from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from devise.errors import LabelError, UsageError
from devise.labels import VECTOR_SOURCES, Label, LabelSet
from devise.meaning.relations import (
    ContrastingPair,
    NearWords,
    TrainedPairs,
    contrasting_pairs,
    near_words,
    nearest_labels,
    neighbours,
    relation,
    trained_below,
)
from devise.meaning.senses import VECTOR_FROM, ask, coverage
from devise.model.parts import DEFAULT_BUNDLE, ModelParts
from devise.model.sense_choice import close_spellings
from devise.space.evidence import Classifier
from devise.space.labelspace import LabelSpace, unit_rows
from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import Taxonomy, default_taxonomy
from devise.text.vectors import WordTable

KOMONDOR, SWAB, GUITAR, HARP, MOUSE, COMPUTER_MOUSE = (
    "n02105505",
    "n04367480",
    "n03467517",
    "n03495258",
    "n02330245",
    "n03793489",
)


@pytest.fixture(scope="module")
def parts() -> ModelParts:
    return ModelParts.open()


class SmallParts(ModelParts):
    """Four trained labels and one that is not, on a tree drawn by hand; no bundle behind it."""

    taxonomy = None
    space = None
    classifier = None
    trained = None
    trained_ids = None


def synset_id(number: int) -> str:
    return f"n{number:08d}"


@pytest.fixture
def small() -> ModelParts:
    #        root 1
    #   dog 2      tool 3
    #  poodle 4   mop 5  brush 6     pug 7 under dog, untrained wolf 8 under root
    parents = {1: (), 2: (1,), 3: (1,), 4: (2,), 5: (3,), 6: (3,), 7: (2,), 8: (1,)}
    names = {1: "thing", 2: "dog", 3: "tool", 4: "poodle", 5: "mop", 6: "brush", 7: "pug", 8: "wolf"}
    taxonomy = Taxonomy.from_synsets(
        Synset(synset_id(i), (names[i],), hypernyms=tuple(map(synset_id, above))) for i, above in parents.items()
    )
    made = SmallParts.__new__(SmallParts)
    order = [8, 4, 5, 6, 7]  # the untrained one first, so that rows of the classifier are no positions
    labels = LabelSet(Label(synset_id(i), names[i], seen=i != 8) for i in order)
    # Meaning: dogs along one axis, tools along the other.
    vectors = unit_rows(np.array([[1, 1], [1, 0], [0, 1], [0.1, 1], [1, 0.2]], dtype=np.float32))
    # Looks: poodle and mop one way, pug and brush another; all rows share (5, 5), which must not count.
    weight = np.array([[7, 5], [7, 5.4], [4, 3.8], [2, 5.8]], dtype=np.float32)
    made.taxonomy = taxonomy
    made.space = LabelSpace(labels, vectors)
    made.classifier = Classifier(weight, np.zeros(4, dtype=np.float32))
    made.trained = np.array([1, 2, 3, 4], dtype=np.int64)
    made.trained_ids = tuple(synset_id(i) for i in (4, 5, 6, 7))
    return made


# Neighbours.


def space_of(rows: list[list[float]]) -> LabelSpace:
    vectors = np.array(rows, dtype=np.float32)
    return LabelSpace(LabelSet(Label(synset_id(i), str(i)) for i in range(len(rows))), vectors)


def test_neighbours_are_ordered_by_cosine_with_ties_in_label_order() -> None:
    space = space_of([[0, 1], [0.6, 0.8], [1, 0], [0.6, -0.8], [0, 0]])
    found = neighbours(space, np.array([1, 0], dtype=np.float32), 10)
    assert [one.label.name for one in found] == ["2", "1", "3", "0"]  # 4 has no vector
    assert [one.cosine for one in found] == pytest.approx([1, 0.6, 0.6, 0])


def test_a_label_is_no_neighbour_of_itself() -> None:
    space = space_of([[0, 1], [0.6, 0.8], [1, 0]])
    found = neighbours(space, space.vectors[2], 1, without=synset_id(2))
    assert [one.label.name for one in found] == ["1"]


def test_nothing_is_near_to_a_label_without_a_vector() -> None:
    assert neighbours(space_of([[0, 1]]), np.zeros(2, dtype=np.float32), 3) == ()


def test_a_lone_label_has_no_neighbours() -> None:
    space = space_of([[0, 1]])
    assert neighbours(space, space.vectors[0], 3, without=synset_id(0)) == ()


def test_fewer_than_one_neighbour_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 1, got 0"):
        neighbours(space_of([[0, 1]]), np.array([1, 0], dtype=np.float32), 0)


@given(
    hnp.arrays(np.int8, st.tuples(st.integers(1, 12), st.just(3)), elements=st.integers(-3, 3)),
    st.integers(1, 15),
)
def test_neighbours_agree_with_a_sort(rows: np.ndarray, top: int) -> None:
    space = LabelSpace(
        LabelSet(Label(synset_id(i), str(i)) for i in range(len(rows))), unit_rows(rows.astype(np.float32))
    )
    query = np.array([0.6, 0.8, 0], dtype=np.float32)
    cosines = space.cosines(query[None])[0].tolist()
    wanted = sorted((i for i in range(len(rows)) if rows[i].any()), key=lambda i: (-cosines[i], i))[:top]
    assert [int(one.label.name) for one in neighbours(space, query, top)] == wanted


def test_nearest_labels_of_the_model_are_what_a_plain_product_gives(parts: ModelParts) -> None:
    asked = ask(parts, "snow leopard")
    found = nearest_labels(parts, asked, 5)
    own = parts.space.labels.position("n02128757")
    cosines = parts.space.vectors.astype(np.float64) @ parts.space.vectors[own].astype(np.float64)
    order = [i for i in np.argsort(-cosines, kind="stable").tolist() if i != own]
    assert [one.label.id for one in found.labels] == [parts.space.labels.ids[i] for i in order[:5]]
    trained = [i for i in order if parts.space.labels[i].seen]
    assert [one.label.id for one in found.trained] == [parts.space.labels.ids[i] for i in trained[:5]]
    assert [one.cosine for one in found.labels] == pytest.approx(cosines[order[:5]].tolist(), abs=1e-6)
    assert all(one.label.gloss for one in (*found.labels, *found.trained))


# Two labels.


def test_visual_similarity_is_the_cosine_of_stored_rows_less_their_mean(parts: ModelParts) -> None:
    raw = safetensors.numpy.load_file(DEFAULT_BUNDLE / "classifier.safetensors")["weight"].astype(np.float64)
    one, two = (raw[parts.trained_ids.index(i)] - raw.mean(axis=0) for i in (KOMONDOR, SWAB))
    cosine = one @ two / np.sqrt((one @ one) * (two @ two))
    found = relation(parts, ask(parts, KOMONDOR), ask(parts, SWAB))
    assert found.visual is not None
    assert found.visual.cosine == pytest.approx(cosine, abs=1e-5)  # rows are float32 when they are compared


def test_semantic_similarity_is_the_cosine_of_label_vectors(parts: ModelParts) -> None:
    rows = [parts.space.vectors[parts.space.labels.position(i)].astype(np.float64) for i in (GUITAR, HARP)]
    found = relation(parts, ask(parts, "guitar"), ask(parts, "harp"))
    assert found.semantic is not None
    cosine = rows[0] @ rows[1] / np.linalg.norm(rows[0]) / np.linalg.norm(rows[1])
    assert found.semantic.cosine == pytest.approx(cosine, abs=1e-5)


def test_the_visual_similarity_of_a_label_that_is_not_trained_is_predicted(parts: ModelParts) -> None:
    found = relation(parts, ask(parts, "guitar"), ask(parts, "harp"))
    assert found.predicted
    assert found.visual is not None
    assert found.visual.above is not None
    assert 0.9 < found.visual.above < 1
    assert {"acoustic guitar", "electric guitar"} <= set(trained_below(parts, found.one))
    assert trained_below(parts, found.other) == ()


@pytest.mark.parametrize(("one", "other"), [(KOMONDOR, SWAB), (GUITAR, HARP), (MOUSE, MOUSE)])
def test_tree_distance_is_the_radius_of_the_first_ball_that_holds_the_other(
    parts: ModelParts, one: str, other: str
) -> None:
    found = relation(parts, ask(parts, one), ask(parts, other))
    radius = next(r for r in range(40) if other in parts.taxonomy.ball(one, r))
    assert found.edges == radius
    assert found.ancestor is not None
    above = [parts.taxonomy.ancestors(i) | {i} for i in (one, other)]
    common = above[0] & above[1]
    assert found.ancestor.id in common
    assert not common & set(parts.taxonomy.children(found.ancestor.id))


def test_shares_count_the_pairs_that_are_less_alike(small: ModelParts) -> None:
    pairs = TrainedPairs.of(small)
    assert len(pairs.visual_cosines) == 6
    rows = np.array([[2, 0], [2, 0.4], [-1, -1.2], [-3, 0.8]])  # less the mean row (5, 5)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    hand = {(a, b): float(rows[a] @ rows[b]) for a, b in combinations(range(4), 2)}
    for (a, b), cosine in hand.items():
        found = pairs.visual_of(a, b)
        assert found.cosine == pytest.approx(cosine, abs=1e-4)
        assert found.above == sum(other < cosine - 1e-9 for other in hand.values()) / 6
    assert pairs.semantic_of(2.0).above == 1.0
    assert pairs.semantic_of(-2.0).above == 0.0


# Telling pairs.


def test_pairs_of_the_small_model_by_hand(small: ModelParts) -> None:
    # The lowest quarter of six numbers ends a quarter of the way from the second to the third: it holds two.
    # Meaning: poodle-mop 0, poodle-brush .10 (then mop-pug .20); the first looks alike at .98, the other shares
    # the poodle. Looks: poodle-pug -.97, mop-pug -.90 (then mop-brush -.78); the first means alike at .98.
    found = contrasting_pairs(small, 5)
    assert names(found.look_alike) == [("poodle", "mop")]
    assert names(found.mean_alike) == [("poodle", "pug")]
    assert found.look_alike[0].visual.cosine == pytest.approx(2 / 4.16**0.5, abs=1e-5)
    assert found.mean_alike[0].semantic.cosine == pytest.approx(1 / 1.04**0.5, abs=1e-5)
    pair = found.look_alike[0]
    assert (pair.edges, pair.ancestor and pair.ancestor.name) == (4, "thing")


def names(pairs: tuple[ContrastingPair, ...]) -> list[tuple[str, str]]:
    return [(pair.one.name, pair.other.name) for pair in pairs]


def test_pairs_of_the_model_keep_their_promises(parts: ModelParts) -> None:
    found = contrasting_pairs(parts, 8)
    assert found == contrasting_pairs(parts, 8)
    assert contrasting_pairs(parts, 3).look_alike == found.look_alike[:3]
    for pairs, high, low in (
        (found.look_alike, "visual", "semantic"),
        (found.mean_alike, "semantic", "visual"),
    ):
        assert len(pairs) == 8
        cosines = [getattr(pair, high).cosine for pair in pairs]
        assert cosines == sorted(cosines, reverse=True)
        kin: list[str] = []
        for pair in pairs:
            assert getattr(pair, high).above > 0.9
            assert getattr(pair, low).above <= 0.25
            assert pair.one.seen
            assert pair.other.seen
            pair_kin = {pair.one.id, pair.other.id}
            pair_kin |= {above for i in tuple(pair_kin) for above in parts.taxonomy.parents(i)}
            kin += sorted(pair_kin)
        assert len(kin) == len(set(kin))


def test_the_first_pair_is_the_best_of_all(parts: ModelParts) -> None:
    weight = parts.classifier.weight.astype(np.float64)
    directions = weight - weight.mean(axis=0)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    looks = directions @ directions.T
    vectors = parts.space.vectors[parts.trained].astype(np.float64)
    meaning = vectors @ vectors.T
    upper = np.triu(np.ones_like(looks, dtype=bool), 1)
    allowed = upper & (meaning <= np.quantile(meaning[upper], 0.25))
    best = np.unravel_index(np.where(allowed, looks, -2).argmax(), looks.shape)
    first = contrasting_pairs(parts, 1).look_alike[0]
    assert (first.one.id, first.other.id) == tuple(parts.trained_ids[i] for i in best)


def test_pairs_need_a_count_and_two_trained_labels(small: ModelParts) -> None:
    with pytest.raises(UsageError, match="at least 1, got 0"):
        contrasting_pairs(small, 0)
    small.space = LabelSpace(small.space.labels, np.zeros_like(small.space.vectors))
    with pytest.raises(LabelError, match="two trained labels with vectors"):
        contrasting_pairs(small, 1)


# Names.


@pytest.mark.parametrize("name", ["mouse", "Mice", " MOUSE ", MOUSE, MOUSE.upper()])
def test_a_name_a_plural_and_an_id_are_found(parts: ModelParts, name: str) -> None:
    asked = ask(parts, name)
    assert asked.chosen.id == MOUSE
    assert asked.in_wordnet
    assert asked.chosen.path[0] == "entity"
    assert asked.chosen.path[-1] == "mouse"
    assert len(asked.chosen.path) == len(parts.taxonomy.hypernym_paths(MOUSE)[0])


def test_the_likeliest_sense_is_chosen_unless_one_is_named(parts: ModelParts) -> None:
    asked = ask(parts, "mouse")
    assert asked.chosen == asked.senses[0]
    assert asked.chosen.id == MOUSE
    assert ask(parts, "mouse.n.04").chosen.id == COMPUTER_MOUSE
    assert ask(parts, "mouse: n03793489").chosen.id == COMPUTER_MOUSE
    assert ask(parts, "mouse", COMPUTER_MOUSE).chosen.id == COMPUTER_MOUSE
    with pytest.raises(UsageError, match=f"not a sense of 'mouse'.*{MOUSE}"):
        ask(parts, "mouse", KOMONDOR)


def test_a_sense_that_is_no_label_gets_its_vector_when_it_is_chosen(parts: ModelParts) -> None:
    asked = ask(parts, "freedom")
    assert not asked.chosen.in_model
    assert asked.chosen.source == "term"
    assert [sense.source for sense in asked.senses if sense.id != asked.chosen.id] == [None]
    assert float(np.linalg.norm(asked.vector)) == pytest.approx(1, abs=1e-5)


def test_words_that_wordnet_lacks_get_a_vector_from_their_parts(parts: ModelParts) -> None:
    asked = ask(parts, "snow lepard")
    assert not asked.in_wordnet
    assert asked.chosen.id == "user:snow_lepard"
    assert any("not a noun of WordNet: vector from its parts" in note for note in asked.notes)
    assert any("snow leopard" in note for note in asked.notes)
    assert any(note == "no vector for: lepard" for note in asked.notes)
    assert float(np.linalg.norm(asked.vector)) == pytest.approx(1, abs=1e-5)
    with pytest.raises(UsageError, match="needs a noun of WordNet, got"):
        ask(parts, "snow lepard", MOUSE)


def test_a_definition_gives_a_vector_to_any_name(parts: ModelParts) -> None:
    asked = ask(parts, "zedonkx: offspring of a zebra and a donkey")
    assert asked.chosen.source == "gloss"
    assert asked.chosen.gloss == "offspring of a zebra and a donkey"
    near = {one.label.name for one in nearest_labels(parts, asked, 10).labels}
    assert near & {"mule", "hinny", "zebra", "donkey", "jennet", "domestic ass"}


def test_a_typed_label_stands_nowhere_in_the_tree(parts: ModelParts) -> None:
    found = relation(parts, ask(parts, "snow lepard"), ask(parts, "harp"))
    assert (found.predicted, found.edges, found.ancestor) == (True, None, None)
    assert found.semantic is not None
    assert trained_below(parts, found.one) == ()


@pytest.mark.parametrize("name", ["xyzzyqq", "n00000000", "", "!!!"])
def test_what_nobody_knows_is_an_error_of_one_line(parts: ModelParts, name: str) -> None:
    with pytest.raises(LabelError) as caught:
        ask(parts, name)
    assert "\n" not in str(caught.value)


def test_close_spellings_come_closest_first_in_their_own_case(parts: ModelParts) -> None:
    assert close_spellings(parts.taxonomy, "giutar")[0] == "guitar"
    assert "Panthera uncia" in close_spellings(parts.taxonomy, "panthera_unica")
    assert close_spellings(parts.taxonomy, "xyzzyqq") == ()


def test_coverage_counts_every_label_once(parts: ModelParts) -> None:
    counts = coverage(parts.bundle.labels)
    assert tuple(counts) == VECTOR_SOURCES == tuple(VECTOR_FROM)
    assert sum(trained for trained, _ in counts.values()) == len(parts.trained_ids)
    assert sum(map(sum, counts.values())) == len(parts.space.labels)


def test_the_old_bundle_can_be_looked_into() -> None:
    old = ModelParts.open(Path(__file__).parents[1] / "data" / "bundle-v1")
    counts = coverage(old.bundle.labels)
    assert sum(map(sum, counts.values())) == len(old.bundle.labels)


VECTORS = {"tiger": (1, 0), "shark": (0, 2), "tiger_shark": (1, 3), "reef": (0.1, 1), "stripe": (1, 0.1), "mix": (1, 1)}


def near(name: str, top: int) -> NearWords:
    table = WordTable(tuple(VECTORS), np.array(list(VECTORS.values()), dtype=np.float32))
    return near_words(table, default_taxonomy(), name, top)


def test_a_term_of_its_own():
    found = near("Tiger Shark", 2)
    # (1, 3) against (0.1, 1) and (0, 2): 3.1 / sqrt(1.01) and 6 / 2, each over sqrt(10)
    assert found.words == ("reef", "shark")
    assert found.cosines == pytest.approx((3.1 / 1.01**0.5 / 10**0.5, 3 / 10**0.5), abs=1e-6)
    assert found.made_of == ()


def test_a_phrase_is_the_sum_of_its_words_at_unit_length_and_they_are_left_out():
    found = near("shark tiger glub", 9)
    assert found.made_of == ("shark", "tiger")
    assert found.words[0] == "mix"  # (1, 1), though the shark is twice as long
    assert found.cosines[0] == pytest.approx(1.0)
    assert set(found.words) == {"mix", "tiger_shark", "reef", "stripe"}
    assert len(near("shark tiger", 1).words) == 1


def test_an_unknown_name_gets_suggestions():
    with pytest.raises(LabelError, match="no word vector for 'stripes'; close spellings: stripe"):
        near("stripes", 3)
    with pytest.raises(LabelError, match=r"no word vector for 'qqqqzzz': check it"):
        near("qqqqzzz", 3)
