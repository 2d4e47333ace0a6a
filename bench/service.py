"""What the service adds to the model: pictures a second under load, milliseconds for one alone."""

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.command import environment
from bench.figures import Figure, interleaved, ratio
from bench.photos import Photos
from devise.model.labeller import LabelRequest, LabelRun, load

__all__ = ["measure_service"]

_SECTION = "The service against the model in process"
_SHARE = 0.8
_MILLISECONDS = 30.0
_CLIENTS = 16
_SINGLES = 20


def measure_service(photos: Photos, *, rounds: int, part: int) -> list[Figure]:
    """Both sides label the same bytes of the same photos; the clients of the service run on the same cores."""
    data = [path.read_bytes() for path in photos.paths[:part]]
    run = load().run(LabelRequest())
    with _service() as address:
        requests = [_request(photo) for photo in data]
        whole = interleaved(
            {"model": lambda: _drain(run, data), "service": lambda: _ask_all(address, requests)}, max(1, rounds)
        )
        alone = _alone(run, address, data[:_SINGLES], requests[:_SINGLES], rounds)
    rates = {name: [len(data) / reading.wall for reading in found] for name, found in whole.items()}
    extra = [1e3 * (service - model) for model, service in zip(alone["model"], alone["service"], strict=True)]
    return [
        Figure.of(_SECTION, "the model in process, all photos", rates["model"], "images/s"),
        Figure.of(_SECTION, f"the service, {_CLIENTS} clients", rates["service"], "images/s"),
        Figure.of(
            _SECTION,
            "its share of the model's rate",
            ratio(rates["service"], rates["model"]),
            "",
            limit=_SHARE,
            at_least=True,
            note="the clients' work is part of it",
        ),
        Figure.of(_SECTION, "one photo alone, the model", [1e3 * seconds for seconds in alone["model"]], "ms"),
        Figure.of(_SECTION, "one photo alone, the service", [1e3 * seconds for seconds in alone["service"]], "ms"),
        Figure.of(_SECTION, "the difference", extra, "ms", limit=_MILLISECONDS, note="medians of each photo's rounds"),
    ]


def _alone(
    run: LabelRun, address: tuple[str, int], data: Sequence[bytes], requests: Sequence[bytes], rounds: int
) -> dict[str, list[float]]:
    """For each photo the middle of its rounds, in seconds; the two sides in turn."""
    found: dict[str, list[float]] = {"model": [], "service": []}
    with socket.create_connection(address) as connection:
        for photo, request in zip(data, requests, strict=True):
            cases: dict[str, Callable[[], object]] = {
                "model": partial(_drain, run, [photo]),
                "service": partial(_exchange, connection, request),
            }
            readings = interleaved(cases, max(3, rounds))
            for name, several in readings.items():
                found[name].append(sorted(reading.wall for reading in several)[len(several) // 2])
    return found


def _drain(run: LabelRun, data: Sequence[bytes]) -> None:
    for _ in run.answers(data):
        pass


def _request(photo: bytes) -> bytes:
    head = f"POST /v1/label HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(photo)}\r\n\r\n"
    return head.encode("ascii") + photo


def _ask_all(address: tuple[str, int], requests: Sequence[bytes]) -> None:
    """Clients that send one request after the other; bare sockets, so that they cost the cores little."""

    def client(number: int) -> None:
        with socket.create_connection(address) as connection:
            for request in requests[number::_CLIENTS]:
                _exchange(connection, request)

    with ThreadPoolExecutor(_CLIENTS) as pool:
        list(pool.map(client, range(_CLIENTS)))


def _exchange(connection: socket.socket, request: bytes) -> bytes:
    """The body of the answer; RuntimeError if it is not 200."""
    connection.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += _received(connection)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    if not head.startswith(b"HTTP/1.1 200") or length is None:
        raise RuntimeError(f"the service answered {head[:200]!r}")
    while len(body) < int(length[1]):
        body += _received(connection)
    return body


def _received(connection: socket.socket) -> bytes:
    piece = connection.recv(1 << 16)
    if not piece:
        raise RuntimeError("the service closed the connection")
    return piece


@contextmanager
def _service() -> Iterator[tuple[str, int]]:
    """`devise serve` in a process of its own, as long as the block lasts."""
    with TemporaryDirectory(prefix="devise-bench-") as folder:
        command = [sys.executable, "-m", "devise", "serve", "--port", "0", "--labels-db", str(Path(folder) / "own")]
        log = Path(folder) / "log"
        with log.open("w") as target, subprocess.Popen(command, stderr=target, env=environment()) as process:
            try:
                yield _address(process, log)
            finally:
                process.send_signal(signal.SIGTERM)


def _address(process: "subprocess.Popen[bytes]", log: Path) -> tuple[str, int]:
    found: re.Match[str] | None = None
    while found is None:
        if process.poll() is not None:
            raise RuntimeError(f"the service did not start: {log.read_text()[-400:]}")
        time.sleep(0.05)
        found = re.search(r"serving at http://([^:\s]+):(\d+)", log.read_text())
    return found[1], int(found[2])
