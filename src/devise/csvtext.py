"""Comma-separated values that a spreadsheet shows and never runs."""

import re
from collections.abc import Iterable, Sequence

__all__ = ["cell_text", "csv_text", "shown_text"]

_FORMULA = re.compile(r"'*[=+\-@＝＋－＠\t\r\n]")  # the wide signs too, which a Japanese Excel takes for the others
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]", re.ASCII)  # a sign alone stands for no number
_QUOTED = re.compile(r"[,;\"\t\r\n]|^[ '=+@＝＋－＠-]|[ ]$")


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    r"""The rows, each on a line that ends in "\n"; cells are quoted where needed, and None is empty.

    Text that a spreadsheet would take for a formula, as it begins with =, +, -, @, a tab or a line end, gets an
    apostrophe in front, as OWASP says ("CSV Injection"); so does text that begins so behind apostrophes, so that
    `cell_text` gives every text back. Numbers are left alone. A semicolon, which separates cells in some countries, is
    quoted.

    >>> csv_text([["=1+2", "-0.5", "a;b", 3]])
    '"\'=1+2",-0.5,"a;b",3\n'
    """
    return "".join(",".join(map(_cell, row)) + "\n" for row in rows)


def cell_text(cell: str) -> str:
    """Return the text of a cell of `csv_text`: without the apostrophe before text that looks like a formula."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def shown_text(text: str) -> str:
    """Return the text with an apostrophe if a spreadsheet would run it; `cell_text` removes it."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def _cell(value: object) -> str:
    text = "" if value is None else shown_text(value) if isinstance(value, str) else str(value)
    if _NUMBER.fullmatch(text):
        return text
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text
