"""Routes about labels: look one up, keep one's own, see them all on a plane, find photos by one."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from starlette.concurrency import run_in_threadpool

from devise.errors import LabelError, UsageError
from devise.labeller.meaning import Meanings
from devise.labeller.relations import nearest_labels
from devise.labeller.senses import ask
from devise.labeller.typed import TypedLabel, parse_lines, user_id
from devise.serve.photos import PhotoSearch
from devise.serve.problems import ServiceError
from devise.serve.schema import Hit, Hits, LabelItem, LabelList, LabelMap, OwnLabel, OwnLabelKept, Text
from devise.serve.service import Service

__all__ = ["label_routes", "search_routes"]

Top = Annotated[int, Query(ge=1, le=100)]


def label_routes(service: Service) -> APIRouter:
    """GET, PUT and DELETE /v1/labels, and GET /v1/map."""
    routes = APIRouter(prefix="/v1", tags=["labels"])

    @routes.get("/labels", response_model=LabelList, summary="Look labels up")
    def labels(
        q: Annotated[Text, Query(examples=["snow leopard"])] = "",
        top: Top = 20,
        near: Annotated[int, Query(ge=0, le=50)] = 0,
    ) -> Any:
        """Labels called so, then those whose names begin so, then those that hold it; and the user's own.

        near: so many labels nearest in meaning to the first one found.
        """
        own = [OwnLabel(name=one.name, definition=one.definition) for one in service.own.all()]
        found = _found(service, q, top)
        nearest = _nearest(service, found[0].id, near) if found and near else []
        return LabelList(query=q, found=found, nearest=nearest, own=own, total=len(service.model.labels))

    @routes.put(
        "/labels",
        response_model=OwnLabelKept,
        responses={201: {"model": OwnLabelKept, "description": "The label is new."}},
        summary="Keep a label of your own",
    )
    async def put(label: OwnLabel, response: Response) -> Any:
        """It competes for every picture from now on, and is on the disk when this answers; 201 if it is new."""
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

    @routes.delete("/labels", status_code=204, summary="Forget a label of your own")
    async def delete(name: Annotated[Text, Query(min_length=1, examples=["zedonk"])]) -> None:
        """404 if none of this name is kept."""
        try:
            await run_in_threadpool(service.own.delete, name)
        except LabelError as error:
            raise ServiceError(404, "unknown", str(error)) from None

    @routes.get("/map", response_model=LabelMap, summary="All labels on a plane")
    def label_map() -> Any:
        """For drawing: one point a label, by the two directions in which branches of WordNet differ most."""
        return Response(service.label_map, media_type="application/json")

    return routes


def search_routes(service: Service) -> APIRouter:
    """GET /v1/search and GET /v1/photos/{photo}."""
    routes = APIRouter(prefix="/v1", tags=["search"])

    @routes.get("/search", response_model=Hits, summary="Find photos by words")
    def search(q: Annotated[Text, Query(min_length=1, examples=["snow leopard"])], top: Top = 24) -> Any:
        """Photos nearest to a noun, or to any other words; 404 when the service has no photo index."""
        photos = _photos(service)
        kept = (one for one in service.own.all() if user_id(one.name) == user_id(q))
        label = next(kept, None) or parse_lines([" ".join(q.split())])[0]
        asked = ask(service.model.parts, f"{label.name}: {label.definition}" if label.definition else label.name)
        found = photos.find(label, top)
        return Hits(
            query=q,
            label=asked.chosen.name,
            gloss=asked.chosen.gloss,
            photos=len(photos),
            hits=[Hit(photo=i, name=name, score=score, thumbnail=f"/v1/photos/{i}") for i, name, score in found.hits],
            notes=list(dict.fromkeys([*asked.notes, *found.notes])),
        )

    @routes.get("/photos/{photo}", response_class=Response, summary="A small JPEG of a photo of the index")
    async def photo(photo: Annotated[int, Path(ge=0, le=2**31)]) -> Response:
        """Photos are asked for by their number in the index, never by a path."""
        path = _photos(service).path(photo)
        found = await service.thumbnails.of(path) if path is not None else None
        if found is None:
            raise ServiceError(404, "unknown", f"the index has no photo {photo} that can be shown")
        return Response(found, media_type="image/jpeg", headers={"cache-control": "private, max-age=600"})

    return routes


def _photos(service: Service) -> PhotoSearch:
    if service.photos is None:
        raise ServiceError(404, "no_index", "this service has no photo index: start it with --index INDEX")
    return service.photos


def _one(label: OwnLabel) -> TypedLabel:
    """One line of a label file; UsageError for a name without a word in it."""
    if ":" in label.name:
        raise UsageError("a label's name holds no colon: put its meaning into the definition")
    (typed,) = parse_lines([" ".join(f"{label.name}: {label.definition}".splitlines())])
    return typed


def _found(service: Service, query: str, top: int) -> list[LabelItem]:
    wanted = " ".join(query.lower().split())
    if not wanted:
        return []
    labels = service.model.labels
    meaning = Meanings(service.model.parts).of(query)
    senses = [sense.id for sense in meaning.senses] if meaning is not None else [wanted]
    exact = [labels.position(i) for i in senses if i in labels]
    begins = [place for place, name in enumerate(service.names) if name.startswith(wanted)]
    holds = [place for place, name in enumerate(service.names) if wanted in name] if len(begins) < top else []
    places = list(dict.fromkeys([*exact, *begins, *holds]))[:top]
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
