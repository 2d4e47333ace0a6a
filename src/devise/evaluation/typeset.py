"""Tables of text cells as LaTeX."""

from collections.abc import Sequence

__all__ = ["as_latex"]

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


def as_latex(rows: Sequence[Sequence[str]], caption: str, *, left: int = 1) -> str:
    """Format a table environment that needs no package; the first `left` columns are left-aligned.

    >>> print(as_latex([["a", "b"], ["x_y", "1"]], "50 %").splitlines()[4])
    x\\_y & 1 \\\\
    """
    header, *body = rows
    columns = "l" * left + "r" * (len(header) - left)
    lines = [f"{' & '.join(map(_escaped, row))} \\\\" for row in body]
    return "\n".join(
        [
            rf"\begin{{table}}\begin{{tabular}}{{{columns}}}",
            r"\hline",
            f"{' & '.join(map(_escaped, header))} \\\\",
            r"\hline",
            *lines,
            r"\hline",
            rf"\end{{tabular}}\caption{{{_escaped(caption)}}}\end{{table}}",
            "",
        ]
    )


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
