"""Contact sheets of labelled or found photos: one self-contained HTML file each, without scripts."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from devise.errors import PictureError, counted
from devise.model.answers import Answer, Guess, Hedge, Level, typed_places
from devise.model.labeller import LabelRequest, LabelRun, Model
from devise.model.rejection import why_none
from devise.pages.frame import CLOSING, document, html_text, opening, percent, problem_list, unseen_mark
from devise.pages.gallery import guess_html
from devise.search.duplicates import Duplicates
from devise.search.results import Hit, Hits, shown_score
from devise.vision.pictures import data_uri

__all__ = ["MOST_PHOTOS", "LabelSheet", "SheetFacts", "contact_sheet", "duplicate_sheet"]

MOST_PHOTOS = 5_000
"""Most photos per page: a browser still shows this many at once, in a file of about 75 MB."""

_SIDE = 240  # pixels of the longer side of a small copy: 10 kB
_LISTED = 200  # photos that could not be read, by name
_STYLES = ("theme.css", "gallery.css", "sheet.css")


def contact_sheet(found: Hits, asked: str) -> str:
    """Return the page of a search. asked: the query, for the title. A missing photo is marked."""
    title = html_text(f"{counted(len(found.hits), 'photo')} of {found.photos:,}: {asked}")
    items = "\n".join(_card(hit.path, hit.label.name, _hit_text(hit)) for hit in found.hits)
    body = f'<h1>{title}</h1>\n<ol class="shots" role="list">\n{items}\n</ol>'
    return document(title, body, styles=_STYLES)


def duplicate_sheet(found: Duplicates) -> Iterator[str]:
    """Yield the page of near-duplicates in pieces: a row of photos per group, the kept one first.

    Groups beyond MOST_PHOTOS photos are counted.
    """
    title = f"{counted(len(found.groups), 'group')} of near-duplicates among {counted(found.photos, 'photo')}"
    yield opening(title, styles=_STYLES)
    yield f"<h1>{title}</h1>\n<p>The first photo of a group is the largest file, to be kept.</p>\n"
    shown = 0
    for number, group in enumerate(found.groups, start=1):
        shown += 1 + len(group.copies)
        if shown > MOST_PHOTOS:
            yield f"<p>The page shows the first {number - 1:,} groups.</p>\n"
            break
        cards = [_card(group.kept.path, "", f'<p class="first">keep, {_bytes(group.kept.size)}</p>')]
        for copy in group.copies:
            how = "same bytes" if copy.same_bytes else f"{percent(copy.similar)} similar"
            cards.append(_card(copy.fact.path, "", f"<p>{how}, {_bytes(copy.fact.size)}</p>"))
        yield f'<h2>Group {number:,}</h2>\n<ol class="shots" role="list">\n{"".join(cards)}\n</ol>\n'
    yield CLOSING


def _bytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"


@dataclass(frozen=True, slots=True)
class SheetFacts:
    """Facts on the page in addition to the photos.

    model: its name. candidates: number of candidate labels. trained: ids of the trained labels.
    """

    model: str
    candidates: int
    trained: frozenset[str]
    request: LabelRequest

    @classmethod
    def of(cls, model: Model, run: LabelRun) -> "SheetFacts":
        """Collect the facts of a model and a request."""
        name, trained = model.parts.bundle.manifest.name, frozenset(model.parts.trained_ids)
        return cls(name, len(run.candidates), trained, run.request)


class LabelSheet:
    """A page of labelled photos, added one by one; memory does not grow with their number.

    spool: an empty text file, open for writing and reading, for the photos: the head of the page needs their counts.
    """

    def __init__(self, facts: SheetFacts, spool: IO[str]) -> None:
        self._facts = facts
        self._spool = spool
        self._named = 0
        self._rejected = 0
        self._failed = 0
        self._problems: list[tuple[str, str]] = []

    @property
    def photos(self) -> int:
        """Number of labelled photos, shown or not."""
        return self._named + self._rejected

    def add(self, answer: Answer) -> None:
        """Add one photo. Raises only the spool's OSError, even if the photo's file has changed."""
        if answer.problem is not None:
            self._failed += 1
            if self._failed <= _LISTED:
                self._problems.append((answer.source, answer.problem))
            return
        self._named += not answer.rejected
        self._rejected += answer.rejected
        if self.photos <= MOST_PHOTOS:
            best = "" if answer.rejected else answer.guesses[0].label.name
            self._spool.write(_card(answer.source, best, self._text(answer)) + "\n")

    def pieces(self, stopped: bool = False) -> Iterator[str]:
        """Return the page. stopped: the run ended before all photos were done."""
        title = f"{counted(self._named, 'photo')} named with {counted(self._facts.candidates, 'label')}"
        yield opening(title, styles=_STYLES)
        yield f"<header>\n<h1>{title}</h1>\n"
        yield from (f"<p>{line}</p>\n" for line in self._introduction(stopped))
        yield "</header>\n<main>\n"
        yield problem_list(self._problems, self._failed - len(self._problems))
        if self.photos:
            yield '<ol class="shots" role="list">\n'
            self._spool.seek(0)
            while piece := self._spool.read(1 << 20):
                yield piece
            yield "</ol>\n"
        yield f"</main>\n{CLOSING}"

    def _introduction(self, stopped: bool) -> Iterator[str]:
        request = self._facts.request
        first = "The first name of each photo is the most probable."
        if request.sure is not None:
            first = f"The first name is the most specific one of at least {_share(request.sure)}, with its kinds below."
        yield (
            f"{first} Each number is the model's probability among the candidate labels (model "
            f"<b>{html_text(self._facts.model)}</b>). A name marked{unseen_mark(False)} was never trained on: no "
            "training photo has this label, but some may show a kind of it. The model knows it from its words and its "
            "place in WordNet."
        )
        if self._rejected:
            yield (
                f"{counted(self._rejected, 'photo')} {'is' if self._rejected == 1 else 'are'} shown as "
                "“none of these”: "
                f"{why_none(request.rejects)}."
            )
        if request.context:
            yield "Names depend on the other photos of this run."
        if stopped:
            yield "The run was stopped before all photos were done."
        if self.photos > MOST_PHOTOS:
            yield f"The page shows the first {MOST_PHOTOS:,} photos; {self.photos - MOST_PHOTOS:,} more were labelled."

    def _text(self, answer: Answer) -> str:
        if answer.rejected:
            return '<p class="none">none of these</p>'
        if answer.hedge is not None and self._facts.request.sure is not None:
            return self._sure(answer.hedge)
        names = [guess.label.name for guess in answer.guesses]
        twice = {name for name in names if names.count(name) > 1}
        if self._facts.request.explain:
            items = "\n".join(f"<li>{guess_html(guess)}</li>" for guess in answer.guesses)
            told = f'<div class="column"><ol role="list">\n{items}\n</ol></div>'
        else:
            first, *others = answer.guesses
            told = _first(_called(first, twice), first.score, first.label.gloss)
            told += _next([_line(_called(guess, twice), guess.score) for guess in others])
        alone = self._facts.request.candidates == "typed"  # then the next names say as much
        typed = "" if alone else "".join(f"<p>{html_text(line)}</p>" for line in typed_places(answer))
        return _wide(answer.hedge) + told + (f'<div class="typed">{typed}</div>' if typed else "")

    def _sure(self, hedge: Hedge) -> str:
        """Return the wide name with its most probable kinds."""
        if hedge.name is None:
            first = f'<p class="none">no name reaches {_share(hedge.threshold)}</p>'
        else:
            exact = 2**hedge.name.bits > self._facts.candidates - 0.5  # one label is below it: itself
            called = self._level(hedge.name) if exact else html_text(hedge.name.name)
            first = _first(called, hedge.name.share)
        return first + _next([_line(self._level(one), one.share) for one in hedge.narrower])

    def _level(self, level: Level) -> str:
        return html_text(level.name) + unseen_mark(level.id in self._facts.trained)


def _hit_text(hit: Hit) -> str:
    called = f"{html_text(hit.label.name)}{unseen_mark(hit.label.seen)}"
    return f"<p>{html_text(shown_score(hit.score))}, {called}</p>"


def _card(source: str, called: str, text: str) -> str:
    """Return a photo with its text. called: alternative text of the picture, if it has a name."""
    path = Path(source)
    folder = (
        ""
        if path.parent == Path()
        else f'<p class="folder" title="{html_text(str(path.parent))}">{html_text(str(path.parent))}</p>'
    )
    where = f'<p class="file">{html_text(path.name)}</p>{folder}'
    return f'<li class="card shot">{_picture(path, called or f"The photo {path.name}")}{text}{where}</li>'


def _picture(path: Path, alternative: str) -> str:
    try:
        return f'<img alt="{html_text(alternative)}" src="{data_uri(path, _SIDE)}">'
    except PictureError as error:
        return f'<p class="gone">{html_text(str(error))}</p>'


def _called(guess: Guess, twice: set[str]) -> str:
    label = guess.label
    told = f' <span class="soft small">{html_text(label.id)}</span>' if label.name in twice else ""
    return f"{html_text(label.name)}{unseen_mark(label.seen)}{told}"


def _line(called: str, score: float) -> str:
    return f'<span class="line"><span>{called}</span> <span class="score">{html_text(percent(score))}</span></span>'


def _first(called: str, score: float, gloss: str = "") -> str:
    width = f"{100 * min(max(score, 0.0), 1.0):.1f}"
    told = f'<span class="gloss">{html_text(gloss)}</span>' if gloss else ""
    return (
        f'<p class="first">{_line(called, score)}'
        f'<span class="track"><span class="bar" style="width:{width}%"></span></span>{told}</p>'
    )


def _share(threshold: float) -> str:
    return f"{100 * threshold:g} %"


def _next(lines: list[str]) -> str:
    return f'<ul class="next" role="list">{"".join(f"<li>{line}</li>" for line in lines)}</ul>' if lines else ""


def _wide(hedge: Hedge | None) -> str:
    """Return the wider name of a photo in doubt, if it says more than the candidates do."""
    if hedge is None or hedge.name is None or not hedge.name.bits:
        return ""
    return f'<p class="wide">a kind of <b>{html_text(hedge.name.name)}</b> {html_text(percent(hedge.name.share))}</p>'
