"""Run the service: a socket, a server, and a shutdown that loses no accepted request."""

import contextlib
import signal
import socket
from collections.abc import Callable, Collection, Iterator
from ipaddress import ip_address
from math import ceil
from types import FrameType

import uvicorn

from devise.errors import UsageError
from devise.serve.app import make_app
from devise.serve.service import Service

__all__ = ["LOOPBACK_NAMES", "address", "bound", "is_loopback", "serve"]

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
