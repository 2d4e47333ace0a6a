import inspect
import math
from collections.abc import Sequence

import numpy as np
import pytest

from devise.errors import BundleError, UsageError
from devise.model.labeller import Model
from devise.model.methods import METHODS, ROWS, make_scorer, rows_of
from devise.model.parts import ModelParts
from devise.ranking import ranks, top_k
from devise.space.kernel import KernelConfig, fit_kernel
from devise.space.scorers import (
    ChanceScorer,
    ConseScorer,
    DeviseScorer,
    FusedScorer,
    Scorer,
    SoftmaxScorer,
    StackingRule,
)

OF_KERNEL = ("kernel", "branch")
TRAINED = ("n03272010", "n02123045", "n02391049", "n02128757")


@pytest.fixture
def parts(small: Model) -> ModelParts:
    return small.parts


def test_methods_are_rows():
    assert set(METHODS) < set(ROWS)
    assert set(ROWS) - set(METHODS) == {"random", "chance"}


@pytest.mark.parametrize("row", [row for row in ROWS if row not in OF_KERNEL])
def test_every_row_scores_what_it_says_it_ranks(parts: ModelParts, row: str):
    scorer = make_scorer(parts, row, parts.space)  # type: ignore[arg-type]
    assert isinstance(scorer, Scorer)
    evidence = parts.classifier.evidence(np.array([[0.1, -0.5, 0.9], [1, 0, 0]], np.float32))
    scores = scorer.scores(evidence)
    assert scores.shape == (2, len(scorer.labels))
    assert scores.dtype == np.float32
    if row != "softmax":
        assert scorer.labels.ids == parts.space.labels.ids


@pytest.mark.parametrize("row", [row for row in ROWS if row not in ("chance", "random", *OF_KERNEL)])
def test_a_label_scores_the_same_whatever_order_the_others_stand_in(parts: ModelParts, row: str):
    evidence = parts.classifier.evidence(np.array([[0.1, -0.5, 0.9]], np.float32))
    turned = parts.space.subset(list(range(9))[::-1])
    for space in (turned, turned.subset([0, 2, 3, 8])):
        scorer = make_scorer(parts, row, space)  # type: ignore[arg-type]
        whole = make_scorer(parts, row, parts.space)  # type: ignore[arg-type]
        places = [whole.labels.position(label_id) for label_id in scorer.labels.ids]
        np.testing.assert_allclose(scorer.scores(evidence), whole.scores(evidence)[:, places], atol=1e-6)


def test_what_each_row_is_made_of(parts: ModelParts):
    fused = make_scorer(parts, "fused", parts.space)
    assert isinstance(fused, FusedScorer)
    assert fused.stacking == StackingRule(penalty=0.125, confidence=0.75)
    assert [parts.space.labels.ids[i] for i in fused.trained.tolist()] == list(TRAINED)
    conse = make_scorer(parts, "conse", parts.space)
    assert isinstance(conse, ConseScorer)
    assert conse.top == 2
    np.testing.assert_array_equal(conse.trained_vectors, parts.space.vectors[[8, 1, 3, 6]])
    assert isinstance(make_scorer(parts, "devise", parts.space), DeviseScorer)
    assert isinstance(make_scorer(parts, "softmax", parts.space), SoftmaxScorer)
    assert isinstance(make_scorer(parts, "chance", parts.space), ChanceScorer)


def test_trained_labels_that_are_not_asked(parts: ModelParts):
    fused = make_scorer(parts, "fused", parts.space.subset([6, 0, 1]))
    assert isinstance(fused, FusedScorer)
    assert fused.trained.tolist() == [-1, 2, -1, 0]


def test_softmax_ranks_the_trained_labels_asked_or_all_if_none_is(parts: ModelParts):
    evidence = parts.classifier.evidence(np.array([[0.1, -0.5, 0.9]], np.float32))
    some = make_scorer(parts, "softmax", parts.space.subset([0, 3, 8]))
    assert some.labels.ids == ("n03272010", "n02391049")
    np.testing.assert_array_equal(some.scores(evidence), evidence.probabilities[:, [0, 2]])
    none = make_scorer(parts, "softmax", parts.space.subset([0, 2, 4]))
    assert none.labels.ids == TRAINED
    np.testing.assert_array_equal(none.scores(evidence), evidence.probabilities)


def test_random_embeddings_give_trained_labels_the_vectors_the_map_was_made_for(parts: ModelParts):
    # With the map of its own vectors the control tells trained classes apart: its logits follow the softmax's.
    wanted = parts.classifier.weight - parts.classifier.weight.mean(axis=0)
    for positions in (range(9), [6, 1, 8, 3], [3, 0, 6, 1, 8]):
        scorer = make_scorer(parts, "random", parts.space.subset(list(positions)))
        assert isinstance(scorer, DeviseScorer)
        rows = [scorer.labels.position(label_id) for label_id in TRAINED]
        assert np.linalg.norm(scorer.space.vectors, axis=1) == pytest.approx(np.ones(len(scorer.labels)))
        logits = scorer.space.vectors[rows] @ scorer.surgery
        assert np.corrcoef(logits.ravel(), wanted.ravel())[0, 1] > 0.9


def test_random_embeddings_need_their_map(parts: ModelParts, monkeypatch: pytest.MonkeyPatch):
    without = ModelParts(parts.bundle)
    without.__dict__["random_surgery"] = None
    with pytest.raises(BundleError, match="no map for random"):
        make_scorer(without, "random", parts.space)


def test_chance_is_the_same_each_time(parts: ModelParts):
    evidence = parts.classifier.evidence(np.zeros((2, 3), np.float32))
    first, second = (make_scorer(parts, "chance", parts.space).scores(evidence) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.fixture
def with_kernel(parts: ModelParts) -> ModelParts:
    """The small model with kernel surgery fitted on its label vectors."""
    made = ModelParts(parts.bundle)
    config = KernelConfig(label_share=1.0, text_share=0.0, rank=3)
    made.__dict__["kernel"] = fit_kernel(config, parts.space.vectors, parts.trained, parts.classifier.weight)
    return made


def test_the_kernel_is_refused_where_the_model_has_none(parts: ModelParts, with_kernel: ModelParts):
    for row in OF_KERNEL:
        with pytest.raises(BundleError, match="no kernel surgery"):
            make_scorer(parts, row, parts.space)  # type: ignore[arg-type]
    assert set(ROWS) - set(rows_of(parts)) == set(OF_KERNEL)
    assert rows_of(with_kernel) == ROWS


def test_the_kernel_scores_cosines_in_any_order(with_kernel: ModelParts):
    kernel, whole = with_kernel.kernel, with_kernel.space
    assert kernel is not None
    features = np.array([[0.1, 0.5, 0.9], [1, 0, 0]], np.float32)
    evidence = with_kernel.classifier.evidence(features)
    roots = features**0.5 @ kernel.axes.T
    wanted = roots / np.linalg.norm(roots, axis=1, keepdims=True) @ kernel.places.T
    for places in (range(9), [8, 6, 0, 3]):
        scorer = make_scorer(with_kernel, "kernel", whole.subset(list(places)))
        known = [whole.vectors[place].any() for place in places]
        found = scorer.scores(evidence)
        np.testing.assert_allclose(found[:, known], wanted[:, list(places)][:, known], atol=1e-5)


def slow_branch(
    parts: ModelParts, ids: Sequence[str], kernel: list[float], softmax: dict[str, float], temperature: float
) -> list[float]:
    """The narrowest subtree with nine tenths, by sets; the trained labels in it take their scores in another order."""
    shares = [math.exp(score / temperature) for score in kernel]
    at_or_above = [parts.taxonomy.ancestors(one) | {one} for one in ids]
    subtrees = [[node in of for of in at_or_above] for node in set().union(*at_or_above)]
    sure = [of for of in subtrees if math.fsum(np.array(shares)[of]) >= 0.9 * math.fsum(shares)]
    inside = min(sure, key=sum)
    places = [
        place for place, one in enumerate(ids) if inside[place] and one in softmax and math.isfinite(kernel[place])
    ]
    found = list(kernel)
    values = sorted((kernel[place] for place in places), reverse=True)
    for place, value in zip(sorted(places, key=lambda place: -softmax[ids[place]]), values, strict=True):
        found[place] = value
    return found


def test_the_branch_is_its_definition(with_kernel: ModelParts, monkeypatch: pytest.MonkeyPatch):
    whole, rng, moved = with_kernel.space, np.random.default_rng(4), 0
    evidence = with_kernel.classifier.evidence(rng.random((20, 3), dtype=np.float32))
    for temperature in (0.02, 0.1, 0.4):
        monkeypatch.setattr(with_kernel, "setting", lambda *_, temperature=temperature: temperature)
        for places in (range(9), [8, 6, 0, 3], [1, 6, 3, 8], [0, 2, 4]):
            space = whole.subset(list(places))
            kernel, branch = (make_scorer(with_kernel, row, space) for row in ("kernel", "branch"))
            before, after = kernel.scores(evidence), branch.scores(evidence)
            for image, row in enumerate(before.tolist()):
                softmax = dict(zip(TRAINED, evidence.probabilities[image].tolist(), strict=True))
                assert after[image].tolist() == slow_branch(with_kernel, space.labels.ids, row, softmax, temperature)
            moved += int((before != after).any(axis=1).sum())
            untrained = [place for place, one in enumerate(space.labels.ids) if one not in TRAINED]
            np.testing.assert_array_equal(ranks(before, untrained), ranks(after, untrained))
    assert moved > 20


def test_among_dogs_alone_an_unsure_kernel_leaves_all_to_the_softmax(packaged: Model):
    parts, below = packaged.parts, packaged.parts.taxonomy.subtree("n02084071")
    dogs = parts.space.subset([place for place in parts.trained.tolist() if parts.space.labels.ids[place] in below])
    branch, softmax, kernel = (make_scorer(parts, row, dogs) for row in ("branch", "softmax", "kernel"))
    evidence = parts.classifier.evidence(np.random.default_rng(0).random((4, 1280), dtype=np.float32))
    by_softmax = top_k(softmax.scores(evidence), 118).positions
    wanted = [[softmax.labels.ids[place] for place in row] for row in by_softmax.tolist()]
    found = [
        [dogs.labels.ids[place] for place in row] for row in top_k(branch.scores(evidence), 118).positions.tolist()
    ]
    assert found == wanted
    np.testing.assert_array_equal(np.sort(branch.scores(evidence)), np.sort(kernel.scores(evidence)))


def test_an_unknown_row(parts: ModelParts):
    # The checking of types, which is on in the tests, would refuse it earlier.
    with pytest.raises(
        UsageError, match="one of fused, kernel, branch, devise, conse, softmax, random, chance, got 'magic'"
    ):
        inspect.unwrap(make_scorer)(parts, "magic", parts.space)
