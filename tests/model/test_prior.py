import numpy as np
import pytest

from devise.labels import Label, LabelSet
from devise.model.embedding import ConseScorer, DeviseScorer, FusedScorer, StackingRule
from devise.model.evidence import Evidence
from devise.model.prior import PriorRule, label_strength
from devise.model.space import LabelSpace, unit_rows


def test_strength_by_hand():
    # M^T t for t = (1, 0) is M's first row (3, 4, 0), of length 5; for (0, 1) the second, of length 1. Their mean is 3.
    surgery = np.array([[3, 4, 0], [0, 0, 1]], np.float32)
    trained = np.eye(2, dtype=np.float32)
    asked = np.array([[1, 0], [0, 1], [0, 0], [0, -1]], np.float32)
    np.testing.assert_allclose(label_strength(asked, surgery, trained), [5 / 3, 1 / 3, 0, 1 / 3], rtol=1e-6)


def test_strength_is_the_length_of_the_row_the_map_gives():
    rng = np.random.default_rng(0)
    surgery = rng.standard_normal((6, 11), dtype=np.float32)
    vectors = unit_rows(rng.standard_normal((9, 6), dtype=np.float32))
    lengths = np.array([np.linalg.norm(surgery.T @ vector) for vector in vectors])
    np.testing.assert_allclose(label_strength(vectors, surgery, vectors[:4]), lengths / lengths[:4].mean(), rtol=1e-5)


def test_a_trained_label_without_a_vector_takes_no_part_in_the_mean():
    surgery = np.array([[2.0]], np.float32)
    trained = np.array([[1], [0]], np.float32)
    np.testing.assert_allclose(label_strength(trained, surgery, trained), [1, 0])


def test_the_rule_by_hand():
    prior = PriorRule(0.02, 0.5).prior(np.array([10, 0], np.float32), np.array([1, 0.5], np.float32))
    np.testing.assert_allclose(prior, [0.7, 0.25], rtol=1e-6)


@pytest.mark.parametrize("stacking", [None, StackingRule(0.1, 0.5)])
def test_the_fused_scorer_adds_it_once_to_every_label(stacking: StackingRule | None):
    rng = np.random.default_rng(1)
    labels = LabelSet(Label(f"n{i}", f"n{i}") for i in range(5))
    space = LabelSpace(labels, unit_rows(rng.standard_normal((5, 3), dtype=np.float32)))
    devise = DeviseScorer(space, rng.standard_normal((3, 4), dtype=np.float32))
    conse = ConseScorer(space, space.vectors[:2], 2)
    evidence = Evidence(rng.standard_normal((6, 4), dtype=np.float32), rng.standard_normal((6, 2), dtype=np.float32))
    prior = np.array([0, 0.1, 0.2, 0.3, -np.inf], np.float32)
    trained = np.array([0, 1])
    without = FusedScorer(devise, conse, trained, stacking).scores(evidence)
    found = FusedScorer(devise, conse, trained, stacking, prior).scores(evidence)
    np.testing.assert_allclose(found, without + prior, atol=1e-6)
