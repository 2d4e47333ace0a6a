"""The frame of every page."""

import re
from base64 import b64encode
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from devise.errors import counted
from devise.pages.frame import html_text, page


def test_the_frame_holds_title_body_and_styles_in_order():
    text = page("frame.html", css=("theme.css", "gallery.css"), title="A <title>")
    assert text.startswith("<!doctype html>")
    assert "<title>A &lt;title&gt;</title>" in text
    assert text.index(":root") < text.index(".methods") < text.index("<body>")
    assert re.search("default-src 'none'; img-src data:; style-src 'unsafe-inline'\"", text)


def test_only_its_own_script_may_run():
    text = page("frame.html", css=(), script="atlas.js", title="t")
    (code,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert f"script-src 'sha256-{b64encode(sha256(code.encode()).digest()).decode()}'\"" in text
    assert "script" not in page("frame.html", css=(), title="t")


@given(st.text(st.characters(categories=None)))
def test_text_is_never_markup(text: str):
    shown = html_text(text)
    assert not set('<>"') & set(shown)
    assert shown.encode("utf-8").decode("utf-8") == shown


def test_counts_and_their_nouns():
    assert [counted(0, "photo"), counted(1, "class"), counted(3, "class")] == ["0 photos", "1 class", "3 classes"]
