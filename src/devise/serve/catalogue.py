"""Routes for labels: look up, store your own, map; and search for photos."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from devise.errors import LabelError, UsageError
from devise.labels import Label
from devise.meaning.relations import nearest_labels
from devise.meaning.senses import Asked, ask
from devise.model.labeller import Model
from devise.model.parts import ModelParts
from devise.model.rejection import Reject
from devise.model.sense_choice import Meanings
from devise.model.typed import TypedLabel, asked_name, parse_lines, user_id
from devise.search.expression import Expression, parse_expression, understood
from devise.search.results import Filters, filters_of, likeness
from devise.serve.photos import IndexedPhotos, PhotosFound
from devise.serve.problems import ServiceError
from devise.serve.schema import (
    Hit,
    Hits,
    IndexItem,
    LabelItem,
    LabelList,
    LabelMap,
    Options,
    OwnLabel,
    OwnLabelKept,
    PhotoItem,
    PhotoList,
    Said,
    Sense,
    Share,
    Text,
)
from devise.serve.service import Service
from devise.sidecars import corrections_of
from devise.taxonomy.everyday import kinds
from devise.xmp import Correction, SidecarError

__all__ = ["Lang", "label_routes", "only_known", "require_photo", "said_of", "search_routes"]

_REPEATED = frozenset({"in"})
_KINDS = 12  # shown of a search at most

_STARS = 6  # of a pattern: with many, a long name takes long to compare

Top = Annotated[int, Query(ge=1, le=100)]
Since = Annotated[
    Text | None,
    Query(description="Only photos taken on this date or later: 2024, 2024-05 or 2024-05-31.", examples=["2024-05"]),
]
Until = Annotated[Text | None, Query(description="Only photos taken on this date or earlier.", examples=["2024-08"])]
Folders = Annotated[
    Sequence[Text],
    Query(
        alias="in",
        max_length=8,
        description="Only photos in such a folder, or of such a name: a pattern as in .gitignore, of paths below the "
        "common folder; may be repeated.",
        examples=[["rome"]],
    ),
]
Rating = Annotated[int | None, Query(ge=1, le=5, description="Only photos with at least this many stars.")]
IndexName = Annotated[
    Text | None, Query(description="Name of a photo index, one of GET /v1/options. Default: the first one.")
]
Lang = Annotated[
    Text | None, Query(description="Language of names, one of GET /v1/options. Default: the first of these.")
]


def only_known(request: Request) -> None:
    """Raise UsageError for an unknown or duplicate parameter."""
    known = [one.alias for one in request.scope["route"].dependant.query_params]
    for name, count in Counter(name for name, _ in request.query_params.multi_items()).items():
        if name not in known:
            takes = f"expected {', '.join(known)}" if known else "expected none"
            raise UsageError(f"query.{name}: unknown parameter, {takes}")
        if count > 1 and name not in _REPEATED:
            raise UsageError(f"query.{name}: duplicate parameter ({count} times): give it once")


def label_routes(service: Service) -> APIRouter:
    """GET, PUT and DELETE /v1/labels, and GET /v1/map."""
    routes = APIRouter(prefix="/v1", tags=["labels"], dependencies=[Depends(only_known)])

    @routes.get("/labels", response_model=LabelList, summary="Look up labels")
    def labels(
        q: Annotated[Text, Query(examples=["snow leopard"])] = "",
        top: Top = 20,
        near: Annotated[int, Query(ge=0, le=50)] = 0,
        lang: Lang = None,
    ) -> Any:
        """Return labels with this name, then names that start with it, then names that contain it.

        The user's own labels are returned too.

        A withheld label is found only by its exact name.

        near: number of labels nearest in meaning to the first one found.
        """
        own = [OwnLabel(name=one.name, definition=one.definition) for one in service.own.all()]
        model = service.speaking(lang)
        found = _found(model, service.names(model), q, top)
        nearest = _nearest(model, found[0].id, near) if found and near else []
        return LabelList(query=q, found=found, nearest=nearest, own=own, total=len(service.model.labels))

    @routes.put(
        "/labels",
        response_model=OwnLabelKept,
        responses={201: {"model": OwnLabelKept, "description": "The label is new."}},
        summary="Store your own label",
    )
    async def put(label: OwnLabel, response: Response, lang: Lang = None) -> Any:
        """The label is a candidate for every picture from now on. It is on disk when this returns; 201 if it is new."""
        typed = _one(label)
        model = service.speaking(lang)
        chosen = await service.runs.typed(typed, lang)
        try:
            created = await run_in_threadpool(service.own.put, typed)
        except UsageError as error:
            raise ServiceError(409, "too_many", str(error)) from None
        response.status_code = 201 if created else 200
        made = model.parts.labelled(chosen.space.labels[0])
        return OwnLabelKept(
            id=made.id,
            name=typed.name,
            definition=typed.definition or made.gloss,
            source=made.source,
            created=created,
            notes=list(chosen.notes),
        )

    @routes.delete("/labels", status_code=204, summary="Delete your own label")
    async def delete(name: Annotated[Text, Query(min_length=1, examples=["zedonk"])]) -> None:
        """404 if no stored label has this name."""
        try:
            await run_in_threadpool(service.own.delete, name)
        except LabelError as error:
            raise ServiceError(404, "unknown", str(error)) from None

    @routes.get("/map", response_model=LabelMap, summary="All labels on a plane")
    def label_map(lang: Lang = None) -> Any:
        """One point per label, to draw a map; see `Plane`. Near points have similar meanings."""
        return Response(service.label_map(service.speaking(lang)), media_type="application/json")

    return routes


def search_routes(service: Service) -> APIRouter:
    """GET /v1/search, GET /v1/photos, GET /v1/photos/{photo} and GET /v1/options."""
    routes = APIRouter(prefix="/v1", tags=["search"], dependencies=[Depends(only_known)])

    @routes.get("/options", response_model=Options, summary="Indexes and languages of this service")
    def options() -> Any:
        """Return what `index` and `lang` may be, the default first, and whether corrections are kept."""
        indexes = [IndexItem(name=name, photos=len(one)) for name, one in service.indexes.items()]
        trained = len(service.model.parts.trained)
        return Options(
            indexes=indexes, languages=list(service.languages), corrections=service.corrections, trained=trained
        )

    @routes.get("/search", response_model=Hits, summary="Find photos by words, or by a photo")
    async def search(
        q: Annotated[
            Text,
            Query(
                description="A noun, or any other words; several joined by + and -, with spaces around: "
                "'beach + dog - person'.",
                examples=["snow leopard"],
            ),
        ] = "",
        sense: Annotated[Text | None, Query(description="Id of the intended sense.")] = None,
        like: Annotated[
            int | None, Query(ge=0, le=2**31, description="Number of a photo of the index; find similar ones.")
        ] = None,
        top: Top = 24,
        reject: Annotated[
            Share | Literal["auto"],
            Query(
                description="Photos with a lower score are left out; auto: leave out photos that do not make the "
                "words more probable than before."
            ),
        ] = "auto",
        since: Since = None,
        until: Until = None,
        folders: Folders = (),
        rating: Rating = None,
        index: IndexName = None,
        lang: Lang = None,
    ) -> Any:
        """Return photos nearest to a noun, other words or a photo; 404 without a photo index."""
        shelf = _Shelf(service, index, lang)
        filters = shelf.filters(since, until, folders, rating)
        if (like is None) == (not q.strip()) or (like is not None and sense is not None):
            raise UsageError("give either words as q, optionally with a sense, or a photo as like")
        if like is not None:
            require_photo(shelf.photos, like)
            if filters != shelf.no_filters:
                raise UsageError("filters go with words: leave out like, or the filters")

        def found(check: Callable[[], None]) -> Hits:
            if like is not None:
                return _by_photo(shelf, like, top)
            return _by_words(shelf, " ".join(q.split()), sense, top, reject, filters, check)

        return await service.searched(found)

    @routes.get("/photos", response_model=PhotoList, summary="Photos of the index")
    async def some(
        top: Top = 8,
        first: Annotated[
            int | None,
            Query(ge=0, le=2**31, description="Photos in the order of their paths, from this one on; the first is 0."),
        ] = None,
        since: Since = None,
        until: Until = None,
        folders: Folders = (),
        rating: Rating = None,
        index: IndexName = None,
        lang: Lang = None,
    ) -> Any:
        """Return photos spread over the index, the same each time, or from `first` on; 404 without a photo index."""
        shelf = _Shelf(service, index, lang)
        filters = shelf.filters(since, until, folders, rating)
        if filters == shelf.no_filters:
            return await run_in_threadpool(_listed, shelf, filters, first, top)
        return await service.searched(lambda _: _listed(shelf, filters, first, top))

    @routes.get("/photos/{photo}", response_class=Response, summary="A small JPEG of a photo of the index")
    async def photo(
        photo: Annotated[int, Path(ge=0, le=2**31)],
        side: Annotated[
            Literal["320", "1280"], Query(description="Most pixels of the longer side; a photo is not enlarged.")
        ] = "320",
        index: IndexName = None,
    ) -> Response:
        """Return a thumbnail by the photo's number in the index, never by a path."""
        path = service.index(index, None).path(photo)
        found = await service.thumbnails.of(path, int(side)) if path is not None else None
        if found is None:
            raise ServiceError(404, "unknown", f"the index has no photo {photo} that can be shown")
        return Response(found, media_type="image/jpeg", headers={"cache-control": "private, max-age=600"})

    return routes


class _Shelf:
    """An index as one request uses it: its name, language and photos."""

    def __init__(self, service: Service, index: str | None, lang: str | None) -> None:
        self._service = service
        self._index = index
        self.photos = service.index(index, lang)
        self.model = service.speaking(lang)

    @property
    def own(self) -> Mapping[str, TypedLabel]:
        """Return the user's own labels by id."""
        return {user_id(one.name): one for one in self._service.own.all()}

    def filters(self, since: str | None, until: str | None, folders: Sequence[str], rating: int | None) -> Filters:
        """Return the filters of a request; their patterns are of paths below the common folder of the photos."""
        if any(pattern.count("*") > _STARS for pattern in folders):
            raise UsageError(f"at most {_STARS} * are allowed in a pattern of folders: leave some out")
        return filters_of(since, until, folders, rating, below=self.photos.root)

    @property
    def no_filters(self) -> Filters:
        """Return the filters of a request without any."""
        return self.filters(None, None, (), None)

    def photo(self, photo: int, label: Label | None) -> PhotoItem:
        """Return a photo as it is shown."""
        path = self.photos.shown_path(photo)
        query = f"?{urlencode({'index': self._index})}" if self._index is not None else ""
        return PhotoItem(
            photo=photo,
            name=os.path.basename(path),
            path=path,
            thumbnail=f"/v1/photos/{photo}{query}",
            label=label.name if label is not None else "",
            label_id=label.id if label is not None else "",
            corrections=self._said(photo),
        )

    def hits(self, found: PhotosFound, by: Literal["probability", "cosine"]) -> list[Hit]:
        """Return the photos found."""
        return [
            Hit(**self.photo(hit.photo, hit.label).model_dump(), score=hit.score, likeness=likeness(hit.score, by))
            for hit in found.hits
        ]

    def _said(self, photo: int) -> list[Said]:
        path = self.photos.path(photo) if self._service.corrections else None
        if path is None:
            return []
        try:
            return said_of(self.model, corrections_of(path))
        except SidecarError:  # whoever corrects the photo learns it
            return []


def said_of(model: Model, corrections: Sequence[Correction]) -> list[Said]:
    """Return corrections with names in the language of the model."""
    taxonomy = model.parts.taxonomy
    return [
        Said(id=one.id, name=taxonomy.synset(one.id).name if one.id in taxonomy else one.name, verdict=one.verdict)
        for one in corrections
    ]


def _listed(shelf: _Shelf, filters: Filters, first: int | None, top: int) -> PhotoList:
    """Return photos that pass, from one on, or spread over them."""
    numbers, notes = shelf.photos.passing(filters)
    count = min(top, len(numbers))
    spread = [len(numbers) * i // count for i in range(count)]
    places = spread if first is None else range(first, min(first + top, len(numbers)))
    chosen = [numbers[place] for place in places]
    labels = shelf.photos.labels_of(chosen)
    photos = [shelf.photo(photo, label) for photo, label in zip(chosen, labels, strict=True)]
    return PhotoList(photos=photos, total=len(numbers), notes=list(notes))


def _by_photo(shelf: _Shelf, like: int, top: int) -> Hits:
    photos = shelf.photos
    name = os.path.basename(photos.shown_path(like))
    return Hits(query="", label=name, gloss="", photos=len(photos), hits=shelf.hits(photos.like(like, top), "cosine"))


def _by_words(
    shelf: _Shelf,
    words: str,
    sense: str | None,
    top: int,
    reject: Reject,
    filters: Filters,
    check: Callable[[], None],
) -> Hits:
    own, parts = shelf.own, shelf.model.parts
    kept = own.get(user_id(words))
    expression = Expression((kept,)) if kept is not None else parse_expression(words, photos=False)
    expression = expression.changed(lambda labels: _own(labels, own))
    expression, notes = understood(parts, expression)

    def find(asked: Expression) -> PhotosFound:
        return shelf.photos.find(asked, top, reject, check, filters)

    if expression.terms or len(expression.words) > 1:
        return _by_any(shelf, expression, words, sense, find, notes)
    label = expression.words[0]
    asked = ask(parts, f"{label.name}: {label.definition}" if label.definition else label.name, sense)
    meant = label if sense is None else TypedLabel(label.name, asked.chosen.id)
    found = find(Expression((meant,)))
    taken, others = _senses(parts, label, asked)
    return Hits(
        query=words,
        label=asked.chosen.name,
        gloss=asked.chosen.gloss,
        photos=found.searched,
        hits=shelf.hits(found, "probability"),
        taken=taken,
        others=others,
        kinds=_kinds(parts, found, taken.id) if taken else [],
        notes=list(dict.fromkeys([*notes, *asked.notes, *found.notes])),
    )


def _own(words: Sequence[TypedLabel], own: Mapping[str, TypedLabel]) -> tuple[TypedLabel, ...]:
    """Give words the definitions of the labels that the user stored under their names."""
    return tuple(one if one.definition else own.get(user_id(one.name), one) for one in words)


def _by_any(
    shelf: _Shelf,
    asked: Expression,
    words: str,
    sense: str | None,
    find: Callable[[Expression], PhotosFound],
    notes: Sequence[str],
) -> Hits:
    """Find photos of any of several words, or of terms, like `devise search "lion + water"`."""
    if sense is not None:
        raise UsageError(f"a sense needs exactly one word, got {words}: give one")
    found = find(asked)
    return Hits(
        query=words,
        label=words if asked.terms else ", ".join(label.name for label in asked.words),
        gloss="",
        photos=found.searched,
        hits=shelf.hits(found, "probability"),
        notes=[*notes, *found.notes],
    )


def _senses(parts: ModelParts, label: TypedLabel, asked: Asked) -> tuple[Sense | None, list[Sense]]:
    """Return the sense searched for, and the word's other visible senses."""
    if not asked.in_wordnet:
        return None, []
    meanings = Meanings(parts)
    meaning = None if label.definition else meanings.of(label.name)
    chosen = asked.chosen.id
    others = [meaning.chosen, *meanings.others(meaning)] if meaning else []
    return _sense(meanings, parts, chosen), [_sense(meanings, parts, one.id) for one in others if one.id != chosen]


def _sense(meanings: Meanings, parts: ModelParts, synset_id: str, photos: int = 0) -> Sense:
    synset = parts.taxonomy.synset(synset_id)
    return Sense(
        id=synset.id, name=synset.name, kind=meanings.kind_of(synset.id), gloss=synset.definition, photos=photos
    )


def _kinds(parts: ModelParts, found: PhotosFound, sense: str) -> list[Sense]:
    """Count the labels of the photos below the sense, most frequent first."""
    below, meanings = kinds(parts.taxonomy, sense) - {sense}, Meanings(parts)
    counts = Counter(hit.label.id for hit in found.hits if hit.label is not None and hit.label.id in below)
    return [_sense(meanings, parts, kind, photos) for kind, photos in counts.most_common(_KINDS)]


def require_photo(photos: IndexedPhotos, photo: int) -> None:
    """Raise ServiceError 404 if the index has no photo of this number."""
    if photo >= len(photos):
        raise ServiceError(404, "unknown", f"the index has no photo {photo}")


def _one(label: OwnLabel) -> TypedLabel:
    """Return one line of a label file; UsageError for a name without a word."""
    if ":" in label.name:
        raise UsageError("a label's name must not contain a colon: put its meaning into the definition")
    text = f"{label.name}: {label.definition}" if label.definition.strip() else label.name
    typed = parse_lines([" ".join(text.splitlines())])
    if len(typed) > 1:
        raise UsageError(f"{len(typed)} ids in the name of one label: store each separately")
    return typed[0]


def _found(model: Model, names: Sequence[str], query: str, top: int) -> list[LabelItem]:
    query = asked_name(query)
    wanted = " ".join(query.lower().split())
    if not wanted:
        return []
    labels = model.labels
    meaning = Meanings(model.parts).of(query)
    senses = [sense.id for sense in meaning.senses] if meaning is not None else [wanted]
    exact = [labels.position(i) for i in senses if i in labels]
    begins = [place for place, name in enumerate(names) if name.startswith(wanted)]
    holds = [place for place, name in enumerate(names) if wanted in name] if len(begins) < top else []
    withheld = model.parts.withheld
    others = (place for place in [*begins, *holds] if labels.ids[place] not in withheld)
    places = list(dict.fromkeys([*exact, *others]))[:top]
    return [_item(model, place) for place in places]


def _nearest(model: Model, label_id: str, near: int) -> list[LabelItem]:
    found = nearest_labels(model.parts, ask(model.parts, label_id), near)
    return [_item(model, model.labels.position(one.label.id)) for one in found.labels]


def _item(model: Model, place: int) -> LabelItem:
    label, taxonomy = model.parts.labelled(model.labels[place]), model.parts.taxonomy
    path = (
        [taxonomy.synset(above).name for above in taxonomy.hypernym_paths(label.id)[0]] if label.id in taxonomy else []
    )
    return LabelItem(id=label.id, name=label.name, gloss=label.gloss, seen=label.seen, own=False, path=path)
