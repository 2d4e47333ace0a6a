"""The report as one HTML page."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from importlib.resources import files
from urllib.parse import quote

from devise.errors import counted
from devise.pages.frame import document, html_text
from devise.pages.report.cards import gallery_section
from devise.pages.report.content import Cell, ClassLine, Content, Table
from devise.pages.report.drawing import png, svg
from devise.pages.report.figures import Figure, figures_of
from devise.pages.report.tree import tree_section

__all__ = ["report_html"]

_CSV = "data:text/csv;charset=utf-8,%EF%BB%BF"  # the mark by which Excel knows UTF-8
_STYLES = ("theme.css", "report/report.css")


def report_html(content: Content) -> str:
    """Return the page: it loads nothing, and is complete without scripts."""
    figures = {figure.name: figure for figure in figures_of(content)}
    curves = [figures[name] for name in ("hit-at-k", "hp-at-k", "hedging") if name in figures]
    wrong = [figures[name] for name in ("confusion", "distance") if name in figures]
    sections = [
        ("results", "Results", "".join([*map(_table, content.tables), _numbers(content), _figures(curves)])),
        ("photos", "Photos and their names", gallery_section(content)),
        ("classes", "Results by class", _class_table(content.classes) + _figures([figures["classes"]])),
        ("astray", "Confusion tree", tree_section(content) + _figures(wrong)),
        ("scores", "Calibration", _figures([f for n, f in figures.items() if n.startswith("reliab")])),
        ("rules", "Method", _rules(content)),
    ]
    kept = [(key, title, html) for key, title, html in sections if html]
    links = "".join(f'<li><a href="#{key}">{title}</a></li>' for key, title, _ in kept)
    title = html_text(content.title)
    body = [
        '<a class="skip" href="#results">Skip to the results</a>',
        f"<header>\n<h1>{title}</h1>\n<p>{html_text(content.summary)}</p>\n{_facts(content)}</header>",
        f'<nav aria-label="Sections"><ul role="list">{links}</ul></nav>\n<main>',
        *(
            f'<section id="{key}" aria-labelledby="{key}-h">\n<h2 id="{key}-h">{title}</h2>\n{html}</section>'
            for key, title, html in kept
        ),
        "</main>\n<footer><p>Made by devise. This page loads nothing and sends nothing.</p></footer>",
    ]
    script = (files("devise.pages") / "report" / "report.js").read_text(encoding="utf-8")
    return document(title, "\n".join(body), styles=_STYLES, script=script)


def _facts(content: Content) -> str:
    items = "".join(
        f"<div><dt>{html_text(fact.what)}</dt><dd>{html_text(fact.much)}"
        + (f' <small><span class="sr">95 % over photos: </span>{html_text(fact.ends)}</small>' if fact.ends else "")
        + "</dd></div>"
        for fact in content.facts
    )
    return f'<dl class="facts">{items}</dl>\n'


def _table(table: Table) -> str:
    """Return a table whose intervals are in separate rows below each row of values."""
    heads = "".join(f'<th scope="col">{html_text(head)}</th>' for head in table.header)
    rows = "\n".join(row for name, cells in table.rows for row in _rows(name, cells))
    note = f'<p class="soft small">{html_text(table.note)}</p>\n' if table.note else ""
    return (
        '<div class="card"><div class="scroll" role="region" tabindex="0" '
        f'aria-label="{html_text(table.title)}">\n<table class="numbers">\n'
        f"<caption>{html_text(table.title)}</caption>\n"
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n</div>\n{note}</div>\n"
    )


def _rows(name: str, cells: Sequence[Cell]) -> Iterator[str]:
    values = "".join(f"<td>{_bold(html_text(cell.text), cell.best)}</td>" for cell in cells)
    yield f'<tr><th scope="row">{html_text(name)}</th>{values}</tr>'
    over = {"photos": [cell.over_photos for cell in cells], "classes": [cell.over_classes for cell in cells]}
    for what, ends in over.items():
        if any(ends):
            head = f'<th scope="row"><span class="sr">{html_text(name)}, 95 % interval </span>over {what}</th>'
            yield f'<tr class="ends">{head}{"".join(f"<td>{html_text(end)}</td>" for end in ends)}</tr>'


def _bold(html: str, bold: bool) -> str:
    return f"<b>{html}</b>" if bold else html


def _numbers(content: Content) -> str:
    if not content.numbers:
        return ""
    link = f"{_CSV}{quote(content.numbers)}"
    return f'<p class="files"><a download="measures.csv" href="{link}">All metrics with both intervals as CSV</a></p>\n'


def _figures(figures: Sequence[Figure]) -> str:
    return f'<div class="figures">\n{"".join(map(_figure, figures))}</div>\n' if figures else ""


def _figure(figure: Figure) -> str:
    drawn = svg(figure.drawing, name=f"fig-{figure.name}", title=figure.title, description=figure.description)
    picture = b64encode(png(figure.drawing)).decode("ascii")
    name = html_text(figure.name)
    links = (
        f'<a download="{name}.png" href="data:image/png;base64,{picture}">{html_text(figure.title)} as PNG</a> '
        f'<a download="{name}.csv" href="{_CSV}{quote(figure.csv())}">and its numbers as CSV</a>'
    )
    return (
        f'<figure class="card">\n<h3>{html_text(figure.title)}</h3>\n{drawn}\n'
        f'<figcaption>{html_text(figure.caption)} <span class="files">{links}</span></figcaption>\n</figure>\n'
    )


def _class_table(classes: Sequence[ClassLine]) -> str:
    if not classes:
        return ""
    keys = [key for key, _ in classes[0].shares]
    heads = ["class", "trained", "photos", *keys, "most frequent wrong guess"]
    cells = "".join(f'<th scope="col">{html_text(head)}</th>' for head in heads)
    rows = "\n".join(f"<tr>{''.join(_class_cells(one))}</tr>" for one in classes)
    return (
        '<div class="card"><div class="scroll tall" role="region" tabindex="0" aria-label="Class by class">\n'
        f'<table class="numbers sortable">\n<caption>{counted(len(classes), "class")}; shares in percent</caption>\n'
        f"<thead><tr>{cells}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n</div></div>\n"
    )


def _class_cells(one: ClassLine) -> Iterator[str]:
    yield f'<th scope="row">{html_text(one.name)} <span class="soft small">{html_text(one.class_id)}</span></th>'
    yield f"<td>{'yes' if one.seen else 'no'}</td><td>{one.photos:,}</td>"
    for _, share in one.shares:
        yield f"<td>{'-' if share is None else f'{100 * share:.1f}'}</td>"
    often = f"{html_text(one.often[0])} ({one.often[1]:,})" if one.often else ""
    yield f'<td class="words">{often}</td>'


def _rules(content: Content) -> str:
    lines = "".join(f"<li>{html_text(rule)}</li>" for rule in content.rules)
    return f'<div class="card"><ul>{lines}</ul></div>\n' if lines else ""
