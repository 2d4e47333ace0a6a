"""What is worked out of a record, by hand."""

import csv
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.errors import UsageError
from devise.evaluation.compare import compare_records
from devise.evaluation.record import Hedging, Record
from devise.evaluation.summary import summarise
from devise.evaluation.tables import cells, evaluate_record
from devise.pages.report.build import ReportOptions, build_content, chosen_evenly, report_html
from devise.pages.report.content import Content, Step, ends_of
from devise.pages.report.measured import finder, measured_of
from devise.taxonomy.wordnet import default_taxonomy

ZEBRA, KIANG, HARP, GUITAR = "n02391049", "n02390738", "n03495258", "n03467517"
ENTITY = "n00001740"
CANDIDATES = (KIANG, HARP, GUITAR, "n02123045", ZEBRA)


def nowhere(_: str) -> None:
    return None


def cards_of(content: Content) -> str:
    """The cards of a report with no more figures than it must have."""
    page = report_html(replace(content, reliability=(), distances=(), curves=(), classes=()))
    return page.partition('<section id="photos"')[2].partition("</section>")[0]


def test_tables_by_hand(record: Record):
    measured = measured_of(record, default_taxonomy())
    titles = [table.title for table in measured.tables]
    assert titles == [
        "Means over the photos",
        "Means over the classes",
        "Photos of trained classes",
        "Photos of other classes",
        "Harmonic mean of the two",
        "Ranks, errors and scores",
        "Wider names",
    ]
    assert measured.tables[6].header == ("scorer", "ancestor precision", "ancestor recall", "ancestor f1")
    rows = {name: [cell.text for cell in cells] for name, cells in measured.tables[0].rows}
    assert rows["fused"][:3] == ["50.0", "100.0", "100.0"]
    assert rows["softmax"][:2] == ["25.0", "25.0"]
    assert rows["softmax"][2] == "-", "the softmax ranks two labels, so it has no hit@5"
    assert rows["chance"][:3] == ["20.0", "40.0", "100.0"]
    sides = [{name: cells[0].text for name, cells in table.rows} for table in measured.tables[2:5]]
    assert [side["fused"] for side in sides] == ["100.0", "33.3", "50.0"]
    assert [side["chance"] for side in sides] == ["20.0"] * 3
    best = {name: [cell.best for cell in cells] for name, cells in measured.tables[0].rows}
    assert best["fused"][0]
    assert not best["softmax"][0]
    assert not any(best["chance"])
    assert "left out: not in a class folder 2" in measured.rules
    assert any("absent, as the record is of an older version: brier" in rule for rule in measured.rules)
    assert measured.ranks["softmax"] == [None, None, None, 1]


def test_the_numbers_are_those_of_evaluate_and_compare(record: Record):
    """Value and both intervals, to the last digit that is shown; and no digit is lost in the CSV."""
    taxonomy = default_taxonomy()
    measured, summary = measured_of(record, taxonomy), summarise(record, taxonomy)
    (_, *names), *body = cells(evaluate_record(record, taxonomy))
    for row, (scorer, shown) in zip(body, measured.tables[0].rows, strict=True):
        assert (row[0], *(cell.text for cell in shown)) == (scorer, *row[1:])
        for name, cell in zip(names, shown, strict=True):
            of = summary.measures.get(scorer, {}).get(name)
            told = ("", "") if of is None else (ends_of(name, of.images), ends_of(name, of.classes))
            assert (cell.over_photos, cell.over_classes) == told
    assert measured.tables[0].rows[0][1][0].over_photos
    lines = {tuple(line[:3]): line[3:] for line in csv.reader(StringIO(measured.numbers))}
    of = summary.measures["fused"]["lca height"]
    assert of.images is not None
    assert of.classes is not None
    assert [float(one) for one in lines["fused", "lca height", "photos"]] == [of.value, *of.images, *of.classes]
    assert [compared.first for compared in difference_of(record)] == [
        one.value for one in summary.measures["fused"].values()
    ]


def difference_of(record: Record):
    (found,) = compare_records(record, record, default_taxonomy(), scorer="fused")
    return found.differences.values()


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
    bins = dict(content.reliability)["fused"].bins
    assert [place for place, one in enumerate(bins) for _ in range(one.photos)] == [4, 7, 12, 13]
    assert (bins[13].low, bins[13].high) == (0.866667, 0.933333)
    assert (bins[13].confidence, bins[13].right) == (pytest.approx(0.9), 1.0)


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


def test_the_way_from_wide_to_narrow_stops_at_one_half(record: Record):
    """A kiang's photo: equine at .9 and .7, kiang at .5, then a zebra at .1, which is not shown."""
    above = ("n02374149", "n00001740")  # equine, entity
    rows = [[4, 0, 5, 5], [4, 4, 4, -1], [-1, -1, -1, -1], [4, 5, 5, 6]]
    fused = replace(record.scorers["fused"], answers=np.array(rows))
    made = replace(record, scorers={**record.scorers, "fused": fused}, hedging=Hedging((0.1, 0.5, 0.7, 0.9), above))
    cards = build_content(measured_of(made, default_taxonomy()), default_taxonomy(), nowhere).cards
    trails = {card.name: card.sides[0].trail for card in cards}
    first, second, third, fourth = (trails[image.id] for image in record.images)
    assert first == (Step("equine", "90%", True), Step("kiang", "50%", True))
    assert second == (Step("zebra", "70%", False),)
    assert third == ()
    assert fourth == (Step("entity", "90%", True), Step("equine", "70%", True))
    assert not any(card.sides[1].trail for card in cards)
    page = cards_of(build_content(measured_of(made, default_taxonomy()), default_taxonomy(), nowhere))
    assert "sure of: <span class=right>equine</span> 90% › <span class=right>kiang</span> 50%</p>" in page
    assert "sure of: <span>zebra</span> 70%</p>" in page


def test_names_that_stand_twice_are_told_apart(record: Record):
    guitar = measured_of(record, default_taxonomy())
    crane = [["n02012849", "n03126707", GUITAR]] * 4  # the bird and the machine
    twice = dict.fromkeys(guitar.guesses, crane)
    content = build_content(
        type(guitar)(guitar.photos, guitar.truth, guitar.trained, twice, 5), default_taxonomy(), nowhere
    )
    names = [guess.name for guess in content.cards[0].sides[0].guesses]
    assert names == ["crane", "crane", "guitar"] or len(set(names)) == 3


OUTSIDE = ("n02085620", "n02107142")


@pytest.mark.parametrize(
    ("trained", "told", "marks"),
    [
        (OUTSIDE, " None of the candidate labels is trained.", 0),
        (CANDIDATES, " All candidate labels are", 0),
        (None, "", 1),
    ],
)
def test_unseen_labels_are_marked_where_trained_ones_compete(
    record: Record, trained: tuple[str, ...] | None, told: str, marks: int
):
    softmax = record.scorers["softmax"]
    ranked = {OUTSIDE: replace(softmax, top=softmax.top + 2), CANDIDATES: record.scorers["fused"], None: softmax}
    scorers = {**record.scorers, "softmax": ranked[trained]}  # it ranks the trained labels, whichever these are
    changed = replace(record, trained=record.trained if trained is None else trained, scorers=scorers)
    content = build_content(measured_of(changed, default_taxonomy()), default_taxonomy(), nowhere)
    page = cards_of(content)
    assert told in page
    assert ("candidate labels" in page) == bool(told)
    assert ('class="mark"' in page) == bool(marks)


def test_a_scorer_that_was_not_measured_is_named(record: Record):
    with pytest.raises(UsageError, match="no scorer 'clip' was measured: choose one of fused, softmax"):
        build_content(measured_of(record, default_taxonomy()), default_taxonomy(), nowhere, ReportOptions(model="clip"))


NAME = f"{HARP}/one.png"


def test_photos_are_found_in_their_folders_and_nowhere_else(photos: Path, tmp_path: Path):
    (tmp_path / "secret.png").write_bytes(b"secret")
    find = finder([photos])
    assert find(NAME) == photos / NAME
    assert find(f"photos/{HARP}/one.png") == photos / HARP / "one.png"
    for name in ("../secret.png", f"{ZEBRA}/../../secret.png", str(tmp_path / "secret.png"), "none.png", ""):
        assert find(name) is None
    with pytest.raises(UsageError, match=r"no folder .*: check the path"):
        finder([tmp_path / "none"])


@given(st.lists(st.sampled_from("abcde"), max_size=40), st.integers(0, 50))
def test_a_choice_is_even(classes: list[str], limit: int):
    places = chosen_evenly(classes, limit)
    assert len(set(places)) == len(places) == min(limit, len(classes))
    counts = {name: sum(classes[place] == name for place in places) for name in set(classes)}
    for name, count in counts.items():
        assert count == classes.count(name) or count >= max(counts.values()) - 1
