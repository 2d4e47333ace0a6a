from dataclasses import replace

import numpy as np
import pytest

from devise.errors import RecordError
from devise.evaluation.compare import Change, compare_records
from devise.evaluation.record import ImageRecord, Record, ScorerRecord
from devise.evaluation.statistics import Bootstrap
from devise.evaluation.summary import summarise
from devise.evaluation.tables import evaluate_record, rate_record, settings_of
from devise.taxonomy.wordnet import Taxonomy

ANIMAL, DOG, CAT, PUPPY, HOUND, KITTEN, TABBY, TOOL, ENTITY = (f"n{number:08d}" for number in range(1, 10))
CANDIDATES, TRAINED = (PUPPY, HOUND, KITTEN), (CAT, PUPPY)
LABELS = (*CANDIDATES, CAT)
TRUTH = (PUPPY, PUPPY, KITTEN, HOUND)


def scorer(*orders: str) -> ScorerRecord:
    """From orders such as "pkh"."""
    top = np.array([["phk".index(letter) for letter in order] for order in orders])
    rank = [row.index(LABELS.index(truth)) + 1 for row, truth in zip(top.tolist(), TRUTH, strict=True)]
    return ScorerRecord(3, top, np.tile(np.array([3, 2, 1], dtype=np.float32), (4, 1)), np.array(rank))


@pytest.fixture
def record(nine: Taxonomy) -> Record:
    settings = {
        "hit_ks": [1, 2],
        "hp_ks": [2],
        "ties": "t",
        "valid_labels": "v",
        "absent_truth": "a",
        "label_policy": "p",
        "graph": nine.graph_hash,
    }
    images = tuple(ImageRecord(f"{number}.jpg", truth) for number, truth in enumerate(TRUTH))
    scorers = {"good": scorer("phk", "phk", "kph", "phk"), "bad": scorer("hpk", "phk", "hkp", "khp")}
    return Record(settings, CANDIDATES, TRAINED, images, scorers)


def test_differences_by_hand(record: Record, nine: Taxonomy) -> None:
    (found,) = compare_records(record, record, nine, scorer="good", against="bad")
    hit = found.differences["hit@1"]
    assert (hit.first, hit.second, hit.change.value) == (0.75, 0.25, -0.5)
    assert found.differences["rank mean"].change.value == 1.75 - 1.25
    assert found.gained == ()
    assert found.lost == (Change("0.jpg", PUPPY, PUPPY, HOUND), Change("2.jpg", KITTEN, KITTEN, HOUND))
    assert found.moved == (Change("3.jpg", HOUND, PUPPY, KITTEN),)


def test_a_record_does_not_differ_from_itself(record: Record, nine: Taxonomy) -> None:
    for found in compare_records(record, record, nine):
        assert found.first == found.second
        assert (found.gained, found.lost, found.moved) == ((), (), ())
        for one in found.differences.values():
            assert one.change.value == 0
            assert one.change.images == (0.0, 0.0)


def test_the_other_way_round_is_the_negative(record: Record, nine: Taxonomy) -> None:
    (one,) = compare_records(record, record, nine, scorer="good", against="bad")
    (other,) = compare_records(record, record, nine, scorer="bad", against="good")
    for name, there in one.differences.items():
        back = other.differences[name].change
        assert there.change.value == -(back.value or 0)
        assert there.change.images is not None
        assert back.images is not None
        assert there.change.images == pytest.approx((-back.images[1], -back.images[0]), abs=1e-6)
    assert (other.gained, other.lost) == (
        tuple(Change(c.image, c.truth, c.second, c.first) for c in one.lost),
        one.gained,
    )


def test_pairing_makes_intervals_narrower_than_those_of_the_two(record: Record, nine: Taxonomy) -> None:
    """The good one is right wherever the bad one is: the difference cannot change its sign."""
    (found,) = compare_records(record, record, nine, scorer="bad", against="good", rules=Bootstrap(draws=500))
    change = found.differences["hit@1"].change.images
    assert change is not None
    assert change[0] >= 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": (ImageRecord("x.jpg", PUPPY),) * 4}, r"different photos \(4 and 4 photos, 5 in one only"),
        ({"candidates": (PUPPY, HOUND, TOOL)}, r"different candidates \(3 and 3, 2 in one only\)"),
        ({"candidates": (HOUND, PUPPY, KITTEN)}, r"different candidates \(3 and 3, 0 in one only\)"),
        ({"trained": (CAT,)}, "different trained labels"),
        ({"scorers": {}}, "no scorer in common: good, bad; "),
    ],
)
def test_records_that_cannot_be_compared(
    record: Record, nine: Taxonomy, change: dict[str, object], message: str
) -> None:
    other = replace(record, **change)
    with pytest.raises(RecordError, match=message) as caught:
        compare_records(record, other, nine)
    assert "\n" not in str(caught.value)


def test_other_rules_and_scorers(record: Record, nine: Taxonomy) -> None:
    with pytest.raises(RecordError, match=r"different rules \(hp_ks\)"):
        compare_records(record, replace(record, settings=record.settings | {"hp_ks": [3]}), nine)
    with pytest.raises(RecordError, match="no scorer 'best': use one of good, bad"):
        compare_records(record, record, nine, scorer="best")
    with pytest.raises(RecordError, match="no scorer 'worst'"):
        compare_records(record, record, nine, scorer="good", against="worst")


def test_a_record_gives_the_tables_of_an_evaluation(record: Record, nine: Taxonomy) -> None:
    """Correct sets at 2 over puppy, hound, kitten, cat: puppy {puppy, hound}; hound the same; kitten {kitten, cat}."""
    good, bad, chance = evaluate_record(record, nine).rows
    assert (good.per_image["hit@1"], bad.per_image["hit@1"], chance.per_image["hit@1"]) == (0.75, 0.25, 1 / 3)
    assert good.per_image["hp@2"] == (1 + 1 + 0.5 + 1) / 4
    assert bad.per_image["hp@2"] == (1 + 1 + 0.5 + 0.5) / 4
    some = rate_record(record, nine).table([1, 2]).rows[0]
    assert (some.per_image["hit@1"], some.per_image["hp@2"]) == (1.0, 0.75)
    sides = rate_record(record, nine).generalised(record.trained_images)
    assert sides is not None
    assert (sides.seen.images, sides.unseen.images) == (2, 2)
    assert sides.harmonic()[0]["hit@1"] == pytest.approx(2 * 1 * 0.5 / 1.5)


def test_the_summary_has_the_values_of_the_table(record: Record, nine: Taxonomy) -> None:
    rows, found = evaluate_record(record, nine).rows, summarise(record, nine, rules=Bootstrap(draws=50))
    for row in rows[:-1]:
        for name in ("hit@1", "hit@2", "hp@2"):
            assert found.measures[row.scorer][name].value == pytest.approx(row.per_image[name])
            assert found.class_means[row.scorer][name].value == pytest.approx(row.per_class[name])
    good = found.measures["good"]
    assert good["lca height"].value == 1  # the one error calls a hound a puppy
    assert (good["rank mean"].value, good["rank median"].value) == (1.25, 1.0)
    assert (good["seen hit@1"].value, good["unseen hit@1"].value) == (1.0, 0.5)
    assert good["harmonic hit@1"].value == pytest.approx(2 / 3)
    assert summarise(record, nine, rules=Bootstrap(draws=50)).to_dict() == found.to_dict()


def test_a_record_of_another_graph_or_version(record: Record, nine: Taxonomy) -> None:
    with pytest.raises(RecordError, match="made with the is-a graph 0123"):
        evaluate_record(replace(record, settings=record.settings | {"graph": "0123"}), nine)
    with pytest.raises(RecordError, match="needs the settings"):
        settings_of(replace(record, settings={"graph": "x"}))
