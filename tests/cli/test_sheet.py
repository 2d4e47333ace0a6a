"""devise label --sheet: the page beside every other output, whole or not at all."""

import csv
import errno
import os
import re
import shutil
from pathlib import Path
from typing import IO

import pytest

from devise.model.labeller import LabelRun
from devise.pages import contact_sheet


def named(page: Path) -> list[str]:
    return re.findall(
        r'<p class="first"><span class="line"><span>(.*?)(?: <span|</span>)', page.read_text(encoding="utf-8")
    )


def test_the_page_says_what_the_table_and_the_csv_say(label, scenes: Path, tmp_path: Path):
    page, rows = tmp_path / "page.html", tmp_path / "rows.csv"
    table = label(scenes, "--sheet", page, "-k", 2)
    assert table == (0, label(scenes, "-k", 2).out, f"devise: page of 3 photos: {page}\n")
    first = named(page)
    label(scenes, "--sheet", page, "-o", rows, "-k", 2)
    with rows.open(newline="", encoding="utf-8") as file:
        told = list(csv.DictReader(file))
    assert first == [row["name"] for row in told if row["rank"] == "1"]
    assert [row[None] for row in told if None in row] == []
    text = page.read_text(encoding="utf-8")
    assert text.count('<p class="file">') == text.count("data:image/jpeg") == 3
    assert "0 &lt;b&gt;.png" in text
    assert text.count('<ul class="next"') == 3


@pytest.mark.parametrize("form", ["csv", *(pytest.param(one, marks=pytest.mark.slow) for one in ("json", "jsonl"))])
def test_other_outputs_are_the_same_with_and_without_it(label, scenes: Path, tmp_path: Path, form: str):
    assert label(scenes, "-f", form).out == label(scenes, "-f", form, "--sheet", tmp_path / "page.html").out


def test_own_labels_rejection_and_sureness_are_on_it(label, scenes: Path, tmp_path: Path):
    page = tmp_path / "page.html"
    label(scenes, "-l", "zedonk: a foal; kick scooter", "--candidates", "typed", "--sheet", page)
    assert "named with 2 labels" in page.read_text(encoding="utf-8")
    label(scenes, "--reject", 1, "--sheet", page)
    text = page.read_text(encoding="utf-8")
    assert text.count("<p class=\"none\">none of these</p>") == 3  # fmt: skip
    assert 'class="first"' not in text
    label(scenes, "--sure", 0.001, "--sheet", page)
    assert len(named(page)) == 3


def test_a_broken_photo_is_on_it_and_the_exit_code_is_1(label, scenes: Path, tmp_path: Path):
    (scenes / "cut.jpg").write_bytes(b"\xff\xd8\xff")
    told = label(scenes, "--sheet", tmp_path / "page.html")
    assert told.code == 1
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "1 photo could not be read" in text
    assert f"<li>{scenes / 'cut.jpg'}: " in text


@pytest.mark.parametrize(
    ("sheet", "message"),
    [
        ("photos", "--sheet needs a file"),
        ("no/page.html", "--sheet {}/no/page.html needs an existing folder"),
        ("page.jpg", "has the name of a picture: give another name, such as sheet.html"),
        ("rows.csv", "--output and --sheet are both"),
    ],
)
def test_a_path_that_cannot_be_is_refused_in_one_line(label, scenes: Path, tmp_path: Path, sheet: str, message: str):
    told = label(scenes, "--sheet", tmp_path / sheet, "-o", tmp_path / "rows.csv")
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert message.format(tmp_path) in told.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("option", ["--sheet", "--tree"])
def test_pages_go_into_no_pipe_which_would_wait_for_a_reader(label, scenes: Path, tmp_path: Path, option: str):
    os.mkfifo(tmp_path / "pipe")
    told = label(scenes, option, tmp_path / "pipe")
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert "is a pipe or a device: give a file" in told.err


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder where even root makes no file")
@pytest.mark.parametrize("option", ["--output", "--sheet", "--tree"])
def test_a_folder_without_permission_is_refused_before_a_photo_is_named(label, scenes: Path, option: str):
    told = label(scenes, option, "/proc/names.out")
    assert (told.code, told.out, told.err.count("\n")) == (1, "", 1)
    assert "/proc/names.out cannot be written: " in told.err


@pytest.mark.parametrize("option", ["--output", "--sheet", "--tree"])
def test_a_link_to_itself_is_refused_in_one_line(label, scenes: Path, tmp_path: Path, option: str):
    (tmp_path / "loop").symlink_to("loop")
    told = label(scenes, option, tmp_path / "loop")
    assert (told.code, told.out) == (1, "")
    assert told.err == f"devise: {tmp_path / 'loop'}: Too many levels of symbolic links\n"


def test_parts_have_no_page(label, scenes: Path, tmp_path: Path):
    told = label(scenes, "--format", "parquet", "-o", tmp_path / "parts", "--sheet", tmp_path / "page.html")
    assert (told.code, told.out) == (2, "")
    assert "leave out --sheet" in told.err


def test_where_nothing_can_be_written_one_line_names_the_page(label, scenes: Path):
    if not Path("/proc/self").is_dir():
        pytest.skip("needs /proc, where nobody can write")
    told = label(scenes, "--sheet", "/proc/page.html")
    assert (told.code, told.out) == (1, "")
    assert told.err.startswith("devise: /proc/page.html cannot be written: ")
    assert told.err.count("\n") == 1


def test_a_disk_that_is_full_leaves_the_old_page(label, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    page = tmp_path / "page.html"
    page.write_text("old")

    class Full:
        def __init__(self, file: IO[str]) -> None:
            self.write = self._full

        def _full(self, text: str) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    plain = contact_sheet.LabelSheet.__init__
    monkeypatch.setattr(
        contact_sheet.LabelSheet, "__init__", lambda self, facts, spool: plain(self, facts, Full(spool))
    )
    told = label(scenes, "--sheet", page, "-o", tmp_path / "rows.csv")
    assert (told.code, told.err) == (1, f"devise: {page} cannot be written: No space left on device\n")
    assert page.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "photos"]


def test_ctrl_c_keeps_what_was_finished(label, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(run: LabelRun, block, **more: object):
        yield from plain(run, block[:2], **more)
        raise KeyboardInterrupt

    plain = LabelRun.answers_of
    monkeypatch.setattr(LabelRun, "answers_of", interrupted)
    page = tmp_path / "page.html"
    told = label(scenes, "--sheet", page, "-f", "jsonl")
    assert told.code == 130
    assert told.out.count("\n") == len(named(page))
    assert len(named(page)) in (1, 2)  # the block may have had one photo
    assert "The run was stopped before all photos were done." in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("size", [pytest.param((1280, 900), marks=pytest.mark.slow), (390, 844)])
def test_a_browser_shows_it_without_a_fault_and_without_sideways_scrolling(
    label, scenes: Path, tmp_path: Path, size: tuple[int, int]
):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = os.environ.get("DEVISE_CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium: make chromium installs it")
    (scenes / ("long" * 40 + ".png")).symlink_to(scenes / "0 <b>.png")
    label(scenes, "--sheet", tmp_path / "page.html", "-l", "x" * 200 + ": a horse")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
            faults: list[str] = []
            page.on("console", lambda line, faults=faults: faults.append(line.text))
            page.goto((tmp_path / "page.html").as_uri())
            assert page.evaluate("[...document.images].map(one => one.naturalWidth > 0)") == [True] * 4
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert not faults
        browser.close()
