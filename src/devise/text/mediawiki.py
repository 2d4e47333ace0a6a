"""Dumps of a MediaWiki (`pages-articles.xml`, also `.bz2` in many streams) as a stream of pages."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

from devise.errors import TextError, counted
from devise.text.documents import Document
from devise.text.streams import READ_ERRORS, Watch, open_bytes
from devise.text.wikitext import clean_wikitext, is_redirect

__all__ = ["NoArticle", "Page", "clean_page", "read_dump", "read_pages"]

_ARTICLES = 0
NoArticle = Literal["other_namespaces", "redirects", "other_models"]
"""A page of discussion, help and the like; one that only sends on; one that is code or data."""

_SILENT = ("-2", "6", "14")  # the namespaces Media, File and Category, which each language names anew


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

    Memory holds one page. TextError if the file is no dump, or where its XML or its compression breaks off: the
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
