"""python -m bench.soak: a service under mixed and broken requests, stopped and killed in the middle of them."""

import argparse
import json
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bench.command import environment
from bench.photos import find_photos

__all__ = ["main"]

_CLIENTS = 32
_BROKEN = 0.05
_WARM = 0.2  # share of the requests before memory is held to be warm
_GROWTH = 1.15


@dataclass
class _Tally:
    """What came of the requests. acknowledged: labels whose PUT was answered and that no DELETE was sent for."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)
    labels: threading.Lock = field(default_factory=threading.Lock)
    left: int = 0
    stopping: bool = False

    def take(self) -> bool:
        """Whether one more request is to be sent."""
        with self.lock:
            self.left -= 1
            return self.left >= 0 and not self.stopping

    def saw(self, kind: str, status: int, seconds: float | None = None) -> None:
        with self.lock:
            self.statuses[kind, status] += 1
            if seconds is not None:
                self.seconds.append(seconds)

    def fault(self, what: str) -> None:
        with self.lock:
            self.faults.append(what)


class _Process:
    """`devise serve` on a free port; its log lines are read and the 5xx among them kept."""

    def __init__(self, labels: Path, tally: _Tally) -> None:
        command = [sys.executable, "-m", "devise", "serve", "--port", "0", "--labels-db", str(labels), "--seconds", "5"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment())
        assert self.process.stderr is not None
        self._tally = tally
        for line in self.process.stderr:
            if found := re.search(r"serving at (http://\S+)", line):
                self.url = found[1]
                break
        else:
            raise SystemExit("soak: the service did not start")
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if not line.startswith("{"):
                continue
            told = json.loads(line)
            if told["level"] == "error" or (told.get("status", 0) >= 500 and told["status"] != 503):
                self._tally.fault(line.strip()[:500])

    def resident(self) -> int:
        """Bytes of memory now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return 1024 * int(re.findall(r"VmRSS:\s+(\d+)", status)[0])


def main(arguments: list[str] | None = None) -> int:
    """0 if nothing was lost and nothing broke, 1 else."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=_CLIENTS)
    parser.add_argument("--photos", type=Path, help="folder of JPEGs; default: the shared data, or generated ones")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="devise-soak-") as folder:
        scratch = Path(folder)
        photos = [path.read_bytes() for path in find_photos(asked.photos, 100, scratch).paths]
        return _soak(asked.requests, asked.clients, photos, scratch / "own.sqlite")


def _soak(requests: int, clients: int, photos: list[bytes], labels: Path) -> int:
    tally = _Tally()
    service = _Process(labels, tally)
    memory: list[int] = []
    _warm(service.url, photos[0])
    shares = 10
    for share in range(shares):
        _load(service.url, tally, clients, requests // shares, photos, seed=share)
        memory.append(service.resident())
        print(f"{sum(tally.statuses.values()):,} answered, {memory[-1] >> 20} MB", flush=True)
    p99 = sorted(tally.seconds)[int(0.99 * len(tally.seconds))]
    if early := sum(number for (_, status), number in tally.statuses.items() if status >= 500):
        tally.fault(f"{early} answers of 500 or more before the service was stopped")
    code = _stopped_under_load(service, tally, clients, photos, signal.SIGTERM)
    if code != 0:
        tally.fault(f"SIGTERM: exit code {code} instead of 0")
    service = _Process(labels, tally)
    _compare(service, tally, "after SIGTERM")
    _stopped_under_load(service, tally, clients, photos, signal.SIGKILL)
    service = _Process(labels, tally)
    _compare(service, tally, "after kill -9")
    service.process.send_signal(signal.SIGTERM)
    service.process.wait(60)
    return _report(tally, memory, p99)


def _report(tally: _Tally, memory: list[int], p99: float) -> int:
    for (kind, status), number in sorted(tally.statuses.items()):
        print(f"  {kind:<10} {status}  {number:,}")
    warm, last = memory[max(1, int(_WARM * len(memory))) - 1 :][0], memory[-1]
    print(f"labelling a photo: p50 {sorted(tally.seconds)[len(tally.seconds) // 2]:.3f} s, p99 {p99:.3f} s")
    print(f"memory: {warm >> 20} MB when warm, {last >> 20} MB at the end ({last / warm:.2f} of it)")
    print(f"labels acknowledged and found again: {len(tally.acknowledged):,}")
    if last > _GROWTH * warm:
        tally.fault(f"memory grew by {last / warm:.2f}")
    wrong = [f"{kind}: {status}" for kind, status in tally.statuses if status >= 500 and status != 503]
    for fault in [*wrong, *tally.faults]:
        print(f"FAULT {fault}")
    return int(bool(wrong or tally.faults))


def _warm(url: str, photo: bytes) -> None:
    """Fill what the service keeps: more lists of labels than it holds."""
    for number in range(10):
        httpx.post(f"{url}/v1/label", params={"labels": f"zedonk {number}: part zebra"}, content=photo, timeout=60)


def _load(url: str, tally: _Tally, clients: int, requests: int, photos: list[bytes], seed: int) -> None:
    tally.left = requests
    threads = [
        threading.Thread(target=_client, args=(url, tally, photos, random.Random(number + clients * seed)))
        for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _stopped_under_load(
    service: _Process, tally: _Tally, clients: int, photos: list[bytes], number: signal.Signals
) -> int:
    """Send a signal while clients ask; the exit code."""
    tally.stopping = False
    worker = threading.Thread(target=_load, args=(service.url, tally, clients, 1_000_000, photos, 1000 + number))
    worker.start()
    time.sleep(3)
    service.process.send_signal(number)
    time.sleep(0.1 if number == signal.SIGKILL else 0)
    code = service.process.wait(90)
    tally.stopping = True
    worker.join()
    tally.stopping = False
    return code


def _compare(service: _Process, tally: _Tally, when: str) -> None:
    found = httpx.get(f"{service.url}/v1/labels", timeout=30).json()
    kept = {one["name"] for one in found["own"]}
    if lost := tally.acknowledged - kept:
        tally.fault(f"{when}: {len(lost)} labels lost, such as {sorted(lost)[:3]}")


def _client(url: str, tally: _Tally, photos: list[bytes], rng: random.Random) -> None:
    with httpx.Client(base_url=url, timeout=60) as http:
        while tally.take():
            try:
                _one(http, url, tally, photos, rng)
            except (httpx.HTTPError, OSError):
                tally.saw("no answer", 0)  # the service was stopped or killed, or a keep-alive connection was closed
                if tally.left > 100_000:
                    time.sleep(0.05)


def _one(http: httpx.Client, url: str, tally: _Tally, photos: list[bytes], rng: random.Random) -> None:
    """One request: most label a photo, some in other ways, one in twenty is broken."""
    photo, draw = rng.choice(photos), rng.random()
    if draw < _BROKEN:
        broken = rng.choice([b"", b"no picture", photo[: len(photo) // 2], rng.randbytes(5000)])
        tally.saw("broken", http.post("/v1/label", content=broken).status_code)
    elif draw < 0.07:
        _cancelled(url, photo, rng)
        tally.saw("cancelled", 0)
    elif draw < 0.08:
        tally.saw("slow", _slow(url, photo, rng))
    elif draw < 0.12:
        _own_label(http, tally, rng)
    elif draw < 0.16:
        tally.saw("embed", http.post("/v1/embed", content=photo).status_code)
    elif draw < 0.20:
        tally.saw("look up", http.get("/v1/labels", params={"q": rng.choice(["cat", "gui", "bo", "zz"])}).status_code)
    elif draw < 0.24:
        typed = rng.choice(["kick scooter", "zedonk: part zebra, part donkey", "hinny: part horse; cat"])
        answer = http.post("/v1/label", params={"labels": typed, "explain": True, "own": False}, files={"file": photo})
        tally.saw("typed", answer.status_code)
    else:
        begun = time.perf_counter()
        status = http.post("/v1/label", params={"own": False}, content=photo).status_code
        tally.saw("label", status, time.perf_counter() - begun if status == 200 else None)


def _own_label(http: httpx.Client, tally: _Tally, rng: random.Random) -> None:
    name = f"zedonk {rng.randrange(400)}"
    if rng.random() < 0.3:
        with tally.labels:  # from now on it may be gone
            tally.acknowledged.discard(name)
            status = http.delete("/v1/labels", params={"name": name}).status_code
        tally.saw("delete", status)
        return
    with tally.labels:  # so that no DELETE of this name crosses it
        status = http.put("/v1/labels", json={"name": name, "definition": "part zebra"}).status_code
        if status in (200, 201):
            tally.acknowledged.add(name)
    tally.saw("put", status)


def _address(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return host, int(port)


def _head(photo: bytes) -> bytes:
    return f"POST /v1/label HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(photo)}\r\n\r\n".encode()


def _cancelled(url: str, photo: bytes, rng: random.Random) -> None:
    """Part of an upload, or all of it, and gone before the answer."""
    with socket.create_connection(_address(url), timeout=20) as left:
        left.sendall(_head(photo) + photo[: rng.choice([0, len(photo) // 2, len(photo)])])


def _slow(url: str, photo: bytes, rng: random.Random) -> int:
    """An upload in pieces, which is given up with 408 one time in five."""
    pause = rng.choice([0.1, 0.2, 0.3, 0.4, 1.7])
    with socket.create_connection(_address(url), timeout=60) as slow:
        slow.sendall(_head(photo))
        pieces = 4
        for number in range(pieces):
            time.sleep(pause)
            slow.sendall(photo[number * len(photo) // pieces : (number + 1) * len(photo) // pieces])
        return int(slow.recv(100).split()[1])


if __name__ == "__main__":
    sys.exit(main())
