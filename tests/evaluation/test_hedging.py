"""As wide a name as is sure: four photos by hand, and the area against thin strips."""

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.errors import RecordError
from devise.evaluation.compare import compare_records
from devise.evaluation.hedging import Hedged, hedged_answers, hedging_area, hedging_cells, hedging_curve
from devise.evaluation.record import Hedging, ImageRecord, Record, ScorerRecord
from devise.evaluation.statistics import Bootstrap
from devise.evaluation.summary import absent_measures, summarise
from devise.taxonomy.wordnet import Taxonomy

ANIMAL, DOG, CAT, PUPPY, HOUND, KITTEN, TABBY, TOOL, ENTITY = (f"n{number:08d}" for number in range(1, 10))
TRUTH = (PUPPY, PUPPY, KITTEN, HOUND)
PLACES = {PUPPY: 0, HOUND: 1, KITTEN: 2, CAT: 3, ANIMAL: 4, DOG: 5, ENTITY: 6, "": -1}
ANSWERS = [[PUPPY, DOG], [HOUND, DOG], [CAT, CAT], [KITTEN, ""]]
LOG_TRUTH = np.log([0.5, 0.25, 0.25, 0.5])


@pytest.fixture
def record(nine: Taxonomy) -> Record:
    """Puppy, hound, kitten compete, cat is trained too: 2 bits for each of the three, 1 for cat and for dog."""
    rules = {"hit_ks": [1], "hp_ks": [], "ties": "t", "valid_labels": "v", "absent_truth": "a", "label_policy": "p"}
    images = tuple(ImageRecord(f"{number}.jpg", truth) for number, truth in enumerate(TRUTH))
    one = ScorerRecord(
        labels=3,
        top=np.array([[0, 1, 2], [1, 0, 2], [2, 0, 1], [0, 1, 2]]),
        scores=np.tile(np.array([3, 2, 1], dtype=np.float32), (4, 1)),
        rank=np.array([1, 2, 1, 2]),
        confidence=np.array([0.5, 0.5, 0.25, 0.5], dtype=np.float32),
        log_truth=LOG_TRUTH.astype(np.float32),
        squares=np.full(4, 0.375, dtype=np.float32),
        answers=np.array([[PLACES[one] for one in row] for row in ANSWERS]),
    )
    hedging = Hedging((0.5, 0.9), (ANIMAL, DOG, ENTITY))
    settings = rules | {"graph": nine.graph_hash}
    return Record(settings, (PUPPY, HOUND, KITTEN), (CAT, PUPPY), images, {"one": one}, hedging=hedging)


def area(answers: Hedged) -> float:
    return float(hedging_area(answers)(np.ones((1, len(answers.possible))))[0])


def test_four_photos_by_hand(record: Record, nine: Taxonomy) -> None:
    found = hedged_answers(record, nine)["one"]
    assert found.bits.tolist() == [[2, 1], [2, 1], [1, 1], [2, 0]]
    assert found.right.tolist() == [[True, True], [False, True], [True, True], [False, True]]
    assert found.possible.tolist() == [2, 2, 2, 2]
    curve = hedging_curve(found)
    assert (curve.bits, curve.right, curve.possible) == ((1.75, 0.75), (0.5, 1.0), 2.0)
    # (0, 1) to (3/4, 1) to (7/4, 1/2), and nothing from there to 2
    assert area(found) == (0.75 + 0.75) / 2
    assert hedging_cells({"one": curve}) == (("threshold", "one"), ("0.5", "50.0 at 1.8"), ("0.9", "100.0 at 0.8"))


def answering(record: Record, answers: list[list[str]]) -> Record:
    places = np.array([[PLACES[one] for one in row] for row in answers])
    return replace(record, scorers={"one": replace(record.scorers["one"], answers=places)})


@pytest.mark.parametrize(
    ("answers", "wanted"),
    [
        ([[one, one] for one in TRUTH], 1.0),
        ([[ENTITY, ENTITY]] * 4, 0.0),
        ([["", ""]] * 4, 0.0),
        ([[HOUND, HOUND], [HOUND, HOUND], [PUPPY, PUPPY], [KITTEN, KITTEN]], 0.5),  # the diagonal from the root
        ([[DOG, DOG], [DOG, DOG], [CAT, CAT], [DOG, DOG]], 0.5),  # always right, with half of the bits
    ],
)
def test_extremes(record: Record, nine: Taxonomy, answers: list[list[str]], wanted: float) -> None:
    assert area(hedged_answers(answering(record, answers), nine)["one"]) == wanted


def test_an_answer_that_tells_more_than_can_be_right(record: Record, nine: Taxonomy) -> None:
    """Photos of cats called puppies: cut at the 1 bit of "cat", where the line from the root has come to 1/2."""
    cats = replace(record, images=tuple(ImageRecord(f"{number}.jpg", CAT) for number in range(4)))
    found = hedged_answers(answering(cats, [[PUPPY, PUPPY]] * 4), nine)["one"]
    assert found.possible.tolist() == [1] * 4
    assert area(found) == 0.75


def test_a_truth_that_is_no_label_is_right_by_what_is_above_it(record: Record, nine: Taxonomy) -> None:
    tabbies = replace(record, images=tuple(ImageRecord(f"{number}.jpg", TABBY) for number in range(4)))
    found = hedged_answers(tabbies, nine)["one"]
    assert found.right[:, 0].tolist() == [False, False, True, False]
    assert found.possible.tolist() == [1] * 4
    tools = hedged_answers(replace(record, images=(ImageRecord("x", TOOL),) * 4), nine)["one"]
    assert np.isnan(area(tools))


ROW = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=3, max_size=3)


@given(
    st.lists(st.tuples(st.integers(0, 3), ROW), min_size=1, max_size=6),
    st.lists(st.integers(0, 3), min_size=6, max_size=6),
)
def test_the_area_in_strips_and_with_weights(
    slow: ModuleType, images: list[tuple[int, list[tuple[int, bool]]]], weights: list[int]
) -> None:
    """The less is asked for, the more bits; the weight of an image is as many copies of it."""
    bits = np.array([sorted((float(one) for one, _ in row), reverse=True) for _, row in images])
    right = np.array([[yes for _, yes in row] for _, row in images])
    possible = np.array([float(most) for most, _ in images])
    counts = np.array(weights[: len(images)], dtype=np.float64)
    if not counts @ possible:
        return
    found = float(hedging_area(Hedged((0.1, 0.2, 0.3), bits, right, possible))(counts[None])[0])
    means = [(counts @ column) / counts.sum() for column in (bits, right, possible)]
    points = list(zip(means[0][::-1].tolist(), means[1][::-1].tolist(), strict=True))
    assert found == pytest.approx(slow.hedging_area(points, float(means[2])), abs=2e-3)


def test_the_measures_of_the_summary(record: Record, nine: Taxonomy) -> None:
    """Guesses puppy, hound, kitten, puppy of puppy, puppy, kitten, hound: below the root 3 synsets each, 2 shared in
    the two that are wrong."""
    summary = summarise(record, nine, rules=Bootstrap(draws=20))
    found = {name: of.value for name, of in summary.measures["one"].items()}
    assert found["ancestor precision"] == found["ancestor recall"] == found["ancestor f1"] == pytest.approx(10 / 12)
    assert found["hedging area"] == 0.75
    assert (found["right@0.5"], found["bits@0.5"], found["right@0.9"], found["bits@0.9"]) == (0.5, 1.75, 1, 0.75)
    assert "right@0.7" not in found
    assert found["log loss"] == pytest.approx((2 * np.log(2) + 2 * np.log(4)) / 4)
    assert found["brier"] == pytest.approx(1 + 0.375 - 2 * 0.375)
    # Right are 0.5 and 0.25, wrong 0.5 twice. In equal masses 0.25 is alone and the three equal ones are together.
    assert found["adaptive ece"] == found["ece"] == pytest.approx((0.75 + 0.5) / 4)
    stored = summary.to_dict()
    assert list(stored["hedging"]["one"]["right"]) == [0.5, 1.0]
    assert stored["class_means"]["one"]["bits@0.9"]["value"] == pytest.approx((1 + 1 + 0) / 3)


def test_compared_and_absent(record: Record, nine: Taxonomy) -> None:
    better = answering(record, [[one, one] for one in TRUTH])
    (found,) = compare_records(record, better, nine, rules=Bootstrap(draws=20))
    assert found.differences["hedging area"].change.value == 0.25
    assert found.hedging is not None
    assert [curve.right for curve in found.hedging] == [(0.5, 1.0), (1.0, 1.0)]
    assert absent_measures(record) == ""
    lacking = replace(record.scorers["one"], log_truth=None, squares=None, answers=None)
    old = replace(record, scorers={"one": lacking}, hedging=None)
    (found,) = compare_records(old, better, nine, rules=Bootstrap(draws=20))
    assert found.hedging is None
    assert not {"brier", "log loss", "hedging area", "bits@0.9"} & found.differences.keys()
    assert "ancestor f1" in found.differences
    told = absent_measures(old)
    assert "brier and log loss of one; right@t, bits@t and hedging area of one: make it again" in told


def test_a_record_of_other_nodes(record: Record, nine: Taxonomy) -> None:
    with pytest.raises(RecordError, match=f"answers {TOOL}, which is not above any of its labels"):
        hedged_answers(replace(record, hedging=Hedging((0.5, 0.9), (ANIMAL, TOOL, ENTITY))), nine)
