"""The shared frame of every HTML page: loads nothing, escapes text, one style."""

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from html import escape
from importlib.resources import files

from devise.errors import counted

__all__ = ["CLOSING", "document", "html_text", "opening", "percent", "printable", "problem_list", "unseen_mark"]

CLOSING = "</body>\n</html>\n"
"""The end of a page started by `opening`."""


def document(title: str, body: str, *, styles: Sequence[str], script: str = "") -> str:
    """Return a complete page: valid HTML that loads nothing, enforced by its policy.

    title: HTML. body: content of the body element. styles: CSS files next to this module, in order. script: runs at the
    end; the policy forbids every other script on the page.
    """
    ran = f"<script>{script}</script>\n" if script else ""
    return f"{opening(title, styles=styles, script=script)}{body}\n{ran}{CLOSING}"


def opening(title: str, *, styles: Sequence[str], script: str = "") -> str:
    """Return a page up to the start of its body, to write in pieces; arguments as for `document`."""
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
    """Escape any text as HTML.

    >>> html_text("<b>&\\x07")
    '&lt;b&gt;&amp;\\\\x07'
    """
    return escape(printable(text))


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


def problem_list(problems: Sequence[tuple[str, str]], more: int = 0) -> str:
    """Return a section on unreadable photos with reasons, or "" if there are none.

    more: number of further photos, which are counted but not listed.
    """
    if not problems:
        return ""
    lines = "\n".join(f"<li>{html_text(name)}: {html_text(problem)}</li>" for name, problem in problems)
    rest = f"\n<li>and {more:,} more</li>" if more else ""
    heading = f'<h2 id="problems">{counted(len(problems) + more, "photo")} could not be read</h2>'
    return (
        f'<section class="card problems" aria-labelledby="problems">\n{heading}\n'
        f"<ul>\n{lines}{rest}\n</ul>\n</section>\n"
    )


def unseen_mark(seen: bool) -> str:
    """Return the mark of a label without training photos."""
    return "" if seen else ' <span class="mark">unseen</span>'
