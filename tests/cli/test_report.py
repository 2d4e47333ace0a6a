"""devise report on a record of four photos; and the page in a browser, where there is one."""

import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from devise.cli.app import main
from devise.evaluation.record import ImageRecord, Record, ScorerRecord, write_record
from devise.evaluation.tables import EvaluationSettings
from devise.taxonomy.wordnet import default_taxonomy

KIANG, HARP, GUITAR, TABBY, ZEBRA = "n02390738", "n03495258", "n03467517", "n02123045", "n02391049"
CANDIDATES = (KIANG, HARP, GUITAR, TABBY, ZEBRA)
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture
def evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with record.json and photos/, as the working directory: 30 photos, every third named right."""
    images, tops = [], []
    for number in range(30):
        truth = CANDIDATES[number % 3]
        path = tmp_path / "photos" / truth / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (90, 60), (8 * number, 99, 150)).save(path)
        images.append(ImageRecord(f"{truth}/{number}.jpg", truth))
        tops.append(np.roll(range(5), -(number % 3) if number % 9 < 3 else number))
    top = np.array(tops, dtype=np.int64)
    rank = np.array([row.tolist().index(CANDIDATES.index(one.truth)) + 1 for row, one in zip(top, images, strict=True)])
    scores = np.linspace(1, 0, 5, dtype=np.float32)[None].repeat(30, axis=0)
    one = ScorerRecord(5, top, scores, rank, np.linspace(0.05, 1, 30, dtype=np.float32))
    rules = asdict(EvaluationSettings((1, 2, 5), (2, 5), graph=default_taxonomy().graph_hash))
    record = Record(rules, CANDIDATES, (TABBY,), tuple(images), {"fused": one, "softmax": one})
    write_record(record, tmp_path / "record.json")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["report", *arguments])
    return int(stop.value.code or 0)


def test_a_page_and_figures(evaluated: Path, capsys: pytest.CaptureFixture[str]):
    assert run("record.json", "--photos", "photos", "--figures", "figures", "--cards", "6", "--title", "My <b>") == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("report.html: ")
    assert told[0].endswith(" MB, 6 of 30 photos shown")
    assert told[1] == f"figures: {len(list((evaluated / 'figures').iterdir()))} files"
    text = (evaluated / "report.html").read_text(encoding="utf-8")
    assert "<h1>My &lt;b&gt;</h1>" in text
    assert text.count("data:image/jpeg") == 6
    assert str(evaluated) not in text


def test_the_same_bytes_each_time(evaluated: Path):
    for name in ("a.html", "b.html"):
        assert run("record.json", "--photos", "photos", "--out", name, "--cards", "3") == 0
    assert (evaluated / "a.html").read_bytes() == (evaluated / "b.html").read_bytes()


def test_without_photos_and_with_lost_photos(evaluated: Path, capsys: pytest.CaptureFixture[str]):
    assert run("record.json") == 0
    assert "30 pictures are not shown: give their folder with --photos" in capsys.readouterr().out
    shutil.rmtree(evaluated / "photos" / HARP)
    assert run("record.json", "--photos", "photos") == 1
    assert "10 pictures could not be read in the folders given" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("none.json",), 1, "no record at none.json"),
        (("record.json", "--photos", "none"), 2, "no folder none"),
        (("record.json", "--scorer", "clip"), 2, "no scorer 'clip' was measured"),
        (("record.json", "--cards", "-1"), 2, "0 or more photos"),
        (("record.json", "--out", "-"), 2, "--out needs a file in an existing folder, got -"),
        (("record.json", "--out", "none/report.html"), 2, "--out needs a file in an existing folder"),
        (("record.json", "--figures", "record.json"), 2, "--figures needs a folder"),
        (("photos",), 1, "no record at photos"),
    ],
)
def test_bad_input(
    evaluated: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, said: str
):
    assert run(*arguments) == code
    assert said in capsys.readouterr().err
    assert not (evaluated / "report.html").exists()


@pytest.fixture
def browser() -> Iterator[Any]:
    """Headless Chromium through playwright; installs nothing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=program, args=list(FLAGS))
        yield opened
        opened.close()


def test_the_page_in_a_browser(evaluated: Path, browser: Any):
    assert run("record.json", "--photos", "photos") == 0
    for width in (360, 1280):
        page = browser.new_page(viewport={"width": width, "height": 800})
        page.set_default_timeout(120_000)
        problems: list[str] = []
        page.on("console", lambda said, seen=problems: seen.append(said.text))
        page.on("pageerror", lambda error, seen=problems: seen.append(str(error)))
        page.on(
            "request", lambda asked, seen=problems: seen.append(asked.url) if asked.url.startswith("http") else None
        )
        page.goto((evaluated / "report.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out"
        check_photos(page)
        check_sorting(page)
        assert problems == []
        page.close()


def check_photos(page: Any) -> None:
    """Twelve at first, all after more is asked, only the right ones when these are chosen; each picture is drawn."""
    visible = "[...document.querySelectorAll('.shot')].filter((one) => one.offsetParent).length"
    assert page.evaluate(visible) == 12
    page.get_by_role("button", name="Show 18 more").click()
    assert page.evaluate(visible) == 30
    page.get_by_role("combobox").first.select_option("right")
    right = page.evaluate("document.querySelectorAll('.shot[data-verdict=right]').length")
    assert 0 < page.evaluate(visible) == min(right, 12)
    assert page.get_by_role("status").inner_text() == f"{min(right, 12)} of {right} shown"
    assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth === 90)")


def check_sorting(page: Any) -> None:
    """By keyboard: a press sorts and says so, a second one turns it round."""
    head = page.get_by_role("columnheader", name="hit@1").last
    column = "[...document.querySelectorAll('.sortable tbody tr')].map((row) => parseFloat(row.cells[3].textContent))"
    for way in ("descending", "ascending"):
        head.get_by_role("button").focus()
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == way
        values = page.evaluate(column)
        assert values == sorted(values, reverse=way == "descending")
