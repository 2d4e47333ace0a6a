"""As wide a name as is sure: which names may be said, and what an answer carries."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from devise.errors import UsageError
from devise.model.answers import Answer
from devise.model.hedges import Hedger, names_people_use
from devise.model.labeller import LabelRequest, Model
from devise.model.typed import parse_labels
from devise.taxonomy.hedging import label_tree
from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import Taxonomy

Picture = Callable[[tuple[int, int, int]], np.ndarray]
COLOURS = [(250, 10, 10), (10, 250, 30), (20, 30, 240), (90, 100, 220), (127, 127, 127)]


def shares_by_hand(model: Model, answer: Answer) -> dict[str, float]:
    """The probability at or below each synset, from the guesses of all labels."""
    taxonomy = model.parts.taxonomy
    shares: dict[str, float] = {}
    for guess in answer.guesses:
        for above in taxonomy.ancestors(guess.label.id) | {guess.label.id}:
            shares[above] = shares.get(above, 0.0) + guess.score
    return shares


def small_tree() -> tuple[Taxonomy, list[str]]:
    """thing: beast: cat, dog; each is a label but the root."""
    ids = [f"n{number:08d}" for number in range(1, 5)]
    rows = [("thing", ()), ("beast", (ids[0],)), ("cat", (ids[1],)), ("dog", (ids[1],))]
    return (
        Taxonomy.from_synsets(Synset(one, (name,), hypernyms=up) for one, (name, up) in zip(ids, rows, strict=True)),
        ids[1:],
    )


@pytest.mark.parametrize(
    ("standing", "trained", "used"),
    [
        ((3.0, 2.9, 9.0), (), {0, 2}),
        ((2.9, 2.9, 2.9), (1,), {1}),
        (None, (), {0, 1, 2}),
    ],
)
def test_what_people_say(standing: tuple[float, ...] | None, trained: tuple[int, ...], used: set[int]) -> None:
    taxonomy, labels = small_tree()
    known = None if standing is None else np.array(standing, np.float32)
    said = names_people_use(label_tree(taxonomy, labels), known, frozenset(labels[one] for one in trained))
    assert said == {labels[one] for one in used}


def test_of_wordnet(packaged: Model) -> None:
    """Names one would say of a photo, and names one would not, though WordNet has them above it."""
    parts = packaged.parts
    used = names_people_use(
        label_tree(parts.taxonomy, packaged.labels.ids), parts.familiarity, frozenset(parts.trained_ids)
    )
    names = {parts.taxonomy.synset(one).name for one in used}
    said = {"mammal", "bird", "dog", "musical instrument", "citrus", "sea turtle", "person", "food", "vehicle"}
    assert said <= names
    never = {"n00003553", "n01886756", "n01466257", "n00001930", "n03575240", "n00021939", "n13083586"}
    assert not never & used, "whole, placental, chordate, physical entity, instrumentality, artifact, vascular plant"


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8, 1.0])
def test_the_share_is_a_sum_and_the_name_the_narrowest(
    small: Model, plain: Picture, colour: tuple[int, int, int], threshold: float
) -> None:
    """The small model keeps no familiarity: all nine labels may be said, nothing else."""
    answer = small.label(plain(colour), top=9, sure=threshold)
    shares = shares_by_hand(small, answer)
    assert answer.hedge is not None
    sure = {one: share for one, share in shares.items() if share >= threshold - 1e-6 and one in small.labels}
    below = {one: sum(one in small.parts.taxonomy.ancestors(i) | {i} for i in small.labels.ids) for one in sure}
    assert answer.hedge.name is not None, "entity is a label here"
    assert answer.hedge.name.id in sure
    assert below[answer.hedge.name.id] == min(below.values())
    assert answer.hedge.name.share == pytest.approx(shares[answer.hedge.name.id], abs=1e-5)
    assert answer.hedge.name.bits == pytest.approx(np.log2(9 / below[answer.hedge.name.id]))


def test_the_way_from_wide_to_narrow(small: Model, plain: Picture) -> None:
    answer = small.label(plain((10, 250, 30)), top=9, sure=0.9)
    assert answer.hedge is not None
    way = answer.hedge.way
    taxonomy = small.parts.taxonomy
    assert way[0].id == "n00001740"
    assert all(upper.id in taxonomy.parents(lower.id) for upper, lower in itertools.pairwise(way))
    assert all(upper.share >= lower.share - 1e-9 for upper, lower in itertools.pairwise(way))
    assert all(upper.bits <= lower.bits for upper, lower in itertools.pairwise(way))
    assert answer.hedge.name in way
    assert way[-1].id in small.labels
    narrower = [guess for guess in answer.guesses if guess.label.id != answer.hedge.name.id]
    assert [level.name for level in answer.hedge.narrower] == [guess.label.name for guess in narrower]
    assert [level.share for level in answer.hedge.narrower] == pytest.approx(
        [guess.score for guess in narrower], abs=1e-5
    )


def test_one_candidate(small: Model, plain: Picture) -> None:
    hedge = small.label(plain((1, 2, 3)), candidates="typed", labels="zebra", sure=1.0, reject=0.0).hedge
    assert hedge is not None
    assert hedge.name is not None
    assert (hedge.name.name, hedge.name.share, hedge.name.bits) == ("zebra", 1.0, 0.0)
    assert hedge.narrower == ()


def test_a_typed_label_hangs_under_the_noun_its_definition_begins_with(small: Model) -> None:
    """Else under what its name ends with, and under the root where neither is a noun."""
    typed = parse_labels(
        "zorse: a kind of zebra; zedonk: offspring of a zebra and a donkey; kick scooter; wug: striped"
    )
    asked = small.run(LabelRequest(typed=typed)).candidates
    tree = Hedger(small.parts, asked, asked).tree
    above = {
        label: [tree.ids[node] for node in tree.graph.up.row(tree.positions[label]).tolist()]
        for label in asked.ids
        if label.startswith("user:")
    }
    assert above == {
        "user:zorse": ["n02391049"],
        "user:zedonk": ["n02389559"],
        "user:kick_scooter": ["n04149374"],
        "user:wug": ["n00001740"],
    }
    assert tree.counts[tree.positions["n02391049"]] == 2, "zebra and zorse"


@pytest.mark.parametrize("sure", [0.0, -0.5, 1.5, float("nan"), float("inf")])
def test_refused(small: Model, plain: Picture, sure: float) -> None:
    with pytest.raises(UsageError, match=r"^sure must be a probability above 0 and at most 1, got "):
        small.label(plain((1, 2, 3)), sure=sure)


def test_softmax_shares_are_over_what_it_can_name(small: Model, plain: Picture) -> None:
    answer = small.label(plain((10, 250, 30)), method="softmax", top=4, sure=0.6)
    shares = shares_by_hand(small, answer)
    assert answer.hedge is not None
    assert answer.hedge.name is not None
    assert answer.hedge.name.share == pytest.approx(shares[answer.hedge.name.id], abs=1e-5)
    wide = small.label(plain((10, 250, 30)), method="softmax", sure=1.0).hedge
    assert wide is not None
    assert wide.way[0].share == pytest.approx(1.0)


def test_under(small: Model, plain: Picture) -> None:
    """All candidates are below it, so it is sure and says nothing."""
    answer = small.label(plain((10, 250, 30)), under="guitar", sure=1.0, reject=0.0)
    assert answer.hedge is not None
    assert answer.hedge.name is not None
    assert (answer.hedge.name.name, answer.hedge.name.bits) == ("guitar", 0.0)


def test_in_doubt_only_where_the_first_guess_is_not_sure(small: Model, plain: Picture) -> None:
    pictures = [plain(colour) for colour in COLOURS]
    first = [answer.guesses[0].score for answer in small.label_many(pictures)]
    threshold = float(np.median(first))
    answers = list(small.run(LabelRequest(in_doubt=threshold)).answers(pictures))
    assert [answer.hedge is not None for answer in answers] == [score < threshold for score in first]
    for answer, always in zip(answers, small.label_many(pictures, sure=threshold), strict=True):
        assert answer.hedge in (None, always.hedge)


def test_no_picture_in_doubt_costs_no_tree(small: Model, plain: Picture) -> None:
    run = small.run(LabelRequest(in_doubt=1e-6))
    run.prepare()
    assert next(iter(run.answers([plain((1, 2, 3))]))).hedge is None
    assert "_hedger" not in vars(run)


def test_a_picture_that_cannot_be_read_has_none(small: Model, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (answer,) = small.label_many([str(broken)], sure=0.5)
    assert answer.problem
    assert answer.hedge is None
