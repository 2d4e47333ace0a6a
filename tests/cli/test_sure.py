"""`devise label --sure`: one line per photo, the whole way in JSON, columns in CSV; and the wide name in the table."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from devise.cli.answers_output import Csv, Json, Table
from devise.labels import Label as Noun
from devise.model.answers import Answer, Guess, Hedge, Level
from devise.model.labeller import LabelRequest

CITRUS = Level("n07747607", "citrus", 0.84, 10.9, True)
HEDGE = Hedge(
    0.8,
    CITRUS,
    (Level("n07747951", "orange", 0.31, 13.3, True), Level("n07749582", "lemon", 0.0004, 15.3, True)),
    (Level("n00001740", "entity", 1.0, 0.0, False), CITRUS, Level("n07747951", "orange", 0.31, 13.3, True)),
)
GUESSES = (Guess(Noun("n07747951", "orange", "round yellow to orange fruit", True), 0.31),)
ANSWER = Answer("a.jpg", GUESSES, hedge=HEDGE)
IN_DOUBT = Answer("b.jpg", GUESSES, hedge=Hedge(0.8, None, HEDGE.narrower, HEDGE.way))


def test_each_photo_on_one_line() -> None:
    table = Table(LabelRequest(sure=0.8))
    assert table.one(ANSWER) == "a.jpg  citrus 84.0 % (orange 31.0 %, lemon < 0.1 %)\n"
    assert table.one(IN_DOUBT) == "b.jpg  nothing is 80.0 % sure (orange 31.0 %, lemon < 0.1 %)\n"
    assert table.one(Answer("c.jpg", GUESSES, hedge=Hedge(0.8, CITRUS, (), HEDGE.way))) == "c.jpg  citrus 84.0 %\n"


def test_the_table_shows_the_wide_name_first_where_one_is_sure() -> None:
    table = Table(LabelRequest(in_doubt=0.7))
    lines = table.one(ANSWER).splitlines()
    assert lines[0] == "a.jpg  citrus 84.0 %"
    assert lines[1].startswith("  31.0 %  orange")
    assert table.one(IN_DOUBT).splitlines()[0] == "b.jpg"
    asked_for = Level("n07747607", "citrus", 1.0, 0.0, True)  # --under citrus: it says nothing
    assert table.one(Answer("c.jpg", GUESSES, hedge=Hedge(0.8, asked_for, (), ()))).splitlines()[0] == "c.jpg"


def test_json_has_the_whole_way() -> None:
    form = Json()
    (wide, none) = json.loads(form.begin() + form.one(ANSWER) + form.one(IN_DOUBT) + form.end())
    assert wide["sure"]["name"] == "citrus"
    assert wide["sure"]["threshold"] == 0.8
    assert [level["name"] for level in wide["sure"]["way"]] == ["entity", "citrus", "orange"]
    assert [level["common"] for level in wide["sure"]["way"]] == [False, True, True]
    assert wide["sure"]["way"][1] == {"id": "n07747607", "name": "citrus", "share": 0.84, "bits": 10.9, "common": True}
    assert [level["name"] for level in wide["sure"]["narrower"]] == ["orange", "lemon"]
    assert (none["sure"]["id"], none["sure"]["name"], none["sure"]["share"]) == (None, None, None)


def test_csv_has_four_columns_more() -> None:
    form = Csv(sure=True)
    rows = list(csv.DictReader(io.StringIO(form.begin() + form.one(ANSWER) + form.one(IN_DOUBT))))
    assert [row["sure_name"] for row in rows] == ["citrus", ""]
    assert (rows[0]["sure_id"], float(rows[0]["sure_share"]), float(rows[0]["sure_bits"])) == ("n07747607", 0.84, 10.9)
    assert "sure_name" not in Csv().begin()


@pytest.mark.parametrize("share", ["1.5", "0", "nan", "-0.1"])
def test_no_probability(label: Any, photo: Path, share: str) -> None:
    done = label(photo, "--sure", share)
    assert done.code == 2
    assert re.fullmatch(r"devise: sure must be a probability above 0 and at most 1, got \S+\n", done.err)


def test_the_packaged(label: Any, photo: Path) -> None:
    done = label(photo, "--sure", "0.6")
    assert (done.code, done.err, done.out.count("\n")) == (0, "", 1)
    assert re.match(rf"{re.escape(str(photo))}  (nothing is 60\.0 % sure|.+ \d+\.\d %)", done.out)
    record = json.loads(label(photo, "--sure", "0.6", "-f", "json").out)[0]
    shares = [level["share"] for level in record["sure"]["way"]]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == pytest.approx(1, abs=1e-6)
    assert "sure" not in json.loads(label(photo, "-f", "json").out)[0]
