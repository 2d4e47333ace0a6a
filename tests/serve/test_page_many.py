"""Many photos at once on the page, in a real browser; skipped where chromium or playwright is absent."""

import csv
import json
from io import StringIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from devise.cli.answers_output import Csv
from devise.labels import TOWER, Label
from devise.model.answers import Answer, Guess, Hedge, Level
from devise.model.labeller import load
from devise.serve.own_labels import OwnLabels
from devise.serve.service import Service

WIDE = Level("n02084071", "dog", 0.95, 8.25, True)
WAY = (Level("n00001740", "entity", 1.0, 0.0, False), Level("n00015388", "animal", 0.99, 3.5, True), WIDE)
GUESSES = (
    Guess(Label("n02110341", "+dalmatian", 'a dog; with "spots", black', True, "term"), 0.5),
    Guess(Label("n02084071", "-1", "=1+2", False, "gloss"), 0.25),
)


@pytest.fixture
def folder(tmp_path: Path, photos: list[bytes]) -> Path:
    """Two photos, one file that is no photo though it is called so, a note, and a file that is hidden."""
    folder = tmp_path / "trip"
    (folder / "day 2").mkdir(parents=True)
    (folder / "=1+2.jpg").write_bytes(photos[0])
    (folder / "day 2" / "b;c.JPG").write_bytes(photos[1])
    (folder / "day 2" / "a.jpg").write_bytes(b"no picture")
    (folder / "note.txt").write_text("no photo")
    (folder / ".hidden.jpg").write_bytes(photos[2])
    return folder


def finished(page: Any, folder: Path) -> None:
    page.set_input_files("#folder", folder)
    page.wait_for_selector("#batch-again:not([hidden])")


def download(page: Any, button: str, path: Path) -> Path:
    with page.expect_download() as found:
        page.click(button)
    found.value.save_as(path)
    return path


def answered_alike(page: Any) -> None:
    """The same answer for every photo that the service can read."""
    guesses = [
        {"id": one.label.id, "name": one.label.name, "gloss": one.label.gloss, "score": one.score}
        | {"seen": one.label.seen, "own": False, "source": one.label.source, "path": [], "leans_on": []}
        for one in GUESSES
    ]
    levels = [
        {"id": one.id, "name": one.name, "share": one.share, "bits": one.bits, "common": one.common} for one in WAY
    ]
    sure = {"threshold": 0.7, "name": levels[-1], "narrower": [], "way": levels}
    answer = {"method": "fused", "candidates": 9, "rejected": False, "guesses": guesses, "standings": [], "sure": sure}
    text = json.dumps({"answers": [answer | {"problem": None}], "notes": [], "seconds": 0.1})
    page.evaluate(
        """text => { const real = window.fetch; window.fetch = async (path, options) => {
        const answer = await real(path, options);
        return answer.ok && path.startsWith("/v1/label?") ? new Response(text) : answer; } }""",
        text,
    )


def test_a_folder_is_named_and_what_cannot_be_read_says_why(page, folder: Path, model):
    finished(page, folder)
    rows = page.locator("#batch-list li")
    assert rows.locator(".file").all_inner_texts() == ["trip/=1+2.jpg", "trip/day 2/a.jpg", "trip/day 2/b;c.JPG"]
    result = rows.locator(".result").all_inner_texts()
    assert result[1] == "Not a picture of a known format."
    for place, name in ((0, "=1+2.jpg"), (2, "day 2/b;c.JPG")):
        answer = model.label(folder / name, top=7, sure=0.7)
        wide = answer.hedge.name
        hedged = answer.guesses[0].score < 0.7 and wide is not None and wide.bits > 0
        assert result[place] == (wide.name if hedged else answer.guesses[0].label.name)
    assert page.locator("#batch-state").inner_text() == "2 of 3 named, 1 could not be read."
    assert page.locator("#batch-status").inner_text() == "2 of 3 named, 1 could not be read."
    assert page.locator("#batch-skipped").inner_text() == "1 other file was left out: not pictures by their names."
    assert page.locator("#batch-progress").evaluate("(bar) => bar.value === 3 && bar.max === 3")
    rows.first.locator("button").press("Enter")
    page.wait_for_selector("#answer .big")
    assert page.locator("#preview").get_attribute("alt") == "The photo =1+2.jpg"


def test_the_table_is_that_of_the_command_line(page, folder: Path, tmp_path: Path):
    answered_alike(page)
    finished(page, folder)
    hedge = Hedge(0.7, WIDE, (), WAY)
    form = Csv(sure=True, excel=True)
    answers = [
        Answer("trip/=1+2.jpg", GUESSES, hedge=hedge),
        Answer("trip/day 2/a.jpg", problem="Not a picture of a known format."),
        Answer("trip/day 2/b;c.JPG", GUESSES, hedge=hedge),
    ]
    expected = form.begin() + "".join(map(form.one, answers))
    assert download(page, "#batch-csv", tmp_path / "labels.csv").read_bytes().decode() == expected
    found = json.loads(download(page, "#batch-json", tmp_path / "labels.json").read_text())
    assert [one["path"] for one in found] == [answer.source for answer in answers]
    assert [one["problem"] for one in found] == [None, "Not a picture of a known format.", None]
    assert [guess["name"] for guess in found[0]["guesses"]] == ["+dalmatian", "-1"]
    assert found[2]["sure"] == {"id": "n02084071", "name": "dog", "share": 0.95, "bits": 8.25}
    with ZipFile(download(page, "#batch-zip", tmp_path / "labels.zip")) as sidecars:
        assert sidecars.testzip() is None
        assert sidecars.namelist() == [
            "trip/=1+2.jpg.txt",
            "trip/=1+2.jpg.json",
            "trip/day 2/b;c.JPG.txt",
            "trip/day 2/b;c.JPG.json",
        ]
        assert sidecars.read("trip/=1+2.jpg.txt").decode() == "dog\nanimal\n"
        assert json.loads(sidecars.read("trip/day 2/b;c.JPG.json")) == found[2]


def test_a_model_without_trained_labels_marks_none(
    browser, opened, running, tower_bundle: Path, folder: Path, tmp_path: Path
):
    service = Service(load(tower_bundle), OwnLabels(None, 9))
    with running(service) as served, opened(browser, served.url) as page:
        assert served.client().options().trained == 0
        finished(page, folder)
        table = download(page, "#batch-csv", tmp_path / "labels.csv").read_text("utf-8-sig")
        assert table.startswith(Csv(sure=True, trained=False).begin())
        rows = list(csv.DictReader(StringIO(table)))
        assert {(row["source"], row["rejected"]) for row in rows if not row["problem"]} == {("term", "0")}
        found = json.loads(download(page, "#batch-json", tmp_path / "labels.json").read_text())
        assert all("seen" not in guess for one in found for guess in one["guesses"])
        page.locator("#batch-list li button").first.press("Enter")
        page.wait_for_selector("#answer .big")
        result = page.locator("#answer-body").inner_text()
        assert "unseen" not in result
        assert "No training photo" not in result
        assert f"vector from {TOWER}" in page.locator("#answer-body").text_content()
        assert "Looks like photos of" not in page.locator("#answer-body").text_content()
        assert page.locator("#compare").evaluate("(one) => one.hidden")
        assert page.locator("#candidates").evaluate("(one) => one.parentElement.hidden")


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_asked_again_when_it_says(page, folder: Path, status: int):
    refused: list[str] = []

    def busy_twice(route: Any) -> None:
        if len(refused) >= 2:
            route.continue_()
            return
        refused.append(route.request.url)
        problem = {"error": {"code": "busy", "message": "3 pictures wait already: try again"}}
        route.fulfill(status=status, headers={"retry-after": "0"}, json=problem)

    page.route("**/v1/label?*", busy_twice)
    finished(page, folder)
    assert len(refused) == 2
    assert page.locator("#batch-state").inner_text() == "2 of 3 named, 1 could not be read."


def test_a_service_that_is_gone_stops_the_list_which_goes_on_later(page, folder: Path):
    def gone(route: Any) -> None:
        route.abort()

    page.route("**/v1/label?*", gone)
    finished(page, folder)
    assert "does not respond" in page.locator("#batch-status").inner_text()
    assert page.locator("#batch-state").inner_text() == "0 of 3 named."
    page.unroute("**/v1/label?*")
    page.get_by_role("button", name="Resume").click()
    page.wait_for_selector("#batch-state:has-text('2 of 3 named, 1 could not be read.')")


def test_files_without_a_picture_are_told(page, tmp_path: Path):
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "note.txt").write_text("no photo")
    page.set_input_files("#folder", tmp_path / "none")
    page.wait_for_selector("#error:not([hidden])")
    assert "None of these files is a picture" in page.locator("#error").inner_text()
    assert page.locator("#batch").is_hidden()
