"""Contact sheets of labelled or found photos: one self-contained HTML file each, without scripts."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import IO, Any

from devise.errors import PictureError, counted
from devise.model.answers import Answer, typed_places
from devise.model.labeller import LabelRequest, LabelRun, Model
from devise.model.rejection import why_none
from devise.pages.frame import page, page_pieces, percent, rendered
from devise.search.duplicates import Copy, Duplicates
from devise.search.results import Hits, shown_score
from devise.vision.decoding import data_uri

__all__ = ["MOST_PHOTOS", "LabelSheet", "SheetFacts", "contact_sheet", "duplicate_sheet"]

MOST_PHOTOS = 5_000
"""Most photos per page: a browser still shows this many at once, in a file of about 75 MB."""

_SIDE = 240  # pixels of the longer side of a small copy: 10 kB
_LISTED = 200  # photos that could not be read, by name
_STYLES = ("theme.css", "gallery.css", "sheet.css")


def contact_sheet(found: Hits, asked: str) -> str:
    """Return the page of a search. asked: the query, for the title. A missing photo is marked."""
    title = f"{counted(len(found.hits), 'photo')} of {found.photos:,}: {asked}"
    hits = [(hit, _photo(hit.path, hit.label.name)) for hit in found.hits]
    return page("search.html", css=_STYLES, title=title, hits=hits, shown_score=shown_score)


def duplicate_sheet(found: Duplicates) -> Iterator[str]:
    """Return the page of near-duplicates in pieces: a row of photos per group, the kept one first.

    Groups beyond MOST_PHOTOS photos are counted.
    """
    until = accumulate(1 + len(group.copies) for group in found.groups)
    shown = sum(count <= MOST_PHOTOS for count in until)
    groups = (
        (
            _photo(group.kept.path, ""),
            _size(group.kept.size),
            [(_photo(one.fact.path, ""), _like(one)) for one in group.copies],
        )
        for group in found.groups[:shown]
    )
    title = f"{counted(len(found.groups), 'group')} of near-duplicates among {counted(found.photos, 'photo')}"
    return page_pieces("duplicates.html", css=_STYLES, title=title, groups=groups, shown=shown, all=len(found.groups))


def _like(copy: Copy) -> str:
    how = "same bytes" if copy.same_bytes else f"{percent(copy.similar)} similar"
    return f"{how}, {_size(copy.fact.size)}"


def _size(size: int) -> str:
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
        self._failed = self._folders = 0
        self._problems: list[tuple[str, str]] = []

    @property
    def photos(self) -> int:
        """Number of labelled photos, shown or not."""
        return self._named + self._rejected

    def add(self, answer: Answer) -> None:
        """Add one photo. Raises only the spool's OSError, even if the photo's file has changed."""
        if answer.problem is not None:
            self._failed += 1
            self._folders += os.path.isdir(answer.source)
            if self._failed <= _LISTED:
                self._problems.append((answer.source, answer.problem))
            return
        self._named += not answer.rejected
        self._rejected += answer.rejected
        if self.photos <= MOST_PHOTOS:
            self._spool.write(self._card(answer))

    def pieces(self, stopped: bool = False) -> Iterator[str]:
        """Return the page. stopped: the run ended before all photos were done."""
        from markupsafe import Markup

        self._spool.seek(0)
        return page_pieces(
            "sheet.html",
            css=_STYLES,
            title=f"{counted(self._named, 'photo')} named with {counted(self._facts.candidates, 'label')}",
            model=self._facts.model,
            trained=self._facts.trained,
            sure=self._facts.request.sure,
            notes=tuple(self._notes(stopped)),
            problems=self._problems,
            folders=self._folders,
            more=self._failed - len(self._problems),
            pieces=map(Markup, iter(lambda: self._spool.read(1 << 20), "")) if self.photos else (),
            photos=self.photos,
        )

    def _notes(self, stopped: bool) -> Iterator[str]:
        if self._rejected:
            verb = "is" if self._rejected == 1 else "are"
            reason = why_none(self._facts.request.rejects)
            yield f"{counted(self._rejected, 'photo')} {verb} shown as “none of these”: {reason}."
        if self._facts.request.context:
            yield "Names depend on the other photos of this run."
        if stopped:
            yield "The run was stopped before all photos were done."
        if self.photos > MOST_PHOTOS:
            yield f"The page shows the first {MOST_PHOTOS:,} photos; {self.photos - MOST_PHOTOS:,} more were labelled."

    def _card(self, answer: Answer) -> str:
        names = [guess.label.name for guess in answer.guesses]
        alone = self._facts.request.candidates == "typed"  # then the next names say as much
        return rendered(
            "card.html",
            photo=_photo(answer.source, "" if answer.rejected else names[0]) | {"regions": answer.regions},
            answer=answer,
            facts=self._facts,
            names=names,
            typed=() if alone else typed_places(answer),
        )


def _photo(source: str, called: str) -> dict[str, Any]:
    """Return a photo for the templates. called: alternative text of the picture, if it has a name."""
    path = Path(source)
    photo: dict[str, Any] = {
        "regions": None,
        "file": path.name,
        "folder": "" if path.parent == Path() else str(path.parent),
        "called": called,
    }
    try:
        return photo | {"picture": data_uri(path, _SIDE), "problem": ""}
    except PictureError as error:
        return photo | {"problem": str(error)}
