"""Temperatures: right by hand, and those of the scorers that label."""

import numpy as np
import pytest

from devise.training.temperatures import best_temperature, best_temperatures, spread


def test_temperatures_are_chosen_on_photos_of_all_classes():
    assert spread(np.arange(7)).tolist() == list(range(7))
    assert len(spread(np.arange(0))) == 0
    truth = np.repeat(np.arange(100), 50)  # in the order of the classes
    assert len(set(truth[spread(np.arange(5000))].tolist())) == 100


def test_the_temperature_is_low_where_the_best_is_right_and_high_where_it_is_not():
    cosines = np.eye(3, dtype=np.float32)
    sure = best_temperature(cosines, np.arange(3))
    unsure = best_temperature(cosines, np.array([1, 2, 0]))
    assert sure < 0.1
    assert unsure > 1


def test_the_temperature_of_scores_drawn_under_one():
    rng = np.random.default_rng(0)
    cosines = rng.uniform(-0.5, 0.5, (4000, 5)).astype(np.float32)
    shares = np.exp(cosines / 0.2)
    shares /= shares.sum(axis=1, keepdims=True)
    truth = np.array([rng.choice(5, p=row / row.sum()) for row in shares.astype(np.float64)])
    assert 0.2 / 1.3 < best_temperature(cosines, truth) < 0.2 * 1.3


def test_temperatures_are_those_of_the_scorers_that_label():
    """Second opinion: the labeller's own scorers, every temperature tried."""
    from devise.bundle.bundle import open_bundle
    from devise.model.methods import make_scorer
    from devise.model.parts import DEFAULT_BUNDLE, ModelParts
    from devise.taxonomy.wordnet import default_taxonomy
    from devise.training.targetspace import bundle_space

    base = open_bundle(DEFAULT_BUNDLE)
    parts = ModelParts(base)
    rng = np.random.default_rng(0)
    columns = rng.integers(0, 1000, 24)
    features = parts.classifier.weight[columns] * 3 + rng.standard_normal((24, parts.classifier.weight.shape[1]))
    features = features.astype(np.float32)
    ids = [parts.trained_ids[column] for column in columns]
    space = bundle_space(base, default_taxonomy(), sorted(set(ids)), parts.trained_ids)
    found = best_temperatures(base, space, parts.surgery.map, parts.classifier, features, space.positions(ids))
    tried = [0.01 * 1.2**step for step in range(28)]
    for name in ("devise", "conse", "kernel"):
        scores = make_scorer(parts, name, parts.space).scores(parts.classifier.evidence(features)).astype(np.float64)
        own = scores[np.arange(24), [parts.space.labels.position(i) for i in ids]]
        surprise = [float((np.log(np.exp(scores / t).sum(axis=1)) - own / t).mean()) for t in tried]
        assert found[name] == pytest.approx(tried[int(np.argmin(surprise))], abs=1e-4)
    assert found["fused"] == base.setting("fused", "temperature") != found["devise"]
