"""Check the host and the token of every request, and set the headers of every answer."""

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from devise.serve.problems import ServiceError, closing

__all__ = ["Guard", "failure", "policy", "refuse"]

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:@/?#\\\s]+)(?::[0-9]{0,5})?", re.ASCII)
_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_FOREIGN = ServiceError(403, "origin", "a page of another web site may not send this request")
_UNCLEAR = ServiceError(400, "http", "both Content-Length and Transfer-Encoding: send one of them")


def policy() -> dict[str, str]:
    """Return the headers of every answer."""
    return dict(_HEADERS)


@dataclass(frozen=True, slots=True)
class Guard:
    """ASGI middleware: 400 for an unknown host or an unclear body, 401 without the token, 503 while stopping.

    A body is unclear if the request gives both its length and `Transfer-Encoding`: a proxy may take another request to
    begin where the server sees bytes of this one. Its connection is closed.

    The page, /healthz and /readyz need no token. hosts: exact names allowed in `Host`; empty allows all. addresses:
    whether any IP address is allowed too, for a service with several addresses: DNS rebinding works only with names.
    closing: whether the service is stopping; then every answer also closes its connection, so that clients move on.
    With the names of the loopback, a web site whose name points to this machine (DNS rebinding) is refused.
    403 for a request that may change something and that a page of another web site made its browser send. origins: of
    pages that are the service's own although `Host` does not say so, because a proxy changed it.
    """

    app: ASGIApp
    token: str | None = None
    hosts: Collection[str] = ()
    addresses: bool = False
    origins: Collection[str] = ()
    closing: Callable[[], bool] = lambda: False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
                if self.closing() or unclear:
                    headers["connection"] = "close"
            await send(message)

        headers = Headers(scope=scope)
        unclear = "content-length" in headers and "transfer-encoding" in headers
        problem = _UNCLEAR if unclear else self._problem(str(scope["path"]), headers)
        if problem is None and scope.get("method", "GET") not in _SAFE and _is_foreign(headers, self.origins):
            problem = _FOREIGN
        if problem is None:
            await self.app(scope, receive, guarded)
        else:
            await refuse(problem, guarded)

    def _problem(self, path: str, headers: Headers) -> ServiceError | None:
        if self.hosts and not self._knows(_name(headers.get("host", ""))):
            return ServiceError(400, "host", "unknown host name: see allowed-host in the documentation of the service")
        if path.startswith("/v1/") and self.closing():
            return closing()
        needed = path.startswith("/v1/") or path == "/metrics"
        if self.token is None or not needed:
            return None
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and _same(given.strip(), self.token):
            return None
        return ServiceError(401, "token", "this service needs a token: send the header 'Authorization: Bearer TOKEN'")

    def _knows(self, name: str) -> bool:
        return name in self.hosts or (self.addresses and _is_address(name))


def failure(problem: ServiceError) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of a problem."""
    body = json.dumps({"error": {"code": problem.code, "message": problem.message}}).encode()
    headers = {"content-type": "application/json"}
    if problem.retry_after is not None:
        headers["retry-after"] = str(problem.retry_after)
    if problem.status == 401:
        headers["www-authenticate"] = "Bearer"
    return body, headers


async def refuse(problem: ServiceError, send: Send) -> None:
    """Answer with a problem, outside of any route."""
    body, headers = failure(problem)
    headers["content-length"] = str(len(body))
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def _is_foreign(headers: Headers, origins: Collection[str] = ()) -> bool:
    """Return whether a browser says that another site's page sent the request; other clients say nothing.

    Without `Sec-Fetch-Site`, which browsers send to https:// and to the loopback only, the page's origin must be that
    of `Host`, or one of these.

    >>> _is_foreign(Headers({"sec-fetch-site": "cross-site"})), _is_foreign(Headers({"sec-fetch-site": "same-origin"}))
    (True, False)
    >>> _is_foreign(Headers({"origin": "https://a.example", "host": "b.example"})), _is_foreign(Headers({}))
    (True, False)
    """
    if (site := headers.get("sec-fetch-site")) is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    if origin is None or origin.lower() in origins:
        return False
    return origin.rpartition("//")[2].lower() != headers.get("host", "").lower()


def _same(given: str, token: str) -> bool:
    """Compare tokens in constant time, whatever their lengths."""
    one, other = (hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest() for text in (given, token))
    return hmac.compare_digest(one, other)


def _name(host: str) -> str:
    """Return the name of a `Host` header without its port; empty if invalid.

    >>> _name("[::1]:8000"), _name("localhost:8000"), _name("LOCALHOST")
    ('[::1]', 'localhost', 'localhost')
    >>> _name("[::1].evil"), _name("[::1]evil:80"), _name("localhost:80@evil")
    ('', '', '')
    """
    found = _HOST.fullmatch(host.lower())
    return found[1] if found else ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
