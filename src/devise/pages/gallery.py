"""A self-contained HTML page of photos with the answers of every method."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from devise.errors import counted
from devise.model.answers import Guess
from devise.model.comparison import Added, Column, PhotoRecord, Told
from devise.model.scorers import Method
from devise.pages.frame import document, html_text, percent, problem_list, unseen_mark

__all__ = ["TITLES", "Gallery", "gallery_html", "guess_html", "typed_summary"]

TITLES: dict[Method, str] = {"softmax": "Softmax", "conse": "ConSE", "devise": "DeViSE", "fused": "Fused"}
"""Title of each method on the page and in the terminal."""

_MEANING: dict[Method, str] = {
    "softmax": "the classifier alone, which knows only its trained labels",
    "conse": "the labels nearest to the mean of the label vectors of the classifier's top classes",
    "devise": "the labels nearest to the picture, which is mapped into the label space",
    "fused": "ConSE, DeViSE and the classifier combined; the default of devise label",
}
_STANDINGS = 3  # typed labels named for each photo, and the one meant for it


@dataclass(frozen=True, slots=True)
class Gallery:
    """The content of the page.

    model: its name. labels, trained: number of its labels, and of those it was trained on.
    added: results of the typed labels, in the order of `records`. credits: of the photos, as sentences.
    """

    model: str
    labels: int
    trained: int
    records: tuple[PhotoRecord, ...]
    added: Added | None = None
    credits: tuple[str, ...] = ()


def typed_summary(records: Sequence[PhotoRecord], added: Added) -> tuple[str, ...]:
    """Describe the typed labels: their number, the time, how often the intended one won."""
    lines = []
    read = sum(told is not None for told in added.photos)
    if added.labels:
        lines.append(
            f"{counted(len(added.labels), 'label')} added without photos and without training: {added.seconds:.2f} s "
            f"for their vectors and for ranking {added.competing:,} labels again for {counted(read, 'photo')}. "
            f"Reading the word vectors took {added.words_seconds:.2f} s, once."
        )
    if known := added.typed - len(added.labels):
        lines.append(f"{counted(known, 'typed label')} already in the model, so unchanged.")
    meant = [
        (record.meant, told.choice[0].label.name)
        for record, told in zip(records, added.photos, strict=True)
        if record.meant and told is not None and told.choice
    ]
    if meant:
        right = sum(wanted == chosen for wanted, chosen in meant)
        lines.append(
            f"If only the {counted(added.typed, 'typed label')} are candidates, the one typed for the "
            "photo is first for "
            f"{right} of {counted(len(meant), 'photo')}."
        )
    return tuple(lines)


def gallery_html(gallery: Gallery) -> str:
    """Return the page: valid HTML that loads nothing, with all names escaped."""
    told = gallery.added.photos if gallery.added else (None,) * len(gallery.records)
    shown = [
        (number, record, one)
        for number, (record, one) in enumerate(zip(gallery.records, told, strict=True), start=1)
        if record.problem is None
    ]
    title = f"{counted(len(shown), 'photo')} named with {gallery.labels:,} labels"
    parts = [
        f"<header>\n<h1>{title}</h1>\n{_introduction(gallery)}</header>\n<main>",
        problem_list([(one.name, one.problem) for one in gallery.records if one.problem is not None]),
        *([_overview(shown)] if shown else []),
        *(_article(number, record, one, gallery.added) for number, record, one in shown),
        *([_typed_section(gallery, gallery.added)] if gallery.added else []),
        "</main>\n<footer>",
        *(f"<p>{html_text(line)}</p>" for line in gallery.credits),
        "</footer>",
    ]
    return document(title, "\n".join(parts), styles=("theme.css", "gallery.css"))


def _introduction(gallery: Gallery) -> str:
    terms = "\n".join(f"<dt>{TITLES[method]}</dt><dd>{text}</dd>" for method, text in _MEANING.items())
    return (
        f"<p>The model <b>{html_text(gallery.model)}</b> was trained on photos of "
        f"{counted(gallery.trained, 'label')} and knows "
        f"{counted(gallery.labels, 'noun')} of WordNet. A label marked{unseen_mark(False)} has no training photos."
        "</p>\n"
        f'<dl class="methods">\n{terms}\n</dl>\n'
        '<p class="soft small">The number next to a label is its probability, estimated by the model, among all labels '
        "of that column. Open a label for its definition, its path in WordNet and the trained labels it leans on.</p>\n"
    )


def _overview(shown: Sequence[tuple[int, PhotoRecord, Told | None]]) -> str:
    columns = shown[0][1].columns
    heads = "".join(f'<th scope="col">{TITLES[column.method]}</th>' for column in columns)
    rows = "\n".join(
        f'<tr><th scope="row"><a href="#photo-{number}">{html_text(record.name)}</a></th>'
        + "".join(f"<td>{_best(column)}</td>" for column in record.columns)
        + "</tr>"
        for number, record, _ in shown
    )
    return (
        '<section class="card" aria-labelledby="overview">\n<h2 id="overview">The first label of every method</h2>\n'
        '<div class="scroll" role="region" tabindex="0" aria-labelledby="overview">\n'
        f'<table>\n<thead><tr><th scope="col">Photo</th>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n'
        "</div>\n</section>"
    )


def _best(column: Column) -> str:
    guess = column.guesses[0]
    score = f'<span class="score">{escape(percent(guess.score))}</span>'
    return f"{html_text(guess.label.name)}{unseen_mark(guess.label.seen)} {score}"


def _article(number: int, record: PhotoRecord, told: Told | None, added: Added | None) -> str:
    alternative = html_text(record.shows or f"The photo {record.name}")
    columns = "\n".join(_column(column) for column in record.columns)
    typed = _typed_of(record, told, added) if told and added and added.labels else ""
    return (
        f'<article class="card photo" id="photo-{number}" aria-labelledby="name-{number}">\n'
        f'<h2 id="name-{number}">{html_text(record.name)}</h2>\n'
        f'<figure><img src="{record.picture}" alt="{alternative}"></figure>\n'
        f'<div class="columns">\n{columns}\n</div>\n{typed}</article>'
    )


def _column(column: Column) -> str:
    items = "\n".join(f"<li>{guess_html(guess)}</li>" for guess in column.guesses)
    heading = f'<h3>{TITLES[column.method]} <span class="soft small">of {column.labels:,}</span></h3>'
    return f'<div class="column">\n{heading}\n<ol role="list">\n{items}\n</ol>\n</div>'


def guess_html(guess: Guess) -> str:
    """Return a label with its score, which opens to its definition and its `Explanation`."""
    label = guess.label
    width = f"{100 * min(max(guess.score, 0.0), 1.0):.1f}"
    gloss = (
        f'<span class="gloss" title="{html_text(label.gloss)}">{html_text(label.gloss)}</span>' if label.gloss else ""
    )
    name = f"{html_text(label.name)}{unseen_mark(label.seen)}"
    return (
        f'<details><summary><span class="line"><span class="name">{name}</span> '
        f'<span class="score">{escape(percent(guess.score))}</span></span>'
        f'<span class="track"><span class="bar" style="width:{width}%"></span></span>{gloss}</summary>'
        f'<div class="more">{"".join(_more(guess))}</div></details>'
    )


def _more(guess: Guess) -> Iterator[str]:
    if guess.explanation is not None:
        if guess.explanation.path:
            yield f"<p>Path: {html_text(' › '.join(guess.explanation.path))}</p>"
        leans = ", ".join(f"{one.label.name} {one.share:.0%}" for one in guess.explanation.leans_on)
        yield f"<p>Leans on: {html_text(leans or 'no trained label')}</p>"
    yield f"<p>{html_text(guess.label.id)}; vector from its {html_text(guess.label.source)}</p>"


def _typed_of(record: PhotoRecord, told: Told, added: Added) -> str:
    best, others = told.standings[:_STANDINGS], told.standings[_STANDINGS:]
    first = (*best, *(one for one in others if record.meant == one.label.name))
    places = "; ".join(
        f"{html_text(one.label.name)}{_meant(one.label.name, record)} has rank {one.rank:,}" for one in first
    )
    rest = len(told.standings) - len(first)
    lines = [
        f'<p><a href="#typed">Typed by hand</a>, among all {added.competing:,} labels: {places}'
        + (f"; {rest:,} more at lower ranks" if rest else "")
        + f". The top label is {html_text(told.leader.name)}{unseen_mark(told.leader.seen)}.</p>"
    ]
    if told.choice:
        choice = "; ".join(
            f"{html_text(guess.label.name)}{_meant(guess.label.name, record)} {escape(percent(guess.score))}"
            for guess in told.choice
        )
        lines.append(f"<p>If only the {added.typed:,} typed labels are candidates: {choice}.</p>")
    return f'<div class="typed">{"".join(lines)}</div>\n'


def _meant(name: str, record: PhotoRecord) -> str:
    return " (typed for this photo)" if record.meant and name == record.meant else ""


def _typed_section(gallery: Gallery, added: Added) -> str:
    labels = "\n".join(
        f"<li><b>{html_text(label.name)}</b>{': ' if label.gloss else ''}{html_text(label.gloss)}</li>"
        for label in added.labels
    )
    lines = "".join(f"<p>{html_text(line)}</p>\n" for line in (*typed_summary(gallery.records, added), *added.notes))
    listed = f"<ul>\n{labels}\n</ul>\n" if labels else ""
    return (
        f'<section class="card" aria-labelledby="typed">\n<h2 id="typed">Labels typed by hand</h2>\n'
        f"{lines}{listed}</section>"
    )
