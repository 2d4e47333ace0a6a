"""The command `devise serve` as a process: how it starts, how it stops, what is left after it was killed."""

import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

pytest.importorskip("fastapi", reason="the service is an extra: pip install 'devise-zsl[serve]'")

from devise.serve.client import Client

SOURCE = Path(__file__).parents[2] / "src"
Begin = Callable[..., tuple[subprocess.Popen[str], str]]


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Starts the command; its process and its address."""
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: object, **environment: str) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "devise", "serve", "--port", "0", *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(SOURCE), **environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        told = ""
        assert process.stderr is not None
        for line in process.stderr:
            told += line
            if found := re.search(r"serving at (http://\S+)", line):
                return process, found[1]
        raise AssertionError(told)

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=60)


def test_killed_and_started_again_it_has_every_label(begin: Begin, tmp_path: Path, photo: bytes):
    process, url = begin("--labels-db", tmp_path / "own.sqlite")
    with Client(url) as client:
        acknowledged = [client.put_label(f"zedonk {number}", "part zebra, part donkey").name for number in range(25)]
    process.kill()
    process.wait(60)
    _, url = begin("--labels-db", tmp_path / "own.sqlite")
    with Client(url) as client:
        assert {one.name for one in client.find_labels().own} == set(acknowledged)
        assert client.label(photo).answers[0].candidates == 30_956 + 25


def test_a_collection_in_several_languages(begin: Begin, folder: Path, tmp_path: Path):
    options = ["--index", folder / "all", "--index", folder / "cups", "--lang", "fr", "--corrections"]
    _, url = begin("--labels-db", tmp_path / "own.sqlite", *options)
    with Client(url) as client:
        offered = client.options()
        assert ([one.name for one in offered.indexes], offered.languages) == (["all", "cups"], ["fr", "en"])
        assert offered.corrections
        assert client.search("expresso", index="cups").hits[0].label == "expresso"


def test_corrections_need_an_index():
    command = [sys.executable, "-m", "devise", "serve", "--corrections"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "devise: --corrections is for photos of an index: give --index too\n")


def children(process: int) -> set[int]:
    return {int(one) for one in Path(f"/proc/{process}/task/{process}/children").read_text().split()}


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="Linux alone tells the children of a process")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_its_decoders_end_with_it(begin: Begin, tmp_path: Path, photo: bytes, number: signal.Signals):
    process, url = begin("--labels-db", tmp_path / "own.sqlite")
    with Client(url) as client:
        assert client.label(photo).answers
    decoders = children(process.pid)
    assert decoders
    handles = [os.pidfd_open(one) for one in decoders]
    process.send_signal(number)
    assert process.wait(60) == (0 if number == signal.SIGTERM else -number)
    for handle in handles:
        assert select.select([handle], [], [], 60)[0]  # readable once the process has ended
        os.close(handle)


def test_sigterm_under_load_finishes_what_was_taken(begin: Begin, tmp_path: Path, photo: bytes):
    process, url = begin("--labels-db", tmp_path / "own.sqlite")
    statuses: list[int] = []
    lost: list[str] = []
    ready = threading.Barrier(9)

    def ask() -> None:
        with httpx.Client(base_url=url, timeout=60) as http:
            http.get("/healthz")
            ready.wait()
            while True:
                try:
                    statuses.append(http.post("/v1/label", content=photo).status_code)
                except httpx.ConnectError:
                    return  # it listens no more
                except httpx.HTTPError as error:
                    lost.append(repr(error))
                    return
                if statuses[-1] != 200:
                    return

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    ready.wait()
    while len(statuses) < 16 and any(thread.is_alive() for thread in threads):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join(60)
    assert process.wait(60) == 0
    assert set(statuses) <= {200, 503}
    # What the server answered has reached its sender. A request that crosses the closing of an idle connection was
    # never taken, and HTTP lets its sender know so.
    assert process.stderr is not None
    lines = [json.loads(line) for line in process.stderr if line.startswith("{")]
    answered = [line["status"] for line in lines if line["route"] == "/v1/label"]
    assert answered.count(200) == statuses.count(200)
    assert set(answered) <= {200, 503}
    assert all(re.match("ReadError|RemoteProtocolError|WriteError", one) for one in lost), lost


def test_a_token_from_the_environment(begin: Begin, tmp_path: Path):
    _, url = begin("--labels-db", tmp_path / "own.sqlite", DEVISE_TOKEN="sesame")
    assert httpx.get(f"{url}/v1/labels").status_code == 401
    with Client(url, token="sesame") as client:
        assert client.find_labels().total == 39_990


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--token-file", "nowhere"), 1, "nowhere cannot be read"),
        (("--allowed-origin", "photos.lan"), 2, "give scheme and name of the page, such as http://photos.lan"),
        (("--allowed-origin", "http://photos.lan/page"), 2, "give scheme and name of the page"),
        (("--host", "256.1.1.1"), 2, "cannot listen on 256.1.1.1"),
        (("--host", "0.0.0.0"), 2, "--host 0.0.0.0 lets other machines use the service: give a token"),
        (("--host", "::"), 2, "or --open to serve everybody"),
        (("--decode-seconds", "0"), 2, "the limit decode_seconds must be above 0"),
        (("--queue", "0"), 2, "the limit queue must be above 0, got 0"),
        (("--labels-db", "no/such/folder/own.sqlite"), 2, "an existing folder"),
        (("--index", "somewhere"), 1, "somewhere"),
    ],
)
def test_wrong_usage_is_one_line(tmp_path: Path, arguments: tuple[str, ...], code: int, message: str):
    done = subprocess.run(
        [sys.executable, "-m", "devise", "serve", "--port", "0", *arguments],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    assert done.returncode == code
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_empty_token_is_refused(tmp_path: Path):
    (tmp_path / "token").write_text("\n")
    done = subprocess.run(
        [sys.executable, "-m", "devise", "serve", "--token-file", str(tmp_path / "token")],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, "one word" in done.stderr) == (2, True)
