"""What every HTML page here shares: a frame that loads nothing, a look, and text that is never read as HTML."""

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from html import escape
from importlib.resources import files

__all__ = ["CLOSING", "document", "html_text", "many", "opening", "percent", "printable", "problem_list", "unseen_mark"]

CLOSING = "</body>\n</html>\n"
"""What ends a page that `opening` began."""


def document(title: str, body: str, *, styles: Sequence[str], script: str = "") -> str:
    """A whole page: valid HTML that loads nothing, and that a browser forbids to.

    title: HTML. body: what stands in the body element. styles: CSS files beside this module, in order. script: runs
    at the end; no other script on the page can, whatever got into it.
    """
    ran = f"<script>{script}</script>\n" if script else ""
    return f"{opening(title, styles=styles, script=script)}{body}\n{ran}{CLOSING}"


def opening(title: str, *, styles: Sequence[str], script: str = "") -> str:
    """A page up to the beginning of its body, for one that is written in pieces; arguments as for `document`."""
    here = files("devise.pages")
    style = "".join((here / name).read_text(encoding="utf-8") for name in styles)
    allowed = f"; script-src 'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" if script else ""
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'{allowed}"
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        f'<link rel="icon" href="data:,">\n<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>',
    ]
    return "\n".join(parts) + "\n"


def html_text(text: str) -> str:
    """Any text as HTML that shows it and does nothing else.

    >>> html_text("<b>&\\x07")
    '&lt;b&gt;&amp;\\\\x07'
    """
    return escape(printable(text))


def many(number: int, what: str) -> str:
    """A count with its noun.

    >>> many(1, "photo"), many(1200, "photo"), many(2, "class")
    ('1 photo', '1,200 photos', '2 classes')
    """
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}{'es' if what.endswith('s') else 's'}"


def percent(score: float) -> str:
    """A score in [0, 1] for people.

    >>> percent(0.1234), percent(0.0002)
    ('12.3 %', '< 0.1 %')
    """
    return f"{100 * score:.1f} %" if score >= 0.0005 else "< 0.1 %"


def printable(text: str) -> str:
    """The text with control characters, marks that turn the writing direction and broken bytes escaped.

    >>> printable("a\\x1b\\u202eb")
    'a\\\\x1b\\\\u202eb'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def problem_list(problems: Sequence[tuple[str, str]], more: int = 0) -> str:
    """A section on photos that could not be read, each by its name with the reason; "" if there is none.

    more: how many others there are, which are counted and not listed.
    """
    if not problems:
        return ""
    lines = "\n".join(f"<li>{html_text(name)}: {html_text(problem)}</li>" for name, problem in problems)
    rest = f"\n<li>and {more:,} more</li>" if more else ""
    heading = f'<h2 id="problems">{many(len(problems) + more, "photo")} could not be read</h2>'
    return (
        f'<section class="card problems" aria-labelledby="problems">\n{heading}\n'
        f"<ul>\n{lines}{rest}\n</ul>\n</section>\n"
    )


def unseen_mark(seen: bool) -> str:
    """What stands behind a label that no training photo carried."""
    return "" if seen else ' <span class="mark">unseen</span>'
