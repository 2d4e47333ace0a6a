import json
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devise.errors import LabelError, TaxonomyError, UsageError
from devise.evaluation.tables import (
    EvaluationResult,
    EvaluationSettings,
    RankedIds,
    cells,
    markdown,
    rate_rankings,
)
from devise.ranking import TIE_RULE
from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import Taxonomy, default_taxonomy

ANIMAL, DOG, CAT, PUPPY, HOUND, KITTEN, TABBY, TOOL, ENTITY = (f"n{number:08d}" for number in range(1, 10))
CANDIDATES = (PUPPY, HOUND, KITTEN, TOOL)
TRAINED = (CAT, TABBY)
TRUTH = (PUPPY, PUPPY, KITTEN, DOG)
SMALL_KS = EvaluationSettings(hit_ks=(1, 2, 4), hp_ks=(1, 2, 4))


def evaluate_rankings(*given: Any, **named: Any) -> EvaluationResult:
    return rate_rankings(*given, **named).table()


def ranked(*orders: tuple[str, ...]) -> RankedIds:
    ids = tuple(sorted({label for order in orders for label in order}))
    return RankedIds(ids, np.array([[ids.index(label) for label in order] for order in orders]))


DEVISE = ranked(
    (HOUND, KITTEN, PUPPY, TOOL),
    (PUPPY, HOUND, TOOL, KITTEN),
    (KITTEN, TOOL, PUPPY, HOUND),
    (PUPPY, KITTEN, HOUND, TOOL),
)
SOFTMAX = ranked((CAT, TABBY), (TABBY, CAT), (CAT, TABBY), (TABBY, CAT))


@pytest.fixture(scope="session")
def by_hand(nine: Taxonomy) -> EvaluationResult:
    """Correct sets over the valid labels puppy, hound, kitten, tool, cat, tabby:

    puppy: 1 {puppy}; 2 {puppy, hound}; 4 all six (radius 3 adds only cat, radius 4 the other three).
    kitten: 1 {kitten}; 2 {kitten, cat}; 4 all six.
    dog, no candidate: 1 and 2 {puppy, hound}; 4 all six.
    """
    scorers = {"devise": DEVISE, "softmax": SOFTMAX}
    return evaluate_rankings(scorers, TRUTH, CANDIDATES, TRAINED, nine, settings=SMALL_KS)


def test_by_hand_per_image(by_hand: EvaluationResult) -> None:
    devise, softmax, chance = by_hand.rows
    assert devise.per_image == {
        "hit@1": 2 / 4,  # images 1 and 2
        "hit@2": 2 / 4,
        "hit@4": 3 / 4,  # never image 3: dog is no candidate
        "hp@1": 3 / 4,  # 0, 1, 1, 1
        "hp@2": 2.5 / 4,  # 1/2, 1, 1/2, 1/2
        "hp@4": 1.0,
    }
    assert softmax.per_image == {
        "hit@1": 0,
        "hit@2": 0,
        "hit@4": None,
        "hp@1": 0,
        "hp@2": 0.5 / 4,
        "hp@4": None,
    }
    assert chance.per_image == {
        "hit@1": 3 / 4 * 1 / 4,
        "hit@2": 3 / 4 * 2 / 4,
        "hit@4": 3 / 4,
        "hp@1": (1 + 1 + 1 + 2) / 4 / 4,
        "hp@2": (2 + 2 + 1 + 2) / 4 / 4,
        "hp@4": 1.0,
    }


def test_by_hand_per_class(by_hand: EvaluationResult) -> None:
    devise, softmax, _ = by_hand.rows
    means = {
        name: pytest.approx(value, rel=1e-15)
        for name, value in {
            "hit@1": (1 / 2 + 1 + 0) / 3,
            "hit@2": (1 / 2 + 1 + 0) / 3,
            "hit@4": 2 / 3,
            "hp@1": (1 / 2 + 1 + 1) / 3,
            "hp@2": (3 / 4 + 1 / 2 + 1 / 2) / 3,
            "hp@4": 1.0,
        }.items()
    }
    assert devise.per_class == means
    assert softmax.per_class["hp@2"] == pytest.approx(1 / 6, rel=1e-15)


def test_counts(by_hand: EvaluationResult) -> None:
    counts = (by_hand.images, by_hand.classes, by_hand.candidates, by_hand.trained)
    assert counts == (4, 3, 4, 2)
    assert (by_hand.absent_images, by_hand.absent_classes) == (1, 1)
    assert [(row.scorer, row.labels, row.unranked) for row in by_hand.rows] == [
        ("devise", 4, 0),
        ("softmax", 2, 4),
        ("chance", 4, 0),
    ]


def test_to_dict_is_json_with_integers_and_without_surprises(by_hand: EvaluationResult, nine: Taxonomy) -> None:
    table = by_hand.to_dict()
    assert set(table) == {
        *("images", "classes", "candidates", "trained", "absent_images", "absent_classes", "settings", "rows")
    }
    assert json.loads(json.dumps(table, allow_nan=False)) == table
    first = table["rows"][0]
    assert (first["scorer"], first["hit@1"], first["hp@2"], first["per_class"]["hit@1"]) == (
        "devise",
        0.5,
        0.625,
        0.5,
    )
    assert set(first["per_class"]) == set(SMALL_KS.measures)
    assert table["rows"][1]["hp@4"] is None
    assert table["settings"]["graph"] == nine.graph_hash
    assert table["settings"]["hit_ks"] == [1, 2, 4]


def test_markdown(by_hand: EvaluationResult, nine: Taxonomy) -> None:
    lines = markdown(by_hand).splitlines()
    assert lines[:5] == [
        "| scorer | hit@1 | hit@2 | hit@4 | hp@1 | hp@2 | hp@4 |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| devise | 50.0 | 50.0 | 75.0 | .750 | .625 | 1.000 |",
        "| softmax | 0.0 | 0.0 | - | .000 | .125 | - |",
        "| chance | 18.8 | 37.5 | 75.0 | .312 | .438 | 1.000 |",
    ]
    assert lines[5] == ""
    for fact in (
        "4 images of 3 classes",
        "4 candidate labels",
        nine.graph_hash[:12],
        "1 image without a right",
    ):
        assert fact in lines[6]
    assert cells(by_hand, per_class=True)[1][:4] == ("devise", "50.0", "50.0", "66.7")


def test_the_scores_of_one_image(nine: Taxonomy) -> None:
    result = evaluate_rankings({"one": ranked((KITTEN, PUPPY))}, (PUPPY,), (PUPPY, KITTEN), (), nine)
    row = result.rows[0]
    assert (row.per_image["hit@1"], row.per_image["hit@2"], row.per_image["hp@2"]) == (0.0, 1.0, 1.0)
    assert row.per_class == row.per_image
    assert row.per_image["hit@5"] is None
    assert (result.trained, result.absent_images) == (0, 0)


def test_the_settings_state_the_tie_rule_of_the_index() -> None:
    assert EvaluationSettings().ties == TIE_RULE


def test_trained_labels_among_the_candidates_count_once(nine: Taxonomy) -> None:
    both = (PUPPY, HOUND, CAT, TABBY)
    result = evaluate_rankings({"s": ranked(both)}, (CAT,), both, TRAINED, nine, settings=SMALL_KS)
    assert result.rows[0].per_image == {"hit@1": 0, "hit@2": 0, "hit@4": 1, "hp@1": 0, "hp@2": 0, "hp@4": 1}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"candidates": (PUPPY, PUPPY, TOOL)}, LabelError, "1 duplicate candidate label"),
        ({"trained": (CAT, TABBY, CAT)}, LabelError, "1 duplicate trained label"),
        ({"candidates": (*CANDIDATES, "n99999999")}, TaxonomyError, "n99999999"),
        ({"truth_ids": (PUPPY, PUPPY, "n99999999", DOG)}, TaxonomyError, "n99999999"),
        ({"truth_ids": (PUPPY,)}, UsageError, "ranks 4 images, but there are 1 true label:"),
        ({"truth_ids": ()}, UsageError, "got 0 and 4"),
        ({"candidates": ()}, UsageError, "got 4 and 0"),
        ({"candidates": (PUPPY, HOUND, KITTEN)}, LabelError, f"devise ranks {TOOL}, which is neither"),
        ({"rankings": {"chance": DEVISE}}, UsageError, "rename the scorer"),
        (
            {"rankings": {"short": RankedIds(DEVISE.ids, DEVISE.ranking[:, :3])}},
            UsageError,
            "short gives the first 3 labels of an image, expected 4: rank further or lower k",
        ),
    ],
)
def test_bad_questions(nine: Taxonomy, change: dict[str, object], error: type[Exception], message: str) -> None:
    question: dict[str, object] = {
        "rankings": {"devise": DEVISE},
        "truth_ids": TRUTH,
        "candidates": CANDIDATES,
        "trained": TRAINED,
    }
    with pytest.raises(error, match=message):
        evaluate_rankings(**(question | change), taxonomy=nine, settings=SMALL_KS)


@pytest.mark.parametrize(
    ("ids", "positions", "message"),
    [
        (("a", "b", "a"), [[0, 1]], "duplicate label in a ranked label list"),
        (("a", "b"), [[0, 2]], "positions from 0 to 1"),
        (("a", "b"), [[0, -1]], "positions from 0 to 1"),
        (("a", "b", "c"), [[0, 1], [2, 2]], "duplicate label in the ranking of an image"),
    ],
)
def test_rankings_that_are_not(ids: tuple[str, ...], positions: list[list[int]], message: str) -> None:
    with pytest.raises(LabelError, match=message):
        RankedIds(ids, np.array(positions))


@pytest.mark.parametrize("ks", [(0, 1), (2, 2), (-1,)])
def test_settings_refuse_bad_ks(ks: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="different and at least 1"):
        EvaluationSettings(hp_ks=ks)


@st.composite
def small_questions(
    draw: st.DrawFn,
) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Parents of every node (some graphs fall apart); the three label lists; the truth."""
    size = draw(st.integers(2, 14))
    names = [f"n{number:08d}" for number in range(1, size + 1)]
    parents = {
        name: tuple(sorted(draw(st.sets(st.sampled_from(names[:place]), max_size=2)))) if place else ()
        for place, name in enumerate(names)
    }
    labels = draw(st.permutations(names))
    candidates = draw(st.integers(1, size))
    first_trained = draw(st.integers(0, size))  # the trained labels may overlap the candidates
    lists = {"candidates": tuple(labels[:candidates]), "trained": tuple(labels[first_trained:])}
    return parents, lists, tuple(draw(st.lists(st.sampled_from(names), min_size=1, max_size=6)))


@given(small_questions(), st.integers(0, 2**32 - 1))
@settings(max_examples=120, deadline=None)
def test_same_as_the_slow_reference_on_random_graphs(
    reference: ModuleType,
    question: tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]], tuple[str, ...]],
    seed: int,
) -> None:
    parents, lists, truth = question
    taxonomy = Taxonomy.from_synsets(Synset(name, (name,), hypernyms=above) for name, above in parents.items())
    candidates, trained = lists["candidates"], lists["trained"]
    rng = np.random.default_rng(seed)
    rankings = {
        name: RankedIds(ids, np.array([rng.permutation(len(ids)) for _ in truth]))
        for name, ids in (("zero-shot", candidates), ("softmax", trained))
        if ids
    }
    ks = (3, 1, 2, 5)
    rules = EvaluationSettings(hit_ks=ks, hp_ks=ks)
    result = evaluate_rankings(rankings, truth, candidates, trained, taxonomy, settings=rules)
    valid = {*candidates, *trained}
    for row in result.rows[:-1]:
        ids, ranking = rankings[row.scorer].ids, rankings[row.scorer].ranking
        predictions = [[ids[place] for place in order] for order in ranking.tolist()]
        pairs = list(zip(predictions, truth, strict=True))
        for k in ks:
            hits: list[Fraction] = [reference.hit_at_k(order, label, k) for order, label in pairs]
            precisions = [reference.hp_at_k(parents, order, label, k, valid) for order, label in pairs]
            for measure, values in ((f"hit@{k}", hits), (f"hp@{k}", precisions)):
                if k > min(len(ids), len(candidates)):
                    assert row.per_image[measure] is None
                    assert row.per_class[measure] is None
                    continue
                # a handful of roundings of numbers up to 1
                assert row.per_image[measure] == pytest.approx(float(reference.mean(values)), abs=1e-14)
                by_class = float(reference.mean_of_class_means(values, truth))
                assert row.per_class[measure] == pytest.approx(by_class, abs=1e-14)
    for k in (k for k in ks if k <= len(candidates)):
        shares = [
            Fraction(len(reference.correct_set(parents, label, k, valid) & set(candidates)), len(candidates))
            for label in truth
        ]
        assert result.rows[-1].per_image[f"hp@{k}"] == pytest.approx(float(reference.mean(shares)), abs=1e-14)


@given(small_questions(), st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_hp_at_1_is_hit_at_1_when_the_true_label_is_a_candidate(
    question: tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]], tuple[str, ...]], seed: int
) -> None:
    parents, lists, _ = question
    taxonomy = Taxonomy.from_synsets(Synset(name, (name,), hypernyms=above) for name, above in parents.items())
    candidates = lists["candidates"]
    rng = np.random.default_rng(seed)
    truth = tuple(rng.choice(candidates, 9).tolist())
    orders = np.array([rng.permutation(len(candidates)) for _ in truth])
    rules = EvaluationSettings(hit_ks=(1,), hp_ks=(1,))
    result = evaluate_rankings(
        {"s": RankedIds(candidates, orders)}, truth, candidates, lists["trained"], taxonomy, settings=rules
    )
    for row in result.rows:
        assert row.per_image["hp@1"] == row.per_image["hit@1"]
        assert row.per_class["hp@1"] == row.per_class["hit@1"]


def test_correct_sets_of_the_ilsvrc_classes_have_the_known_sizes(shared: Path) -> None:
    """Mean sizes 4.5, 9.5, 18.0, 33.8 at k = 2, 5, 10, 20 over plain WordNet 3.0; chance is size / 1000."""
    ids = tuple((shared / "data/splits/ilsvrc2012-wnids.txt").read_text().split())
    orders = np.tile(np.arange(20), (1000, 1))
    result = evaluate_rankings({"s": RankedIds(ids, orders)}, ids, ids, ids, default_taxonomy())
    chance = result.rows[-1].per_image
    sizes = [1000 * (chance[f"hp@{k}"] or 0) for k in (2, 5, 10, 20)]
    assert sizes == pytest.approx([4.5, 9.5, 18.0, 33.8], abs=0.05)
    assert chance["hit@5"] == 0.005
