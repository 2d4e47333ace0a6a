"""The report as one HTML page."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from importlib.resources import files
from urllib.parse import quote

from devise.errors import counted
from devise.evaluation.confusion import NEAR, Flow, Subtree, Verdict
from devise.pages.frame import document, html_text, unseen_mark
from devise.pages.report.charts import png, svg
from devise.pages.report.content import Cell, ClassLine, Competing, Content, GuessLine, PhotoCard, Side, Table
from devise.pages.report.figures import Figure, figures_of

__all__ = [
    "gallery_section",
    "report_html",
    "tree_section",
]

_CANDIDATES: dict[Competing, str] = {
    "both": "",
    "other": " None of the candidate labels is trained.",
    "trained": " All candidate labels are trained.",
}
_MARKS: dict[Verdict, tuple[str, str]] = {"right": ("✓", "right"), "near": ("≈", "near"), "far": ("", "")}


def gallery_section(content: Content) -> str:
    """Return the introduction and the cards."""
    if not content.cards:
        return ""
    cards = "\n".join(_card(number, card) for number, card in enumerate(content.cards, start=1))
    return f'{_introduction(content)}\n<div class="cards" id="cards">\n{cards}\n</div>\n'


def _introduction(content: Content) -> str:
    shown = len(content.cards)
    count = counted(shown, "photo") if shown == content.total else f"{shown:,} of {counted(content.total, 'photo')}"
    chosen = "" if shown == content.total else ", chosen evenly by class"
    missing = f" {counted(content.missing, 'picture')} not found."
    size = sum(len(card.picture) for card in content.cards)
    return (
        f'<p class="soft">{count} shown{chosen}; the pictures take {size / 1e6:.1f} MB of this page.'
        f"{missing if content.missing else ''} "
        '<span class="key"><span class="right">✓ right</span> <span class="near">≈ near</span></span>: at most '
        f"{NEAR} WordNet edges from the true class, ↑ to wider and ↓ to narrower kinds. Open a guess for its "
        f"definition and its full path. “Sure of” lists names from wide to narrow, each with the highest threshold "
        f"that its probability reaches; green names are right.{_CANDIDATES[content.competing]}</p>"
    )


def _card(number: int, card: PhotoCard) -> str:
    name, file = html_text(card.name), html_text(card.name.rsplit("/", 1)[-1])
    picture = (
        f'<img src="{card.picture}" decoding="async" alt="Photo {name}: {html_text(card.truth)}">'
        if card.picture
        else '<span class="nopicture">no picture</span>'
    )
    sides = "\n".join(_side(side) for side in card.sides)
    return (
        f'<article class="card shot" id="photo-{number}" aria-labelledby="name-{number}" '
        f'data-verdict="{card.verdict}" data-class="{html_text(card.truth)}">\n'
        f'<div class="thumb">{picture}</div>\n'
        f'<div class="truth"><h3 id="name-{number}">{html_text(card.truth)}{unseen_mark(card.seen)}</h3>\n'
        f'<p class="soft small">{html_text(card.gloss)}</p><p class="soft small file">{file}</p></div>\n'
        f'<div class="sides">\n{sides}\n</div>\n</article>'
    )


def _side(side: Side) -> str:
    items = "\n".join(f'<li class="{guess.verdict}">{_guess(guess)}</li>' for guess in side.guesses)
    rank = (
        f'<p class="soft small">the true class has rank {side.rank:,}</p>'
        if side.rank and side.rank > len(side.guesses)
        else ""
    )
    steps = " › ".join(
        f"<span{' class=right' if step.right else ''}>{html_text(step.name)}</span> {step.sure}" for step in side.trail
    )
    trail = f'<p class="soft small trail">sure of: {steps}</p>' if steps else ""
    return (
        f'<div class="side">\n<h4>{html_text(side.title)}</h4>\n<ol role="list">\n{items}\n</ol>\n{trail}{rank}</div>'
    )


def _guess(guess: GuessLine) -> str:
    sign, word = _MARKS[guess.verdict]
    mark = f'<span class="sign" role="img" aria-label="{word}">{sign}</span>' if sign else '<span class="sign"></span>'
    score = f'<span class="score">{html_text(guess.score)}</span>' if guess.score else ""
    near = f'<span class="way">{html_text(guess.turn)}</span>' if guess.verdict == "near" else ""
    return (
        f'<details><summary>{mark}<span class="what">{html_text(guess.name)}{unseen_mark(guess.seen)}{near}</span>'
        f'{score}</summary><div class="more">{"".join(_more(guess))}</div></details>'
    )


def _more(guess: GuessLine) -> Iterator[str]:
    if guess.gloss:
        yield f"<p>{html_text(guess.gloss)}</p>"
    if guess.meets:
        steps = counted(guess.edges, "edge")
        yield f"<p>{steps} from the true class; both are kinds of {html_text(guess.meets)}.</p>"
        yield f"<p>{html_text(guess.way)}</p>"


_OPEN = 0.25  # branches with at least this share of all photos are open at first
_FLOWS = 12  # wrong ways named at one fork


def tree_section(content: Content) -> str:
    """Return the tree with its explanation, or empty text without photos."""
    tree = content.confusion
    if not tree.photos:
        return ""
    return (
        '<div class="card"><p class="soft">WordNet, reduced to the classes of these photos. Each line shows for how '
        f"many photos of a branch the first guess of {html_text(content.model)} stays in that branch. The wrong turns "
        "at each fork are listed below it, as <i>branch of the true class</i> → <i>branch of the guess</i>. If a "
        'synset has several hypernyms, the first is used.</p>\n<ul class="tree" role="list">\n'
        f"<li>{_branch(tree, content.names, tree.photos)}</li>\n</ul>"
        "</div>\n"
    )


def _branch(branch: Subtree, names: dict[str, str], total: int) -> str:
    inside = "".join(_inside(branch, names, total))
    line = _line(branch, names)
    if not inside:
        return f'<div class="leaf">{line}</div>'
    opened = " open" if branch.photos >= _OPEN * total else ""
    return f'<details class="branch"{opened}><summary>{line}</summary>\n{inside}</details>'


def _line(branch: Subtree, names: dict[str, str]) -> str:
    above = " › ".join(names[synset] for synset in branch.path[:-1][-2:])
    before = f'<span class="soft small">{html_text(above)} › </span>' if above else ""
    name = html_text(names[branch.path[-1]]) if branch.path else "all"
    right, kept, all_of = branch.right, branch.kept, branch.photos
    words = f"{right:,} right, {kept:,} of {all_of:,} kept" if branch.branches else f"{right:,} of {all_of:,} right"
    bar = "".join(
        f'<span class="{kind}" style="width:{100 * part / all_of:.1f}%"></span>'
        for kind, part in (("right", right), ("kept", kept - right))
        if part
    )
    return (
        f'<span class="branchname">{before}<b>{name}</b></span> '
        f'<span class="count">{words}</span><span class="stack" aria-hidden="true">{bar}</span>'
    )


def _inside(branch: Subtree, names: dict[str, str], total: int) -> Iterator[str]:
    if branch.flows:
        shown = branch.flows[:_FLOWS]
        items = "".join(f"<li>{_flow(flow, names)}</li>" for flow in shown)
        if rest := branch.flows[_FLOWS:]:
            items += (
                f'<li class="soft">{counted(len(rest), "rarer way")}, '
                f"{counted(sum(f.photos for f in rest), 'photo')}</li>"
            )
        yield f'<ul class="flows" role="list" aria-label="Wrong turns">{items}</ul>\n'
    if branch.branches:
        items = "\n".join(f"<li>{_branch(below, names, total)}</li>" for below in branch.branches)
        yield f'<ul role="list">\n{items}\n</ul>\n'


def _flow(flow: Flow, names: dict[str, str]) -> str:
    return f"{html_text(names[flow.source])} → {html_text(names[flow.target])} <b>{flow.photos:,}</b>"


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
