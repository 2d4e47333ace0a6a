import numpy as np
import pytest

from devise.labels import Label, LabelSet
from devise.ranking import top_k
from devise.space.baselines import ChanceScorer, SoftmaxScorer
from devise.space.evidence import Evidence


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
