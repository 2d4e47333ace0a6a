"""The page of labelled photos: what it says of each, whatever the names and files hold."""

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from devise.labels import Label
from devise.model.answers import Answer, Explanation, Guess, Hedge, Level, Standing, TrainedShare
from devise.model.labeller import LabelRequest
from devise.pages import contact_sheet
from devise.pages.contact_sheet import LabelSheet, SheetFacts
from devise.pages.frame import printable

CAT = Label("n02123045", "tabby", "a cat with a grey coat", seen=True)
KIANG = Label("n02391994", "kiang", "a wild ass of Tibet", source="gloss")
ZEDONK = Label("user:zedonk", "zedonk", "offspring of a zebra & a donkey")
FELINE = Level("n02120997", "feline", 0.875, 3.0, True)
MARK = '<span class="mark">unseen</span>'
HOSTILE = "<img src=x onerror=alert(1)>&\"'</h2>"
VOID = {"meta", "link", "img"}


class Page(HTMLParser):
    """Reads a page back, and fails when a tag is closed that is not open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.alts: list[str | None] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.alts += [value for name, value in attrs if name == "alt"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def photo(tmp_path: Path) -> str:
    path = tmp_path / "one.jpg"
    Image.new("RGB", (900, 600), "teal").save(path)
    return str(path)


def answer(source: str, **facts: object) -> Answer:
    named = {"guesses": (Guess(CAT, 0.625), Guess(KIANG, 0.25))}
    return Answer(source, **(named | facts))  # type: ignore[arg-type]


def page_of(
    *answers: Answer, stopped: bool = False, candidates: int = 39_990, typed_alone: bool = False, **asked: object
) -> str:
    request = LabelRequest(candidates="typed" if typed_alone else "all", **asked)  # type: ignore[arg-type]
    sheet = LabelSheet(SheetFacts("m<1>", candidates, frozenset({CAT.id}), request), io.StringIO())
    for one in answers:
        sheet.add(one)
    return "".join(sheet.pieces(stopped))


def cards(page: str) -> list[str]:
    return re.findall(r'<li class="card shot">(.*?)</p></li>', page, re.DOTALL)


def test_each_photo_has_its_names_their_scores_and_the_mark_of_unseen_ones(photo: str) -> None:
    (card,) = cards(page_of(answer(photo)))
    assert card.startswith('<div class="seen"><img alt="tabby" src="data:image/jpeg;base64,')
    first, others = card.split('<ul class="next"')
    assert f'<span>tabby</span> <span class="score">62.5 %</span>{""}' in first
    assert "width:62.5%" in first
    assert "a cat with a grey coat" in first
    assert f'<span>kiang {MARK}</span> <span class="score">25.0 %</span>' in others
    assert '<p class="file">one.jpg</p>' in card


def test_the_head_counts_and_explains(photo: str) -> None:
    page = page_of(answer(photo), answer(photo))
    text = Page(page).text
    assert "2 photos named with 39,990 labels" in text
    assert "A name marked unseen was never trained on: no training photo has this label" in text
    assert "(model m<1>)" in text
    assert "none of these" not in text


def test_a_rejected_photo_has_no_name_anywhere(photo: str) -> None:
    page = page_of(answer(photo, rejected=True), answer(photo), reject=0.3)
    rejected, _ = cards(page)
    assert '<p class="none">none of these</p>' in rejected
    assert "tabby" not in rejected
    assert "kiang" not in rejected
    assert 'alt="The photo one.jpg"' in rejected
    assert "<h1>1 photo named with" in page
    assert "1 photo is shown as “none of these”: no candidate has 30 % or more." in page


def test_as_wide_a_name_as_is_sure_comes_first_and_its_kinds_below(photo: str) -> None:
    narrower = (Level(CAT.id, "tabby", 0.5, 15.0, True), Level(KIANG.id, "kiang", 0.25, 15.0, True))
    (card,) = cards(page_of(answer(photo, hedge=Hedge(0.8, FELINE, narrower, ())), sure=0.8))
    first, others = card.split('<ul class="next"')
    assert '<span>feline</span> <span class="score">87.5 %</span>' in first  # it has kinds: neither seen nor unseen
    assert "<span>tabby</span>" in others
    assert f"<span>kiang {MARK}</span>" in others


def test_an_exact_name_that_is_sure_is_marked_where_it_was_not_trained_on(photo: str) -> None:
    exact = Hedge(0.8, Level(KIANG.id, "kiang", 0.9, 3.0, True), (), ())
    assert f"<span>kiang {MARK}</span>" in page_of(answer(photo, hedge=exact), sure=0.8, candidates=8)
    assert "<span>kiang</span>" in page_of(answer(photo, hedge=exact), sure=0.8, candidates=16)


def test_a_photo_without_a_sure_name_says_so(photo: str) -> None:
    page = page_of(answer(photo, hedge=Hedge(0.8, None, (FELINE,), ())), sure=0.8)
    assert "no name reaches 80 %" in page
    assert "The first name is the most specific one of at least 80 %" in page


def test_a_photo_in_doubt_has_a_wider_name_above_the_first(photo: str) -> None:
    told = '<p class="wide">a kind of <b>feline</b> 87.5 %</p><p class="first">'
    assert told in page_of(answer(photo, hedge=Hedge(0.7, FELINE, (), ())))
    whole = Level("n00001740", "entity", 1.0, 0.0, False)
    assert 'class="wide"' not in page_of(answer(photo, hedge=Hedge(0.7, whole, (), ())))


def test_typed_labels_that_lost_are_placed_and_names_used_twice_told_apart(photo: str) -> None:
    page = page_of(answer(photo, standings=(Standing(ZEDONK, 1234),)))
    assert '<div class="typed"><p>zedonk: rank 1,234</p></div>' in page
    assert "zedonk" not in page_of(answer(photo, standings=(Standing(ZEDONK, 1234),)), candidates=3, typed_alone=True)
    twins = (Guess(CAT, 0.5), Guess(Label("n02123159", "tabby"), 0.25))
    assert Page(page_of(answer(photo, guesses=twins))).text.count("n02123") == 2


def test_explanations_open_below_each_name(photo: str) -> None:
    why = Explanation(("entity", "ass"), (TrainedShare(CAT, 0.5),))
    page = page_of(answer(photo, guesses=(Guess(KIANG, 0.5, why),)), explain=True)
    assert "<details>" in page
    assert "Leans on: tabby 50%" in page


def test_photos_that_could_not_be_read_are_counted_and_listed(photo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact_sheet, "_LISTED", 2)
    page = page_of(*(Answer(f"{i}.jpg", problem="cut <off>") for i in range(5)), answer(photo))
    assert "<h2 id=\"problems\">5 photos could not be read</h2>" in page  # fmt: skip
    assert "<li>0.jpg: cut &lt;off&gt;</li>\n<li>1.jpg: cut &lt;off&gt;</li>\n<li>and 3 more</li>" in page
    assert len(cards(page)) == 1
    assert "<ol" not in page_of(Answer("0.jpg", problem="empty"))


def test_a_photo_that_is_gone_since_says_so_and_keeps_its_names(tmp_path: Path) -> None:
    (card,) = cards(page_of(answer(str(tmp_path / "gone.jpg"))))
    assert '<p class="gone">no such file</p>' in card
    assert "tabby" in card


def test_more_photos_than_a_page_holds_are_counted(photo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact_sheet, "MOST_PHOTOS", 2)
    page = page_of(*[answer(photo)] * 5)
    assert len(cards(page)) == 2
    assert "<h1>5 photos named" in page
    assert "The page shows the first 2 photos; 3 more were labelled." in page


def test_context_and_a_stop_are_told(photo: str) -> None:
    page = page_of(answer(photo), stopped=True, context=True)
    assert "Names depend on the other photos of this run." in page
    assert "The run was stopped before all photos were done." in page


def test_nothing_is_loaded(photo: str) -> None:
    page = re.sub(r'src="data:image/jpeg;base64,[^"]*"', "", page_of(answer(photo), answer("gone.jpg")))
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page
    assert not re.search(r"https?:|//|url\(|@import|<script|src=", page)


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(categories=None), min_size=1, max_size=20) | st.just(HOSTILE))
def test_any_name_is_shown_as_it_is_and_never_read_as_html(name: str) -> None:
    label = Label("user:x", name, name)
    hedge = Hedge(0.8, Level("user:x", name, 0.9, 3.0, True), (), ())
    source = name.replace("/", "").replace("\0", "").strip(".") or "x"
    hostile = answer(source, guesses=(Guess(label, 0.5),), hedge=hedge, standings=(Standing(ZEDONK, 2),))
    page = Page(page_of(hostile, Answer(name, problem=name)))
    calm = answer("a", guesses=(Guess(ZEDONK, 0.5),), hedge=Hedge(0.8, FELINE, (), ()), standings=(Standing(CAT, 2),))
    assert page.tags == Page(page_of(calm, Answer("a", problem="a"))).tags
    assert printable(name) in page.text
    assert printable(source) in page.text
