"""python -m bench.soak: a service under mixed and hostile requests, stopped and killed in the middle of them."""

import argparse
import atexit
import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bench.command import environment, python
from bench.hostile import HOSTILE_REQUESTS, SIDE, address, hostile_pictures, post_slowly, sixteen_bit_png
from bench.machine import cores, facts
from bench.photos import find_photos

__all__ = ["main"]

_CLIENTS = 32
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # httpx reads all certificates for each client else, in 0.3 s
_HOSTILE = 0.05
_LARGE = 12  # photos of 49 megapixels in the index
_SMALL = 20  # others
_SHARES = 10
_WARM = 2  # shares of the time before memory is held to be warm
_GROWTH = 1.15
_LONG = 300.0  # seconds; a shorter run never warms
_IDLE = 20.0  # seconds
_SECONDS = 5.0  # --seconds of the service
_GOOD = (200, 201, 204, 404, 409, 429)  # 404: a label was forgotten already; 409: there are as many as may be
_REFUSED = (200, 408, 422, 429)  # of a hostile picture of up to 17 MB: read, too slow to arrive, refused, not taken up

# SECURITY.md: the model with six lists of labels, all bodies; for each core a decoder, its picture and the file.
_SERVICE_BYTES = 390_000_000 + 6 * 50_000_000 + 256_000_000
_CORE_BYTES = 50_000_000 + 500_000_000 + 200_000_000


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What is sent. photos: good ones. pictures: hostile ones by name. index: a folder that `devise index` made."""

    photos: tuple[bytes, ...]
    pictures: dict[str, bytes]
    index: Path


@dataclass
class _Tally:
    """What came of the requests. acknowledged: labels whose PUT was answered and that no DELETE was sent for."""

    statuses: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    faults: list[str] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)
    labels: threading.Lock = field(default_factory=threading.Lock)
    stopping: bool = False  # the service is being stopped: 503 and no answer at all are right

    def saw(self, kind: str, status: int, seconds: float, right: Sequence[int]) -> None:
        with self.lock:
            self.statuses[kind][status] += 1
            if status == 200:
                self.seconds[kind].append(seconds)
            if status not in right and not (self.stopping and status == 503):
                self.faults.append(f"{kind}: {status}")

    def fault(self, what: str) -> None:
        with self.lock:
            self.faults.append(what)


class _Service:
    """`devise serve` on a free port; its log lines are read and the errors among them kept."""

    def __init__(self, index: Path, labels: Path, tally: _Tally) -> None:
        command = [sys.executable, "-m", "devise", "serve", "--port", "0", "--labels-db", str(labels)]
        command += ["--index", str(index), "--seconds", str(_SECONDS)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment())
        atexit.register(self.process.kill)  # whatever ends the soak
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
            entry = json.loads(line)
            if entry["level"] == "error" or (entry.get("status", 0) >= 500 and entry["status"] != 503):
                self._tally.fault(line.strip()[:500])

    def decoders(self) -> list[int]:
        """Their process ids."""
        found: list[int] = []
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            with suppress(OSError):  # a thread that has just ended has no decoder
                found += map(int, (task / "children").read_text(encoding="ascii").split())
        return found

    def resident(self) -> int:
        """Bytes of memory now, of the service and its decoders together."""
        return sum(_resident(pid) for pid in (self.process.pid, *self.decoders()))


@dataclass
class _Memory:
    """Bytes at moments. peak: the most of all samples, two a second."""

    service: _Service
    start: int = 0
    peak: int = 0
    shares: list[int] = field(default_factory=list)
    idle: int = 0
    over: bool = False

    def watch(self) -> None:
        """Until `over`."""
        while not self.over:
            try:
                self.peak = max(self.peak, self.service.resident())
            except OSError:  # one of its tasks has just ended
                continue
            time.sleep(0.5)


def _resident(pid: int) -> int:
    """0 for a process that has ended."""
    try:
        found = re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
    except OSError:
        return 0
    return 1024 * int(found[0]) if found else 0


def main(arguments: list[str] | None = None) -> int:
    """0 if nothing was lost and nothing broke, 1 else. Linux only."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5, help="of requests; default: 5")
    parser.add_argument("--clients", type=int, default=_CLIENTS, help=f"that ask at once; default: {_CLIENTS}")
    parser.add_argument("--side", type=int, default=SIDE, help=f"pixels of a large picture's side; default: {SIDE}")
    parser.add_argument("--photos", type=Path, help="folder of JPEGs; default: the shared data, or generated ones")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="devise-soak-") as folder:
        scratch = Path(folder)
        paths = find_photos(asked.photos, 100, scratch).paths
        index = _index(paths[:_SMALL], asked.side, scratch)
        inputs = _Inputs(tuple(path.read_bytes() for path in paths), hostile_pictures(asked.side), index)
        return _soak(60 * asked.minutes, asked.clients, inputs, scratch / "own.sqlite")


def _index(photos: Sequence[Path], side: int, scratch: Path) -> Path:
    folder = scratch / "indexed"
    folder.mkdir()
    for number, photo in enumerate(photos):
        shutil.copyfile(photo, folder / f"small-{number}.jpg")
    large = sixteen_bit_png(side)
    for number in range(_LARGE):
        (folder / f"large-{number}.png").write_bytes(large)
    python("-m", "devise", "index", str(folder), "--out", str(scratch / "index"))
    return scratch / "index"


def _soak(seconds: float, clients: int, inputs: _Inputs, labels: Path) -> int:
    tally, machine = _Tally(), facts()
    service = _Service(inputs.index, labels, tally)
    memory = _Memory(service)
    _warm(service.url, inputs.photos[0])
    memory.start = service.resident()
    watcher = threading.Thread(target=memory.watch)
    watcher.start()
    for share in range(_SHARES):
        _load(service.url, tally, clients, time.monotonic() + seconds / _SHARES, inputs, seed=share)
        memory.shares.append(service.resident())
        print(f"{_answers(tally):,} answered, {memory.shares[-1] // 10**6:,} MB", file=sys.stderr, flush=True)
    time.sleep(_IDLE)
    memory.idle, memory.over = service.resident(), True
    watcher.join()
    print(_table(tally, memory, seconds, clients, _hostile_kinds(inputs), machine), flush=True)
    tally.stopping = True
    code = _stopped_under_load(service, tally, clients, inputs, signal.SIGTERM)
    if code != 0:
        tally.fault(f"SIGTERM: exit code {code} instead of 0")
    service = _Service(inputs.index, labels, tally)
    _compare(service, tally, "after SIGTERM")
    _stopped_under_load(service, tally, clients, inputs, signal.SIGKILL)
    service = _Service(inputs.index, labels, tally)
    _compare(service, tally, "after kill -9")
    service.process.send_signal(signal.SIGTERM)
    service.process.wait(60)
    print(f"Labels acknowledged, and found again after SIGTERM and `kill -9`: {len(tally.acknowledged):,}.")
    return _judged(tally, memory, seconds)


def _answers(tally: _Tally) -> int:
    return sum(sum(found.values()) for found in tally.statuses.values())


def _bound() -> int:
    return _SERVICE_BYTES + cores() * _CORE_BYTES


def _table(
    tally: _Tally, memory: _Memory, seconds: float, clients: int, hostile: Sequence[str], machine: dict[str, object]
) -> str:
    """All of it in Markdown, hostile kinds last."""
    lines = ["| Request | Answers by status | p50, s | p99, s |", "|---|---|---:|---:|"]
    for kind in sorted(tally.statuses, key=lambda kind: (kind in hostile, kind)):
        found = tally.statuses[kind]
        statuses = ", ".join(
            f"{status or 'none'}: {number:,}" for status, number in sorted(found.items(), key=lambda one: -one[1])
        )
        waited = sorted(tally.seconds[kind])
        times = [f"{waited[int(share * len(waited))]:.2f}" if waited else "" for share in (0.5, 0.99)]
        lines.append(f"| {'hostile: ' * (kind in hostile)}{kind} | {statuses} | {times[0]} | {times[1]} |")
    sizes = [memory.start, memory.peak, memory.shares[-1], memory.idle, _bound()]
    start, peak, end, idle, bound = (f"{value // 10**6:,} MB" for value in sizes)
    lines += [
        f"| memory of the service and its decoders | warm {start}, peak {peak}, end {end}, "
        f"{_IDLE:g} s later {idle}; bound {bound} | | |",
        "",
        f"{_answers(tally):,} requests in {seconds / 60:g} minutes of {clients} clients, commit {machine['commit']}, "
        f"{machine['cores']} cores, load {machine['load']} before.",
    ]
    return "\n".join(lines)


def _judged(tally: _Tally, memory: _Memory, seconds: float) -> int:
    """Print the faults, each kind once; whether there are any."""
    if memory.peak > _bound():
        tally.fault(f"memory: {memory.peak:,} bytes, over the bound of {_bound():,}")
    if seconds >= _LONG and memory.idle > _GROWTH * memory.shares[_WARM - 1]:
        tally.fault(f"memory: {memory.idle:,} bytes when idle, {memory.shares[_WARM - 1]:,} when warm")
    for fault, number in Counter(tally.faults).most_common():
        print(f"FAULT {fault} ({number} times)" if number > 1 else f"FAULT {fault}")
    return int(bool(tally.faults))


def _warm(url: str, photo: bytes) -> None:
    """Fill what the service keeps: more lists of labels than it holds."""
    for number in range(10):
        httpx.post(f"{url}/v1/label", params={"labels": f"zedonk {number}: part zebra"}, content=photo, timeout=60)


def _load(url: str, tally: _Tally, clients: int, until: float, inputs: _Inputs, seed: int) -> None:
    """Ask until a moment of the monotonic clock."""
    threads = [
        threading.Thread(target=_client, args=(url, tally, until, inputs, random.Random(number + clients * seed)))
        for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _stopped_under_load(service: _Service, tally: _Tally, clients: int, inputs: _Inputs, number: signal.Signals) -> int:
    """Send a signal while clients ask; the exit code. A decoder that outlives the service is a fault."""
    until = time.monotonic() + 6
    worker = threading.Thread(target=_load, args=(service.url, tally, clients, until, inputs, 1000 + number))
    worker.start()
    time.sleep(3)
    decoders = service.decoders()
    service.process.send_signal(number)
    code = service.process.wait(90)
    worker.join()
    ended = time.monotonic() + 60  # what they are about is finished first
    while any(map(_resident, decoders)):
        if time.monotonic() > ended:
            tally.fault(f"{number.name}: decoders outlive the service")
            break
        time.sleep(0.1)
    return code


def _compare(service: _Service, tally: _Tally, when: str) -> None:
    found = httpx.get(f"{service.url}/v1/labels", timeout=30).json()
    kept = {one["name"] for one in found["own"]}
    if lost := tally.acknowledged - kept:
        tally.fault(f"{when}: {len(lost)} labels lost, such as {sorted(lost)[:3]}")


def _client(url: str, tally: _Tally, until: float, inputs: _Inputs, rng: random.Random) -> None:
    with httpx.Client(base_url=url, timeout=60, verify=_NO_TLS) as http:
        while time.monotonic() < until:
            try:
                if rng.random() < _HOSTILE:
                    _hostile(http, url, tally, inputs, rng)
                else:
                    _good(http, url, tally, inputs, rng)
            except httpx.TimeoutException:
                tally.fault("no answer within 60 seconds")
            except (httpx.HTTPError, OSError, IndexError):  # stopped, killed, or a connection that waited was closed
                tally.saw("connection closed", 0, 0.0, (0,))
                time.sleep(0.05)


def _hostile_kinds(inputs: _Inputs) -> list[str]:
    return [*inputs.pictures, *HOSTILE_REQUESTS, "thumbnail of a 16-bit PNG"]


def _hostile(http: httpx.Client, url: str, tally: _Tally, inputs: _Inputs, rng: random.Random) -> None:
    kind = rng.choice(_hostile_kinds(inputs))
    begun = time.perf_counter()
    right: Sequence[int] = _REFUSED
    if kind in inputs.pictures:
        status = http.post("/v1/label", content=inputs.pictures[kind]).status_code
    elif kind in HOSTILE_REQUESTS:
        ask, right = HOSTILE_REQUESTS[kind]
        status = ask(url)
    else:
        number = rng.randrange(_LARGE)  # paths are in order: "large" stands before "small"
        _touched(inputs.index, number, rng)
        status, right = http.get(f"/v1/photos/{number}").status_code, (200, 429)
    tally.saw(kind, status, time.perf_counter() - begun, right)


def _touched(index: Path, number: int, rng: random.Random) -> None:
    """Change a photo's time, so that no small copy of it is kept."""
    os.utime(index.parent / "indexed" / f"large-{number}.png", (0, rng.randrange(1 << 30)))


def _good(http: httpx.Client, url: str, tally: _Tally, inputs: _Inputs, rng: random.Random) -> None:
    """One request: most label a photo, some in other ways; a few are cancelled or slow."""
    photo, draw = rng.choice(inputs.photos), rng.random()
    begun = time.perf_counter()
    right: Sequence[int] = _GOOD
    if draw < 0.02:
        kind, status, right = "cancelled", _cancelled(url, photo, rng), (0,)
    elif draw < 0.03:
        pause = rng.choice([0.1, 0.2, 0.3, 0.4, 1.7])  # the last one takes longer than `--seconds`
        kind, right = "slow body", (200, 408, 429)
        status = post_slowly(url, "POST /v1/label", photo, len(photo) // 4 + 1, pause)
    elif draw < 0.07:
        kind, status, begun = _own_label(http, tally, rng)
    elif draw < 0.11:
        kind, status = "embed", http.post("/v1/embed", content=photo).status_code
    elif draw < 0.15:
        kind = "look up a label"
        status = http.get("/v1/labels", params={"q": rng.choice(["cat", "gui", "bo", "zz"])}).status_code
    elif draw < 0.18:
        kind, status = "search", http.get("/v1/search", params={"q": rng.choice(["cat", "fruit", "boat"])}).status_code
    elif draw < 0.20:
        kind, status = "thumbnail", http.get(f"/v1/photos/{_LARGE + rng.randrange(_SMALL)}").status_code
    elif draw < 0.24:
        typed = rng.choice(["kick scooter", "zedonk: part zebra, part donkey", "hinny: part horse; cat"])
        asked = {"labels": typed, "explain": True, "own": False}
        kind, status = (
            "label, with typed labels",
            http.post("/v1/label", params=asked, files={"file": photo}).status_code,
        )
    else:
        kind, status = "label a photo", http.post("/v1/label", params={"own": False}, content=photo).status_code
    tally.saw(kind, status, time.perf_counter() - begun, right)


def _own_label(http: httpx.Client, tally: _Tally, rng: random.Random) -> tuple[str, int, float]:
    """What was asked, the status, and when it was asked."""
    name = f"zedonk {rng.randrange(400)}"
    with tally.labels:  # so that no PUT and DELETE of one name cross
        begun = time.perf_counter()
        if rng.random() < 0.3:
            tally.acknowledged.discard(name)  # from now on it may be gone
            return "forget a label", http.delete("/v1/labels", params={"name": name}).status_code, begun
        status = http.put("/v1/labels", json={"name": name, "definition": "part zebra"}).status_code
        if status in (200, 201):
            tally.acknowledged.add(name)
        return "keep a label", status, begun


def _cancelled(url: str, photo: bytes, rng: random.Random) -> int:
    """Part of an upload, or all of it, and gone before the answer."""
    with socket.create_connection(address(url), timeout=20) as left:
        head = f"POST /v1/label HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(photo)}\r\n\r\n".encode()
        left.sendall(head + photo[: rng.choice([0, len(photo) // 2, len(photo)])])
    return 0


if __name__ == "__main__":
    sys.exit(main())
