"""The zero-shot tables on four photos, by hand."""

import numpy as np
import pytest

from devise.evaluation.record import ImageRecord, Record, ScorerRecord
from devise.evaluation.tables import EvaluationSettings
from devise.evaluation.zeroshot import generalised_rows, groups_of, zero_shot_rows
from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import Taxonomy

ANIMAL, DOG, CAT, PUPPY, HOUND, KITTEN, TABBY, TOOL, ENTITY = (f"n{number:08d}" for number in range(1, 10))


def test_a_class_below_a_trained_one_is_related_and_so_is_one_above(nine: Taxonomy) -> None:
    found = groups_of([KITTEN, TABBY, ANIMAL, ENTITY, CAT, DOG, PUPPY, TOOL], [CAT], nine)
    assert found == {
        **dict.fromkeys((KITTEN, TABBY, ANIMAL, ENTITY), "related"),
        CAT: "trained",
        **dict.fromkeys((DOG, PUPPY, TOOL), "unseen"),
    }


LEAVES = tuple(f"n{number:08d}" for number in range(100, 140))
"""Two kinds of 20 leaves each, all candidates; the first is trained."""


@pytest.fixture
def forty() -> Taxonomy:
    halves = {DOG: LEAVES[:20], CAT: LEAVES[20:]}
    below = [Synset(leaf, (leaf,), hypernyms=(half,)) for half, leaves in halves.items() for leaf in leaves]
    return Taxonomy.from_synsets(
        [Synset(ANIMAL, ("animal",)), *(Synset(half, (half,), hypernyms=(ANIMAL,)) for half in halves), *below]
    )


@pytest.fixture
def record(forty: Taxonomy) -> Record:
    """Photos: trained, named first; trained, named fourth; two of other classes, named first and not at all."""
    truth = (LEAVES[0], LEAVES[0], LEAVES[1], LEAVES[2])
    places = list(range(40))
    tops = [places[:20], [3, 2, 1, 0, *places[4:20]], [1, 0, *places[2:20]], places[3:23]]
    settings = EvaluationSettings((1, 2, 5, 10, 20), (2, 5, 10, 20), graph=forty.graph_hash)
    one = ScorerRecord(
        labels=40,
        top=np.array(tops),
        scores=np.tile(np.arange(20, 0, -1, dtype=np.float32), (4, 1)),
        rank=np.array([1, 4, 1, 40]),
    )
    images = tuple(ImageRecord(f"{number}.jpg", name) for number, name in enumerate(truth))
    return Record({**vars(settings)}, LEAVES, LEAVES[:1], images, {"devise": one})


def test_times_chance_is_of_hits(forty: Taxonomy, record: Record) -> None:
    """One of two photos is hit at 1, 5 and 20; chance is k of 40. hp is more: 17 siblings of the truth come first."""
    row = zero_shot_rows("imagenet-all", record, forty)[0]
    assert (row.model, row.group, row.photos, row.classes) == ("DeViSE", "unseen", 2, 2)
    assert row.hits == (50.0, 50.0, 50.0)
    assert row.times_chance == pytest.approx((20.0, 4.0, 1.0))
    assert row.precisions == pytest.approx((50.0, 100.0, 100 * (1 + 17 / 20) / 2))


def test_the_harmonic_mean_is_harmonic(forty: Taxonomy, record: Record) -> None:
    row = next(row for row in generalised_rows("imagenet-all+1K", record, forty) if row.model == "DeViSE")
    assert (row.seen, row.unseen) == ((50.0, 100.0, 100.0), (50.0, 50.0, 50.0))
    assert row.harmonic == pytest.approx((50.0, 2 * 100 * 50 / 150, 2 * 100 * 50 / 150))
