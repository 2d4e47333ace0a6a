import numpy as np
import pytest

from devise.labels import Label, LabelSet
from devise.space.evidence import Evidence
from devise.space.labelspace import LabelSpace, unit_rows
from devise.space.scorers import ConseScorer, DeviseScorer, FusedScorer, StackingRule


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
