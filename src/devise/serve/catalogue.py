"""Routes for labels: look up, store your own, map; and search for photos."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from devise.errors import LabelError, UsageError
from devise.meaning.relations import nearest_labels
from devise.meaning.senses import Asked, ask
from devise.model.parts import ModelParts
from devise.model.rejection import Reject
from devise.model.typed import TypedLabel, asked_name, parse_lines, user_id
from devise.model.word_senses import Meanings
from devise.search.expression import Expression, parse_expression, understood
from devise.search.results import likeness
from devise.serve.photos import PhotoSearch, PhotosFound
from devise.serve.problems import ServiceError
from devise.serve.schema import (
    Hit,
    Hits,
    LabelItem,
    LabelList,
    LabelMap,
    OwnLabel,
    OwnLabelKept,
    PhotoItem,
    PhotoList,
    Sense,
    Share,
    Text,
)
from devise.serve.service import Service
from devise.taxonomy.everyday import kinds

__all__ = ["label_routes", "only_known", "search_routes"]

_KINDS = 12  # shown of a search at most

Top = Annotated[int, Query(ge=1, le=100)]


def only_known(request: Request) -> None:
    """Raise UsageError for an unknown or duplicate parameter."""
    known = [one.alias for one in request.scope["route"].dependant.query_params]
    for name, count in Counter(name for name, _ in request.query_params.multi_items()).items():
        if name not in known:
            takes = f"expected {', '.join(known)}" if known else "expected none"
            raise UsageError(f"query.{name}: unknown parameter, {takes}")
        if count > 1:
            raise UsageError(f"query.{name}: duplicate parameter ({count} times): give it once")


def label_routes(service: Service) -> APIRouter:
    """GET, PUT and DELETE /v1/labels, and GET /v1/map."""
    routes = APIRouter(prefix="/v1", tags=["labels"], dependencies=[Depends(only_known)])

    @routes.get("/labels", response_model=LabelList, summary="Look up labels")
    def labels(
        q: Annotated[Text, Query(examples=["snow leopard"])] = "",
        top: Top = 20,
        near: Annotated[int, Query(ge=0, le=50)] = 0,
    ) -> Any:
        """Return labels with this name, then names that start with it, then names that contain it.

        The user's own labels are returned too.

        A withheld label is found only by its exact name.

        near: number of labels nearest in meaning to the first one found.
        """
        own = [OwnLabel(name=one.name, definition=one.definition) for one in service.own.all()]
        found = _found(service, q, top)
        nearest = _nearest(service, found[0].id, near) if found and near else []
        return LabelList(query=q, found=found, nearest=nearest, own=own, total=len(service.model.labels))

    @routes.put(
        "/labels",
        response_model=OwnLabelKept,
        responses={201: {"model": OwnLabelKept, "description": "The label is new."}},
        summary="Store your own label",
    )
    async def put(label: OwnLabel, response: Response) -> Any:
        """The label is a candidate for every picture from now on. It is on disk when this returns; 201 if it is new."""
        typed = _one(label)
        chosen = await service.runs.typed(typed)
        try:
            created = await run_in_threadpool(service.own.put, typed)
        except UsageError as error:
            raise ServiceError(409, "too_many", str(error)) from None
        response.status_code = 201 if created else 200
        made = service.model.labelled(chosen.space.labels[0])
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
    def label_map() -> Any:
        """One point per label, to draw a map; see `Plane`. Near points have similar meanings."""
        return Response(service.label_map, media_type="application/json")

    return routes


def search_routes(service: Service) -> APIRouter:
    """GET /v1/search, GET /v1/photos and GET /v1/photos/{photo}."""
    routes = APIRouter(prefix="/v1", tags=["search"], dependencies=[Depends(only_known)])

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
    ) -> Any:
        """Return photos nearest to a noun, other words or a photo; 404 without a photo index."""
        photos = _photos(service)
        if (like is None) == (not q.strip()) or (like is not None and sense is not None):
            raise UsageError("give either words as q, optionally with a sense, or a photo as like")
        if like is not None:
            _require(photos, like)

        def found(check: Callable[[], None]) -> Hits:
            if like is not None:
                return _by_photo(photos, like, top)
            return _by_words(service, photos, " ".join(q.split()), sense, top, reject, check)

        return await service.searched(found)

    @routes.get("/photos", response_model=PhotoList, summary="Some photos of the index")
    def some(top: Top = 8) -> Any:
        """Return photos spread over the index, the same each time; 404 without a photo index."""
        photos = _photos(service)
        total = len(photos)
        count = min(top, total)
        return PhotoList(photos=[_photo(photos, total * i // count) for i in range(count)], total=total)

    @routes.get("/photos/{photo}", response_class=Response, summary="A small JPEG of a photo of the index")
    async def photo(
        photo: Annotated[int, Path(ge=0, le=2**31)],
        side: Annotated[
            Literal["320", "1280"], Query(description="Most pixels of the longer side; a photo is not enlarged.")
        ] = "320",
    ) -> Response:
        """Return a thumbnail by the photo's number in the index, never by a path."""
        path = _photos(service).path(photo)
        found = await service.thumbnails.of(path, int(side)) if path is not None else None
        if found is None:
            raise ServiceError(404, "unknown", f"the index has no photo {photo} that can be shown")
        return Response(found, media_type="image/jpeg", headers={"cache-control": "private, max-age=600"})

    return routes


def _by_photo(photos: PhotoSearch, like: int, top: int) -> Hits:
    hits = _hits(photos, photos.like(like, top), "cosine")
    return Hits(query="", label=_photo(photos, like).name, gloss="", photos=len(photos), hits=hits)


def _by_words(
    service: Service,
    photos: PhotoSearch,
    words: str,
    sense: str | None,
    top: int,
    reject: Reject,
    check: Callable[[], None],
) -> Hits:
    own = {user_id(one.name): one for one in service.own.all()}
    kept = own.get(user_id(words))
    expression = Expression((kept,)) if kept is not None else parse_expression(words, photos=False)
    expression = expression.changed(lambda labels: _own(labels, own))
    expression, notes = understood(service.model.parts, expression)
    if expression.terms or len(expression.words) > 1:
        return _by_any(photos, expression, words, sense, top, reject, check, notes)
    label, parts = expression.words[0], service.model.parts
    asked = ask(parts, f"{label.name}: {label.definition}" if label.definition else label.name, sense)
    meant = label if sense is None else TypedLabel(label.name, asked.chosen.id)
    found = photos.find(Expression((meant,)), top, reject, check)
    taken, others = _senses(parts, label, asked)
    return Hits(
        query=words,
        label=asked.chosen.name,
        gloss=asked.chosen.gloss,
        photos=len(photos),
        hits=_hits(photos, found, "probability"),
        taken=taken,
        others=others,
        kinds=_kinds(parts, found, taken.id) if taken else [],
        notes=list(dict.fromkeys([*notes, *asked.notes, *found.notes])),
    )


def _own(words: Sequence[TypedLabel], own: Mapping[str, TypedLabel]) -> tuple[TypedLabel, ...]:
    """Give words the definitions of the labels that the user stored under their names."""
    return tuple(one if one.definition else own.get(user_id(one.name), one) for one in words)


def _by_any(
    photos: PhotoSearch,
    asked: Expression,
    words: str,
    sense: str | None,
    top: int,
    reject: Reject,
    check: Callable[[], None],
    notes: Sequence[str],
) -> Hits:
    """Find photos of any of several words, or of terms, like `devise search "lion + water"`."""
    if sense is not None:
        raise UsageError(f"a sense needs exactly one word, got {words}: give one")
    found = photos.find(asked, top, reject, check)
    return Hits(
        query=words,
        label=words if asked.terms else ", ".join(label.name for label in asked.words),
        gloss="",
        photos=len(photos),
        hits=_hits(photos, found, "probability"),
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


def _hits(photos: PhotoSearch, found: PhotosFound, by: Literal["probability", "cosine"]) -> list[Hit]:
    return [
        Hit(
            **_photo(photos, hit.photo).model_dump(),
            score=hit.score,
            likeness=likeness(hit.score, by),
            label=hit.label.name if hit.label is not None else "",
        )
        for hit in found.hits
    ]


def _photo(photos: PhotoSearch, photo: int) -> PhotoItem:
    path = photos.shown_path(photo)
    return PhotoItem(photo=photo, name=os.path.basename(path), path=path, thumbnail=f"/v1/photos/{photo}")


def _require(photos: PhotoSearch, photo: int) -> None:
    if photo >= len(photos):
        raise ServiceError(404, "unknown", f"the index has no photo {photo}")


def _photos(service: Service) -> PhotoSearch:
    if service.photos is None:
        raise ServiceError(404, "no_index", "this service has no photo index, so there is nothing to search")
    return service.photos


def _one(label: OwnLabel) -> TypedLabel:
    """Return one line of a label file; UsageError for a name without a word."""
    if ":" in label.name:
        raise UsageError("a label's name must not contain a colon: put its meaning into the definition")
    text = f"{label.name}: {label.definition}" if label.definition.strip() else label.name
    typed = parse_lines([" ".join(text.splitlines())])
    if len(typed) > 1:
        raise UsageError(f"{len(typed)} ids in the name of one label: store each separately")
    return typed[0]


def _found(service: Service, query: str, top: int) -> list[LabelItem]:
    query = asked_name(query)
    wanted = " ".join(query.lower().split())
    if not wanted:
        return []
    labels = service.model.labels
    meaning = Meanings(service.model.parts).of(query)
    senses = [sense.id for sense in meaning.senses] if meaning is not None else [wanted]
    exact = [labels.position(i) for i in senses if i in labels]
    begins = [place for place, name in enumerate(service.names) if name.startswith(wanted)]
    holds = [place for place, name in enumerate(service.names) if wanted in name] if len(begins) < top else []
    withheld = service.model.parts.withheld
    others = (place for place in [*begins, *holds] if labels.ids[place] not in withheld)
    places = list(dict.fromkeys([*exact, *others]))[:top]
    return [_item(service, place) for place in places]


def _nearest(service: Service, label_id: str, near: int) -> list[LabelItem]:
    found = nearest_labels(service.model.parts, ask(service.model.parts, label_id), near)
    return [_item(service, service.model.labels.position(one.label.id)) for one in found.labels]


def _item(service: Service, place: int) -> LabelItem:
    label, taxonomy = service.model.labelled(service.model.labels[place]), service.model.parts.taxonomy
    path = (
        [taxonomy.synset(above).name for above in taxonomy.hypernym_paths(label.id)[0]] if label.id in taxonomy else []
    )
    return LabelItem(id=label.id, name=label.name, gloss=label.gloss, seen=label.seen, own=False, path=path)
