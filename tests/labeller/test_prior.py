import numpy as np
import pytest

from devise.labeller.model import Model
from devise.labeller.parts import ModelParts
from devise.labeller.prior import label_prior
from devise.labels import Label, LabelSet
from devise.model.prior import PriorRule, label_strength
from devise.model.space import LabelSpace


@pytest.fixture(scope="module")
def parts() -> ModelParts:
    return ModelParts.open()


def rule_of(parts: ModelParts) -> PriorRule:
    return PriorRule(parts.setting("fused", "familiarity"), parts.setting("fused", "strength"))


def test_the_facts_that_are_kept_are_those_of_the_vectors(parts: ModelParts):
    assert parts.prior_facts is not None
    trained = parts.space.vectors[parts.trained]
    strength = label_strength(parts.space.vectors, parts.surgery.map, trained)
    np.testing.assert_allclose(parts.prior_facts.strength, strength, rtol=0.02, atol=0.01)  # 8-bit vectors, float16
    assert parts.prior_facts.strength[parts.trained].mean() == pytest.approx(1, abs=0.01)


def test_of_all_labels_and_of_some(parts: ModelParts):
    everything = label_prior(parts, parts.space)
    assert everything is not None
    some = [7, 39_000, 1_500]
    np.testing.assert_array_equal(label_prior(parts, parts.space.subset(some)), everything[some])


def test_a_label_of_the_user_is_as_familiar_as_a_trained_one(parts: ModelParts):
    assert parts.prior_facts is not None
    own = parts.space
    typed = LabelSpace(LabelSet([Label("typed:1", "zedonk")]), own.vectors[2_000:2_001])
    found = label_prior(parts, typed)
    familiarity = parts.prior_facts.familiarity[parts.trained].mean()
    strength = parts.prior_facts.strength[2_000]
    expected = rule_of(parts).familiarity * familiarity + rule_of(parts).strength * strength
    assert found is not None
    assert found[0] == pytest.approx(expected, rel=0.02)


def test_a_model_that_keeps_nothing_has_no_prior(model: Model):
    assert label_prior(model.parts, model.parts.space) is None
