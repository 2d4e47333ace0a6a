import numpy as np
import pytest

from devise.labels import Label, LabelSet
from devise.model.labeller import Model
from devise.model.methods import label_prior, make_scorer
from devise.model.parts import ModelParts
from devise.model.sense_choice import Meanings
from devise.search.photoindex import header_of


@pytest.fixture(scope="module")
def parts() -> ModelParts:
    return ModelParts.open()


def test_what_people_photograph_stands_higher(parts: ModelParts):
    assert parts.standing is not None
    of = {name: float(parts.standing[parts.space.labels.position(label)]) for name, label in IDS.items()}
    assert min(of["cup"], of["helicopter"]) > of["euphonium"] > of["sea squirt"]


IDS = {"cup": "n03147509", "helicopter": "n03512147", "euphonium": "n03301568", "sea squirt": "n01469103"}


def test_of_all_labels_and_of_some(parts: ModelParts):
    everything = label_prior(parts, parts.space.labels)
    assert parts.standing is not None
    assert everything is not None
    np.testing.assert_allclose(everything, parts.bundle.prior_weight() * parts.standing, rtol=1e-6)
    some = [7, 39_000, 1_500]
    np.testing.assert_array_equal(label_prior(parts, parts.space.labels.subset(some)), everything[some])


def test_a_label_of_the_user_stands_where_a_trained_one_does(parts: ModelParts):
    assert parts.standing is not None
    typed = LabelSet([Label("typed:1", "zedonk")])
    expected = parts.bundle.prior_weight() * float(parts.standing[parts.trained].mean())
    assert label_prior(parts, typed) == pytest.approx([expected], rel=1e-3)


def test_a_model_that_keeps_nothing_has_no_prior(small: Model):
    assert label_prior(small.parts, small.parts.space.labels) is None


def test_without_the_prior_fused_ranks_by_likeness_and_senses_stay(parts: ModelParts):
    without = ModelParts.open(prior=False)
    assert label_prior(without, without.space.labels) is None
    features = np.abs(np.random.default_rng(5).standard_normal((3, 1280))).astype(np.float32)
    some = np.flatnonzero(~parts.space.labels.seen)[::500].tolist()
    space = parts.space.subset(some)
    evidence = parts.classifier.evidence(features)
    scores = [make_scorer(one, "fused", space).scores(evidence) for one in (parts, without)]
    expected = label_prior(parts, space.labels)
    assert expected is not None
    np.testing.assert_allclose(scores[0] - scores[1], np.tile(expected, (3, 1)), atol=1e-6)
    assert without.name == f"{parts.name} --no-prior"
    assert [Meanings(one).of("mouse").chosen.id for one in (parts, without)] == ["n02330245"] * 2  # type: ignore[union-attr]
    assert header_of(without).model_sha256 != header_of(parts).model_sha256
