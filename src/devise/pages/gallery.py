"""A self-contained HTML page of photos with the answers of every method."""

from collections.abc import Sequence
from dataclasses import dataclass

from devise.errors import counted
from devise.model.answers import Standing
from devise.model.comparison import Added, PhotoRecord, TypedResult
from devise.model.methods import Method
from devise.pages.frame import page

__all__ = ["TITLES", "Gallery", "gallery_html", "typed_summary"]

TITLES: dict[Method, str] = {"softmax": "Softmax", "conse": "ConSE", "devise": "DeViSE", "fused": "Fused"}
"""Title of each method on the page and in the terminal."""

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
    read = sum(result is not None for result in added.photos)
    if added.labels:
        lines.append(
            f"{counted(len(added.labels), 'label')} added without photos and without training: {added.seconds:.2f} s "
            f"for their vectors and for ranking {added.competing:,} labels again for {counted(read, 'photo')}. "
            f"Reading the word vectors took {added.words_seconds:.2f} s, once."
        )
    if known := added.typed - len(added.labels):
        lines.append(f"{counted(known, 'typed label')} already in the model, so unchanged.")
    meant = [
        (record.meant, result.choice[0].label.name)
        for record, result in zip(records, added.photos, strict=True)
        if record.meant and result is not None and result.choice
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
    results = gallery.added.photos if gallery.added else (None,) * len(gallery.records)
    shown = [
        (number, record, one)
        for number, (record, one) in enumerate(zip(gallery.records, results, strict=True), start=1)
        if record.problem is None
    ]
    return page(
        "gallery.html",
        css=("theme.css", "gallery.css"),
        title=f"{counted(len(shown), 'photo')} named with {gallery.labels:,} labels",
        gallery=gallery,
        shown=shown,
        problems=[(one.name, one.problem) for one in gallery.records if one.problem is not None],
        summary=(*typed_summary(gallery.records, gallery.added), *gallery.added.notes) if gallery.added else (),
        titles=TITLES,
        placed=_placed,
    )


def _placed(record: PhotoRecord, result: TypedResult) -> tuple[Standing, ...]:
    """Return the best typed labels, and the one meant for this photo."""
    best, others = result.standings[:_STANDINGS], result.standings[_STANDINGS:]
    return (*best, *(one for one in others if record.meant == one.label.name))
