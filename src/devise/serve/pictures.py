"""Routes that take a picture: label it, or embed it in the label space."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from devise.errors import DeviseError, PictureError, UsageError, counted
from devise.model.answers import Answer, Guess, Level, Regions
from devise.model.methods import Method
from devise.model.typed import TypedLabel, parse_labels
from devise.serve.catalogue import only_known
from devise.serve.engine import Computation
from devise.serve.problems import ServiceError, late
from devise.serve.runs import CandidateSet, SetKey
from devise.serve.schema import (
    Embedding,
    LabelAnswer,
    LabelOptions,
    Lean,
    MethodAnswer,
    Named,
    OwnLabelRank,
    PartName,
    Parts,
    WideName,
)
from devise.serve.service import Service
from devise.text.phrases import term_key

__all__ = ["picture_routes"]

_PICTURE = {"type": "string", "format": "binary", "description": "The bytes of a picture file."}
_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": _PICTURE,
        "labels": {"type": "string", "maxLength": 20_000, "description": "Same as the query parameter of this name."},
    },
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": {"schema": _FORM}, "application/octet-stream": {"schema": _PICTURE}},
    }
}


def picture_routes(service: Service) -> APIRouter:
    """POST /v1/label and POST /v1/embed."""
    routes = APIRouter(prefix="/v1", tags=["pictures"])

    @routes.post("/label", openapi_extra=_BODY, response_model=LabelAnswer, summary="Name what is in a picture")
    async def label(request: Request, options: Annotated[LabelOptions, Query()]) -> Any:
        """Label a picture: send it as the form field `file`, or its bytes as the body.

        An unreadable picture gives 422 with the reason; a full queue gives 429 at once, with `Retry-After`.
        """
        begun = time.perf_counter()
        service.engine.refuse_if_full()
        async with service.bodies.upload(request) as upload:
            wanted = _with_form(options, upload.fields)
            if wanted.regions:
                if "fused" not in wanted.method:
                    raise UsageError("regions need the method fused: add it, or leave regions out")
                await run_in_threadpool(service.model.feature_maps)  # compiled at the first request
            typed = _typed(service, wanted)
            service.speaking(wanted.lang)  # refused before a set is made
            async with service.runs.lease(SetKey(wanted.candidates, wanted.under, typed, wanted.lang)) as chosen:
                plan = _plan(chosen, wanted)
                submitted = service.engine.submit(upload.taken(), tuple(plan.tasks), regions=wanted.regions)
                found = await _answered(service, request, submitted)
                if found is None:
                    return Response(status_code=499)
                answers = plan.answers(found, wanted)
        return LabelAnswer(
            answers=answers,
            notes=plan.notes,
            seconds=round(time.perf_counter() - begun, 4),
        )

    @routes.post(
        "/embed",
        openapi_extra=_BODY,
        response_model=Embedding,
        summary="A picture as a vector",
        dependencies=[Depends(only_known)],
    )
    async def embed(request: Request) -> Any:
        """Return the picture as a unit vector of the label space, near its likely labels."""
        service.engine.refuse_if_full()
        async with service.bodies.upload(request) as upload:
            submitted = service.engine.submit(upload.taken(), (service.model.embedded,))
            found = await _answered(service, request, submitted)
        if found is None:
            return Response(status_code=499)
        x, y = (await run_in_threadpool(lambda: service.plane.places(found[0][None])))[0].tolist()
        name = service.model.parts.bundle.manifest.name
        return Embedding(model=name, vector=found[0].tolist(), place=[round(x, 1), round(y, 1)])

    return routes


def _with_form(options: LabelOptions, fields: dict[str, str]) -> LabelOptions:
    """Read form fields as parameters; a parameter in both form and query is an error."""
    twice = sorted(set(fields) & options.model_fields_set)
    if twice:
        raise UsageError(f"duplicate {', '.join(twice)} in the form and in the address: give it once")
    given: dict[str, Any] = dict(fields)
    if "method" in given:
        given["method"] = given["method"].split(",")
    try:
        return LabelOptions.model_validate({**options.model_dump(exclude_unset=True), **given})
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False)) from None


def _typed(service: Service, wanted: LabelOptions) -> tuple[TypedLabel, ...]:
    """Return the request's labels, then stored labels whose names it does not use."""
    asked = parse_labels(wanted.labels) if wanted.labels.strip() else ()
    if len(asked) > service.limits.labels:
        raise UsageError(
            f"at most {counted(service.limits.labels, 'typed label')} are allowed, got {len(asked)}: leave some out"
        )
    if not wanted.own:
        return asked
    names = {term_key(label.name) for label in asked}
    return (*asked, *(label for label in service.own.all() if term_key(label.name) not in names))


class _Plan:
    """The tasks of one request, and the answer made from their results."""

    def __init__(self, chosen: CandidateSet, wanted: LabelOptions) -> None:
        self.notes = list(chosen.chosen.notes)
        self.tasks: list[Computation] = []
        self._model = chosen.model
        self._parts: list[MethodAnswer | tuple[Method, int]] = []
        for method in dict.fromkeys(wanted.method):
            try:
                reject = None if wanted.reject == "auto" and method != "fused" else wanted.reject
                regions = wanted.regions and method == "fused"
                run = chosen.run(method, wanted.top, wanted.explain, wanted.sure, reject, regions)
            except DeviseError as error:
                self._parts.append(MethodAnswer(method=method, problem=str(error)))
                continue
            self.notes += [note for note in run.notes if note not in self.notes]
            self.tasks.append(run.answers_of)
            self._parts.append((method, len(run.ranked)))

    def answers(self, results: tuple[Any, ...], wanted: LabelOptions) -> list[MethodAnswer]:
        """Return one answer per method, in the requested order."""
        left = iter(results)
        found = []
        for part in self._parts:
            if isinstance(part, MethodAnswer):
                found.append(part)
                continue
            method, ranked = part
            answer: Answer = next(left)
            if wanted.regions and answer.note and answer.note not in self.notes:
                self.notes.append(answer.note)
            found.append(
                MethodAnswer(
                    method=method,
                    candidates=ranked,
                    rejected=answer.rejected,
                    guesses=[_named(guess) for guess in answer.guesses],
                    standings=list(self._own_ranks(answer)) if wanted.standings else [],
                    sure=WideName(**asdict(answer.hedge)) if answer.hedge else None,
                    regions=_parts(answer.regions) if answer.regions else None,
                )
            )
        return found

    def _own_ranks(self, answer: Answer) -> Iterator[OwnLabelRank]:
        """Return ranks of the labels that are new to the model, best first."""
        for standing in answer.standings:
            if standing.label.id not in self._model.labels:
                yield OwnLabelRank(id=standing.label.id, name=standing.label.name, rank=standing.rank)


def _plan(chosen: CandidateSet, wanted: LabelOptions) -> _Plan:
    """Plan a request; UsageError if none of its methods can rank anything."""
    plan = _Plan(chosen, wanted)
    if not plan.tasks:
        chosen.run(wanted.method[0], wanted.top, wanted.explain)
    return plan


async def _answered(service: Service, request: Request, submitted: "Future[tuple[Any, ...]]") -> tuple[Any, ...] | None:
    """Return the engine's results; None if the client left, whose waiting picture is dropped.

    ServiceError 429 when the picture waited too long for its turn, 422 when it cannot be read.
    """
    future: asyncio.Future[Any] = asyncio.wrap_future(submitted)
    left: asyncio.Future[Any] = asyncio.ensure_future(_left(request))
    try:
        done, _ = await asyncio.wait(
            [future, left], timeout=service.limits.seconds, return_when=asyncio.FIRST_COMPLETED
        )
        if not done:
            if submitted.cancel():  # which it cannot once a worker has it
                raise late()
            await asyncio.wait([future, left], return_when=asyncio.FIRST_COMPLETED)
        if not future.done():
            service.metrics.pictures.labels("cancelled").inc()
            return None
        results: tuple[Any, ...] = future.result()
    except PictureError as error:
        service.metrics.pictures.labels("unreadable").inc()
        raise ServiceError(422, "picture", str(error)) from None
    finally:
        left.cancel()
        future.cancel()
        del future, submitted  # an error's traceback keeps this frame, and the future the error
    service.metrics.pictures.labels("answered").inc()
    return results


async def _left(request: Request) -> None:
    """Return when the client closes the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _parts(regions: Regions) -> Parts:
    found = [PartName(**asdict(one.box), **_facts(one.name)) for one in regions.found]
    return Parts(width=regions.width, height=regions.height, found=found)


def _facts(level: Level) -> dict[str, Any]:
    return {"id": level.id, "name": level.name, "share": level.share, "bits": level.bits}


def _named(guess: Guess) -> Named:
    label, why = guess.label, guess.explanation
    return Named(
        id=label.id,
        name=label.name,
        gloss=label.gloss,
        score=min(max(guess.score, 0.0), 1.0),
        seen=label.seen,
        own=label.id.startswith("user:"),
        source=label.source,
        path=list(why.path) if why else [],
        leans_on=[Lean(id=one.label.id, name=one.label.name, share=one.share) for one in why.leans_on] if why else [],
    )
