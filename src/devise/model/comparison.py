"""Name photos by every method, then again with typed labels among the candidates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

from devise.errors import PictureError
from devise.labels import Label
from devise.model.answers import Answer, Guess, Standing
from devise.model.candidates import choose_candidates
from devise.model.labeller import LabelRequest, LabelRun, Model
from devise.model.methods import Method, rows_of
from devise.model.typed import TypedLabel
from devise.vision.decoding import data_uri
from devise.vision.folders import Found
from devise.vision.pipeline import Extracted

__all__ = [
    "COMPARED",
    "DEFAULT",
    "SIDE",
    "Added",
    "Column",
    "Photo",
    "PhotoRecord",
    "TypedResult",
    "add_labels",
    "compare",
]

COMPARED: tuple[Method, ...] = ("softmax", "conse", "devise", "fused")
"""The columns, from the classifier alone to the default; those that a model has."""

SIDE = 480
"""The longer side of an embedded picture, in pixels."""

DEFAULT: Method = LabelRequest().method
"""The default method, also used for typed labels."""

_BLOCK = 32  # photos scored at once
_CHOSEN = 3  # guesses shown when only typed labels compete


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo to label. name: its title. shows: description of its content, or "".

    meant: the name of the label typed for this photo, or "".
    """

    found: Found
    name: str
    shows: str = ""
    meant: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """The answer of one method. labels: number of its candidates."""

    method: Method
    labels: int
    guesses: tuple[Guess, ...]


@dataclass(frozen=True, slots=True)
class PhotoRecord:
    """Everything shown of one photo; `dataclasses.asdict` of it is valid JSON.

    name, shows, meant: see `Photo`. picture: a small JPEG as a data URI. columns: as in COMPARED. problem: why
    there are neither.
    """

    name: str
    shows: str = ""
    meant: str = ""
    picture: str = ""
    columns: tuple[Column, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class TypedResult:
    """One photo named again with typed labels.

    leader: the best of all labels. standings: every label that is new to the model, best first. choice: the best
    of the typed labels alone, with scores that sum to 1 over all of them; empty when fewer than two were typed.
    """

    leader: Label
    standings: tuple[Standing, ...]
    choice: tuple[Guess, ...]


@dataclass(frozen=True, slots=True)
class Added:
    """Changes caused by typed labels.

    labels: those that are new to the model. competing: all labels that competed. typed: how many labels the choice
    was from. notes: on how the typed ones were read. photos: one per photo, None where it could not be read.
    words_seconds: reading the model's word vectors, once for all labels ever typed. seconds: making the vectors
    of the labels and ranking all labels for all photos again, from the features they have.
    """

    labels: tuple[Label, ...]
    competing: int
    typed: int
    notes: tuple[str, ...]
    photos: tuple[TypedResult | None, ...]
    words_seconds: float
    seconds: float


def compare(
    model: Model, photos: Sequence[Photo], *, top: int = 5, on_photo: Callable[[], None] | None = None
) -> tuple[tuple[PhotoRecord, ...], tuple[Extracted, ...]]:
    """Return one record per photo, in order, and the shared features; a failed photo has a problem.

    on_photo: called after the network has run on a photo.
    """
    runs = [model.run(LabelRequest(top, method, explain=True)) for method in COMPARED if method in rows_of(model.parts)]
    extracted = []
    for one in model.features([photo.found for photo in photos]):
        extracted.append(one)
        if on_photo is not None:
            on_photo()
    answers = [_answers(run, extracted) for run in runs]
    records = []
    for place, photo in enumerate(photos):
        columns = tuple(
            Column(run.request.method, len(run.ranked), answer[place].guesses)
            for run, answer in zip(runs, answers, strict=True)
        )
        records.append(_record(photo, columns, extracted[place].problem))
    return tuple(records), tuple(extracted)


def add_labels(model: Model, extracted: Sequence[Extracted], typed: tuple[TypedLabel, ...]) -> Added:
    """Name photos of known features again by the default method: typed labels among all, then alone."""
    start = perf_counter()
    _ = model.parts.composer
    read = perf_counter()
    chosen = choose_candidates(model.parts, typed=typed)
    labels = chosen.space.labels
    added = tuple(label for label in labels if label.id not in model.labels)
    run = LabelRun(model, LabelRequest(1, DEFAULT, typed=typed), chosen)
    ranked = _answers(run, extracted)
    done = perf_counter()
    alone = len(choose_candidates(model.parts, "typed", typed=typed).space.labels)
    choices = _choices(model, extracted, typed, alone)
    results = (_typed_result(model, answer, choice) for answer, choice in zip(ranked, choices, strict=True))
    return Added(added, len(labels), alone, chosen.notes, tuple(results), read - start, done - read)


def _answers(run: LabelRun, extracted: Sequence[Extracted]) -> list[Answer]:
    """Score in blocks, so that memory does not grow with the number of photos."""
    starts = range(0, len(extracted), _BLOCK)
    return [answer for start in starts for answer in run.answers_of(extracted[start : start + _BLOCK], start)]


def _typed_result(model: Model, answer: Answer, choice: tuple[Guess, ...]) -> TypedResult | None:
    if answer.problem is not None:
        return None
    new = tuple(standing for standing in answer.standings if standing.label.id not in model.labels)
    return TypedResult(answer.guesses[0].label, new, choice)


def _choices(
    model: Model, extracted: Sequence[Extracted], typed: tuple[TypedLabel, ...], alone: int
) -> list[tuple[Guess, ...]]:
    if alone < 2:
        return [()] * len(extracted)
    run = model.run(LabelRequest(min(alone, _CHOSEN), DEFAULT, "typed", typed=typed))
    return [answer.guesses for answer in _answers(run, extracted)]


def _record(photo: Photo, columns: tuple[Column, ...], problem: str | None) -> PhotoRecord:
    if problem is None:
        try:
            picture = data_uri(photo.found.path, SIDE)
            return PhotoRecord(photo.name, photo.shows, photo.meant, picture, columns)
        except PictureError as error:  # it was there for the network, and changed since
            problem = str(error)
    return PhotoRecord(photo.name, photo.shows, photo.meant, problem=problem)
