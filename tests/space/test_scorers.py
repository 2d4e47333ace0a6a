import math
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from devise.errors import UsageError
from devise.labels import Label, LabelSet
from devise.ranking import top_k
from devise.space.evidence import Evidence
from devise.space.labelspace import LabelSpace
from devise.space.scorers import (
    BranchScorer,
    ChanceScorer,
    ConseScorer,
    DeviseScorer,
    FirstChoice,
    FusedScorer,
    KernelScorer,
    SoftmaxScorer,
    StackingRule,
    conse_queries,
    random_space,
)
from devise.taxonomy.hedging import label_tree
from devise.taxonomy.wordnet import default_taxonomy

Small = Any


def slow_queries(slow: ModuleType, small: Small, top: int) -> list[tuple[list[float], list[float]]]:
    """DeViSE's and ConSE's query of each picture."""
    return [
        (
            slow.devise(features, small.surgery.tolist()),
            slow.conse(slow.softmax(logits), small.trained_vectors.tolist(), top),
        )
        for features, logits in zip(small.evidence.features.tolist(), small.evidence.logits.tolist(), strict=True)
    ]


def slow_cosines(slow: ModuleType, small: Small, queries: list[list[float]]) -> list[list[float]]:
    return [[slow.cosine(query, label) for label in small.space.vectors.tolist()] for query in queries]


@pytest.mark.parametrize("top", [1, 2, 3, 5, 6, 7, 1000])
def test_conse_is_its_formula(slow: ModuleType, small: Small, top: int):
    queries = [conse for _, conse in slow_queries(slow, small, top)]
    found = conse_queries(small.evidence, small.trained_vectors, top)
    np.testing.assert_allclose(found, [slow.unit(query) for query in queries], atol=2e-6)
    scores = ConseScorer(small.space, small.trained_vectors, top).scores(small.evidence)
    np.testing.assert_allclose(scores, slow_cosines(slow, small, queries), atol=2e-6)


def test_conse_of_one_is_the_vector_of_the_most_probable_label(small: Small):
    found = conse_queries(small.evidence, small.trained_vectors, 1)
    best = small.evidence.logits.argmax(axis=1)
    np.testing.assert_allclose(found, small.trained_vectors[best], atol=1e-6)


def test_conse_by_hand():
    # p = .5, .3, .2; T = 2: (.5 a + .3 b) / .8 = (5/8, 3/8), at unit length (5, 3) / sqrt(34)
    evidence = Evidence(np.zeros((1, 1), np.float32), np.log(np.array([[0.3, 0.2, 0.5]], np.float32)))
    vectors = np.array([[0, 1], [-1, 0], [1, 0]], np.float32)
    np.testing.assert_allclose(conse_queries(evidence, vectors, 2), [[5 / 34**0.5, 3 / 34**0.5]], atol=1e-6)


def test_conse_keeps_shares_with_their_labels_whatever_their_order(monkeypatch: pytest.MonkeyPatch):
    """Four photos, four labels on axes of their own: the query is the shares themselves, at unit length.

    NumPy promises no order among the labels taken; of few it sorts them, so here they come the other way round.
    """

    def backwards(values: np.ndarray, kth: int, axis: int) -> np.ndarray:
        assert axis == 1
        order = np.argsort(values, axis=1)
        return np.concatenate([order[:, :kth], order[:, kth:][:, ::-1]], axis=1)

    monkeypatch.setattr(np, "argpartition", backwards)
    shares = np.array([[8, 1, 4, 2], [1, 8, 2, 4], [2, 4, 8, 1], [4, 2, 1, 8]], dtype=np.float32)
    evidence = Evidence(np.zeros((4, 1), np.float32), np.log(shares))
    axes = np.eye(4, dtype=np.float32)
    np.testing.assert_allclose(conse_queries(evidence, axes, 4), shares / 85**0.5, rtol=1e-5)
    three = np.where(shares == 1, 0, shares)
    np.testing.assert_allclose(conse_queries(evidence, axes, 3), three / 84**0.5, rtol=1e-5, atol=1e-7)


def test_conse_looks_at_no_label_beyond_the_first_t(small: Small):
    weakest = small.evidence.logits.argmin(axis=1)
    for image, column in enumerate(weakest.tolist()):
        changed = small.trained_vectors.copy()
        changed[column] *= -1
        one = Evidence(small.evidence.features[[image]], small.evidence.logits[[image]])
        np.testing.assert_array_equal(conse_queries(one, changed, 5), conse_queries(one, small.trained_vectors, 5))
        assert (conse_queries(one, changed, 6) != conse_queries(one, small.trained_vectors, 6)).any()


@pytest.mark.parametrize("top", [0, -3])
def test_conse_of_none_is_refused(small: Small, top: int):
    with pytest.raises(UsageError, match=f"T of 1 or more, got {top}"):
        conse_queries(small.evidence, small.trained_vectors, top)


def test_devise_is_the_cosine_with_m_f(slow: ModuleType, small: Small):
    scorer = DeviseScorer(small.space, small.surgery)
    queries = [devise for devise, _ in slow_queries(slow, small, 1)]
    np.testing.assert_allclose(scorer.queries(small.evidence), [slow.unit(q) for q in queries], atol=2e-6)
    np.testing.assert_allclose(scorer.scores(small.evidence), slow_cosines(slow, small, queries), atol=2e-6)


def test_devise_does_not_notice_how_bright_a_picture_is(small: Small):
    scorer = DeviseScorer(small.space, small.surgery)
    brighter = Evidence(small.evidence.features * 16, small.evidence.logits)
    np.testing.assert_allclose(scorer.scores(brighter), scorer.scores(small.evidence), atol=1e-6)


def fused(small: Small, rule: StackingRule | None, top: int = 3) -> FusedScorer:
    return FusedScorer(
        DeviseScorer(small.space, small.surgery),
        ConseScorer(small.space, small.trained_vectors, top),
        small.places,
        rule,
    )


def test_fused_without_a_rule_is_the_cosine_with_the_sum_of_units(slow: ModuleType, small: Small):
    queries = [slow.fused(*pair) for pair in slow_queries(slow, small, 3)]
    scores = fused(small, None).scores(small.evidence)
    np.testing.assert_allclose(scores, slow_cosines(slow, small, queries), atol=3e-6)


def test_stacking_by_loops_with_trained_labels_at_odd_positions(slow: ModuleType, small: Small):
    rule = StackingRule(penalty=0.25, confidence=1.5)
    wanted = slow_cosines(slow, small, [slow.fused(*pair) for pair in slow_queries(slow, small, 3)])
    for row, logits in zip(wanted, small.evidence.logits.tolist(), strict=True):
        for column, place in enumerate(small.places.tolist()):
            if place >= 0:
                row[place] += 1.5 * slow.softmax(logits)[column] - 0.25
    np.testing.assert_allclose(fused(small, rule).scores(small.evidence), wanted, atol=3e-6)


def test_stacking_by_hand():
    # Two features, M = 1, so DeViSE's query is f; ConSE takes the first label only. Trained: columns 0, 1, 2 are
    # labels 3, none, 0. p = (.5, .25, .25). f = (0, 1), ConSE = (1, 0): query (1, 1) / sqrt 2.
    labels = LabelSet(Label(str(i), str(i)) for i in range(4))
    vectors = np.array([[0, 1], [0, 0], [-1, 0], [1, 0]], np.float32)
    space = LabelSpace(labels, vectors)
    trained = np.array([[1, 0], [0, -1], [0, 1]], np.float32)
    evidence = Evidence(np.array([[0, 2]], np.float32), np.log(np.array([[0.5, 0.25, 0.25]], np.float32)))
    scorer = FusedScorer(
        DeviseScorer(space, np.eye(2, dtype=np.float32)),
        ConseScorer(space, trained, 1),
        np.array([3, -1, 0]),
        StackingRule(penalty=0.2, confidence=0.8),
    )
    diagonal = 0.5**0.5
    np.testing.assert_allclose(
        scorer.scores(evidence),
        [[diagonal + 0.8 * 0.25 - 0.2, -np.inf, -diagonal, diagonal + 0.8 * 0.5 - 0.2]],
        atol=1e-6,
    )


def test_a_rule_of_zeros_is_no_rule(small: Small):
    none = fused(small, None).scores(small.evidence)
    zeros = fused(small, StackingRule(0.0, 0.0)).scores(small.evidence)
    np.testing.assert_array_equal(none, zeros)


def test_no_trained_label_among_those_ranked(small: Small):
    space = small.space.subset([2, 3, 6])
    nobody = np.full(6, -1)
    scorers = [
        FusedScorer(DeviseScorer(space, small.surgery), ConseScorer(space, small.trained_vectors), nobody, rule)
        for rule in (None, StackingRule(5.0, 5.0))
    ]
    np.testing.assert_array_equal(scorers[0].scores(small.evidence), scorers[1].scores(small.evidence))


def test_an_endless_penalty_ranks_all_trained_labels_last(small: Small):
    scores = fused(small, StackingRule(100.0, 0.0)).scores(small.evidence)
    ranking = top_k(scores, 9).positions
    assert {frozenset(row[4:]) for row in ranking.tolist()} == {frozenset({0, 1, 4, 5, 7})}


def test_an_endless_confidence_is_the_softmax(small: Small):
    scores = fused(small, StackingRule(0.0, 1e6)).scores(small.evidence)
    ranked = np.flatnonzero(small.places >= 0)
    columns = ranked[small.evidence.logits[:, ranked].argmax(axis=1)]
    assert scores.argmax(axis=1).tolist() == small.places[columns].tolist()


@pytest.mark.parametrize("kind", ["devise", "conse", "fused"])
def test_labels_without_a_vector_come_last(small: Small, kind: str):
    vectors = small.space.vectors.copy()
    vectors[[2, 4]] = 0  # 4 is a trained label: neither confidence nor penalty lifts it
    space = LabelSpace(small.space.labels, vectors)
    devise, conse = DeviseScorer(space, small.surgery), ConseScorer(space, small.trained_vectors)
    scorer = {
        "devise": devise,
        "conse": conse,
        "fused": FusedScorer(devise, conse, small.places, StackingRule(0.0, 50.0)),
    }[kind]
    assert scorer.labels is space.labels
    scores = scorer.scores(small.evidence)
    assert not np.isnan(scores).any()
    assert top_k(scores, 9).positions[:, 7:].tolist() == [[2, 4]] * len(scores)


def test_scores_are_the_callers_own(small: Small):
    for scorer in (fused(small, None), fused(small, StackingRule(0.1, 2.0))):
        first = scorer.scores(small.evidence)
        kept = first.copy()
        first[:] = 0
        np.testing.assert_array_equal(scorer.scores(small.evidence), kept)


def test_random_space_is_of_unit_length_and_follows_the_generator():
    labels = LabelSet(Label(str(i), str(i)) for i in range(500))
    one, two = (random_space(labels, 40, np.random.default_rng(3)) for _ in range(2))
    other = random_space(labels, 40, np.random.default_rng(4))
    assert one.labels is labels
    np.testing.assert_allclose(np.linalg.norm(one.vectors, axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(one.vectors, two.vectors)
    assert (one.vectors != other.vectors).all()
    # Directions are uniform: no coordinate is favoured, no two labels are near (sd of a cosine 1/sqrt(40) = .158).
    assert np.abs(one.vectors.mean(axis=0)).max() < 5 / 40**0.5 / 500**0.5
    cosines = one.vectors @ one.vectors.T - np.eye(500, dtype=np.float32)
    assert cosines.std() == pytest.approx(40**-0.5, rel=0.05)


def test_random_space_gives_the_same_label_the_same_vector_whatever_follows_it():
    few = LabelSet(Label(str(i), str(i)) for i in range(3))
    more = LabelSet(Label(str(i), str(i)) for i in range(8))
    np.testing.assert_array_equal(
        random_space(few, 6, np.random.default_rng(0)).vectors,
        random_space(more, 6, np.random.default_rng(0)).vectors[:3],
    )


def with_first_choice(small: Small, first: FirstChoice | None) -> FusedScorer:
    """The fused scorer with every trained label among those that it ranks."""
    places = np.arange(len(small.trained_vectors))
    space = LabelSpace(
        LabelSet(Label(str(i), str(i)) for i in range(len(places) + len(small.space.labels))),
        np.concatenate([small.trained_vectors, small.space.vectors]),
    )
    placing = DeviseScorer(space, small.surgery)
    return FusedScorer(placing, ConseScorer(space, small.trained_vectors, 3), places, StackingRule(0.2, 0.7, first))


def test_the_first_choice_has_the_probability_that_platts_scaling_gives():
    first = FirstChoice(1.5, -0.5, 0.2)
    shares = np.array([0.5, 0.9, 1.0], np.float32)
    # 1.5 x 0 - 0.5, 1.5 x log 9 - 0.5, and log odds that end at 1 in a million
    np.testing.assert_allclose(
        first.log_odds(shares), [-0.5, 1.5 * np.log(9) - 0.5, 1.5 * np.log(1e6) - 0.5], rtol=1e-5
    )


def test_the_first_choice_stands_above_all_others_by_its_odds(small: Small):
    first = FirstChoice(0.8, 0.3, 0.25)
    scores, plain = (with_first_choice(small, one).scores(small.evidence) for one in (first, None))
    choice = small.evidence.probabilities.argmax(axis=1)
    for image, column in enumerate(choice.tolist()):
        masses = np.exp(scores[image].astype(np.float64) / 0.25)
        highest = float(small.evidence.probabilities[image, column])
        odds = 0.8 * math.log(highest / (1 - highest)) + 0.3
        assert masses[column] / masses.sum() == pytest.approx(1 / (1 + math.exp(-odds)), rel=1e-4)
        others = np.arange(scores.shape[1]) != column
        np.testing.assert_array_equal(scores[image, others], plain[image, others])


def test_the_first_choice_is_as_sure_against_a_few_labels_as_among_all(small: Small):
    """Whatever is asked, two labels keep the odds that they have when all labels are."""
    whole = with_first_choice(small, FirstChoice(0.8, 0.3, 0.25))
    choice = int(small.evidence.probabilities[0].argmax())
    kept = [choice, len(small.trained_vectors), len(small.trained_vectors) + 2]
    trained = np.full(len(small.trained_vectors), -1)
    trained[choice] = 0
    space = whole.placing.space.subset(kept)
    placing = DeviseScorer(space, small.surgery)
    few = replace(whole, placing=placing, conse=replace(whole.conse, space=space), trained=trained, whole=whole)
    wanted = whole.scores(small.evidence)[:, kept]
    np.testing.assert_allclose(few.scores(small.evidence)[0], wanted[0], atol=1e-5)


# The branch: labels with the kernel's cosines for a picture. dog, kiang and thing were not trained on.
DOG, CHIHUAHUA, MALTESE, TABBY, KIANG, ZEBRA, THING = (
    "n02084071", "n02085620", "n02085936", "n02123045", "n02390738", "n02391049", "user:thing",
)  # fmt: skip
COSINES = {DOG: 0.8, CHIHUAHUA: 0.78, MALTESE: 0.7, TABBY: 0.6, KIANG: 0.5, ZEBRA: 0.4, THING: 0.3}
LOGITS = {TABBY: 5.0, MALTESE: 3.0, CHIHUAHUA: 1.0, ZEBRA: 1.0}  # in the order of the classifier


def branch_scores(
    temperature: float, asked: tuple[str, ...] = tuple(COSINES), without_vector: tuple[str, ...] = ()
) -> tuple[dict[str, float], dict[str, float]]:
    """Of the kernel and of the branch. The picture stands along the first axis."""
    cosines = np.array([COSINES[one] for one in asked], np.float32)
    vectors = np.stack([cosines, np.sqrt(1 - cosines**2)], axis=1)
    vectors[[one in without_vector for one in asked]] = 0
    kernel = KernelScorer(LabelSpace(LabelSet(Label(one, one) for one in asked), vectors), np.eye(2, dtype=np.float32))
    trained = np.array([asked.index(one) if one in asked else -1 for one in LOGITS])
    scorer = BranchScorer(kernel, label_tree(default_taxonomy(), asked), trained, temperature)
    evidence = Evidence(np.array([[1, 0]], np.float32), np.array([list(LOGITS.values())], np.float32))
    assert scorer.labels is kernel.labels
    return tuple(dict(zip(asked, one.scores(evidence)[0].tolist(), strict=True)) for one in (kernel, scorer))  # type: ignore[return-value]


def test_the_branch_by_hand():
    # exp((cosine - .8) / .05) is 1 for dog, .670 Chihuahua, .135 Maltese, .018 tabby, .002 kiang: dogs have 98.9 % of
    # 1.826, toy dogs 44 %. In dogs the softmax likes the Maltese better; that it likes the tabby best is overruled.
    kernel, found = branch_scores(0.05)
    assert kernel == pytest.approx(COSINES, abs=1e-6)
    assert found == pytest.approx(COSINES | {MALTESE: 0.78, CHIHUAHUA: 0.7}, abs=1e-6)


def test_an_unsure_kernel_leaves_a_wide_branch_to_the_softmax():
    # At .5 dogs have 55 % and placentals 93 %: all trained labels, of which Chihuahua and zebra are equally probable,
    # so that the one at the lower position goes first.
    found = branch_scores(0.5)[1]
    assert found == pytest.approx(COSINES | {TABBY: 0.78, MALTESE: 0.7, CHIHUAHUA: 0.6, ZEBRA: 0.4}, abs=1e-6)


def test_a_kernel_that_is_sure_of_one_label_is_not_overruled():
    kernel, found = branch_scores(0.005)  # dog 98 %, and it has trained labels below it
    assert found == pytest.approx(COSINES | {MALTESE: 0.78, CHIHUAHUA: 0.7}, abs=1e-6)
    asked = (CHIHUAHUA, MALTESE, TABBY)
    kernel, found = branch_scores(0.005, asked)  # Chihuahua has all
    assert found == kernel


@pytest.mark.parametrize("asked", [(DOG, KIANG, THING), (DOG, CHIHUAHUA, KIANG), (THING,)])
def test_the_branch_is_the_kernel_where_fewer_than_two_trained_labels_compete(asked: tuple[str, ...]):
    for temperature in (0.05, 0.5):
        kernel, found = branch_scores(temperature, asked)
        assert found == kernel


def test_a_trained_label_without_a_vector_stays_last_in_its_branch():
    found = branch_scores(0.05, without_vector=(MALTESE,))[1]
    assert found == pytest.approx(COSINES | {MALTESE: -math.inf}, abs=1e-6)
    assert set(branch_scores(0.05, without_vector=tuple(COSINES))[1].values()) == {-math.inf}


def evidence(logits: list[list[float]]) -> Evidence:
    return Evidence(np.zeros((len(logits), 1), np.float32), np.array(logits, np.float32))


def labels(count: int) -> LabelSet:
    return LabelSet(Label(str(i), str(i)) for i in range(count))


def test_softmax_picks_columns_and_does_not_normalise_again():
    asked = evidence([[0, np.log(2), np.log(5)], [np.log(6), 0, 0]])
    scorer = SoftmaxScorer(labels(2), np.array([2, 0]))
    np.testing.assert_allclose(scorer.scores(asked), [[5 / 8, 1 / 8], [1 / 8, 6 / 8]], rtol=1e-6)


def test_softmax_scores_are_the_callers_own():
    asked = evidence([[0, 0]])
    for columns in ([0, 1], [1]):
        SoftmaxScorer(labels(len(columns)), np.array(columns)).scores(asked)[:] = 9
    assert asked.probabilities.tolist() == [[0.5, 0.5]]


def test_chance_is_the_same_for_the_same_generator_state_and_fresh_each_time():
    asked = evidence([[0.0]] * 3)
    one, two = (ChanceScorer(labels(4), np.random.default_rng(5)) for _ in range(2))
    first = one.scores(asked)
    assert first.shape == (3, 4)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, two.scores(asked))
    assert (one.scores(asked) != first).any()


def test_chance_ranks_every_order_alike():
    asked = evidence([[0.0]] * 6000)
    ranking = top_k(ChanceScorer(labels(3), np.random.default_rng(1)).scores(asked), 3).positions
    _, counts = np.unique(ranking, axis=0, return_counts=True)
    assert len(counts) == 6
    assert counts == pytest.approx(np.full(6, 1000), abs=150)  # five standard deviations of 29
