"""Log one line of JSON per request and count for Prometheus, without the content of pictures."""

import json
import logging
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["JsonFormatter", "Metrics", "Telemetry", "log_to_stderr"]

_LOG = logging.getLogger("devise.serve")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Counters of one service, in their own registry."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "devise_requests", "Requests answered.", ("route", "method", "status"), registry=registry
        )
        self.seconds = Histogram(
            "devise_request_seconds",
            "Seconds from the first byte to the last.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.blocks = Histogram(
            "devise_block_pictures", "Pictures scored at once.", buckets=(1, 2, 4, 8, 16, 32), registry=registry
        )
        self.pictures = Counter("devise_pictures", "Pictures by outcome.", ("outcome",), registry=registry)

    def watch(self, name: str, what: str, value: Callable[[], float]) -> None:
        """Add a gauge that is computed when read."""
        Gauge(f"devise_{name}", what, registry=self.registry).set_function(value)

    def text(self) -> bytes:
        """Return all counters in the format of Prometheus."""
        return generate_latest(self.registry)


@dataclass(frozen=True, slots=True)
class Telemetry:
    """ASGI middleware: counts and logs every request, and adds a request id to its answer."""

    app: ASGIApp
    metrics: Metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, request_id = time.perf_counter(), secrets.token_hex(8)
        status, taken, sent = 499, 0, 0  # 499: the sender went away before it was answered

        async def counted_receive() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            return message

        async def counted_send(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            sent += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, counted_receive, counted_send)
        finally:
            seconds = time.perf_counter() - begun
            route = str(getattr(scope.get("route"), "path", "other"))
            self.metrics.requests.labels(route, _method(scope), str(status)).inc()
            self.metrics.seconds.labels(route).observe(seconds)
            _LOG.info(
                "request",
                extra={
                    "facts": {
                        "request": request_id,
                        "method": _method(scope),
                        "route": route,
                        "status": status,
                        "milliseconds": round(1000 * seconds, 1),
                        "bytes_in": taken,
                        "bytes_out": sent,
                    }
                },
            )


def _method(scope: Scope) -> str:
    """Return a known method or a placeholder, so that clients cannot create new counters."""
    method = str(scope["method"])
    return method if method in {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"} else "other"


class JsonFormatter(logging.Formatter):
    """Formats one JSON object per record: time, level, event and its facts."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line |= getattr(record, "facts", {})
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def log_to_stderr() -> None:
    """Send the service's log, and warnings of the HTTP server, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    levels = {
        "devise.serve": logging.INFO,
        "uvicorn": logging.WARNING,
        "python_multipart": logging.ERROR,
    }  # warns of each form
    for name, least in levels.items():
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(least)
