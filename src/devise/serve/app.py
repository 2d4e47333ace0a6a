"""The service as an ASGI application."""

import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from devise.errors import DeviseError, PictureError
from devise.serve.bodies import TextBodies
from devise.serve.catalogue import label_routes, search_routes
from devise.serve.corrections import correction_routes
from devise.serve.guard import Guard, failure
from devise.serve.pictures import picture_routes
from devise.serve.problems import ServiceError
from devise.serve.schema import Failure, Health
from devise.serve.service import Service
from devise.serve.telemetry import Telemetry
from devise.version import __version__

__all__ = ["make_app"]

_LOG = logging.getLogger("devise.serve")
_ABOUT = """Name what is in a picture, with any noun.

Every failure is `{"error": {"code": ..., "message": ...}}`. 429 and 503 say in `Retry-After` when to retry."""
_MEANING = {
    400: "Malformed request.",
    401: "Missing or wrong token.",
    403: "Not allowed: a request of another web site, or corrections that this service does not keep.",
    404: "Not found.",
    408: "The body did not arrive in time.",
    409: "The store of labels is full, or the sidecar of a photo cannot be changed.",
    413: "The body is too large.",
    422: "Invalid parameter, label or picture.",
    429: "The queue is full: retry after `Retry-After` seconds.",
    503: "The service is stopping.",
}
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""Of the files of the web page, which are read once: no path of a request is ever opened."""

_Handler = Callable[[Request, Exception], Awaitable[Response]]


def make_app(
    service: Service,
    *,
    token: str | None = None,
    hosts: Collection[str] = (),
    addresses: bool = False,
    origins: Collection[str] = (),
) -> FastAPI:
    """Build the application; it closes the service at shutdown.

    token: sent by requests as `Authorization: Bearer`; None lets everybody in. hosts, addresses, origins: see `Guard`.
    """

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(
        title="devise",
        version=__version__,
        description=_ABOUT,
        lifespan=life,
        docs_url=None,  # both load scripts from another host
        redoc_url=None,
        exception_handlers=_handlers(),
        responses={status: {"model": Failure, "description": text} for status, text in _MEANING.items()},
    )
    app.include_router(picture_routes(service))
    app.include_router(label_routes(service))
    app.include_router(search_routes(service))
    app.include_router(correction_routes(service))
    for file in sorted((files("devise.serve") / "page").iterdir(), key=lambda one: one.name):
        path = "/" if file.name == "index.html" else f"/page/{file.name}"
        _add_file(app, path, file.read_bytes(), _TYPES[f".{file.name.rpartition('.')[2]}"])
    _add_health(app, service)
    app.add_middleware(TextBodies, bodies=service.bodies)
    app.add_middleware(
        Guard,
        token=token,
        hosts=frozenset(hosts),
        addresses=addresses,
        origins=frozenset(origins),
        closing=lambda: service.draining,
    )
    app.add_middleware(Telemetry, metrics=service.metrics)
    if token is not None:
        _say_token_is_needed(app)
    return app


def _add_file(app: FastAPI, path: str, body: bytes, kind: str) -> None:
    def answer(request: Request) -> Response:
        return Response(body, media_type=kind, headers={"cache-control": "no-cache"})

    app.add_api_route(path, answer, methods=["GET", "HEAD"], include_in_schema=False)


def _add_health(app: FastAPI, service: Service) -> None:
    def state() -> Health:
        return Health(
            status="closing" if service.draining else "ok",
            version=__version__,
            model=service.model.parts.bundle.manifest.name,
            labels=len(service.model.labels),
            own_labels=len(service.own.all()),
            search=service.photos is not None,
        )

    @app.get("/healthz", tags=["health"], summary="Liveness check")
    async def healthz() -> Health:
        """Always 200 while the process lives."""
        return state()

    @app.get("/readyz", tags=["health"], summary="Readiness check")
    async def readyz(response: Response) -> Health:
        """503 from the moment the service is asked to stop."""
        response.status_code = 503 if service.draining else 200
        return state()

    @app.get("/metrics", tags=["health"], response_class=Response, summary="Counters for Prometheus")
    async def metrics() -> Response:
        """Counters in the text format of Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _handlers() -> dict[int | type[Exception], Any]:
    async def told(_: Request, error: Exception) -> Response:
        assert isinstance(error, ServiceError)
        return _response(error)

    async def mistaken(_: Request, error: Exception) -> Response:
        code = "picture" if isinstance(error, PictureError) else "mistake"
        return _response(ServiceError(422, code, str(error)))

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return _response(ServiceError(422, "mistake", _invalid(error)))

    async def unknown(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        answer = _response(ServiceError(error.status_code, "http", str(error.detail)))
        answer.headers.update(error.headers or {})
        return answer

    async def left(_: Request, error: Exception) -> Response:
        return Response(status_code=499)

    async def unkept(_: Request, error: Exception) -> Response:
        _LOG.error("labels cannot be stored", extra={"facts": {"reason": str(error)}})
        return _response(ServiceError(503, "storage", "the file of labels cannot be used: see the service's log", 5))

    async def broken(_: Request, error: Exception) -> Response:
        return _response(ServiceError(500, "broken", "internal error: see the service's log"))

    return {
        ServiceError: told,
        DeviseError: mistaken,
        RequestValidationError: invalid,
        HTTPException: unknown,
        ClientDisconnect: left,
        sqlite3.Error: unkept,
        Exception: broken,
    }


def _response(problem: ServiceError) -> Response:
    body, headers = failure(problem)
    return Response(body, problem.status, headers)


def _invalid(error: RequestValidationError) -> str:
    """Return the first faults, each with its place.

    The request's content is not repeated: it may be long, or not text.
    """
    faults = error.errors()[:3]
    return "; ".join(f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in faults)


def _say_token_is_needed(app: FastAPI) -> None:
    """Describe the token in the OpenAPI description."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        schema = plain()
        schema.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{"token": []}]
        return schema

    app.openapi = described  # type: ignore[method-assign]
