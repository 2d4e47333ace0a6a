"""Run the service: a socket, a server, and a shutdown that loses no accepted request."""

import contextlib
import logging
import signal
import socket
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from importlib.resources import files
from ipaddress import ip_address
from math import ceil
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from devise.errors import DeviseError, PictureError, UsageError
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

__all__ = ["LOOPBACK_NAMES", "address", "bound", "is_loopback", "make_app", "serve"]

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
"""Host names by which a local browser reaches a service on the loopback."""


class _Server(uvicorn.Server):
    """A server that notifies the service of a stop at once, and exits with 0."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals like the parent, but do not raise a signal again after the shutdown."""
        wanted = (signal.SIGINT, signal.SIGTERM)
        try:
            earlier = {number: signal.signal(number, self.handle_exit) for number in wanted}
        except ValueError:  # only the main thread may; in another one, the caller sets `should_exit`
            yield
            return
        try:
            yield
        finally:
            for number, handler in earlier.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Refuse new requests from now on; a second Ctrl-C stops at once."""
        self._service.draining = True
        super().handle_exit(sig, frame)


def bound(host: str, port: int, *, public: bool = True) -> socket.socket:
    """Open a listening socket; port 0 picks a free one.

    public: whether other machines may reach it. UsageError if the address is unavailable or not allowed.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        if not public and not ip_address(str(place[0]).partition("%")[0]).is_loopback:
            raise UsageError(
                f"--host {host} lets other machines use the service: give a token with --token-file or $DEVISE_TOKEN, "
                "or --open to serve everybody"
            )
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen(1024)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"cannot listen on {host}, port {port} ({reason}): give another --host or --port") from None
    return listening


def address(listening: socket.socket) -> str:
    """Return the URL for a browser."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def is_loopback(listening: socket.socket) -> bool:
    """Return whether only this machine can reach the socket."""
    return ip_address(listening.getsockname()[0].partition("%")[0]).is_loopback


def serve(
    service: Service,
    listening: socket.socket,
    *,
    token: str | None = None,
    hosts: Collection[str] = (),
    origins: Collection[str] = (),
    started: Callable[[uvicorn.Server], None] = lambda server: None,
) -> None:
    """Serve until SIGTERM or Ctrl-C; then refuse new requests, finish accepted ones, and return.

    hosts: names that requests may give, in addition to those of the loopback, the listening address and, if other
    machines can reach it, this machine's own name and any IP address. started: called with the server before it runs.
    origins: see `Guard`.
    """
    names = {*LOOPBACK_NAMES, address(listening).removeprefix("http://").rpartition(":")[0], *hosts}
    if not is_loopback(listening):
        names.add(socket.gethostname())
    limits = service.limits
    known = {name.lower() for name in names}
    config = uvicorn.Config(
        make_app(service, token=token, hosts=known, addresses=not is_loopback(listening), origins=origins),
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        # A body that arrives at the last moment, its turn and its decoding, each at their limits.
        timeout_graceful_shutdown=ceil(2 * limits.seconds + 3 * limits.decode_seconds + 5),
    )
    server = _Server(config, service)
    started(server)
    server.run(sockets=[listening])


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

_ERRORS: tuple[type[Exception], ...] = (
    *(ServiceError, DeviseError, RequestValidationError, HTTPException, ClientDisconnect, sqlite3.Error, Exception),
)


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
        exception_handlers=dict.fromkeys(_ERRORS, _failed),
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


async def _failed(_: Request, error: Exception) -> Response:
    """Answer a request that ended in an error."""
    more: Mapping[str, str] = {}
    match error:
        case ClientDisconnect():
            return Response(status_code=499)
        case ServiceError():
            problem = error
        case DeviseError():
            problem = ServiceError(422, "picture" if isinstance(error, PictureError) else "mistake", str(error))
        case RequestValidationError():
            problem = ServiceError(422, "mistake", _invalid(error))
        case HTTPException():
            problem, more = ServiceError(error.status_code, "http", str(error.detail)), error.headers or {}
        case sqlite3.Error():
            _LOG.error("labels cannot be stored", extra={"facts": {"reason": str(error)}})
            problem = ServiceError(503, "storage", "the file of labels cannot be used: see the service's log", 5)
        case _:
            problem = ServiceError(500, "broken", "internal error: see the service's log")
    body, headers = failure(problem)
    answer = Response(body, problem.status, headers)
    answer.headers.update(more)
    return answer


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
