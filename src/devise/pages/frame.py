"""The shared frame of every HTML page: templates that escape text, one style, and nothing to load."""

from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

from devise.errors import counted, counted_unread

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["html_text", "page", "page_pieces", "percent", "printable", "rendered"]


def page(template: str, **values: Any) -> str:
    """Return a page whole; arguments as for `page_pieces`."""
    return "".join(page_pieces(template, **values))


def page_pieces(template: str, *, css: Sequence[str] = (), script: str = "", **values: Any) -> Iterator[str]:
    """Return a page in pieces: valid HTML that loads nothing, enforced by its policy.

    template: a file of `templates/` that extends frame.html; it escapes every value but those of `html_text`.
    css: CSS files next to this module, in order. script: a file like that, which runs at the end; the policy forbids
    every other script on the page. values: for the template; `title` is one of them.
    """
    from base64 import b64encode
    from hashlib import sha256
    from importlib.resources import files

    from markupsafe import Markup

    here = files("devise.pages")
    style = Markup("".join((here / name).read_text(encoding="utf-8") for name in css))
    code = Markup((here / script).read_text(encoding="utf-8")) if script else ""
    digest = Markup(b64encode(sha256(code.encode()).digest()).decode()) if script else ""
    return _templates().get_template(template).generate(style=style, script=code, hash=digest, **values)


def rendered(template: str, **values: Any) -> str:
    """Return a piece of a page."""
    return _templates().get_template(template).render(**values)


@cache
def _templates() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("devise.pages"),
        autoescape=True,
        finalize=html_text,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["fmt"] = format
    made.globals.update(counted=counted, counted_unread=counted_unread, percent=percent)
    return made


def html_text(value: object) -> str:
    """Escape any text as HTML, once.

    >>> print(html_text("<b>&\\x07"))
    &lt;b&gt;&amp;\\x07
    """
    from markupsafe import Markup

    return value if isinstance(value, Markup) else Markup(escape(printable(str(value))))


def percent(score: float) -> str:
    """Format a score in [0, 1] as a percentage.

    >>> percent(0.1234), percent(0.0002)
    ('12.3 %', '< 0.1 %')
    """
    return f"{100 * score:.1f} %" if score >= 0.0005 else "< 0.1 %"


def printable(text: str) -> str:
    """Escape control characters, bidirectional marks and broken bytes.

    >>> printable("a\\x1b\\u202eb")
    'a\\\\x1b\\\\u202eb'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
