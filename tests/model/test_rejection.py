"""None of these, by the rule: against the probabilities among all labels and what the prior alone expects."""

import math
from pathlib import Path

import numpy as np
import pytest
from smallmodel import write_small_bundle

from devise.errors import UsageError
from devise.labels import Label, LabelSet
from devise.model.labeller import LabelRequest, Model, load
from devise.model.methods import label_prior
from devise.model.rejection import log_expected, why_none
from devise.space.labelspace import LabelSpace

COLOURS = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (240, 240, 240), (5, 5, 5), (200, 200, 20)]


@pytest.fixture(scope="module", params=[{}, {"slope": 1.3, "offset": -0.4}], ids=["older", "first choice"])
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("rejection") / "small"
    write_small_bundle(path, **request.param)
    return load(path)


def picture(colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((6, 5, 3), colour, np.uint8)


def expected(model: Model) -> dict[str, float]:
    """By hand: the softmax of prior over temperature."""
    prior, temperature = label_prior(model.parts, model.labels), model.parts.setting("fused", "temperature")
    powers = [1.0] * len(model.labels) if prior is None else [math.exp(one / temperature) for one in prior.tolist()]
    return {i: power / math.fsum(powers) for i, power in zip(model.labels.ids, powers, strict=True)}


@pytest.mark.parametrize("colour", COLOURS)
def test_a_label_asked_alone_is_rejected_where_it_is_no_likelier_than_before(small: Model, colour):
    before = expected(small)
    shares = {guess.label.id: guess.score for guess in small.label(picture(colour), top=9).guesses}
    shares = {i: share for i, share in shares.items() if small.parts.space.vectors[small.labels.position(i)].any()}
    answers = {i: small.label(picture(colour), labels=i, candidates="typed", reject="auto") for i in shares}
    assert {i: answer.rejected for i, answer in answers.items()} == {i: shares[i] <= before[i] for i in shares}
    for answer in answers.values():
        assert (answer.guesses == ()) == answer.rejected


def test_both_happen(small: Model):
    """Else the test above could not fail."""
    found = {
        small.label(picture(colour), labels=i, candidates="typed", reject="auto").rejected
        for colour in COLOURS
        for i in ("n02390738", "n02123045")
    }
    assert found == {False, True}


@pytest.mark.parametrize("colour", COLOURS)
def test_the_best_of_several_decides(small: Model, colour):
    before, ids = expected(small), small.labels.ids[::3]
    shares = {guess.label.id: guess.score for guess in small.label(picture(colour), top=9).guesses}
    best = max(ids, key=lambda i: shares[i])
    answer = small.label(picture(colour), labels=", ".join(ids), candidates="typed", reject="auto")
    assert answer.rejected == (shares[best] <= before[best])


@pytest.mark.parametrize("colour", COLOURS)
def test_a_noun_stands_for_its_kinds(small: Model, colour):
    before = expected(small)
    below = [
        i for i in small.labels.ids if i in small.parts.taxonomy.subtree(small.parts.taxonomy.find("equine")[0].id)
    ]
    assert len(below) > 1
    shares = {guess.label.id: guess.score for guess in small.label(picture(colour), top=9).guesses}
    answer = small.label(picture(colour), labels="equine", candidates="typed", reject="auto")
    assert answer.rejected == (sum(shares[i] for i in below) <= sum(before[i] for i in below))


@pytest.mark.parametrize("colour", COLOURS)
def test_a_label_that_is_new_competes_with_all(small: Model, colour):
    text = "zedonk: offspring of a zebra and a donkey"
    shares = {guess.label.id: guess.score for guess in small.label(picture(colour), top=10, labels=text).guesses}
    answer = small.label(picture(colour), labels=text, candidates="typed", reject="auto")
    assert answer.rejected == (shares["user:zedonk"] <= 1 / len(small.labels))  # a model without a prior


def test_auto_is_the_default_where_a_sure_name_is_asked(small: Model):
    assert LabelRequest().rejects == 0
    assert LabelRequest(sure=0.5).rejects == "auto"
    assert LabelRequest(sure=0.5, method="devise").rejects == 0
    assert LabelRequest(sure=0.5, reject=0.1).rejects == 0.1
    with pytest.raises(UsageError, match="reject auto needs the method fused, got conse"):
        LabelRequest(reject="auto", method="conse")


def test_expected_probabilities_add_up_to_one(small: Model):
    assert float(np.exp(log_expected(small.parts, small.parts.space)).sum()) == pytest.approx(1, abs=1e-6)


def test_what_the_prior_expects_by_hand():
    """With a new label, which stands where a trained one does on average and competes with all."""
    parts = load().parts
    space = parts.space.subset([3, 20_000]).joined(
        LabelSpace(LabelSet([Label("user:x", "x")]), np.eye(1, 300, dtype=np.float32))
    )
    prior, temperature = label_prior(parts, parts.space.labels), parts.setting("fused", "temperature")
    assert prior is not None
    asked = [float(prior[3]), float(prior[20_000]), float(prior[parts.trained].mean())]
    total = math.fsum(math.exp(one / temperature) for one in [*prior.tolist(), asked[2]])
    by_hand = [one / temperature - math.log(total) for one in asked]
    assert log_expected(parts, space) == pytest.approx(by_hand, abs=1e-4)


def test_the_reason_in_words():
    assert why_none("auto") == "the photo makes no candidate more probable than before"
    assert why_none(0.5) == "no candidate has 50 % or more"


def test_the_packaged_knows_what_is_not_there(tmp_path: Path):
    """A cat: asked for two other things, and for a cat beside them."""
    skimage = pytest.importorskip("skimage.data")
    model = load()
    cat = np.asarray(skimage.chelsea())
    assert model.label(cat, labels="lighthouse, umbrella", candidates="typed", reject="auto").rejected
    answer = model.label(cat, labels="lighthouse, umbrella, cat", candidates="typed", reject="auto")
    assert answer.guesses[0].label.name == "cat"
