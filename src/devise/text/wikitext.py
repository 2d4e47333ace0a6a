"""Wikitext to clean text: the words of an article, without its markup."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from devise.errors import DeviseError, TextError

__all__ = ["APPARATUS", "NO_TEXT_NAMESPACES", "clean_wikitext", "is_redirect"]

NO_TEXT_NAMESPACES = ("file", "image", "media", "category")
"""A link to a page of these says nothing in the text, in any wiki; a dump names those of its own language."""

APPARATUS = frozenset(
    {
        *("bibliography", "citations", "external links", "footnotes", "further reading", "gallery", "notes"),
        *("notes and references", "references", "references and notes", "see also", "sources", "works cited"),
    }
)
"""Headings of an English article whose sections hold lists of links and sources, no sentences; lower case."""

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
    return "\n".join(line for line in lines if _has_word(line))


def _has_word(line: str) -> bool:
    return any(map(str.isalnum, line))
