"""The page in a real browser; skipped where Debian's chromium or playwright is absent (`make chromium`)."""

import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

# `wait_for_function` needs an eval that the page's policy forbids; `expect` asks from outside.
expect = pytest.importorskip("playwright.sync_api").expect
expect.set_options(timeout=120_000)


@pytest.fixture
def photo_file(photo: bytes, tmp_path: Path) -> Path:
    (tmp_path / "holiday.jpg").write_bytes(photo)
    return tmp_path / "holiday.jpg"


def named(page, photo_file: Path) -> None:
    """Wait until the photo has its answer."""
    page.set_input_files("#file", photo_file)
    page.wait_for_selector("#results[aria-busy=false] #answer:not([hidden])")


def compared(page, photo_file: Path) -> None:
    """Wait until the photo has the answers of all methods."""
    named(page, photo_file)
    page.click("#compare > summary")
    page.wait_for_selector("#columns ol")


def test_one_answer_comes_first_with_how_sure_and_the_way_up(page, photo_file: Path, model):
    named(page, photo_file)
    answer = model.label(photo_file, top=7, sure=0.7)
    first, wide = answer.guesses[0], answer.hedge.name
    hedged = first.score < 0.7 and wide is not None and wide.bits > 0 and wide.id != first.label.id
    name, score = (wide.name, wide.share) if hedged else (first.label.name, first.score)
    assert page.locator("#answer .big").inner_text().removesuffix("unseen").strip() == name
    words = (
        "Very sure" if score >= 0.9 else "Fairly sure" if score >= 0.7 else "Not sure" if score >= 0.4 else "A guess"
    )
    assert page.locator("#answer .sure").inner_text() == f"{words} · {100 * score:.1f} %"
    following = answer.guesses[:4] if hedged else answer.guesses[1:5]
    assert [text.removesuffix("unseen").strip() for text in page.locator("#answer .next .name").all_inner_texts()] == [
        guess.label.name for guess in following
    ]
    gloss = following[0].label.gloss
    assert page.locator("#answer .next .gloss").first.inner_text().lower().rstrip(".") == gloss.lower().rstrip(".")
    assert page.locator("#answer .gloss").first.evaluate("(e) => e.scrollWidth <= e.clientWidth")  # nothing is cut
    unseen = any(not guess.label.seen for guess in following)
    assert page.locator("#answer .legend-unseen").count() == unseen
    assert page.locator("#columns ol").count() == 0
    assert f"{name}. {words}" in page.locator("#status").inner_text()
    assert "Answered in" in page.locator("#status").inner_text()


def test_methods_are_compared_behind_a_click(page, photo_file: Path, model):
    named(page, photo_file)
    page.locator("#compare > summary").press("Enter")
    page.wait_for_selector("#columns ol")
    assert page.locator(".column h3").all_inner_texts()[0].startswith("DeViSE")
    for method in ("devise", "conse", "softmax", "fused"):
        shown = page.locator(f"[data-method={method}] .name").first.inner_text()
        best = model.label(photo_file, method=method).guesses[0].label.name
        assert shown.removesuffix("unseen").strip() == best
    page.locator("[data-method=fused] summary").first.press("Enter")
    assert "›" in page.locator("[data-method=fused] .path").first.inner_text()
    assert "Looks like photos of" in page.locator("[data-method=fused] .more").first.inner_text()


def test_a_label_of_ones_own_competes_at_once_and_can_be_deleted(page, photo_file: Path):
    compared(page, photo_file)
    assert page.locator("#own-only").is_disabled()
    page.fill("#own-name", "zedonk")
    page.fill("#own-definition", "offspring of a zebra and a donkey")
    page.press("#own-name", "Enter")
    page.wait_for_selector(".ranks")
    assert "zedonk" in page.locator("#answer .ranks").inner_text()
    assert "of 30,957" in page.locator("#status").inner_text()
    assert page.locator("#own-list li").inner_text().startswith("zedonk offspring of a zebra")
    page.check("#own-only")
    page.wait_for_selector("[data-method=fused] h3:has-text('of 1')")
    assert page.locator("#answer .big").inner_text() == "None of these"  # the photo shows something else
    page.click("text=Show the nearest anyway")
    expect(page.locator("#answer .big")).to_have_text("zedonk yours")
    assert "only trained labels" in page.locator("[data-method=softmax]").inner_text()
    page.uncheck("#own-only")
    page.wait_for_selector("[data-method=fused] h3:has-text('of 30,957')")
    page.check("#own-only")
    page.wait_for_selector("[data-method=fused] h3:has-text('of 1')")
    page.get_by_role("button", name="Delete zedonk").click()
    page.wait_for_selector("[data-method=fused] h3:has-text('of 30,956')")
    assert page.locator("#own-list li").count() == 0
    assert not page.locator("#own-only").is_checked()


def test_several_labels_are_added_at_once(page, photo_file: Path):
    named(page, photo_file)
    page.fill("#own-name", "night sky, red carpet event; sourdough starter")
    page.press("#own-name", "Enter")
    page.wait_for_selector("#own-list li:nth-child(3)")
    assert sorted(page.locator("#own-list b").all_inner_texts()) == [
        "night sky",
        "red carpet event",
        "sourdough starter",
    ]
    page.check("#own-only")
    page.wait_for_selector("#answer .next li:nth-child(2)")
    page.wait_for_selector("#results[aria-busy=false]")
    shown = [page.locator("#answer .big").inner_text(), *page.locator("#answer .next .name").all_inner_texts()]
    for name in ("night sky", "red carpet event", "sourdough starter"):
        assert any(text.startswith(name) for text in shown)
        page.get_by_role("button", name=f"Delete {name}").click()
        page.wait_for_selector(f"#own-list li:has-text('{name}')", state="detached")


def test_only_below_a_branch(page, photo_file: Path):
    compared(page, photo_file)
    page.click("details:has(#options) > summary")
    page.fill("#under", "musical instrument")
    page.press("#under", "Enter")
    page.wait_for_selector("[data-method=fused] h3:not(:has-text('30,956'))")
    page.locator("[data-method=fused] summary").first.click()
    assert "musical instrument" in page.locator("[data-method=fused] .path").first.inner_text()
    assert page.locator("#whole").inner_text() == "Only kinds of musical instrument: show all again"
    page.click("#whole")
    page.wait_for_selector("[data-method=fused] h3:has-text('30,956')")
    assert page.locator("#whole").is_hidden()
    page.fill("#under", "xyzzy")
    page.press("#under", "Enter")
    page.wait_for_selector("#error:not([hidden])")
    assert "eeds a noun of WordNet" in page.locator("#error").inner_text()


def test_a_broken_photo_and_a_label_of_nothing_are_told(page, tmp_path: Path):
    (tmp_path / "<b>broken.jpg").write_bytes(b"no picture")
    page.set_input_files("#file", tmp_path / "<b>broken.jpg")
    page.wait_for_selector("#error:not([hidden])")
    assert page.locator("#error").inner_text() == "<b>broken.jpg: Not a picture of a known format."
    assert page.locator("#error").get_attribute("role") == "alert"
    page.fill("#own-name", "xqzzy")
    page.click("#own-form .button")
    page.wait_for_selector("#own-error:not([hidden])")


def searched(page, words: str) -> None:
    page.fill("#query", words)
    with page.expect_response("**/v1/search?*"):
        page.press("#query", "Enter")
    expect(page.locator("#search-status")).not_to_have_text(re.compile("^Searching"))


def test_search_shows_photos_and_its_errors(page):
    page.click("nav >> text=Search")
    searched(page, "zebra")
    page.wait_for_selector("#hits img[src^=blob]", state="attached")
    assert page.locator("#hits .file").first.inner_text() == "zebra.jpg"
    page.fill("#query", "xqzzy")
    page.press("#query", "Enter")
    page.wait_for_selector("#search-error:not([hidden])")
    assert page.locator("#hits li").count() == 0
    assert page.locator("#found").is_hidden()


def test_a_service_without_an_index_says_so_in_plain_words(browser, start, opened):
    with opened(browser, start().url) as page:
        page.wait_for_selector("#facts:not(:empty)")
        assert page.locator("#samples").is_hidden()
        page.click("nav >> text=Search")
        page.fill("#query", "cat")
        page.press("#query", "Enter")
        page.wait_for_selector("#search-error:not([hidden])")
        assert "has no photo index" in page.locator("#search-error").inner_text()
        assert "--" not in page.locator("#search-error").inner_text()


def test_only_what_is_like_is_shown_with_a_cut_off_in_words(page_of_index):
    page = page_of_index
    page.click("nav >> text=Search")
    searched(page, "cat")
    assert page.locator("#search-status").inner_text() == "1 of 3 photos is at least somewhat like “cat”."
    assert page.locator("#hits .likeness").all_inner_texts() == ["very like"]
    assert page.locator("#hits figcaption b").all_inner_texts() == ["Egyptian cat"]
    assert "somewhat like: 1 %" in page.locator("#search-rule").inner_text()
    page.select_option("#cut", "hardly like")
    assert page.locator("#search-status").inner_text() == "3 photos for “cat”, best first."
    assert page.locator("#hits .likeness").all_inner_texts() == ["very like", "hardly like", "hardly like"]
    page.select_option("#cut", "very like")
    searched(page, "zebra")
    assert page.locator("#search-status").inner_text() == "None of 3 photos is very like “zebra”."
    page.get_by_role("button", name="Show the nearest anyway").click()
    assert page.locator("#hits .likeness").count() == 3


def test_meanings_and_kinds_are_chips_that_search(page_of_index):
    page = page_of_index
    page.click("nav >> text=Search")
    searched(page, "animal")
    page.get_by_role("button", name="Egyptian cat 1").click()
    page.wait_for_selector("#search-status:has-text('“Egyptian cat”')")
    assert page.locator("#query").input_value() == "Egyptian cat"
    searched(page, "cup")
    chips = page.get_by_role("group", name="Meaning").get_by_role("button")
    names = chips.all_inner_texts()
    assert len(names) > 1
    assert chips.first.get_attribute("aria-pressed") == "true"
    assert "other meaning" not in page.locator("#search-notes").inner_text()
    with page.expect_response("**/v1/search?*sense=*") as answer:
        chips.nth(1).press("Enter")
    assert answer.value.json()["taken"]["gloss"].lower() in page.locator("#meaning p").inner_text().lower()
    assert page.locator(".chip[aria-pressed=true]").inner_text() == names[1]
    assert page.locator("#query").input_value() == "cup"
    assert chips.all_inner_texts() == names
    assert page.evaluate("document.activeElement.textContent") == names[1]


def test_a_photo_that_was_found_opens(page_of_index):
    page = page_of_index
    page.click("nav >> text=Search")
    searched(page, "cat")
    page.select_option("#cut", "hardly like")
    page.locator("#hits button").first.press("Enter")
    page.wait_for_selector("#photo-answer .big")
    assert page.locator("#photo-title").inner_text() == "chelsea.jpg"
    assert page.locator("#photo-answer .big").inner_text() == "Egyptian cat"
    assert page.locator("#photo-answer .next li").count() == 4
    large = page.locator("#photo-large")
    assert large.get_attribute("alt") == "The photo chelsea.jpg"
    assert large.evaluate("(i) => i.decode().then(() => i.naturalWidth)") == 451  # as it is: not enlarged
    page.keyboard.press("ArrowRight")
    expect(page.locator("#photo-title")).not_to_have_text("chelsea.jpg")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#photo-answer .big:has-text('Egyptian cat')")
    page.keyboard.press("Escape")
    assert page.locator("#photo-dialog").is_hidden()
    assert "chelsea.jpg" in page.evaluate("document.activeElement.textContent")
    page.locator("#hits button").first.click()
    page.click("#photo-like")
    page.wait_for_selector("#search-status:has-text('chelsea.jpg')")
    assert sorted(page.locator("#hits .file").all_inner_texts()) == ["coffee.jpg", "rocket.jpg"]
    page.locator("#hits button:has-text('coffee.jpg')").click()
    page.wait_for_selector("#photo-answer .big:has-text('espresso')")
    page.click("#photo-name")
    page.wait_for_selector("#answer .big:has-text('espresso')")
    assert page.locator("#preview").get_attribute("alt") == "The photo coffee.jpg"


def test_a_sample_is_named_by_a_click(page_of_index):
    page = page_of_index
    page.wait_for_selector("#samples:not([hidden])")
    assert page.locator("#samples button").count() == 3
    page.get_by_role("button", name="Name coffee.jpg").click()
    page.wait_for_selector("#answer .big:has-text('espresso')")
    assert page.locator("#hello").is_hidden()


@pytest.mark.parametrize("width", [360, 1280])
def test_the_grid_of_an_index(browser, indexed, width: int):
    with browser.new_context(viewport={"width": width, "height": 740}) as context:
        context.set_default_timeout(120_000)
        page = context.new_page()
        page.goto(f"{indexed.url}/#search")
        searched(page, "cat")
        page.select_option("#cut", "hardly like")
        page.wait_for_selector("#hits img[alt='rocket.jpg: cannot be shown']", state="attached")
        page.wait_for_selector("#hits img[src^=blob] >> nth=1", state="attached")
        assert page.locator("#hits img[src^=blob]").count() == 2
        first = page.locator("#hits figure").first
        assert first.locator(".file").inner_text() == "chelsea.jpg"
        assert (
            first.locator("img").evaluate("(i) => i.decode().then(() => Math.max(i.naturalWidth, i.naturalHeight))")
            == 320
        )
        assert "feline mammal usually having thick soft fur" in page.locator("#meaning p").inner_text().lower()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        first.click()
        page.wait_for_selector("#photo-answer .big")
        assert page.locator("#photo-dialog").evaluate("(d) => d.scrollWidth <= d.clientWidth")
        assert page.locator("#photo-dialog").evaluate("(d) => d.getBoundingClientRect().width") <= width
        page.click("#photo-close")
        page.fill("#query", "xqzzy")
        page.press("#query", "Enter")
        page.wait_for_selector("#search-error:not([hidden])")
        assert page.locator("#hits li, #search-notes li").count() == 0


def test_the_map_finds_a_label(page, photo_file: Path):
    page.set_input_files("#file", photo_file)
    page.click("nav >> text=Label space")
    page.wait_for_selector("#legend input")
    page.fill("#space-query", "snow leopard")
    page.press("#space-query", "Enter")
    page.wait_for_selector("#space-status:has-text('Nearest in meaning')")
    assert "big cat" in page.locator("#space-status").inner_text()
    drawn = (
        "(c) => { const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; return d.some((v) => v) }"
    )
    assert page.locator("#map").evaluate(drawn)
    page.locator("#map").press("+")
    page.fill("#space-query", "xqzzy")
    page.press("#space-query", "Enter")
    page.wait_for_selector("#space-error:not([hidden])")


def test_a_photo_placed_late_leaves_what_was_found_meanwhile(page, photo_file: Path):
    held: list[Any] = []

    def hold(route: Any) -> None:
        held.append(route)

    page.route("**/v1/embed", hold)
    page.set_input_files("#file", photo_file)
    page.click("nav >> text=Label space")
    page.wait_for_selector("#legend input")
    page.fill("#space-query", "snow leopard")
    page.press("#space-query", "Enter")
    page.wait_for_selector("#space-status:has-text('Nearest in meaning')")
    assert len(held) == 1
    with page.expect_response("**/v1/embed") as answer:
        held[0].continue_()
    answer.value.finished()
    page.evaluate("new Promise((done) => setTimeout(done, 200))")
    assert "big cat" in page.locator("#space-status").inner_text()


def test_the_camera_takes_a_photo(page):
    page.click("#camera")
    page.locator("#video").evaluate("(v) => v.videoWidth || new Promise((ready) => { v.onloadeddata = ready })")
    page.click("#shoot")
    page.wait_for_selector("#answer .big")
    assert page.locator("#preview").get_attribute("alt") == "The photo camera.jpg"


def test_everything_is_reached_by_the_keyboard_and_has_a_name(page):
    page.evaluate("document.querySelector('details:has(#options)').open = true")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('input, select, textarea, button, canvas, img')].filter((e) =>
            !(e.labels?.length || e.getAttribute('aria-label') || e.hasAttribute('alt') || e.textContent.trim())
        ).map((e) => e.outerHTML)"""
    )
    assert nameless == []
    reached = set()
    for _ in range(14):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert {"file", "camera", "own-name", "own-definition", "candidates", "under"} <= reached


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_in_both_schemes(browser, served, photo_file: Path, scheme: str):
    with browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme) as context:
        context.set_default_timeout(120_000)
        page = context.new_page()
        page.goto(served.url)
        page.set_input_files("#file", photo_file)
        page.wait_for_selector("#answer .big")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        ink, card = page.evaluate(
            """() => { const c = document.querySelector('.answer'), s = getComputedStyle(c);
            return [s.color, s.backgroundColor].map((t) => t.match(/\\d+/g).slice(0, 3).map(Number)) }"""
        )
        assert _contrast(ink, card) >= 7
        assert (sum(card) > sum(ink)) == (scheme == "light")


def test_a_token_is_asked_for(browser, start, photo_file: Path):
    served = start(token="sesame")
    with browser.new_context() as context:
        context.set_default_timeout(120_000)
        page = context.new_page()
        page.goto(served.url)
        page.wait_for_selector("#token-dialog[open]")
        page.fill("#token", "sesame")
        page.press("#token", "Enter")
        page.set_input_files("#file", photo_file)
        page.wait_for_selector("#answer .big")


def test_a_token_is_asked_for_once_though_a_refusal_comes_late(browser, start, photo_file: Path):
    served = start(token="sesame")
    held = []
    with browser.new_context() as context:
        context.set_default_timeout(120_000)
        page = context.new_page()
        page.route("**/v1/options*", lambda route: held.append(route) if not held else route.continue_())
        page.goto(served.url)
        page.wait_for_selector("#token-dialog[open]")  # another request was refused
        page.fill("#token", "sesame")
        page.press("#token", "Enter")
        page.wait_for_selector("#token-dialog:not([open])", state="attached")
        named(page, photo_file)  # so the token is in use
        with page.expect_response(lambda answer: "/v1/options" in answer.url and answer.ok):
            held[0].continue_()
        assert page.locator("#token-dialog[open]").count() == 0


def test_a_service_that_is_gone_is_told(browser, start, photo_file: Path):
    served = start()
    with browser.new_context() as context:
        context.set_default_timeout(120_000)
        page = context.new_page()
        page.goto(served.url)
        context.set_offline(True)
        page.set_input_files("#file", photo_file)
        page.wait_for_selector("#error:not([hidden])")
        assert "does not respond" in page.locator("#error").inner_text()


def _contrast(one: list[int], other: list[int]) -> float:
    """The ratio of WCAG 2.1."""

    def light(colour: list[int]) -> float:
        parts = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_trail_from_wide_to_narrow_can_be_clicked(page, tmp_path: Path, model):
    """A name of the trail asks again, with only what is below it."""
    data = pytest.importorskip("skimage.data", reason="scikit-image has the photo of a cat")
    Image.fromarray(data.chelsea()).save(tmp_path / "cat.jpg")
    named(page, tmp_path / "cat.jpg")
    hedge = model.label(tmp_path / "cat.jpg", top=7, sure=0.7).hedge
    levels = [level.name for level in hedge.way if level.common and level.bits > 0]
    assert levels[0] == "animal"
    shown = page.locator("#answer .trail button")
    assert [text.rsplit(" ", 2)[0].strip().removesuffix("<").strip() for text in shown.all_inner_texts()] == levels
    with page.expect_response("**/v1/label?*") as answer:
        shown.first.click()
    assert answer.value.url.endswith("under=n00015388")  # the animal, whatever else the word means
    expect(page.locator("#under")).to_have_value(levels[0])
    page.wait_for_selector(f"#whole:has-text('Only kinds of {levels[0]}')")
