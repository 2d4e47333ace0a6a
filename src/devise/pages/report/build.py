"""Build the content of a report from an evaluation: names, tree paths, classes, thumbnails."""

from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import quote

from devise.errors import PictureError, UsageError, counted
from devise.evaluation.confusion import NEAR, Meeting, Subtree, confusion_tree, first_path, meeting
from devise.evaluation.summary import ImageValues
from devise.evaluation.tables import measure_cell
from devise.pages.frame import page
from devise.pages.report.charts import png, svg
from devise.pages.report.content import (
    Calibration,
    ClassLine,
    Competing,
    Content,
    Curve,
    Fact,
    GuessLine,
    HedgingResult,
    PhotoCard,
    Side,
    Step,
    Table,
    ends_of,
)
from devise.pages.report.figures import Figure, figures_of
from devise.taxonomy.wordnet import Taxonomy
from devise.vision.decoding import data_uri

__all__ = ["Names", "ReportInput", "ReportOptions", "build_content", "chosen_evenly", "report_html"]


class Names:
    """Names, paths and common ancestors of synsets, each computed once.

    mixed: whether trained and other labels compete, so that the others are marked.
    """

    def __init__(self, taxonomy: Taxonomy, trained: frozenset[str], *, mixed: bool) -> None:
        self.taxonomy = taxonomy
        self.trained = trained
        self.mixed = mixed
        self.path_of = cache(lambda synset_id: first_path(taxonomy, synset_id))
        self.meeting = cache(lambda truth, guess: meeting(taxonomy, truth, guess))

    def name(self, synset_id: str) -> str:
        """Return the first term of a synset."""
        return self.taxonomy.synset(synset_id).name

    def told_apart(self, synset_ids: Sequence[str]) -> list[str]:
        """Return the names; equal names are followed by another term of their synset."""
        names = [self.name(one) for one in synset_ids]
        others = [self.taxonomy.synset(one).lemmas[-1] for one in synset_ids]
        return [
            f"{name} ({other})" if names.count(name) > 1 and other != name else name
            for name, other in zip(names, others, strict=True)
        ]

    def guess(self, truth: str, guess: str, score: str, name: str) -> GuessLine:
        """Return a guess with its path from the true class. score, name: as shown."""
        met: Meeting | None = self.meeting(truth, guess)
        synset = self.taxonomy.synset(guess)
        seen = guess in self.trained or not self.mixed
        if met is None:
            return GuessLine(name, synset.definition, seen, "far", score)
        if met.edges == 0:
            return GuessLine(name, synset.definition, seen, "right", score)
        up = "".join(f"{self.name(one)} ↑ " for one in met.up[:-1])
        down = "".join(f" ↓ {self.name(one)}" for one in met.down[1:])
        meets = self.name(met.ancestor)
        short = [*(f"↑ {self.name(one)}" for one in met.up[1:]), *(f"↓ {self.name(one)}" for one in met.down[1:-1])]
        turn = "a kind of it" if len(met.up) == 1 else " ".join(short)
        return GuessLine(
            name, synset.definition, seen, met.verdict, score, f"{up}{meets}{down}", turn, meets, met.edges
        )


_SIDE = 240  # pixels of a thumbnail's longer side
_QUALITY = 72
_FURTHEST = 12  # edges; first guesses further off are counted together
_TOLD = ("hit@1", "hit@5", "hit@20", "hp@5")  # measures of our model at the top of the page


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """Options of a report.

    model: the main scorer, called "our model". beside: the scorer next to it; None takes the softmax if it was
    measured. cards: most photos in the gallery. guesses: per photo and scorer. title: of the page; "" for the default.
    """

    model: str = "fused"
    beside: str | None = None
    cards: int = 200
    guesses: int = 5
    title: str = ""

    def __post_init__(self) -> None:
        if self.cards < 0 or self.guesses < 1:
            raise UsageError(f"a report needs 0 or more photos and 1 or more guesses, got {self.cards}, {self.guesses}")


@dataclass(frozen=True, slots=True)
class ReportInput:
    """One evaluation, photo by photo.

    photos: a name for each. truth: the synset id of each. trained: the synset ids of the trained labels.
    guesses: by scorer, the ids of the best labels of each photo, best first. confidences: by scorer, the score of the
    first guess of each photo as a probability, for those scorers that have one. ranks: by scorer, the place of the
    true label counted from 1, None where it is not ranked. candidates: how many labels competed. values: by scorer, the
    measures of each photo. calibrations: of the scorers whose scores are probabilities.
    trails: by scorer, for each photo, the synsets it is named by from wide to narrow, each with the highest threshold
    that its probability reaches. tables, numbers, curves, rules, competing, hedging: see `Content`.
    """

    photos: tuple[str, ...]
    truth: tuple[str, ...]
    trained: frozenset[str]
    guesses: Mapping[str, Sequence[Sequence[str]]]
    candidates: int
    tables: tuple[Table, ...] = ()
    numbers: str = ""
    curves: tuple[tuple[str, Curve], ...] = ()
    values: Mapping[str, ImageValues] = field(default_factory=dict)
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)
    confidences: Mapping[str, Sequence[float]] = field(default_factory=dict)
    ranks: Mapping[str, Sequence[int | None]] = field(default_factory=dict)
    rules: tuple[str, ...] = ()
    competing: Competing = "both"
    hedging: tuple[tuple[str, HedgingResult], ...] = ()
    trails: Mapping[str, Sequence[Sequence[tuple[str, float]]]] = field(default_factory=dict)

    def first(self, scorer: str) -> tuple[str, ...]:
        """Return the scorer's first guess per photo."""
        return tuple(row[0] for row in self.guesses[scorer])


def build_content(
    measured: ReportInput,
    taxonomy: Taxonomy,
    find: Callable[[str], Path | None],
    options: ReportOptions | None = None,
    *,
    on_photo: Callable[[], None] | None = None,
) -> Content:
    """Build the content of the page. UsageError for an unknown scorer or without photos.

    find: returns the file of a photo's name, or None. on_photo: called after each card is made.
    """
    asked = options or ReportOptions()
    beside = asked.beside or ("softmax" if "softmax" in measured.guesses else asked.model)
    scorers = tuple(dict.fromkeys((asked.model, beside)))
    for scorer in scorers:
        if scorer not in measured.guesses:
            raise UsageError(f"no scorer {scorer!r} was measured: choose one of {', '.join(measured.guesses)}")
    if not measured.truth:
        raise UsageError("a report needs photos, got none")
    names = Names(taxonomy, measured.trained, mixed=measured.competing == "both")
    tree = confusion_tree(zip(measured.truth, measured.first(asked.model), strict=True), names.path_of)
    cards = []
    for place in chosen_evenly(measured.truth, asked.cards):
        cards.append(_card(measured, place, names, find(measured.photos[place]), asked, scorers))
        if on_photo is not None:
            on_photo()
    classes = tuple(_classes(measured, asked.model, names))
    return Content(
        title=asked.title
        or f"Evaluation on {counted(len(measured.truth), 'photo')} of {counted(len(classes), 'class')}",
        summary=_summary(measured, asked),
        model=asked.model,
        facts=_facts(measured, asked),
        tables=measured.tables,
        numbers=measured.numbers,
        curves=measured.curves,
        classes=classes,
        confusion=tree,
        names={synset: taxonomy.synset(synset).name for synset in _synsets(tree)},
        distances=tuple((one, _distances(measured, one, names)) for one in scorers),
        reliability=tuple(
            (scorer, calibration)
            for scorer, calibration in measured.calibrations.items()
            if scorer in scorers and any(measured.ranks.get(scorer, (1,)))
        ),
        cards=tuple(cards),
        total=len(measured.truth),
        rules=measured.rules,
        missing=sum(not card.picture for card in cards),
        competing=measured.competing,
        hedging=measured.hedging,
    )


def chosen_evenly(classes: Sequence[str], limit: int) -> tuple[int, ...]:
    """Choose at most `limit` items, spread evenly over classes and within each.

    One of each class comes first, then the second of each: a screenful shows many classes.

    >>> chosen_evenly(["cat", "cat", "cat", "dog"], 3)
    (0, 3, 1)
    """
    places: dict[str, list[int]] = {}
    for place, name in enumerate(classes):
        places.setdefault(name, []).append(place)
    share = dict.fromkeys(places, 0)
    left = min(limit, len(classes))
    while left:
        for name in sorted((one for one in places if share[one] < len(places[one])), key=lambda one: (share[one], one)):
            share[name] += 1
            left -= 1
            if not left:
                break
    rounds = range(max(share.values(), default=0))
    return tuple(
        places[name][number * len(places[name]) // share[name]]
        for number in rounds
        for name in sorted(places)
        if number < share[name]
    )


def _card(
    measured: ReportInput, place: int, names: Names, path: Path | None, asked: ReportOptions, scorers: Sequence[str]
) -> PhotoCard:
    truth = measured.truth[place]
    synset, above = names.taxonomy.synset(truth), names.taxonomy.ancestors(truth)
    softmax = f"Softmax over {counted(len(measured.trained), 'label')}"
    sides = []
    for scorer in scorers:
        title = softmax if scorer == "softmax" else scorer
        if scorer == asked.model:
            title = f"Our model ({scorer})"
        sure = measured.confidences[scorer][place] if scorer in measured.confidences else None
        ranks = measured.ranks.get(scorer)
        shown = measured.guesses[scorer][place][: asked.guesses]
        score = [f"{sure:.0%}" if sure is not None else "", *[""] * len(shown)]
        guesses = tuple(names.guess(truth, *one) for one in zip(shown, score, names.told_apart(shown), strict=False))
        trail = measured.trails[scorer][place] if scorer in measured.trails else ()
        steps = tuple(Step(names.name(one), f"{sure:.0%}", one in {truth, *above}) for one, sure in trail)
        sides.append(Side(title, guesses, ranks[place] if ranks is not None else None, steps))
    return PhotoCard(
        measured.photos[place],
        _picture(path),
        synset.name,
        synset.definition,
        truth in measured.trained or not names.mixed,
        tuple(sides),
    )


def _picture(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return data_uri(path, _SIDE, _QUALITY)
    except PictureError:
        return ""


def _summary(measured: ReportInput, asked: ReportOptions) -> str:
    hits = sum(guess == truth for guess, truth in zip(measured.first(asked.model), measured.truth, strict=True))
    unseen = sum(truth not in measured.trained for truth in measured.truth)
    untrained = f" {unseen:,} of the photos show a class without training photos." if measured.trained else ""
    return (
        f"The first guess of {asked.model} is right for {hits:,} of {counted(len(measured.truth), 'photo')}, out of "
        f"{counted(measured.candidates, 'candidate label')}.{untrained}"
    )


def _facts(measured: ReportInput, asked: ReportOptions) -> tuple[Fact, ...]:
    own = dict(measured.curves).get(asked.model, {})
    return (
        Fact("photos", f"{len(measured.truth):,}"),
        Fact("classes", f"{len(set(measured.truth)):,}"),
        Fact("candidate labels", f"{measured.candidates:,}"),
        *(
            Fact(
                f"{key}, {asked.model}",
                measure_cell(key, of.value) + " %" * key.startswith("hit"),
                ends_of(key, of.images),
            )
            for key, of in own.items()
            if key in _TOLD and of.value is not None
        ),
    )


def _classes(measured: ReportInput, model: str, names: Names) -> Iterator[ClassLine]:
    places: dict[str, list[int]] = {}
    for place, truth in enumerate(measured.truth):
        places.setdefault(truth, []).append(place)
    first = measured.first(model)
    hits = {key: of for key, of in measured.values.get(model, {}).items() if key.startswith("hit@")}
    for truth in sorted(places, key=names.name):
        mine = places[truth]
        shares = tuple((key, float(of[mine].mean())) for key, of in hits.items())
        wrong = Counter(first[place] for place in mine if first[place] != truth)
        often = min(wrong.items(), key=lambda one: (-one[1], one[0])) if wrong else None
        found = (names.name(often[0]), often[1]) if often else None
        seen = truth in measured.trained if measured.trained else None
        yield ClassLine(truth, names.name(truth), seen, len(mine), shares, found)


def _distances(measured: ReportInput, scorer: str, names: Names) -> tuple[float, ...]:
    counts = [0] * (_FURTHEST + 1)
    for truth, guess in zip(measured.truth, measured.first(scorer), strict=True):
        met: Meeting | None = names.meeting(truth, guess)
        counts[min(met.edges, _FURTHEST) if met is not None else _FURTHEST] += 1
    return tuple(count / len(measured.truth) for count in counts)


def _synsets(branch: Subtree) -> Iterator[str]:
    yield from branch.path
    for flow in branch.flows:
        yield from (flow.source, flow.target)
    for below in branch.branches:
        yield from _synsets(below)


def report_html(content: Content) -> str:
    """Return the page: it loads nothing, and is complete without scripts."""
    from markupsafe import Markup

    figures = {figure.name: figure for figure in figures_of(content)}

    def named(*names: str) -> list[Figure]:
        return [figures[name] for name in names if name in figures]

    def drawing(figure: Figure) -> Markup:
        name = f"fig-{figure.name}"
        return Markup(svg(figure.drawing, name=name, title=figure.title, description=figure.description))

    return page(
        "report.html",
        css=("theme.css", "report/report.css"),
        script="report/report.js",
        title=content.title,
        content=content,
        figures={
            "curves": named("hit-at-k", "hp-at-k", "hedging"),
            "classes": named("classes"),
            "wrong": named("confusion", "distance"),
            "scores": [figure for name, figure in figures.items() if name.startswith("reliab")],
        },
        near=NEAR,
        svg=drawing,
        png64=lambda figure: b64encode(png(figure.drawing)).decode("ascii"),
        quoted=quote,
    )
