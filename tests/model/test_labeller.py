import inspect
import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from io import BytesIO
from itertools import count
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from devise.errors import BundleError, LabelError, PictureError, UsageError
from devise.model.answers import Answer
from devise.model.labeller import LabelRequest, Model, load
from devise.model.methods import METHODS, Method, label_prior, photo_space
from devise.model.parts import ModelParts
from devise.model.typed import TypedLabel
from devise.space.labelspace import LabelSpace
from devise.vision.pipeline import cores

RED, GREEN, BLUE, GREY = (250, 20, 40), (10, 240, 60), (5, 90, 250), (120, 130, 127)
COLOURS = (RED, GREEN, BLUE, GREY)

Plain = Callable[[tuple[int, int, int]], np.ndarray]


def scores_of(answer: Answer) -> dict[str, float]:
    return {guess.label.id: guess.score for guess in answer.guesses}


def slow_scores(
    slow: ModuleType, model: Model, colour: tuple[int, int, int], method: str, space: LabelSpace
) -> dict[str, float]:
    """What every label of the space should score: cosines, with the stacking rule where it holds."""
    parts = model.parts
    features = [(channel - 127) / 128 for channel in colour]
    classifier, trained = parts.classifier, parts.space.vectors[parts.trained].tolist()
    logits = [
        slow.dot(row, features) + float(b) for row, b in zip(classifier.weight.tolist(), classifier.bias, strict=True)
    ]
    shares = dict(zip(parts.trained_ids, slow.softmax(logits), strict=True))
    if method == "softmax":
        return {label_id: share for label_id, share in shares.items() if label_id in space.labels}
    devise = slow.devise(features, parts.surgery.map.tolist())
    conse = slow.conse(list(shares.values()), trained, 2)
    query = {"devise": devise, "conse": conse, "fused": slow.fused(devise, conse)}[method]
    found = {}
    for label, vector in zip(space.labels, space.vectors.tolist(), strict=True):
        found[label.id] = slow.cosine(query, vector) if any(vector) else -math.inf
        if method == "fused" and label.id in shares:
            found[label.id] += 0.75 * shares[label.id] - 0.125
    return found


def slow_shares(scores: dict[str, float], method: str) -> dict[str, float]:
    if method == "softmax":
        return {key: score / math.fsum(scores.values()) for key, score in scores.items()}
    temperature = {"devise": 0.25, "conse": 0.4, "fused": 0.5}[method]
    powers = {key: math.exp(score / temperature) for key, score in scores.items()}
    return {key: power / math.fsum(powers.values()) for key, power in powers.items()}


# One picture.


@pytest.mark.parametrize("method", ["fused", "devise", "conse", "softmax"])  # the small model has no kernel
@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("candidates", ["all", "seen"])
def test_scores_are_the_formulas(
    slow: ModuleType, small: Model, plain: Plain, method: str, colour: tuple[int, int, int], candidates: str
):
    space = small.parts.space
    if candidates == "seen":
        space = space.subset(np.flatnonzero(space.labels.seen))
    wanted = slow_shares(slow_scores(slow, small, colour, method, space), method)
    answer = small.label(plain(colour), top=len(wanted), method=method, candidates=candidates)
    assert scores_of(answer) == pytest.approx(wanted, abs=2e-5)
    assert [g.label.id for g in answer.guesses] == sorted(wanted, key=lambda key: -wanted[key])
    assert sum(scores_of(answer).values()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("method", ["fused", "devise", "conse"])
def test_scores_of_labels_that_were_typed(slow: ModuleType, small: Model, plain: Plain, method: str):
    typed = "zedonk: offspring of a zebra and a donkey; horse; tabby"
    run = small.run(LabelRequest(method=method, candidates="unseen", typed=()))
    assert len(run.candidates) == 5
    answer = small.label(plain(GREEN), top=8, method=method, candidates="unseen", labels=typed)
    request = LabelRequest(8, method, "unseen", typed=(
        TypedLabel("zedonk", "offspring of a zebra and a donkey"), TypedLabel("horse"), TypedLabel("tabby")
    ))  # fmt: skip
    space = small.run(request)._space
    wanted = slow_shares(slow_scores(slow, small, GREEN, method, space), method)
    assert {"user:zedonk", "n02374451", "n02123045"} <= set(wanted)
    assert scores_of(answer) == pytest.approx(wanted, abs=2e-5)
    ids = [guess.label.id for guess in answer.guesses]  # all 8 of them, best first
    told = [(standing.label.id, standing.rank) for standing in answer.standings]
    assert told == [(i, rank) for rank, i in enumerate(ids, 1) if i in ("user:zedonk", "n02374451", "n02123045")]
    fewer = small.label(plain(GREEN), top=1, method=method, candidates="unseen", labels=typed)
    assert fewer.standings == answer.standings


def test_ranks_are_of_typed_labels_that_the_method_can_rank(small: Model, plain: Plain):
    assert small.label(plain(GREEN)).standings == ()
    told = small.label(plain(GREEN), top=1, method="softmax", labels="zedonk: a striped horse; tabby").standings
    assert [standing.label.id for standing in told] == ["n02123045"]


def test_the_first_k_of_more(small: Model, plain: Plain):
    everything = small.label(plain(RED), top=9)
    for top in (1, 2, 5):
        few = small.label(plain(RED), top=top)
        assert few.guesses == everything.guesses[:top]


def test_five_guesses_unless_asked_otherwise(small: Model, plain: Plain):
    assert len(small.label(plain(RED)).guesses) == 5


def test_a_label_without_a_vector_is_last_and_has_no_share(small: Model, plain: Plain):
    for method in ("fused", "devise", "conse"):
        last = small.label(plain(BLUE), top=9, method=method).guesses[-1]
        assert (last.label.id, last.score) == ("n00001740", 0)


def test_guesses_carry_the_gloss_and_what_is_known_of_the_label(small: Model, plain: Plain):
    labels = {guess.label.id: guess.label for guess in small.label(plain(RED), top=9).guesses}
    assert set(labels) == set(small.labels.ids)
    assert labels["n02390738"].gloss == "wild ass of Tibet and Mongolia"
    assert labels["n02390738"].source == "gloss"
    assert labels["n02123045"].seen
    assert all(replace(label, gloss="") == small.labels[small.labels.position(i)] for i, label in labels.items())


# Whatever a picture comes as.


def png(pixels: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_the_same_answer_from_array_image_bytes_and_path(small: Model, plain: Plain, tmp_path: Path):
    pixels = plain(BLUE)
    pixels[:4, :4] = RED
    path = tmp_path / "a.png"
    path.write_bytes(png(pixels))
    sources = [pixels, Image.fromarray(pixels), png(pixels), str(path), path]
    answers = [small.label(source) for source in sources]
    assert [answer.source for answer in answers] == ["#0", "#0", "#0", str(path), str(path)]
    assert all(answer.guesses == answers[0].guesses for answer in answers)
    assert not any(answer.problem or answer.rejected for answer in answers)
    batch = list(small.label_many(sources))
    assert [answer.source for answer in batch] == ["#0", "#1", "#2", str(path), str(path)]
    for answer in batch:
        assert scores_of(answer) == pytest.approx(scores_of(answers[0]), abs=1e-6)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (b"", "empty"),
        (b"GIF89a and no more", "."),
        ("absent.png", "no such file"),
        (np.zeros((0, 4, 3), np.uint8), "."),
    ],
)
def test_one_picture_that_cannot_be_read(small: Model, source: object, reason: str):
    with pytest.raises(PictureError, match=reason) as caught:
        small.label(source)  # type: ignore[call-overload]
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("absent.png: " if isinstance(source, str) else "#0: ")


def test_a_broken_picture_stops_no_batch(small: Model, plain: Plain, tmp_path: Path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 no more")
    answers = list(small.label_many([plain(RED), broken, plain(GREEN), b"", plain(BLUE)]))
    assert [answer.source for answer in answers] == ["#0", str(broken), "#2", "#3", "#4"]
    assert [answer.problem is not None for answer in answers] == [False, True, False, True, False]
    assert answers[3].problem == "empty"
    for answer, colour in zip(answers[::2], (RED, GREEN, BLUE), strict=True):
        assert scores_of(answer) == pytest.approx(scores_of(small.label(plain(colour))), abs=1e-6)
    for answer in answers[1::2]:
        assert (answer.guesses, answer.rejected) == ((), False)


def test_a_batch_of_broken_pictures_and_an_empty_batch(small: Model):
    answers = list(small.label_many([b"", b"x"]))
    assert [answer.guesses for answer in answers] == [(), ()]
    assert all(answer.problem for answer in answers)
    assert list(small.label_many([])) == []
    for one in (np.zeros((2, 2, 3), np.uint8), BytesIO(b"x\ny"), "a.jpg"):
        with pytest.raises(UsageError, match="label_many expects several pictures, got one"):
            small.label_many(one)  # type: ignore[arg-type]


def test_batches_give_what_single_pictures_give_in_any_order(small: Model, plain: Plain):
    rng = np.random.default_rng(3)
    pictures = [plain(tuple(rng.integers(0, 256, 3).tolist())) for _ in range(140)]  # more than a block
    answers = list(small.label_many(pictures, top=9))
    assert [answer.source for answer in answers] == [f"#{i}" for i in range(140)]
    backwards = list(small.label_many(pictures[::-1], top=9))[::-1]
    for i, (one, other) in enumerate(zip(answers, backwards, strict=True)):
        assert scores_of(one) == pytest.approx(scores_of(other), abs=1e-6)
        if i % 10 == 0:
            assert scores_of(one) == pytest.approx(scores_of(small.label(pictures[i], top=9)), abs=1e-6)


def test_answers_come_while_pictures_are_still_being_taken(small: Model, plain: Plain):
    taken = 0

    def endless() -> Iterator[np.ndarray]:
        nonlocal taken
        for number in count():
            taken += 1
            yield plain((number % 256, 0, 0))

    answers = small.label_many(endless(), top=1)
    assert [next(answers).source for _ in range(3)] == ["#0", "#1", "#2"]
    assert taken <= 128 + 12 * (cores() + 2)  # a block, and those ahead
    answers.close()  # type: ignore[attr-defined]


def test_label_takes_one_picture(small: Model, plain: Plain):
    # The checking of types, which is on in the tests, would refuse it earlier.
    with pytest.raises(UsageError, match="use label_many"):
        inspect.unwrap(Model.label)(small, [plain(RED)])


def test_one_wrong_request_is_told_before_any_picture_is_taken(small: Model):
    with pytest.raises(UsageError, match="top must be at least 1"):
        small.label_many((pytest.fail("a picture was taken") for _ in range(1)), top=0)
    with pytest.raises(UsageError, match="no label was given"):
        small.label_many([], labels="")


def test_a_run_answers_many_times(small: Model, plain: Plain):
    run = small.run(LabelRequest(top=2))
    first = list(run.answers([plain(RED), plain(BLUE)]))
    assert list(run.answers([plain(RED), plain(BLUE)])) == first


def test_several_threads_get_the_same_answers(small: Model, plain: Plain):
    wanted = [small.label(plain(colour), explain=True) for colour in COLOURS]
    found: dict[int, list[Answer]] = {}

    def label(number: int) -> None:
        found[number] = [small.label(plain(colour), explain=True) for colour in COLOURS]

    threads = [threading.Thread(target=label, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert list(map(found.get, range(4))) == [wanted] * 4


# What is asked.


def test_more_guesses_than_labels(small: Model, plain: Plain):
    assert len(small.label(plain(RED), top=10).guesses) == 9
    assert len(small.label(plain(RED), top=5, method="softmax").guesses) == 4
    assert len(small.label(plain(RED), method="softmax").guesses) == 4
    assert len(small.label(plain(RED), top=2, candidates="typed", labels="kiang, zebra").guesses) == 2


@pytest.mark.parametrize("top", [0, -1])
def test_fewer_guesses_than_one(small: Model, plain: Plain, top: int):
    with pytest.raises(UsageError, match=f"top must be at least 1, got {top}"):
        small.label(plain(RED), top=top)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"top": 2.5}, "top must be a whole number, got 2.5"),
        ({"top": "3"}, "top must be a whole number, got '3'"),
        (
            {"candidates": ["cat"]},
            r"candidates must be the name of a list or of a file, got \['cat'\]: give words as labels",
        ),
        ({"sure": "0.8"}, "sure must be a probability above 0 and at most 1, got '0.8'"),
    ],
    ids=str,
)
def test_options_of_a_wrong_type(option: dict[str, object], message: str):
    with pytest.raises(UsageError, match=message):
        LabelRequest.__post_init__(unchecked(option))


def unchecked(option: dict[str, object]) -> LabelRequest:
    """A request as it is where nothing checks types: the tests would refuse it earlier."""
    request = object.__new__(LabelRequest)
    for name, value in {**{one.name: one.default for one in fields(LabelRequest)}, **option}.items():
        object.__setattr__(request, name, value)
    return request


@pytest.mark.parametrize("reject", [-0.1, 1.1, math.nan])
def test_reject_is_a_probability(small: Model, plain: Plain, reject: float):
    with pytest.raises(UsageError, match="reject must be auto or a probability from 0 to 1"):
        small.label(plain(RED), reject=reject)


def test_an_unknown_method():
    with pytest.raises(UsageError, match="one of fused, kernel, branch, devise, conse, softmax, got 'magic'"):
        LabelRequest.__post_init__(unchecked({"method": "magic"}))


def test_reject_says_none_of_these_and_no_name(small: Model, plain: Plain):
    answer = small.label(plain(RED))
    best = answer.guesses[0].score
    assert 0 < best < 1
    assert small.label(plain(RED), reject=min(1.0, best * 1.01)) == Answer(answer.source, rejected=True)
    assert small.label(plain(RED), reject=best) == answer
    assert small.label(plain(RED), reject=0.0) == answer
    assert small.label(plain(RED), reject=1.0).rejected


def test_notes_and_candidates_of_a_run(small: Model):
    run = small.run(LabelRequest(typed=(TypedLabel("scooter"), TypedLabel("zedonk", "a striped horse")), top=1))
    assert run.candidates.ids == (*small.labels.ids, "user:zedonk")
    assert run.ranked is run.candidates
    assert run.notes == ("scooter: wheeled vehicle, 4 other meanings",)


def test_softmax_among_fewer_trained_labels_shares_all_among_them(slow: ModuleType, small: Model, plain: Plain):
    answer = small.label(plain(BLUE), top=2, method="softmax", under="feline")
    everything = scores_of(small.label(plain(BLUE), top=4, method="softmax"))
    cats = {key: everything[key] for key in ("n02123045", "n02128757")}
    wanted = {key: share / sum(cats.values()) for key, share in cats.items()}
    assert scores_of(answer) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(("candidates", "typed"), [("unseen", ()), ("typed", ("kiang",)), ("seen", ("kiang",))])
def test_softmax_says_which_labels_it_cannot_name(small: Model, candidates: str, typed: tuple[str, ...]):
    request = LabelRequest(1, "softmax", candidates, typed=tuple(map(TypedLabel, typed)))
    try:
        notes = small.run(request).notes
    except UsageError:
        return
    assert any("softmax" in note for note in notes)


# The picture in the label space.


def test_embed_is_the_fused_query(slow: ModuleType, small: Model, plain: Plain):
    for colour in COLOURS:
        query = small.embed(plain(colour))
        assert query.shape == (12,)
        assert query.dtype == np.float32
        assert np.linalg.norm(query) == pytest.approx(1, abs=1e-6)
        parts = small.parts
        features = [(channel - 127) / 128 for channel in colour]
        logits = parts.classifier.weight @ np.array(features) + parts.classifier.bias
        conse = slow.conse(slow.softmax(logits.tolist()), parts.space.vectors[parts.trained].tolist(), 2)
        wanted = slow.unit(slow.fused(slow.devise(features, parts.surgery.map.tolist()), conse))
        np.testing.assert_allclose(query, wanted, atol=1e-5)


def test_embed_of_a_broken_picture(small: Model):
    with pytest.raises(PictureError, match="empty"):
        small.embed(b"")


def test_features_in_order(small: Model, plain: Plain):
    found = list(small.features([plain(RED), b"", plain(GREEN)]))
    np.testing.assert_allclose(found[0].features, [(c - 127) / 128 for c in RED], atol=1e-6)
    assert found[1].features is None
    assert found[1].problem == "empty"
    np.testing.assert_allclose(found[2].features, [(c - 127) / 128 for c in GREEN], atol=1e-6)


# Loading.


def test_load_takes_text_and_path(small: Model, small_bundle: Path):
    assert load(str(small_bundle)).labels.ids == load(small_bundle).labels.ids == small.labels.ids


def test_load_of_no_bundle(tmp_path: Path):
    with pytest.raises(BundleError, match="does not exist"):
        load(tmp_path / "absent")
    with pytest.raises(BundleError, match="is not a bundle"):
        load(tmp_path)


# The model in the package.


@pytest.fixture(scope="module")
def cat() -> np.ndarray:
    """Chelsea."""
    return np.asarray(pytest.importorskip("skimage.data").chelsea())


def test_the_packaged_knows_a_cat(packaged: Model, cat: np.ndarray):
    felines = packaged.parts.taxonomy.subtree("n02120997")
    for method in METHODS:
        answer = packaged.label(cat, method=method, top=5, explain=True)
        assert answer.guesses[0].label.id in felines, method
        shares = [guess.score for guess in answer.guesses]
        assert shares == sorted(shares, reverse=True)
        assert 0 < sum(shares) <= 1 + 1e-6
        assert all(guess.label.gloss for guess in answer.guesses)


def test_the_packageds_shares_add_up_to_one(packaged: Model, cat: np.ndarray):
    for method in METHODS:
        answer = packaged.label(cat, method=method, top=1000, candidates="seen")
        assert math.fsum(guess.score for guess in answer.guesses) == pytest.approx(1, abs=1e-4)
        assert len({guess.label.id for guess in answer.guesses}) == 1000


def test_the_packaged_embeds_at_unit_length_near_what_it_names(packaged: Model, cat: np.ndarray):
    query = packaged.embed(cat)
    assert np.linalg.norm(query) == pytest.approx(1, abs=1e-5)
    space = photo_space(packaged.parts, packaged.parts.space)
    prior = label_prior(packaged.parts, space.labels)
    assert prior is not None
    answer = packaged.label(cat, top=1, candidates="unseen")
    scores = space.vectors @ query + prior
    unseen = np.flatnonzero(~space.labels.seen)
    assert space.labels[int(unseen[scores[unseen].argmax()])].id == answer.guesses[0].label.id


def test_the_packaged_takes_a_label_of_ones_own(packaged: Model, cat: np.ndarray):
    answer = packaged.label(cat, top=2, candidates="typed", labels="moggy: a cat of no breed; brick: a block of clay")
    assert [guess.label.id for guess in answer.guesses] == ["user:moggy", "user:brick"]


@pytest.mark.parametrize("method", ["fused", "devise", "conse", "softmax"])
def test_a_noun_of_a_list_has_the_sum_of_its_kinds(small: Model, plain: Plain, method: Method):
    for colour in COLOURS:
        shares = scores_of(small.label(plain(colour), top=9, method=method))
        found = small.label(plain(colour), candidates="typed", labels="feline, equine", method=method)
        cats, horses = (
            sum(share for one, share in shares.items() if one in small.parts.taxonomy.subtree(above))
            for above in ("n02120997", "n02374149")
        )
        assert {guess.label.name: guess.score for guess in found.guesses} == pytest.approx(
            {"feline": cats / (cats + horses), "equine": horses / (cats + horses)}, rel=1e-4
        )


def test_labels_that_all_lack_a_place_are_told(packaged: Model, cat: np.ndarray):
    cats = packaged.parts.taxonomy.subtree("n02121620")
    kernel = packaged.parts.kernel
    assert kernel is not None
    places = kernel.places.copy()
    places[[number for number, one in enumerate(packaged.labels.ids) if one in cats]] = 0
    parts = ModelParts.open()
    parts.__dict__["kernel"] = replace(kernel, places=places)
    model = Model(parts)
    assert model.label(cat, under="carnivore", top=1, method="kernel").guesses[0].label.id not in cats
    for asked in ({"under": "cat"}, {"labels": "cat: n02121620", "candidates": "typed"}):
        with pytest.raises(LabelError, match="no candidate has a vector"):
            model.label(cat, method="kernel", **asked)


def model_of(parts: Any) -> Model:
    """A model of parts that only compile."""
    model = Model.__new__(Model)
    model.parts = parts
    model._backbone = None
    model._lock = threading.Lock()
    return model


def test_it_is_compiled_once_for_all_who_ask():
    let_go, asked = threading.Event(), []

    def compiled(*, streams: int) -> Any:
        asked.append(streams)
        assert let_go.wait(60)
        return SimpleNamespace(preprocessing=None, dim=3, features=len)

    model = model_of(SimpleNamespace(backbone=compiled))
    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(model.backbone) for _ in range(2)]
        let_go.set()
        first, second = (future.result(60) for future in found)
    assert first is second is model.backbone()
    assert asked == [cores()]


def test_what_went_wrong_is_told():
    def broken(*, streams: int) -> Any:
        raise BundleError("altered")

    with pytest.raises(BundleError, match="altered"):
        model_of(SimpleNamespace(backbone=broken)).backbone()
