import re
from dataclasses import asdict, replace
from html.parser import HTMLParser
from itertools import pairwise
from json import dumps, loads

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devise.labels import Label
from devise.model.answers import Explanation, Guess, Standing, TrainedShare
from devise.model.comparison import COMPARED, Added, Column, PhotoRecord, TypedResult
from devise.pages.frame import percent, printable
from devise.pages.gallery import TITLES, Gallery, gallery_html, typed_summary

HOSTILE = "<img src=x onerror=alert(1)>&\"'</h2>.jpg"
VOID = {"meta", "link", "img"}
PICTURE = "data:image/jpeg;base64,AAAA"
CAT = Label("n02123045", "tabby", "a cat with a grey coat", seen=True)
KIANG = Label("n02391994", "kiang", "a wild ass of Tibet", source="gloss")
ZEDONK = Label("user:zedonk", "zedonk", "offspring of a zebra & a donkey")


class Page(HTMLParser):
    """Reads a page back, and fails when a tag is closed that is not open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[tuple[tuple[str, ...], str]] = []
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

    def handle_data(self, data: str) -> None:
        self.text.append((tuple(self.open), data))

    def values(self, attribute: str) -> list[str]:
        return [attrs[attribute] or "" for _, attrs in self.tags if attribute in attrs]

    def inside(self, tag: str) -> list[str]:
        return [data for path, data in self.text if path and path[-1] == tag and data.strip()]


def guess(label: Label = KIANG, score: float = 0.25) -> Guess:
    return Guess(label, score, Explanation(("entity", "ass", label.name), (TrainedShare(CAT, 0.5),)))


def record(name: str = "a.jpg", **facts: object) -> PhotoRecord:
    columns = tuple(Column(method, 7, (guess(CAT, 0.5), guess())) for method in COMPARED)
    return replace(PhotoRecord(name, picture=PICTURE, columns=columns), **facts)  # type: ignore[arg-type]


def added(*results: TypedResult | None, labels: tuple[Label, ...] = (ZEDONK,), typed: int = 2) -> Added:
    return Added(labels, 40_003, typed, ("a <note>",), results, 0.5, 0.25)


def gallery(*records: PhotoRecord, extra: Added | None = None) -> Gallery:
    return Gallery("m<1>", 39_990, 1_000, records, extra, ("Credit & thanks",))


def test_every_photo_and_every_guess_of_every_method_is_on_the_page() -> None:
    page = Page(gallery_html(gallery(record("a.jpg"), record("b.jpg"), record("a.jpg"))))
    assert page.inside("h2")[1:] == ["a.jpg", "b.jpg", "a.jpg"]
    assert [attrs["src"] for tag, attrs in page.tags if tag == "img"] == [PICTURE] * 3
    names = [data.strip() for path, data in page.text if path[-2:] == ("span", "span") and data.strip()]
    assert names.count("tabby") == names.count("kiang") == 3 * len(COMPARED)
    assert [head.strip() for head in page.inside("h3")] == [TITLES[method] for method in COMPARED] * 3


def test_an_unseen_label_is_marked_with_a_word() -> None:
    text = gallery_html(gallery(record()))
    items = re.findall(r"<summary>.*?</summary>", text)
    assert len(items) == 2 * len(COMPARED)
    for item in items:
        assert ("unseen" in item) == ("kiang" in item)


def test_the_path_the_leaning_and_the_gloss_are_there() -> None:
    text = gallery_html(gallery(record()))
    assert "Path: entity › ass › kiang" in text
    assert "Leans on: tabby 50%" in text
    assert ">a wild ass of Tibet</span>" in text
    assert "vector from its gloss" in text


def test_nothing_is_loaded_and_every_link_leads_somewhere() -> None:
    result = TypedResult(KIANG, (Standing(ZEDONK, 3),), (guess(ZEDONK),))
    text = gallery_html(gallery(record(), record(problem="empty"), extra=added(result, None)))
    page = Page(text)
    assert not re.search(r"https?:|//|url\(|@import", text.replace(PICTURE, ""))
    assert not {"script", "iframe", "object", "form", "base"} & {tag for tag, _ in page.tags}
    assert set(page.values("src")) == {PICTURE}
    ids = page.values("id")
    assert len(set(ids)) == len(ids)
    links = [target for target in page.values("href") if target != "data:,"]
    assert {target[1:] for target in links} | set(page.values("aria-labelledby")) <= set(ids)
    assert all(target.startswith("#") for target in links)
    assert links


def test_it_says_its_language_title_and_what_every_image_is() -> None:
    page = Page(gallery_html(gallery(record("a.jpg"), record("b.jpg", shows="A cat on a mat"))))
    assert dict(page.tags)["html"] == {"lang": "en"}
    assert page.inside("title") == page.inside("h1") == ["2 photos named with 39,990 labels"]
    assert page.values("alt") == ["The photo a.jpg", "A cat on a mat"]
    assert sorted(page.values("scope")) == ["col"] * 5 + ["row"] * 2
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(categories=None), min_size=1, max_size=20) | st.just(HOSTILE))
def test_any_name_is_shown_as_it_is_and_never_read_as_html(name: str) -> None:
    label = Label("user:x", name, name)
    result = TypedResult(label, (Standing(label, 3),), (guess(label),))
    photo = record(name, columns=(Column("softmax", 7, (guess(label),)),))
    calm = record("a", columns=(Column("softmax", 7, (guess(ZEDONK),)),))
    extra = added(result, None, labels=(label,))
    text = gallery_html(gallery(photo, record(name, problem=name), extra=extra))
    page = Page(text)
    assert text.encode("utf-8")
    plain = Page(gallery_html(gallery(calm, record("a", problem="a"), extra=added(result, None))))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
    assert page.values("alt") == [f"The photo {printable(name)}"]
    assert page.values("title") == [printable(name)]
    shown = printable(name)
    assert "".join(d for path, d in page.text if path[-2:] == ("article", "h2")) == shown
    failed = [data for path, data in page.text if path[-2:] == ("ul", "li")]
    assert failed[0] == f"{shown}: {shown}"


def test_photos_that_failed_are_listed_with_their_reason_and_not_shown() -> None:
    text = gallery_html(gallery(record(HOSTILE, problem="cut off <b>"), record("good.jpg")))
    page = Page(text)
    assert page.inside("h2")[0] == "1 photo could not be read"
    assert page.inside("li")[0] == f"{HOSTILE}: cut off <b>"
    assert page.inside("h1") == ["1 photo named with 39,990 labels"]
    assert [attrs["id"] for tag, attrs in page.tags if tag == "article"] == ["photo-2"]


def test_a_page_of_failures_alone_is_whole() -> None:
    page = Page(gallery_html(gallery(record(problem="empty"))))
    assert not [tag for tag, _ in page.tags if tag in {"article", "table"}]


def test_a_typed_label_is_placed_and_the_one_meant_is_named_however_far_down() -> None:
    others = [Label(f"user:{i}", f"other {i}") for i in range(5)]
    standings = (*(Standing(label, i + 1) for i, label in enumerate(others)), Standing(ZEDONK, 20_000))
    result = TypedResult(others[0], standings, (guess(others[1], 0.75), guess(ZEDONK, 0.25)))
    text = gallery_html(gallery(record(meant="zedonk"), extra=added(result)))
    places = "other 0 has rank 1; other 1 has rank 2; other 2 has rank 3"
    assert f"{places}; zedonk (typed for this photo) has rank 20,000; 2 more at lower ranks" in text
    assert "other 1 75.0 %; zedonk (typed for this photo) 25.0 %" in text
    assert "<li><b>zedonk</b>: offspring of a zebra &amp; a donkey</li>" in text
    assert "a &lt;note&gt;" in text


def test_the_summary_counts_how_often_the_label_meant_was_chosen() -> None:
    right = TypedResult(KIANG, (), (guess(ZEDONK),))
    wrong = TypedResult(KIANG, (), (guess(KIANG),))
    photos = (record(meant="zedonk"), record(meant="zedonk"), record(), record(meant="zedonk", problem="empty"))
    lines = typed_summary(photos, added(right, wrong, right, None))
    assert lines[0].startswith("1 label added")
    assert "0.25 s" in lines[0]
    assert "40,003 labels again for 3 photos. Reading the word vectors took 0.50 s" in lines[0]
    assert lines[1].startswith("1 typed label already in the model")
    assert lines[2].endswith("1 of 2 photos.")


def test_the_summary_claims_nothing_when_no_label_is_new() -> None:
    lines = typed_summary((record(),), added(TypedResult(KIANG, (), ()), labels=(), typed=1))
    assert len(lines) == 1
    assert "already in the model" in lines[0]


@pytest.mark.parametrize(
    ("score", "shown"), [(1.0, "100.0 %"), (0.1234, "12.3 %"), (0.0005, "0.1 %"), (0.0004, "< 0.1 %"), (0.0, "< 0.1 %")]
)
def test_percent(score: float, shown: str) -> None:
    assert percent(score) == shown


@given(st.text(st.characters(categories=None)))
def test_printable_text_can_be_written_and_stays_on_its_line(text: str) -> None:
    shown = printable(text)
    assert shown.encode("utf-8").decode("utf-8") == shown
    assert shown.isprintable()
    assert shown == text or not text.isprintable()


def test_a_record_can_be_written_as_json() -> None:
    stored = loads(dumps(asdict(record())))
    assert stored["columns"][0]["guesses"][1]["label"]["name"] == "kiang"
