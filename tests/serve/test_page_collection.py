"""The page for a photo collection, in Debian's Chromium: the grid and its keys, corrections, indexes, languages."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

from devise.sidecars import corrections_of

expect.set_options(timeout=120_000)


@pytest.fixture
def grid(browser, collection, photos_corrected: Path, opened) -> Iterator[object]:
    """The search page, which shows the index."""
    with opened(browser, f"{collection.url}/#search") as page:
        expect(page.locator("#search-status")).to_have_text("2 photos.")
        yield page


def focused(page) -> str:
    return str(page.evaluate("document.activeElement.textContent"))


def test_keys_move_accept_reject_and_type(grid, photos_corrected: Path):
    cat, page = photos_corrected / "cats" / "chelsea.jpg", grid
    page.keyboard.press("ArrowDown")
    assert "chelsea.jpg" in focused(page)
    page.keyboard.press("ArrowRight")
    assert "coffee.jpg" in focused(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Home")
    assert "chelsea.jpg" in focused(page)
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    accept, reject = (page.locator(f"#hits [data-key={key}]").first for key in "ar")
    assert accept.get_attribute("aria-label") == "Accept Egyptian cat, chelsea.jpg"
    page.keyboard.press("a")
    expect(accept).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#correct-status")).to_have_text("Accepted “Egyptian cat”: chelsea.jpg.")
    assert [str(one.verdict) for one in corrections_of(cat)] == ["accepted"]
    page.keyboard.press("r")
    expect(reject).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#hits s")).to_have_text("Egyptian cat")
    page.keyboard.press("r")
    expect(reject).to_have_attribute("aria-pressed", "false")
    assert corrections_of(cat) == ()
    page.keyboard.press("t")
    page.keyboard.type("xqzzy")  # of which the letters are no keys
    page.keyboard.press("Enter")
    expect(page.locator("#name-error")).to_contain_text("none of its words has a vector")
    page.locator("#name-input").fill("tabby")
    page.keyboard.press("Enter")
    expect(page.locator("#hits figcaption").first).to_contain_text("tabby")
    assert {one.name: str(one.verdict) for one in corrections_of(cat)} == {
        "tabby": "accepted",
        "Egyptian cat": "rejected",
    }
    assert "chelsea.jpg" in focused(page)
    page.keyboard.press("Enter")
    expect(page.locator("#photo-correct [data-key=r]")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("r")
    expect(page.locator("#photo-correct [data-key=r]")).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.locator("#keys-dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#keys-dialog")).to_be_hidden()
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "query"
    page.keyboard.type("a")
    expect(page.locator("#query")).to_have_value("a")
    assert len(corrections_of(cat)) == 1


def test_what_the_service_refuses_is_shown(grid, photos_corrected: Path):
    (photos_corrected / "cats" / "chelsea.jpg.xmp").write_bytes(b"no XML")
    grid.get_by_role("button", name="Reject Egyptian cat, chelsea.jpg").click()
    expect(grid.locator("#correct-error")).to_contain_text("chelsea.jpg.xmp cannot be changed: not XML")
    expect(grid.locator("#hits [data-key=r]").first).to_have_attribute("aria-pressed", "false")


def test_filters_and_indexes(grid):
    page = grid
    page.fill("#since", "2024")
    page.press("#since", "Enter")
    expect(page.locator("#search-status")).to_have_text("1 photo passes the filters.")
    page.click("#filters-clear")
    expect(page.locator("#search-status")).to_have_text("2 photos.")
    page.fill("#in", "cats")
    page.press("#in", "Enter")
    expect(page.locator("#search-status")).to_have_text("1 photo passes the filters.")
    expect(page.locator("#hits .file")).to_have_text("chelsea.jpg")
    page.click("#filters-clear")
    page.select_option("#index", "cups")
    expect(page.locator("#search-status")).to_have_text("1 photo.")
    expect(page.locator("#hits .file")).to_have_text("coffee.jpg")
    page.fill("#until", "May")
    page.press("#until", "Enter")
    expect(page.locator("#search-error")).to_contain_text("Until takes a date such as 2024")


def test_the_switch_of_languages(grid):
    page = grid
    page.fill("#query", "cat")
    page.press("#query", "Enter")
    expect(page.locator("#meaning b")).to_have_text("cat")
    page.select_option("#lang", "ar")
    name = page.locator("#meaning b")
    expect(name).to_have_text("قِطّ")
    assert (name.get_attribute("lang"), name.get_attribute("dir")) == ("ar", "rtl")
    english = page.locator("#hits figcaption b").first
    expect(english).to_have_text("Egyptian cat (en)")
    assert (english.get_attribute("lang"), english.get_attribute("dir")) == ("en", "ltr")
    page.locator("#hits .tile").first.press("Enter")
    page.locator("#photo-answer summary").first.click()
    spaced = page.locator("#photo-answer [dir=rtl]").first
    expect(spaced).to_be_visible()
    assert spaced.evaluate("(e) => getComputedStyle(e).letterSpacing") in ("0px", "normal")
    page.keyboard.press("Escape")
    page.reload()
    expect(page.locator("#lang")).to_have_value("ar")
    page.select_option("#lang", "fr")
    expect(page.locator("#hits figcaption b").nth(1)).to_have_text("expresso")
