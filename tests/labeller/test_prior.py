import numpy as np
import pytest

from devise.labeller.model import Model
from devise.labeller.parts import ModelParts
from devise.labeller.prior import label_prior
from devise.labels import Label, LabelSet


@pytest.fixture(scope="module")
def parts() -> ModelParts:
    return ModelParts.open()


def test_familiar_names_are_the_known_ones(parts: ModelParts):
    assert parts.familiarity is not None
    of = {name: float(parts.familiarity[parts.space.labels.position(label)]) for name, label in IDS.items()}
    assert of["cup"] > of["helicopter"] > of["euphonium"] > 0


IDS = {"cup": "n03147509", "helicopter": "n03512147", "euphonium": "n03301568"}


def test_of_all_labels_and_of_some(parts: ModelParts):
    everything = label_prior(parts, parts.space.labels)
    assert parts.familiarity is not None
    assert everything is not None
    np.testing.assert_allclose(everything, parts.setting("fused", "familiarity") * parts.familiarity, rtol=1e-6)
    some = [7, 39_000, 1_500]
    np.testing.assert_array_equal(label_prior(parts, parts.space.labels.subset(some)), everything[some])


def test_a_label_of_the_user_is_as_familiar_as_a_trained_one(parts: ModelParts):
    assert parts.familiarity is not None
    typed = LabelSet([Label("typed:1", "zedonk")])
    expected = parts.setting("fused", "familiarity") * float(parts.familiarity[parts.trained].mean())
    assert label_prior(parts, typed) == pytest.approx([expected], rel=1e-3)


def test_a_model_that_keeps_nothing_has_no_prior(small: Model):
    assert label_prior(small.parts, small.parts.space.labels) is None
