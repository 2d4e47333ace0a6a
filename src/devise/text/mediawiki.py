"""Dumps of a MediaWiki (`pages-articles.xml`, also `.bz2` in many streams) as a stream of pages."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

from devise.errors import DeviseError, TextError, counted
from devise.text.documents import Document
from devise.text.streams import READ_ERRORS, Watch, open_bytes

__all__ = [
    "APPARATUS",
    "NO_TEXT_NAMESPACES",
    "NoArticle",
    "Page",
    "clean_page",
    "clean_wikitext",
    "is_redirect",
    "read_dump",
    "read_pages",
]

_ARTICLES = 0
NoArticle = Literal["other_namespaces", "redirects", "other_models"]
"""A page of discussion, help and the like; one that only sends on; one that is code or data."""

_SILENT = ("-2", "6", "14")  # the namespaces Media, File and Category, which have a name per language


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a dump, in its newest revision.

    namespace: 0 is articles. redirect: whether it only sends on to another page. model: "wikitext", or "css" and
        the like. silent: names of the namespaces whose links say nothing, lower case.
    """

    title: str
    namespace: int
    redirect: bool
    model: str
    wikitext: str
    silent: tuple[str, ...] = ()

    @property
    def no_article(self) -> NoArticle | None:
        """The reason why the page is not an article; None if it is one."""
        if self.namespace != _ARTICLES:
            return "other_namespaces"
        if self.redirect:
            return "redirects"
        return None if self.model == "wikitext" else "other_models"


@dataclass(slots=True)
class _Site:
    """The header of a dump: the names of its namespaces, by key."""

    names: dict[str, str] = field(default_factory=dict)

    def silent(self) -> tuple[str, ...]:
        return tuple(self.names[key].lower() for key in _SILENT if self.names.get(key))

    def namespace_of(self, title: str) -> int:
        """Return the namespace by the title's prefix: dumps before 2012 have it nowhere else."""
        prefix, colon, _ = title.partition(":")
        found = [key for key, name in self.names.items() if colon and name == prefix]
        return int(found[0]) if found else _ARTICLES


def read_pages(path: Path, watch: Watch | None = None) -> Iterator[Page]:
    """Yield all pages of a dump in order; a page with several revisions has the text of the last one.

    Memory contains one page. TextError if the file is not a dump, or where its XML or its compression breaks off: the
    pages before were given.
    """
    done = 0
    with open_bytes(path, TextError, watch) as file:
        try:
            for page in _pages(file, path):
                yield page
                done += 1
        except ElementTree.ParseError as problem:
            raise TextError(
                f"{path} breaks off after {counted(done, 'page')}, its XML is broken: {problem}; get it again"
            ) from None
        except READ_ERRORS as problem:
            raise TextError(
                f"{path} breaks off after {counted(done, 'page')}: {problem}; the file is damaged, get it again"
            ) from problem


def clean_page(page: Page) -> Document:
    """Return the page's title and its text by `clean_wikitext`, which may be empty."""
    return Document(page.title, clean_wikitext(page.wikitext, page.silent))


def read_dump(path: Path, watch: Watch | None = None) -> Iterator[Document]:
    """Yield the articles as clean text, on one core; `gather_corpus` uses many cores and counts."""
    return (clean_page(page) for page in read_pages(path, watch) if page.no_article is None)


def _pages(file: Any, path: Path) -> Iterator[Page]:
    site = _Site()
    silent: tuple[str, ...] = ()
    elements = ElementTree.iterparse(file, events=("start", "end"))
    _, root = next(elements)
    if _name(root) != "mediawiki":
        raise TextError(f"{path} is XML but not a MediaWiki dump: expected <mediawiki>, got <{_name(root)}>")
    text = model = ""
    for event, element in elements:
        if event == "start":
            continue
        match _name(element):
            case "namespace":
                site.names[element.get("key", "")] = element.text or ""
            case "siteinfo":
                silent = site.silent()
            case "revision":
                text, model = _child(element, "text"), _child(element, "model") or "wikitext"
                element.clear()
            case "page":
                yield _page(element, site, silent, text, model)
                text = model = ""
                root.clear()


def _page(element: Any, site: _Site, silent: tuple[str, ...], text: str, model: str) -> Page:
    title, number = _child(element, "title"), _child(element, "ns")
    namespace = int(number) if number.lstrip("-").isdigit() else site.namespace_of(title)
    redirect = any(_name(child) == "redirect" for child in element) or is_redirect(text)
    return Page(title, namespace, redirect, model or "wikitext", text, silent)


def _name(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _child(element: Any, name: str) -> str:
    return next((child.text or "" for child in element if _name(child) == name), "")


NO_TEXT_NAMESPACES = ("file", "image", "media", "category")
"""A link to a page of these says nothing in the text, in any wiki; a dump names those of its own language."""

APPARATUS = frozenset(
    {
        *("bibliography", "citations", "external links", "footnotes", "further reading", "gallery", "notes"),
        *("notes and references", "references", "references and notes", "see also", "sources", "works cited"),
    }
)
"""Headings of an English article whose sections contain lists of links and sources, no sentences; lower case."""

_NO_WORDS = frozenset(
    {
        *("categorytree", "caption", "ce", "chem", "gallery", "graph", "hiero", "imagemap", "indicator", "inputbox"),
        *("mapframe", "maplink", "math", "ref", "references", "score", "script", "section", "source", "style"),
        *("syntaxhighlight", "table", "td", "templatestyles", "th", "timeline", "tr"),
    }
)
_LISTED = frozenset({"li", "dd", "dt"})
_BREAKS = frozenset({"blockquote", "br", "center", "div", "dl", "hr", "ol", "p", "poem", "ul"})

_REDIRECT = re.compile(r"\s*#\s*redirect\b", re.IGNORECASE)
_SWITCH = re.compile(r"__[A-Z]{3,}__")
_STYLE = re.compile(r"'{2,}")
_INTERWIKI = re.compile(r"[a-z]{2,3}(?:-[a-z]+)*:\S", re.IGNORECASE)
_LEFT_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}|\{\{\{[^{}]*\}\}\}")
_LEFT_TAG = re.compile(r"</?[a-zA-Z][^<>\n]{0,200}>")
_LEFT_MARK = re.compile(r"[{}|]+")
_LEFT_LINK = re.compile(r"[\[\]]{2,}")
_LEFT_ROW = re.compile(r"^[ \t]*(?:\{\||[|!]).*$", re.MULTILINE)
_INNER_GAP = re.compile(r"[ \t\xa0]+")
_BEFORE_POINT = re.compile(r" +([,.;:!?)\]])")
_OPENED = re.compile(r"([(\[])[\s,;:]+")
_DOUBLED = re.compile(r"([,;])(?:\s*[,;])+")
_ENDED = re.compile(r"[\s,;:]{1,20}([)\]])")
_EMPTY = re.compile(r"\(\s*\)|\[\s*\]")
_NO_MWPARSER = "reading wikitext needs mwparserfromhell, which is not installed: pip install 'devise-zsl[train]'"


def is_redirect(wikitext: str) -> bool:
    """Whether the page is a redirect, which old dumps say in its first line.

    >>> is_redirect("#REDIRECT [[Snow leopard]]"), is_redirect("The # redirect")
    (True, False)
    """
    return _REDIRECT.match(wikitext) is not None


def clean_wikitext(wikitext: str, namespaces: Iterable[str] = ()) -> str:
    r"""Return the sentences of a page, one paragraph or list item per line.

    Removes templates, tables, references, files, categories, links to other languages, formulas, code, comments,
    headings, and whole sections without running text (`APPARATUS`). Keeps the text of a link. Headings are not
    sentences: "History" and "Early life" would be near every word.
    namespaces: more names, in lower case, of namespaces whose links have no text (`NO_TEXT_NAMESPACES`).
    DeviseError if mwparserfromhell is not installed, TextError if it cannot parse the page. The language: https://www.mediawiki.org/wiki/Help:Formatting

    >>> clean_wikitext("A '''cat''' (''Felis''{{cite}}) is a [[Pet|pets']] [[mammal]].<ref>X</ref>\n== Notes ==\n* no")
    "A cat (Felis) is a pets' mammal."
    """
    try:
        import mwparserfromhell
    except ImportError:
        raise DeviseError(_NO_MWPARSER) from None
    silent = frozenset((*NO_TEXT_NAMESPACES, *namespaces))
    try:
        code = mwparserfromhell.parse(wikitext, skip_style_tags=True)
        return _tidy("".join(_without_apparatus(code, silent)))
    except (mwparserfromhell.parser.ParserError, RecursionError) as problem:
        raise TextError(f"wikitext that cannot be parsed: {type(problem).__name__}") from problem


def _without_apparatus(code: Any, silent: frozenset[str]) -> Iterator[str]:
    level = 0  # of the apparatus heading we are below, 0 outside
    for node in code.nodes:
        if type(node).__name__ == "Heading":
            if level == 0 or node.level <= level:
                title = _tidy("".join(_texts(node.title, silent))).strip().lower()
                level = node.level if title in APPARATUS else 0
            yield "\n"
        elif level == 0:
            yield from _of_node(node, silent)


def _texts(code: Any, silent: frozenset[str]) -> Iterator[str]:
    for node in code.nodes:
        yield from _of_node(node, silent)


def _of_node(node: Any, silent: frozenset[str]) -> Iterator[str]:
    match type(node).__name__:
        case "Text":
            yield node.value
        case "HTMLEntity":
            yield _entity(node)
        case "Wikilink":
            yield from _of_link(node, silent)
        case "ExternalLink":
            if node.title is not None:
                yield from _texts(node.title, silent)
        case "Tag":
            yield from _of_tag(node, silent)
        case "Heading":
            yield "\n"


def _entity(node: Any) -> str:
    try:
        return str(node.normalize())
    except (ValueError, OverflowError):  # &#1114112; and the like name no character
        return " "


def _of_link(node: Any, silent: frozenset[str]) -> Iterator[str]:
    target = str(node.title).strip()
    name, colon, _ = target.partition(":")
    if colon and name.strip().lower() in silent:
        return
    if node.text is not None:
        yield from _texts(node.text, silent)
    elif not _INTERWIKI.match(target):
        yield target.removeprefix(":").replace("_", " ").replace("#", " ")


def _of_tag(node: Any, silent: frozenset[str]) -> Iterator[str]:
    name = str(node.tag).strip().lower()
    if name in _NO_WORDS:
        return
    if name in _LISTED and node.wiki_markup:
        return
    breaks = name in _BREAKS
    if breaks:
        yield "\n"
    if node.contents is not None:
        yield from _texts(node.contents, silent)
    if breaks:
        yield "\n"


def _tidy(text: str) -> str:
    """Return one paragraph per line, without leftovers of the parser."""
    text = _SWITCH.sub(" ", _STYLE.sub("", text))
    text = _LEFT_MARK.sub(" ", _LEFT_TEMPLATE.sub("", _LEFT_ROW.sub("", text)))
    text = _LEFT_LINK.sub(" ", _LEFT_TAG.sub("", text))
    text = _INNER_GAP.sub(" ", text)
    if "(" in text or "[" in text:
        text = _EMPTY.sub("", _ENDED.sub(r"\1", _OPENED.sub(r"\1", _DOUBLED.sub(r"\1", text))))
    lines = (_BEFORE_POINT.sub(r"\1", _INNER_GAP.sub(" ", line)).strip() for line in text.split("\n"))
    return "\n".join(line for line in lines if any(map(str.isalnum, line)))
