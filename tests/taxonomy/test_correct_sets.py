"""Correct sets on the farm, by hand: from puppy the ball holds

radius 0 puppy; 1 dog; 2 animal, pet, hound, Lassie; 3 entity, cat; 4 tool, kitten.
"""

from pathlib import Path

import numpy as np
import pytest

from devise.errors import TaxonomyError
from devise.taxonomy.correct_sets import CorrectSets, cached_correct_sets
from devise.taxonomy.wordnet import Taxonomy

ANIMAL, DOG, TOOL, PUPPY, HOUND, KITTEN, IDEA, PLOT = (f"n{n:08d}" for n in (2, 3, 5, 6, 7, 8, 11, 13))
VALID = (KITTEN, TOOL, PUPPY, HOUND)


@pytest.mark.parametrize(
    ("label", "k", "expected"),
    [
        (PUPPY, 1, {PUPPY}),
        (PUPPY, 2, {PUPPY, HOUND}),
        (PUPPY, 3, {PUPPY, HOUND, TOOL, KITTEN}),  # the tie at radius 4 is kept
        (PUPPY, 4, {PUPPY, HOUND, TOOL, KITTEN}),
        (PUPPY, 5, {PUPPY, HOUND, TOOL, KITTEN}),  # no more can be reached
        (DOG, 1, {PUPPY, HOUND}),  # the label is no valid one itself
        (ANIMAL, 1, {PUPPY, HOUND, TOOL, KITTEN}),  # radius 2, through entity and dog and cat
        (PLOT, 1, set()),  # nothing valid is joined to it
    ],
)
def test_by_hand(farm: Taxonomy, label, k, expected):
    assert farm.correct_set(label, k, VALID) == expected
    assert farm.correct_set(label, k, frozenset(VALID)) == expected


def test_in_bulk_they_are_positions_in_the_order_of_the_valid_labels(farm: Taxonomy):
    sets = farm.correct_sets([ANIMAL, PUPPY, PLOT], [2, 1, 20], VALID)
    assert sets.members(PUPPY, 1).tolist() == [2]
    assert sets.members(PUPPY, 2).tolist() == [2, 3]
    assert sets.members(PUPPY, 20).tolist() == [0, 1, 2, 3]
    assert sets.members(PLOT, 20).tolist() == []
    assert sets.members(PUPPY, 2).dtype == np.int64
    assert sets.sizes(1).tolist() == [4, 1, 0]
    assert sets.sizes(2).tolist() == [4, 2, 0]


def test_a_label_in_another_part_counts_only_there(farm: Taxonomy):
    assert farm.correct_set(PLOT, 2, [*VALID, IDEA]) == {IDEA}


def test_what_was_not_asked_is_an_error(farm: Taxonomy):
    sets = farm.correct_sets([PUPPY], [2, 5], VALID)
    with pytest.raises(TaxonomyError, match=f"for {KITTEN}: add it to"):
        sets.members(KITTEN, 2)
    with pytest.raises(TaxonomyError, match=r"for k = 3, only for \(2, 5\)"):
        sets.members(PUPPY, 3)
    with pytest.raises(TaxonomyError, match="k = 1"):
        sets.sizes(1)


@pytest.mark.parametrize("ks", [[], [0], [5, -1]])
def test_k_is_at_least_one(farm: Taxonomy, ks):
    with pytest.raises(TaxonomyError, match="k of 1 or more"):
        farm.correct_sets([PUPPY], ks, VALID)


def test_valid_labels_are_known_and_stand_once(farm: Taxonomy):
    with pytest.raises(TaxonomyError, match="'user:yeti'"):
        farm.correct_set(PUPPY, 1, [PUPPY, "user:yeti"])
    with pytest.raises(TaxonomyError, match="duplicate valid label"):
        farm.correct_sets([PUPPY], [1], [PUPPY, PUPPY])
    with pytest.raises(TaxonomyError, match="'n99999999'"):
        farm.correct_sets(["n99999999"], [1], [PUPPY])


ANIMAL, TOOL, PUPPY, HOUND, KITTEN, PLOT = (f"n{n:08d}" for n in (2, 5, 6, 7, 8, 13))
ASKED = ([PUPPY, ANIMAL, PLOT], (1, 2, 20), VALID)


def same(one: CorrectSets, other: CorrectSets) -> bool:
    return (one.ids, one.ks) == (other.ids, other.ks) and all(
        one.members(name, k).tolist() == other.members(name, k).tolist() for name in one.ids for k in one.ks
    )


def test_what_is_read_is_what_was_grown(farm: Taxonomy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    grown = farm.correct_sets(*ASKED)
    assert same(cached_correct_sets(farm, *ASKED, tmp_path / "new"), grown)
    (file,) = (tmp_path / "new").iterdir()
    monkeypatch.setattr(Taxonomy, "correct_sets", lambda *_: pytest.fail("grown again"))
    read = cached_correct_sets(farm, *ASKED, tmp_path / "new")
    assert same(read, grown)
    assert read.counts.tolist() == grown.counts.tolist()
    np.testing.assert_equal(list(read.nearest), list(grown.nearest))
    assert file.suffix == ".bin"


@pytest.mark.parametrize("other", [([PUPPY], (1, 2, 20), VALID), (ASKED[0], (1, 2), VALID), (*ASKED[:2], VALID[::-1])])
def test_every_part_of_the_question_counts(farm: Taxonomy, tmp_path: Path, other):
    cached_correct_sets(farm, *ASKED, tmp_path)
    assert same(cached_correct_sets(farm, *other, tmp_path), farm.correct_sets(*other))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("change", [lambda data: b"", lambda data: data[:-4], lambda data: data[:-1] + b"\x07"])
def test_a_broken_file_is_grown_and_written_again(farm: Taxonomy, tmp_path: Path, change):
    grown = cached_correct_sets(farm, *ASKED, tmp_path)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(change(whole))
    assert same(cached_correct_sets(farm, *ASKED, tmp_path), grown)
    assert file.read_bytes() == whole


def test_a_folder_that_cannot_be_made_is_no_error(farm: Taxonomy, tmp_path: Path):
    (tmp_path / "file").write_text("")
    assert same(cached_correct_sets(farm, *ASKED, tmp_path / "file" / "sub"), farm.correct_sets(*ASKED))


def test_no_folder_writes_nothing(farm: Taxonomy):
    assert same(cached_correct_sets(farm, *ASKED, None), farm.correct_sets(*ASKED))
