"""What is worked out of a record, by hand."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.errors import UsageError
from devise.evaluation.record import Record
from devise.labeller.report.build import ReportOptions, build_content, chosen_evenly
from devise.labeller.report.cards import gallery_section
from devise.labeller.report.measured import finder, measured_of
from devise.taxonomy.wordnet import default_taxonomy

ZEBRA, KIANG, HARP, GUITAR = "n02391049", "n02390738", "n03495258", "n03467517"
ENTITY = "n00001740"
CANDIDATES = (KIANG, HARP, GUITAR, "n02123045", ZEBRA)


def nowhere(_: str) -> None:
    return None


def test_tables_by_hand(record: Record):
    measured = measured_of(record, default_taxonomy())
    titles = [table.title for table in measured.tables]
    assert titles == [
        "Means over the photos",
        "Means over the classes",
        "Photos of trained classes",
        "Photos of other classes",
    ]
    rows = {row[0]: row for row in measured.tables[0].rows}
    assert rows["fused"][1:4] == ("50.0", "100.0", "100.0")
    assert rows["softmax"][1:3] == ("25.0", "25.0")
    assert rows["softmax"][3] == "-", "the softmax ranks two labels, so it has no hit@5"
    assert rows["chance"][1:4] == ("20.0", "40.0", "100.0")
    assert "left out: not in a class folder 2" in measured.rules
    assert measured.ranks["softmax"] == [None, None, None, 1]


def test_content_by_hand(record: Record, photos: Path):
    content = build_content(measured_of(record, default_taxonomy()), default_taxonomy(), finder([photos]))
    assert (content.total, content.missing, len(content.cards)) == (4, 0, 4)
    kiang = next(one for one in content.classes if one.class_id == KIANG)
    assert (kiang.photos, kiang.seen, dict(kiang.shares)) == (2, False, {"hit@1": 0.5, "hit@2": 1.0, "hit@5": 1.0})
    assert kiang.often == ("zebra", 1)
    assert (content.confusion.path[0], content.confusion.photos, content.confusion.right) == (ENTITY, 4, 2)
    shares = dict(content.distances)
    assert shares["fused"][0] == 0.5
    assert sum(shares["fused"]) == pytest.approx(1.0)
    bins = dict(content.reliability)["fused"]
    assert [one.photos for one in bins] == [0, 0, 1, 0, 1, 0, 0, 0, 2, 0]
    assert bins[8].confidence == pytest.approx((0.9 + 0.85) / 2)
    assert bins[8].right == 1.0


def test_a_card_by_hand(record: Record):
    content = build_content(measured_of(record, default_taxonomy()), default_taxonomy(), nowhere)
    card = next(one for one in content.cards if one.name.endswith("two.png"))
    assert (card.truth, card.verdict, card.picture) == ("kiang", "near", "")
    ours, softmax = card.sides
    assert (ours.title, ours.rank, softmax.title, softmax.rank) == (
        "Our model (fused)",
        2,
        "Softmax over 2 labels",
        None,
    )
    assert [guess.verdict for guess in ours.guesses[:2]] == ["near", "right"]
    zebra = ours.guesses[0]
    assert zebra.way == "kiang ↑ wild ass ↑ ass ↑ equine ↓ zebra"
    assert (zebra.turn, zebra.meets, zebra.edges) == ("↑ wild ass ↑ ass ↑ equine", "equine", 4)
    assert zebra.score == "30%"
    assert content.missing == 4


def test_names_that_stand_twice_are_told_apart(record: Record):
    guitar = measured_of(record, default_taxonomy())
    crane = [["n02012849", "n03126707", GUITAR]] * 4  # the bird and the machine
    twice = dict.fromkeys(guitar.guesses, crane)
    content = build_content(
        type(guitar)(guitar.photos, guitar.truth, guitar.trained, twice, 5), default_taxonomy(), nowhere
    )
    names = [guess.name for guess in content.cards[0].sides[0].guesses]
    assert names == ["crane", "crane", "guitar"] or len(set(names)) == 3


@pytest.mark.parametrize(
    ("trained", "told", "marks"),
    [
        ((), " None of the candidate labels was trained on.", 0),
        (CANDIDATES, " All candidate labels were", 0),
        (None, "", 1),
    ],
)
def test_unseen_labels_are_marked_where_trained_ones_compete(
    record: Record, trained: tuple[str, ...] | None, told: str, marks: int
):
    changed = record if trained is None else replace(record, trained=trained)
    content = build_content(measured_of(changed, default_taxonomy()), default_taxonomy(), nowhere)
    page = gallery_section(content)
    assert told in page
    assert ("candidate labels" in page) == bool(told)
    assert ('class="mark"' in page) == bool(marks)


def test_a_scorer_that_was_not_measured_is_named(record: Record):
    with pytest.raises(UsageError, match="no scorer 'clip' was measured: choose of fused, softmax"):
        build_content(measured_of(record, default_taxonomy()), default_taxonomy(), nowhere, ReportOptions(model="clip"))


NAME = f"{HARP}/one.png"


def test_photos_are_found_in_their_folders_and_nowhere_else(photos: Path, tmp_path: Path):
    (tmp_path / "secret.png").write_bytes(b"secret")
    find = finder([photos])
    assert find(NAME) == photos / NAME
    assert find(f"photos/{HARP}/one.png") == photos / HARP / "one.png"
    for name in ("../secret.png", f"{ZEBRA}/../../secret.png", str(tmp_path / "secret.png"), "none.png", ""):
        assert find(name) is None
    with pytest.raises(UsageError, match="no folder of photos"):
        finder([tmp_path / "none"])


@given(st.lists(st.sampled_from("abcde"), max_size=40), st.integers(0, 50))
def test_a_choice_is_even(classes: list[str], limit: int):
    places = chosen_evenly(classes, limit)
    assert len(set(places)) == len(places) == min(limit, len(classes))
    counts = {name: sum(classes[place] == name for place in places) for name in set(classes)}
    for name, count in counts.items():
        assert count == classes.count(name) or count >= max(counts.values()) - 1
