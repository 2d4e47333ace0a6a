"""Tables of text cells as CSV that a spreadsheet shows and never runs, as Markdown and as LaTeX."""

import re
from collections.abc import Iterable, Sequence

__all__ = ["as_latex", "cell_text", "csv_text", "markdown_table", "shown_text"]

_FORMULA = re.compile(r"'*[=+\-@＝＋－＠\t\r\n]")  # the wide signs too, which a Japanese Excel takes for the others
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]", re.ASCII)  # a sign alone stands for no number
_QUOTED = re.compile(r"[,;\"\t\r\n]|^[ '=+@＝＋－＠-]|[ ]$")
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    r"""The rows, each on a line that ends in "\n"; cells are quoted where needed, and None is empty.

    Text that a spreadsheet would take for a formula, as it begins with =, +, -, @, a tab or a line end, gets an
    apostrophe before it, as OWASP says ("CSV Injection"); so does text that begins so after apostrophes, so that
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


def markdown_table(rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Format cells, header first, as a Markdown table; all but the first `left` columns are right-aligned.

    >>> print(markdown_table([["scorer", "hit@1"], ["fused", "2.0"]]), end="")
    | scorer | hit@1 |
    | --- | ---: |
    | fused | 2.0 |
    """
    header, *body = rows
    rule = ["---" if number < left else "---:" for number in range(len(header))]
    return "".join(f"| {' | '.join(map(_markdown, row))} |\n" for row in (header, rule, *body))


def as_latex(rows: Sequence[Sequence[str]], caption: str, *, left: int = 1) -> str:
    """Format a table environment that needs no package; the first `left` columns are left-aligned.

    >>> print(as_latex([["a", "b"], ["x_y", "1"]], "50 %").splitlines()[4])
    x\\_y & 1 \\\\
    """
    header, *body = rows
    columns = "l" * left + "r" * (len(header) - left)
    lines = [f"{' & '.join(map(_latex, row))} \\\\" for row in body]
    return "\n".join(
        [
            rf"\begin{{table}}\begin{{tabular}}{{{columns}}}",
            r"\hline",
            f"{' & '.join(map(_latex, header))} \\\\",
            r"\hline",
            *lines,
            r"\hline",
            rf"\end{{tabular}}\caption{{{_latex(caption)}}}\end{{table}}",
            "",
        ]
    )


def _cell(value: object) -> str:
    text = "" if value is None else shown_text(value) if isinstance(value, str) else str(value)
    if _NUMBER.fullmatch(text):
        return text
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)


def _markdown(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")
