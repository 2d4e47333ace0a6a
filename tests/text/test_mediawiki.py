import bz2
import os
import subprocess
import sys
from html import escape
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.errors import TextError
from devise.text.documents import Document
from devise.text.mediawiki import APPARATUS, clean_wikitext, is_redirect, read_dump, read_pages
from devise.text.readers import open_corpus
from devise.text.tokens import tokenize

pytest.importorskip("mwparserfromhell")

HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/" version="0.10" xml:lang="de">
<siteinfo><namespaces>
<namespace key="-2">Medium</namespace><namespace key="0" /><namespace key="6">Datei</namespace>
<namespace key="14">Kategorie</namespace><namespace key="1">Diskussion</namespace>
</namespaces></siteinfo>
"""


def page(title: str, *texts: str, ns: str = "<ns>0</ns>", more: str = "", model: str = "wikitext") -> str:
    revisions = "".join(
        f"<revision><id>1</id><model>{model}</model><text bytes='1'>{escape(text)}</text></revision>" for text in texts
    )
    return f"<page><title>{escape(title)}</title>{ns}<id>1</id>{more}{revisions}</page>\n"


def dump(*pages: str) -> bytes:
    return (HEAD + "".join(pages) + "</mediawiki>\n").encode()


PAGES = (
    page("Katze", "old", "Die '''Katze''' [[Datei:K.jpg|mini]] ist ein [[Haustier]].\n[[Kategorie:Katzen]]"),
    page("Kater", "#REDIRECT [[Katze]]", more='<redirect title="Katze" />'),
    page("Diskussion:Katze", "talk", ns="<ns>1</ns>"),
    page("Diskussion:Hund", "talk of an old dump", ns=""),
    page("Miez", "#redirect [[Katze]]", ns=""),
    page("Katze.css", "a { b: c }", model="css"),
    page("Hund & Co: das", "Ein <Hund>.", ns=""),
    page("Leer", ""),
)


def test_pages_and_why_they_are_no_articles(tmp_path: Path) -> None:
    path = tmp_path / "dump.xml"
    path.write_bytes(dump(*PAGES))
    pages = list(read_pages(path))
    assert [page.title for page in pages][-2] == "Hund & Co: das"
    assert [page.no_article for page in pages] == [
        None,
        "redirects",
        "other_namespaces",
        "other_namespaces",
        "redirects",
        "other_models",
        None,
        None,
    ]
    assert pages[0].silent == ("medium", "datei", "kategorie")
    assert list(read_dump(path)) == [
        Document("Katze", "Die Katze ist ein Haustier."),
        Document("Hund & Co: das", "Ein."),
        Document("Leer", ""),
    ]


def test_bz2_of_many_streams(tmp_path: Path) -> None:
    whole = dump(*PAGES)
    path = tmp_path / "dump.xml.bz2"
    path.write_bytes(b"".join(bz2.compress(whole[start : start + 700]) for start in range(0, len(whole), 700)))
    seen: list[int] = []
    assert len(list(read_pages(path, seen.append))) == len(PAGES)
    assert sum(seen) == path.stat().st_size
    assert [document.title for document in open_corpus(path)] == ["Katze", "Hund & Co: das", "Leer"]


def test_broken_xml_gives_what_stood_before(tmp_path: Path) -> None:
    path = tmp_path / "dump.xml"
    path.write_bytes(dump(*PAGES).replace(b"<title>Miez", b"<title Miez"))
    pages = read_pages(path)
    titles = []
    with pytest.raises(TextError, match=r"dump\.xml breaks off after 4 pages, its XML is broken: .*line 11") as caught:
        titles += [page.title for page in pages]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("lost", [30, 300])
def test_truncated_dump(tmp_path: Path, lost: int) -> None:
    path = tmp_path / "dump.xml"
    path.write_bytes(dump(*PAGES)[:-lost])
    with pytest.raises(TextError, match=r"breaks off after \d pages, its XML is broken"):
        list(read_pages(path))


def test_truncated_bz2(tmp_path: Path) -> None:
    path = tmp_path / "dump.xml.bz2"
    whole = bz2.compress(dump(*PAGES))
    path.write_bytes(bz2.compress(HEAD.encode()) + whole[:-20])
    with pytest.raises(TextError, match=r"breaks off after 0 pages: .*the file is damaged"):
        list(read_pages(path))


def test_xml_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "feed.xml"
    path.write_text("<rss><page/></rss>")
    with pytest.raises(TextError, match="not a MediaWiki dump: expected <mediawiki>, got <rss>"):
        list(read_pages(path))


_PEAK = """
import resource, sys
from pathlib import Path
from devise.text.mediawiki import read_pages
count = sum(len(page.wikitext) > 0 for page in read_pages(Path(sys.argv[1])))
print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_kilobytes(path: Path, pages: int) -> int:
    body = page("Katze", "Die Katze ist ein Haustier. " * 200).encode()
    with path.open("wb") as file:
        file.write(HEAD.encode())
        for _ in range(pages):
            file.write(body)
        file.write(b"</mediawiki>")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, path], env=environment, capture_output=True, text=True, check=True
    )
    count, peak = map(int, done.stdout.split())
    assert count == pages
    return peak


def test_memory_does_not_grow_with_the_dump(tmp_path: Path) -> None:
    """56 MB of pages against 1 MB; a tree that is kept takes more than the file, 5 MB is noise of the allocator."""
    small = peak_kilobytes(tmp_path / "small.xml", 200)
    assert peak_kilobytes(tmp_path / "large.xml", 10_000) < small + 5_000


def test_the_real_sample_is_clean(shared: Path) -> None:
    pages = list(read_pages(shared / "data" / "text" / "enwiki-dump-sample.xml.bz2"))
    reasons = [page.no_article for page in pages]
    assert (len(pages), reasons.count("redirects"), reasons.count("other_namespaces")) == (206, 99, 1)
    documents = [document for _, document in zip(range(12), open_corpus(_sample(shared)), strict=False)]
    assert documents[0].title == "Anarchism"
    assert documents[0].text.startswith("Anarchism is a political philosophy that advocates self-governed societies")
    text = "\n".join(document.text for document in documents)
    for mark in ("[[", "{{", "}}", "<ref", "&nbsp;", "'''", "==", "Category:", "File:", "|thumb"):
        assert mark not in text
    assert len(tokenize(text)) > 40_000


def _sample(shared: Path) -> Path:
    return shared / "data" / "text" / "enwiki-dump-sample.xml.bz2"


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
