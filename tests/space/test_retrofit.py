import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.errors import TextError
from devise.space.label_vectors import POLICIES, Composer, LabelComposer, composer_for
from devise.space.retrofit import RetrofittedComposer, retrofit
from devise.taxonomy.graph import Adjacency
from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import Taxonomy
from devise.text.vectors import WordTable
from tests.reference.retrofit import settled

ANIMAL, CAT, DOG, ROCK, BLANK = (f"n{number:08d}" for number in range(1, 6))


def undirected(size: int, edges: list[tuple[int, int]]) -> Adjacency:
    ends = np.array([*edges, *((b, a) for a, b in edges)], dtype=np.int64).reshape(-1, 2)
    return Adjacency.of_pairs(size, ends[:, 0], ends[:, 1])


def test_two_neighbours_by_hand() -> None:
    """q = (v + p q') / (1 + p) for both, with p = 1: q1 = 2/3 v1 + 1/3 v2."""
    vectors = np.array([[3, 0], [0, 3], [5, 5]], dtype=np.float32)
    found = retrofit(vectors, undirected(3, [(0, 1)]), 1.0, tolerance=1e-6)
    np.testing.assert_allclose(found.vectors, [[2, 1], [1, 2], [5, 5]], atol=1e-5)


@st.composite
def trees(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    """Each node but the first has an edge to an earlier one; some have a second."""
    size = draw(st.integers(2, 9))
    edges = {(node, draw(st.integers(0, node - 1))) for node in range(1, size)}
    edges |= {(node, draw(st.integers(0, node - 1))) for node in range(1, size) if draw(st.booleans())}
    return size, sorted(edges)


@given(trees(), st.floats(0.1, 4), st.integers(0, 9))
def test_settles_at_the_solution_of_the_linear_equations(
    tree: tuple[int, list[tuple[int, int]]], pull: float, seed: int
) -> None:
    size, edges = tree
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((size, 3)).astype(np.float32)
    vectors[rng.random(size) < 0.3] = 0  # without a vector of their own
    vectors[0] = 1
    found = retrofit(vectors, undirected(size, edges), pull, tolerance=1e-6, most_rounds=5000)
    np.testing.assert_allclose(found.vectors, settled(vectors, edges, pull), atol=1e-3)


def test_each_round_leaves_at_most_the_promised_share_of_the_error() -> None:
    rng = np.random.default_rng(1)
    edges = [(node, int(rng.integers(node))) for node in range(1, 40)]
    vectors = rng.standard_normal((40, 4)).astype(np.float32)
    goal = settled(vectors, edges, 2.0)
    errors = []
    for tolerance in (1e-1, 1e-2, 1e-3, 1e-4):
        found = retrofit(vectors, undirected(40, edges), 2.0, tolerance=tolerance)
        errors.append(np.abs(found.vectors - goal).max())
        assert errors[-1] <= np.abs(vectors - goal).max() * (2 / 3) ** found.rounds + 1e-5
        assert found.change <= tolerance
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("pull", [0.0, -1.0, float("nan"), float("inf")])
def test_pull_must_be_positive(pull: float) -> None:
    with pytest.raises(TextError, match="above 0 and finite"):
        retrofit(np.ones((2, 1), np.float32), undirected(2, [(0, 1)]), pull)


def test_what_does_not_settle_is_said() -> None:
    vectors = np.array([[1], [-1]], dtype=np.float32)
    with pytest.raises(TextError, match="2 rounds of retrofitting still change"):
        retrofit(vectors, undirected(2, [(0, 1)]), 50.0, most_rounds=2)


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return Taxonomy.from_synsets(
        [
            Synset(ANIMAL, ("animal",)),
            Synset(CAT, ("cat",), hypernyms=(ANIMAL,)),
            Synset(DOG, ("dog",), hypernyms=(ANIMAL,)),
            Synset(ROCK, ("rock",)),
            Synset(BLANK, ("whatsit",), hypernyms=(CAT,)),
        ]
    )


@pytest.fixture(scope="module")
def words() -> WordTable:
    return WordTable(("animal", "cat", "dog", "rock"), np.eye(4, dtype=np.float32))


@pytest.fixture(scope="module")
def composer(words: WordTable, taxonomy: Taxonomy) -> RetrofittedComposer:
    return RetrofittedComposer(LabelComposer(words, taxonomy, POLICIES["mean-of-terms"]), taxonomy, 1.0)


def test_labels_are_drawn_to_their_hypernyms_and_hyponyms(composer: RetrofittedComposer) -> None:
    assert isinstance(composer, Composer)
    found = composer.labels([CAT, DOG, ROCK, BLANK])
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-6)
    edges = [(1, 0), (2, 0), (4, 1)]
    goal = settled(np.vstack([np.eye(4), np.zeros((1, 4))]).astype(np.float32), edges, 1.0)[[1, 2, 3, 4]]
    goal /= np.linalg.norm(goal, axis=1, keepdims=True)
    np.testing.assert_allclose(found.vectors, goal, atol=1e-3)
    assert found.sources == ("term", "term", "term", "parents")


def test_one_label_is_the_same_alone_and_among_others(composer: RetrofittedComposer) -> None:
    together = composer.labels([DOG, CAT])
    np.testing.assert_array_equal(composer.synset(CAT).vector, together.vectors[1])


def test_a_typed_name_is_drawn_to_what_it_is_a_kind_of(composer: RetrofittedComposer) -> None:
    label = composer.typed("rock cat", kinds=(CAT,))
    own = np.array([0, 2, 0, 1]) / np.sqrt(5)  # the last word counts twice
    goal = own + composer.synset(CAT).vector
    np.testing.assert_allclose(label.vector, goal / np.linalg.norm(goal), atol=1e-5)
    assert label.source == "parts"


def test_policy_by_name(words: WordTable, taxonomy: Taxonomy) -> None:
    made = composer_for(words, taxonomy, POLICIES["retrofitted"])
    pull = POLICIES["retrofitted"].retrofit
    base = LabelComposer(words, taxonomy, POLICIES["sense-aware"])
    want = RetrofittedComposer(base, taxonomy, pull).labels([CAT, BLANK]).vectors
    np.testing.assert_array_equal(made.labels([CAT, BLANK]).vectors, want)
