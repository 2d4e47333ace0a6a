"""The frame of every page."""

import re

from hypothesis import given
from hypothesis import strategies as st

from devise.errors import counted
from devise.pages.frame import document, html_text


def test_the_frame_holds_title_body_and_styles_in_order():
    text = document("A title", "<p>body</p>", styles=("theme.css", "gallery.css"))
    assert text.startswith("<!doctype html>")
    assert "<title>A title</title>" in text
    assert text.index(":root") < text.index(".methods") < text.index("<p>body</p>")
    assert re.search("default-src 'none'; img-src data:; style-src 'unsafe-inline'\"", text)


@given(st.text(st.characters(categories=None)))
def test_text_is_never_markup(text: str):
    shown = html_text(text)
    assert not set('<>"') & set(shown)
    assert shown.encode("utf-8").decode("utf-8") == shown


def test_counts_and_their_nouns():
    assert [counted(0, "photo"), counted(1, "class"), counted(3, "class")] == ["0 photos", "1 class", "3 classes"]
