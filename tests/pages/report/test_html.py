"""The page is valid, loads nothing, and names what it shows for those who do not see it."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devise.evaluation.record import Record
from devise.pages.report import build as html
from devise.pages.report.build import build_content, report_html
from devise.pages.report.content import Content
from devise.pages.report.measured import finder, measured_of
from devise.taxonomy.wordnet import default_taxonomy

VOID = {"meta", "link", "img"}
ALONE = {"polyline", "rect", "circle"}


class Page(HTMLParser):
    """Reads a page back, and fails when a tag is closed that is not open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALONE
        self.tags.append((tag, dict(attrs)))

    def values(self, attribute: str) -> list[str]:
        return [attrs[attribute] or "" for _, attrs in self.tags if attribute in attrs]


@pytest.fixture(autouse=True)
def not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """PNG files are drawn in the tests of the figures."""
    monkeypatch.setattr(html, "png", lambda _: b"\x89PNG")


@pytest.fixture
def content(record: Record, photos: Path) -> Content:
    return build_content(measured_of(record, default_taxonomy()), default_taxonomy(), finder([photos]))


def test_nothing_is_loaded_every_id_is_one_and_every_link_leads_somewhere(content: Content):
    text = report_html(content)
    page = Page(text)
    ids = page.values("id")
    assert len(set(ids)) == len(ids)
    labelled = {one for names in page.values("aria-labelledby") for one in names.split()}
    links = {link for link in page.values("href") if not link.startswith("data:")}
    assert {link.removeprefix("#") for link in links} | labelled <= set(ids)
    assert all(link.startswith("#") for link in links)
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.values("src"))
    assert not {"iframe", "object", "form", "base"} & {tag for tag, _ in page.tags}
    assert not re.search(r"https?:|url\(|@import", text)


def test_landmarks_headings_captions_scopes_and_words_for_pictures(content: Content):
    page = Page(report_html(content))
    tags = [tag for tag, _ in page.tags]
    assert [tags.count(tag) for tag in ("header", "nav", "main", "footer", "h1")] == [1] * 5
    levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert tags.count("table") == tags.count("caption") == 8
    assert all("scope" in attrs for tag, attrs in page.tags if tag == "th")
    assert len([alt for alt in page.values("alt") if alt.startswith("Photo ")]) == 4
    assert all("aria-labelledby" in attrs for tag, attrs in page.tags if tag == "svg")
    for _tag, attrs in page.tags:
        if attrs.get("role") == "region":
            assert attrs["tabindex"] == "0"
            assert attrs["aria-label"]
    assert tags.count("figure") == tags.count("figcaption") == 7


def test_intervals_stand_in_rows_of_their_own_with_the_scorer_for_those_who_hear_them(content: Content):
    rows = re.findall(r'<tr class="ends"><th scope="row">(.*?)</th>(.*?)</tr>', report_html(content))
    assert (rows[0][0], rows[1][0]) == (
        '<span class="sr">fused, 95 % interval </span>over photos',
        '<span class="sr">fused, 95 % interval </span>over classes',
    )
    table = content.tables[0]
    assert rows[0][1] == "".join(f"<td>{cell.over_photos}</td>" for cell in table.rows[0][1])
    assert "\u2013" in rows[0][1]
    assert 'download="measures.csv" href="data:text/csv;charset=utf-8,%EF%BB%BFscorer' in report_html(content)


def test_right_guesses_are_marked_with_a_word_and_near_ones_show_their_way(content: Content):
    text = report_html(content)
    assert text.count('aria-label="right"') == 2 + 1 + 2, "fused: two first, kiang and harp later; softmax: one"
    near = re.findall(r'<li class="near">.*?</li>', text)
    assert near
    assert any('<span class="way">↑ wild ass ↑ ass ↑ equine</span>' in one for one in near)
    assert "4 edges from the true class; both are kinds of equine." in text
    assert "4 photos shown; the pictures take" in text


def test_a_part_of_the_photos_is_said_to_be_one(content: Content):
    text = report_html(replace(content, cards=content.cards[:3], missing=1))
    assert "3 of 4 photos shown, chosen evenly by class" in text
    assert "1 picture not found." in text


def test_without_photos_scores_or_classes_the_page_is_whole(content: Content):
    Page(report_html(replace(content, cards=(), reliability=(), distances=(), curves=(), tables=())))


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(st.characters(categories=None), min_size=1, max_size=20) | st.just("<img src=x onerror=alert(1)>"))
def test_no_name_is_read_as_html(record: Record, name: str):
    measured = measured_of(record, default_taxonomy())

    def tags(name: str) -> list[str]:
        renamed = replace(measured, photos=(name, *measured.photos[1:]))
        content = build_content(renamed, default_taxonomy(), lambda _: None)
        text = report_html(replace(content, title=name, summary=name, rules=(name,)))
        assert text.encode("utf-8")
        return [tag for tag, _ in Page(text).tags]

    assert tags(name) == tags("plain")
