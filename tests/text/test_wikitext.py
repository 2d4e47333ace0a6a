import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.text.wikitext import APPARATUS, clean_wikitext, is_redirect

pytest.importorskip("mwparserfromhell")


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("'''Cat''' is ''a'' [[mammal]].", "Cat is a mammal."),
        ("[[Felis catus|The '''cat''']]s purr", "The cats purr"),
        ("{{Infobox cat|name={{PAGENAME}}|text=[[x]]}}\nCats.", "Cats."),
        ("Cats<ref name=a>Smith, ''Cats''</ref> purr<ref name=a />.", "Cats purr."),
        ("[[File:Cat.jpg|thumb|A [[cat]] here]]Cats.", "Cats."),
        ("[[image:Cat.jpg]] [[Category:Cats|*]] [[fr:Chat]] Cats.", "Cats."),
        ("See [[:Category:Cats]], [[Dog#History]].", "See Category:Cats, Dog History."),
        ("{| class=x\n! a !! b\n|-\n| one || two\n|}\nAfter.", "After."),
        ("Before.\n{{open}}\n|-\n| a cell || of a broken table\n|}\nAfter.", "Before.\nAfter."),
        ("The cat ({{lang|la|Felis}}; born {{date}}) is small.", "The cat (born) is small."),
        ("The cat ({{IPA|kat}}), small.", "The cat, small."),
        ("[http://a.b The site] and [http://a.b] http://c.d", "The site and"),
        ("a<!-- hidden -->b&nbsp;c &ndash; d &amp; e", "ab c – d & e"),
        ("* one [[cat]]\n* two\n# three\n: four\n; five", "one cat\ntwo\nthree\nfour\nfive"),
        ("H<sub>2</sub>O and <math>x^2</math> text", "H2O and text"),
        ("<nowiki>[[not a link]]</nowiki>", "not a link"),
        ("one<br />two<br>three", "one\ntwo\nthree"),
        ("__NOTOC__ text <gallery>\nA.jpg|b\n</gallery>", "text"),
        ("<blockquote>said</blockquote> then <span style='x'>on</span>", "said\nthen on"),
        ("<syntaxhighlight lang=c>int x;</syntaxhighlight>code", "code"),
        ("x &#65; {{{1|y}}}", "x A"),
        ("!!!\n...\n''", ""),
        ("", ""),
    ],
)
def test_what_stays_of_wikitext(wikitext: str, text: str) -> None:
    assert clean_wikitext(wikitext) == text


def test_headings_and_apparatus_go_but_their_neighbours_stay() -> None:
    wikitext = (
        "Lead.\n== History ==\nOld.\n=== References ===\n* gone\n==== Deeper ====\ngone too\n=== Late ===\nNew.\n"
        "== See also ==\n* [[gone]]\n=== Sub ===\ngone\n== ''Legacy'' ==\nLast."
    )
    assert clean_wikitext(wikitext) == "Lead.\nOld.\nNew.\nLast."
    assert all(name == name.lower().strip() for name in APPARATUS)


def test_namespaces_of_another_language() -> None:
    wikitext = "[[Datei:Katze.jpg|mini|Eine Katze]] [[Kategorie:Katzen]] Die Katze."
    assert clean_wikitext(wikitext, ("datei", "kategorie")) == "Die Katze."
    assert clean_wikitext(wikitext) != "Die Katze."


@pytest.mark.parametrize(
    ("wikitext", "redirect"),
    [("#REDIRECT [[A]]", True), ("\n# redirect[[A]]", True), ("# redirection is", False), ("A #REDIRECT", False)],
)
def test_redirects_of_old_dumps(wikitext: str, redirect: bool) -> None:
    assert is_redirect(wikitext) is redirect


_MARKS = [
    "[[",
    "]]",
    "{{",
    "}}",
    "{|",
    "|}",
    "|",
    "\n",
    "''",
    "<ref>",
    "</ref>",
    "==",
    "cat",
    " dog ",
    "<b>",
    "&lt;",
    "(",
]


@given(st.lists(st.sampled_from(_MARKS), max_size=25).map("".join))
def test_any_tangle_of_marks_gives_lines_with_words_and_no_links_or_templates(wikitext: str) -> None:
    lines = clean_wikitext(wikitext).split("\n")
    assert lines == [""] or all(any(map(str.isalnum, line)) and line == line.strip() for line in lines)
    for mark in ("[[", "]]", "{{", "}}", "{|"):
        assert mark not in "\n".join(lines)


@given(st.lists(st.from_regex(r"[A-Za-z][a-z]{1,8}(, [a-z]{2,8}){0,3}\.", fullmatch=True), min_size=1, max_size=5))
def test_plain_sentences_are_left_as_they_are(sentences: list[str]) -> None:
    assert clean_wikitext("\n".join(sentences)) == "\n".join(sentences)
