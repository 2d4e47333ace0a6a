"""A real server in this process, asked over HTTP."""

import asyncio
import json
import logging
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from devise.bundle.bundle import Bundle
from devise.bundle.parts import TEXT_TOWER
from devise.errors import BundleError, PictureError, UsageError
from devise.meaning.relations import nearest_labels
from devise.meaning.senses import ask
from devise.model.labeller import Model, load
from devise.model.typed import parse_labels
from devise.serve.client import Client, RefusedError
from devise.serve.guard import Guard
from devise.serve.limits import Limits
from devise.serve.own_labels import OwnLabels
from devise.serve.problems import ServiceError
from devise.serve.runs import Runs, SetKey
from devise.serve.service import Service
from devise.serve.telemetry import log_to_stderr
from devise.space.texttower import TextTower

METHODS = ("devise", "conse", "softmax", "fused")
ZEDONK = "zedonk: offspring of a zebra and a donkey"


def test_the_answer_is_the_models(served, model: Model, photo: bytes):
    with served.client() as client:
        answer = client.label(photo, methods=METHODS, top=7, labels=ZEDONK, explain=True)
    assert [one.method for one in answer.answers] == list(METHODS)
    for one in answer.answers:
        expected = model.label(photo, method=one.method, top=7, labels=ZEDONK, explain=True)
        assert [guess.id for guess in one.guesses] == [guess.label.id for guess in expected.guesses]
        assert [guess.gloss for guess in one.guesses] == [guess.label.gloss for guess in expected.guesses]
        assert [tuple(guess.path) for guess in one.guesses] == [g.explanation.path for g in expected.guesses]
        np.testing.assert_allclose(  # float32, in blocks of another size
            [guess.score for guess in one.guesses], [guess.score for guess in expected.guesses], rtol=1e-3
        )
        assert one.candidates == (1000 if one.method == "softmax" else 30_957)


def test_raw_bytes_and_a_form_are_one(served, photo: bytes):
    with served.http() as http:
        raw = http.post("/v1/label", params={"top": 3}, content=photo)
        form = http.post("/v1/label", params={"top": 3}, files={"file": photo})
        curl = http.post(
            "/v1/label?top=3", content=photo, headers={"content-type": "application/x-www-form-urlencoded"}
        )
    assert raw.status_code == 200
    for other in (form, curl):
        assert [g["id"] for g in other.json()["answers"][0]["guesses"]] == [
            g["id"] for g in raw.json()["answers"][0]["guesses"]
        ]


def test_ranks_of_typed_labels_agree_with_the_guesses(served, photo: bytes):
    with served.client() as client:
        answer = client.label(photo, labels=f"{ZEDONK}; kick scooter", candidates="typed", top=2, standings=True)
    (one,) = answer.answers
    assert {rank.id for rank in one.standings} == {"user:zedonk", "user:kick_scooter"}
    assert [rank.id for rank in one.standings] == [guess.id for guess in one.guesses]
    assert [rank.rank for rank in one.standings] == [1, 2]
    assert sum(guess.score for guess in one.guesses) == pytest.approx(1, abs=1e-4)
    assert all(guess.own for guess in one.guesses)


def test_under_and_reject(served, photo: bytes):
    with served.client() as client:
        answer = client.label(photo, under="musical instrument", explain=True, reject=1.0)
        assert all("musical instrument" in guess.path for guess in answer.answers[0].guesses)
        assert answer.answers[0].rejected
        with pytest.raises(UsageError, match="needs a noun of WordNet"):
            client.label(photo, under="xyzzy")
        mixed = client.label(photo, candidates="unseen", methods=("softmax", "fused"))
        assert "only trained labels" in mixed.answers[0].problem
        assert len(mixed.answers[1].guesses) == 5
        with pytest.raises(UsageError, match="only trained labels"):
            client.label(photo, candidates="unseen", methods=("softmax",))


def test_embedding_is_the_models(served, model: Model, photo: bytes):
    with served.client() as client:
        found = client.embed(photo)
    np.testing.assert_allclose(found.vector, model.embed(photo), atol=1e-5)  # another block size
    assert max(map(abs, found.place)) <= 1000


def test_a_label_competes_at_once_and_until_it_is_deleted(served, photo: bytes):
    with served.client() as client:
        kept = client.put_label("zedonk", "offspring of a zebra and a donkey")
        assert (kept.id, kept.source, kept.created) == ("user:zedonk", "gloss", True)
        assert not client.put_label("zedonk", "offspring of a donkey and a zebra").created
        assert client.label(photo).answers[0].candidates == 30_957
        assert client.label(photo, own=False).answers[0].candidates == 30_956
        assert [one.name for one in client.find_labels().own] == ["zedonk"]
        client.delete_label("Zedonk")
        assert client.label(photo).answers[0].candidates == 30_956
        with pytest.raises(RefusedError, match="'zedonk'") as refused:
            client.delete_label("zedonk")
        assert refused.value.status == 404
        with pytest.raises(UsageError, match="none of its words has a vector"):
            client.put_label("xqzzy")
        with pytest.raises(UsageError, match="needs a word"):
            client.put_label("!!")
        assert client.find_labels().own == []


def test_a_label_is_kept_by_what_its_name_says(served):
    with served.client() as client:
        for name, kept in (("n02391049 zebra", "zebra"), ('"zebras"', "zebras"), ("zebra.n.01", "zebra.n.01")):
            assert (client.put_label(name).id, client.put_label(name).name) == ("n02391049", kept)
            client.delete_label(kept)
        with pytest.raises(UsageError, match="2 ids in the name of one label"):
            client.put_label("n02391049 n02374451")
        with pytest.raises(UsageError, match="looks like the id of a synset"):
            client.put_label("02391049-n")


@pytest.mark.parametrize("query", ["n02391049 zebra", '"zebra"', "zebra.n.01", "the zebras", "a photo of a zebra"])
def test_a_label_is_looked_up_by_what_its_name_says(served, query: str):
    with served.client() as client:
        assert client.find_labels(query).found[0].id == "n02391049"


def test_looking_labels_up(served):
    with served.client() as client:
        crane = client.find_labels("crane", top=5)
        assert crane.total == 39_990
        assert [one.name for one in crane.found[:2]] == ["crane", "crane"]
        assert crane.found[0].path[-2:] == ["wading bird", "crane"]
        assert [one.id for one in client.find_labels("N02128757").found] == ["n02128757"]
        assert client.find_labels("snow leop").found[0].name == "snow leopard"
        assert client.find_labels("qqqqqq").found == []
    with served.http() as http:
        near = http.get("/v1/labels", params={"q": "banjo", "top": 1, "near": 5}).json()["nearest"]
    assert len(near) == 5
    assert "stringed instrument" in {name for one in near for name in one["path"]}


def test_no_two_parts_of_the_page_share_an_id():
    page = (files("devise.serve") / "page" / "index.html").read_text("utf-8")
    ids = re.findall(r' id="([^"]*)"', page)
    assert len(ids) > 100
    assert sorted(ids) == sorted(set(ids))


def test_search_finds_the_photo_of_a_word(served):
    with served.client() as client, served.http() as http:
        hits = client.search("banjo", top=2)
        assert hits.hits[0].name == "banjo.jpg"
        assert hits.photos == 3
        assert len(hits.hits) == 2
        picture = http.get(hits.hits[0].thumbnail)
        assert picture.headers["content-type"] == "image/jpeg"
        assert http.get("/v1/photos/3").status_code == 404
        assert http.get("/v1/photos/..%2f..%2fetc%2fpasswd").status_code in (404, 422)
        with pytest.raises(UsageError, match="not a noun of WordNet"):
            client.search("xqzzy")


def test_without_an_index_search_says_so(start):
    with start().client() as client, pytest.raises(RefusedError, match="has no photo index") as refused:
        client.search("cat")
    assert (refused.value.status, refused.value.code) == (404, "no_index")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"top": 0}, "top"),
        ({"top": 101}, "top"),
        ({"method": "magic"}, "method"),
        ({"candidates": "/etc/passwd"}, "candidates"),
        ({"nonsense": 1}, "nonsense"),
        ({"reject": 2}, "reject"),
        ({"reject": "nan"}, "reject"),
        ({"labels": "a: b; a: c"}, "duplicate label"),
        ({"labels": ":;"}, "needs a word"),
    ],
)
def test_mistakes_are_told(served, photo: bytes, query: dict[str, object], message: str):
    with served.http() as http:
        answer = http.post("/v1/label", params=query, content=photo)
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "mistake"
    assert message in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (
            "GET /v1/search?q=cat&sens=n02121620",
            "query.sens: unknown parameter, expected q, sense, like, top, reject, since, until, in, rating, index, ",
        ),
        ("GET /v1/search?q=cat&q=dog", "query.q: duplicate parameter (2 times)"),
        ("GET /v1/photos?count=3", "query.count: "),
        ("GET /v1/photos/0?size=9", "query.size: "),
        ("GET /v1/labels?query=cat", "query.query: "),
        ("GET /v1/map?x", "expected lang"),
        ("GET /v1/options?x", "expected none"),
        ("PUT /v1/labels?x=1", "query.x: "),
        ("DELETE /v1/labels?name=zedonk&name=hinny", "query.name: duplicate parameter (2 times)"),
        ("POST /v1/embed?top=3", "query.top: "),
    ],
)
def test_a_parameter_that_a_call_has_not_is_told(served, call: str, told: str, photo: bytes):
    method, _, path = call.partition(" ")
    content = (
        photo if method == "POST" else b'{"name": "zedonk", "definition": "part zebra"}' if method == "PUT" else None
    )
    with served.http() as http:
        answer = http.request(method, path, content=content)
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "mistake"
    assert told in answer.json()["error"]["message"]


def test_broken_pictures_and_forms(served, photo: bytes):
    with served.client() as client:
        for broken, why in ((b"", "no picture"), (b"hello", "known format"), (photo[:900], "cut off")):
            with pytest.raises(PictureError, match=why):
                client.label(broken)
    with served.http() as http:
        head = {"content-type": "multipart/form-data; boundary=x"}
        for body in (
            b"",
            b"nonsense",
            b"--x\r\n\r\n\r\n--x--",
            b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--\r\n",
        ):
            assert http.post("/v1/label", content=body, headers=head).status_code in (400, 422)
        assert http.post("/v1/label", content=photo, headers={"content-type": "multipart/form-data"}).status_code == 400
        two = http.post("/v1/label", files=[("file", photo), ("other", photo)])
        assert two.status_code == 400
        twice = http.post("/v1/label", files=[("labels", (None, b"cat")), ("labels", (None, b"dog")), ("file", photo)])
        assert (twice.status_code, twice.json()["error"]["message"]) == (
            400,
            "the form has a field twice: send each once",
        )
        both = http.post("/v1/label", params={"labels": "cat"}, data={"labels": "dog"}, files={"file": photo})
        assert "give it once" in both.json()["error"]["message"]


def held_in_the_end(served: Any) -> int:
    """Bytes of bodies held once the service is done: an answer may arrive before its request has let go."""
    until = time.monotonic() + 60
    while served.service.bodies.held and time.monotonic() < until:
        time.sleep(0.02)
    return int(served.service.bodies.held)


def test_limits_of_bytes_pixels_and_labels(start, photo: bytes):
    served = start(Limits(megabytes=1, megapixels=1, labels=2))
    with served.http() as http, served.client() as client:
        large = http.post("/v1/label", content=b"\xff\xd8\xff" + bytes(1_000_000))
        assert (large.status_code, large.json()["error"]["code"]) == (413, "too_large")
        streamed = http.post("/v1/label", content=(bytes(100_000) for _ in range(20)))
        assert streamed.status_code == 413
        with pytest.raises(UsageError, match="at most 2 typed labels"):
            client.label(photo, labels="a dog; a cat; a cow")
        client.put_label("kick scooter")
        client.put_label("zedonk", "part zebra")
        with pytest.raises(RefusedError) as full:
            client.put_label("hinny", "part horse")
        assert full.value.status == 409
        assert held_in_the_end(served) == 0


ROUTES = (
    "POST /v1/label",
    "POST /v1/embed",
    "PUT /v1/labels",
    "DELETE /v1/labels",
    "POST /nowhere",
    "GET /healthz",
    "PUT /",
)


@pytest.fixture(scope="module")
def narrow(model: Model, running) -> Iterator[object]:
    with running(Service(model, OwnLabels(None, 10), limits=Limits(megabytes=1))) as found:
        yield found


@pytest.fixture(scope="module")
def impatient(model: Model, running) -> Iterator[object]:
    with running(Service(model, OwnLabels(None, 10), limits=Limits(seconds=0.3))) as found:
        yield found


@pytest.mark.parametrize("route", ROUTES)
def test_a_body_that_is_too_large_is_refused_on_every_route(narrow, route: str):
    method, path = route.split()
    with narrow.http() as http:
        for content in (bytes(1_100_000), (bytes(100_000) for _ in range(20))):
            large = http.request(method, path, content=content)
            assert (large.status_code, large.json()["error"]["code"]) == (413, "too_large")
            assert "x-content-type-options" in large.headers
    assert held_in_the_end(narrow) == 0


@pytest.mark.parametrize("route", ROUTES)
def test_a_slow_body_is_given_up_on_every_route(impatient, route: str):
    host, port = impatient.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as slow:
        slow.sendall(f"{route} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000\r\n\r\nabc".encode())
        assert slow.recv(1000).startswith(b"HTTP/1.1 408")
    assert held_in_the_end(impatient) == 0


def test_a_text_may_have_64_kilobytes(served):
    with served.http() as http:
        head = {"content-type": "application/json"}
        nested = http.put("/v1/labels", content=b"[" * 60_000, headers=head)
        assert nested.status_code in (400, 422)
        large = http.put("/v1/labels", content=b" " * 64_001, headers=head)
        assert large.json()["error"]["message"] == "the body is over the limit of 64 kB: make it smaller"
        assert http.request("GET", "/healthz", content=b"x" * 1000).status_code == 200
        assert http.post("/nowhere", content=b"x" * 1000).status_code == 404


def test_a_picture_that_waits_for_its_turn_too_long_is_429_in_time(start, photo: bytes, monkeypatch):
    """Though no worker comes free: the two are held up by other pictures."""
    served = start()
    served.service.limits = Limits(seconds=0.05)  # not that of the body, which has the others
    monkeypatch.setattr(served.service.engine, "submit", lambda data, tasks, regions: Future())
    with served.http() as http:
        answer = http.post("/v1/label", content=photo)
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        429,
        "the picture waited too long in the queue: try again",
    )


def test_a_hostile_picture_is_422_and_the_next_one_is_answered(served, photo: bytes):
    buffer = BytesIO()
    Image.new("L", (64, 64)).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    scans = data[:-2] + data[data.rindex(b"\xff\xda") : -2] * 400 + data[-2:]
    with served.client() as client:
        for hostile, why in ((scans, "scans, over the limit"), (data[:2] + b"\xff" * 99_999 + data[2:], "not a photo")):
            with pytest.raises(PictureError, match=why):
                client.label(hostile)
            assert client.label(photo).answers[0].guesses


def test_a_full_queue_is_429_at_once(start, photos: list[bytes]):
    served = start(Limits(queue=1))
    statuses, waits = [], []

    def ask(photo: bytes) -> None:
        with served.http() as http:
            answer = http.post("/v1/label", content=photo)
            statuses.append(answer.status_code)
            if answer.status_code == 429:
                waits.append(int(answer.headers["retry-after"]))

    with ThreadPoolExecutor(24) as pool:
        list(pool.map(ask, photos * 3))
    assert set(statuses) == {200, 429}
    assert min(waits) >= 1


def test_one_bad_picture_among_many_fails_alone(served, photos: list[bytes], model: Model):
    def ask(number: int) -> str:
        with served.client() as client:
            try:
                return client.label(b"bad" if number == 5 else photos[number]).answers[0].guesses[0].id
            except PictureError:
                return "bad"

    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(ask, range(12)))
    expected = [model.label(photo).guesses[0].label.id for photo in photos]
    assert found == [*expected[:5], "bad", *expected[6:]]


def test_a_sender_that_goes_away_leaves_nothing(served, photo: bytes):
    host, port = served.url.removeprefix("http://").split(":")
    for sent in (photo[:500], photo):
        with socket.create_connection((host, int(port)), timeout=60) as left:
            left.sendall(f"POST /v1/label HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(photo)}\r\n\r\n".encode())
            left.sendall(sent)
    assert held_in_the_end(served) == 0
    with served.client() as client:
        assert client.label(photo).answers[0].guesses


def test_a_token_is_asked_for(start, photo: bytes):
    served = start(token="sesame")
    with served.http() as http:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic sesame"}):
            answer = http.post("/v1/label", content=photo, headers=headers)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert http.get("/metrics").status_code == 401
        assert http.get("/v1/labels").status_code == 401
        for path in ("/", "/healthz", "/readyz", "/page/app.js"):
            assert http.get(path).status_code == 200
    with served.client() as client:
        assert client.label(photo).answers
    with Client(served.url, token="other") as other, pytest.raises(RefusedError, match="needs a token"):
        other.find_labels()


@pytest.mark.parametrize("path", ["/v1/labels", "/v1/label", "/healthz", "/nowhere"])
@pytest.mark.parametrize("order", [1, -1])
def test_a_body_with_two_lengths_is_refused_and_what_follows_is_not_read(served, path: str, order: int):
    """Of two servers that read such a request, one may take its body as the next request."""
    host, port = served.url.removeprefix("http://").split(":")
    lengths = "\r\n".join(["Content-Length: 5", "Transfer-Encoding: chunked"][::order])
    hidden = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        request = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{lengths}\r\n\r\n0\r\n\r\n{hidden}"
        connection.sendall(request.encode())
        answer = b"".join(iter(lambda: connection.recv(1000), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"connection: close" in answer.lower()
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:99", 200),
        ("LOCALHOST", 200),
        ("[::1]", 200),
        ("[::1]:8000", 200),
        ("evil.example", 400),
        ("[::1].evil", 400),
        ("[::1]evil", 400),
        ("[::1]evil:80", 400),
        ("[::1", 400),
        ("evil[::1]", 400),
        ("localhost.evil", 400),
        ("localhost:80.evil", 400),
        ("localhost:80@evil", 400),
        ("127.0.0.1.evil", 400),
        ("192.0.2.7", 400),
        ("", 400),
    ],
)
def test_only_known_hosts(served, host: str, status: int):
    with served.http() as http:
        assert http.get("/healthz", headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("192.0.2.7:8000", 200),
        ("[2001:db8::7]", 200),
        ("photos.lan", 200),
        ("evil.example", 400),
        ("192.0.2.7.evil", 400),
    ],
)
def test_hosts_of_a_service_that_others_reach(host: str, status: int):
    """By any of its addresses, which no web site can take as its name, and by the names it was told."""

    async def app(scope: object, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]

    statuses = []

    async def send(message: dict[str, object]) -> None:
        statuses.append(message.get("status"))

    guard = Guard(app, hosts={"localhost", "photos.lan"}, addresses=True)
    scope = {"type": "http", "path": "/", "headers": [(b"host", host.encode())]}
    asyncio.run(guard(scope, None, send))  # type: ignore[arg-type]
    assert statuses[0] == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://photos.lan"}, 200),
        ({"origin": "http://Photos.lan", "sec-fetch-site": "same-origin"}, 200),
        ({"origin": "http://photos.lan", "sec-fetch-site": "cross-site"}, 403),
        ({"origin": "http://photos.lan:81"}, 403),
        ({"origin": "https://photos.lan"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost"}, 200),
    ],
)
def test_the_page_behind_a_proxy_that_changes_host(headers: dict[str, str], status: int):
    """A browser sends no Sec-Fetch-Site to http://photos.lan."""

    async def app(scope: object, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]

    statuses = []

    async def send(message: dict[str, object]) -> None:
        statuses.append(message.get("status"))

    sent = [(name.encode(), value.encode()) for name, value in {"host": "localhost", **headers}.items()]
    scope = {"type": "http", "method": "PUT", "path": "/v1/corrections", "headers": sent}
    guard = Guard(app, hosts={"localhost"}, origins={"http://photos.lan"})
    asyncio.run(guard(scope, None, send))  # type: ignore[arg-type]
    assert statuses[0] == status


def test_every_answer_carries_the_headers(served):
    with served.http() as http:
        for path in ("/", "/healthz", "/v1/labels", "/nowhere"):
            headers = http.get(path).headers
            assert "default-src 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert len(headers["x-request-id"]) == 16
            assert "server" not in headers


def test_unknown_paths_and_methods(served):
    with served.http() as http:
        assert http.get("/nowhere").json()["error"]["message"] == "Not Found"
        wrong = http.get("/v1/label")
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
        assert http.get("/page/../settings.py").status_code == 404


def test_metrics_count(served, photo: bytes):
    with served.client() as client, served.http() as http:
        client.label(photo)
        with pytest.raises(PictureError):
            client.label(b"bad")
        text = http.get("/metrics").text
    assert 'devise_requests_total{method="POST",route="/v1/label",status="200"}' in text
    assert 'devise_pictures_total{outcome="unreadable"}' in text
    assert "devise_block_pictures_count" in text
    assert "devise_queue_pictures 0.0" in text


def test_the_map_has_a_point_a_label(served, model: Model):
    with served.http() as http:
        found = http.get("/v1/map").json()
    shown = model.parts.answerable.labels.ids
    assert tuple(found["ids"].split("\n")) == shown
    assert {len(found[name]) for name in ("x", "y", "branch", "seen")} == {30_956}
    assert 900 < max(map(abs, found["x"] + found["y"])) <= 1000
    near = nearest_labels(model.parts, ask(model.parts, "tabby"), 10).labels
    at = {one: (x, y) for one, x, y in zip(shown, found["x"], found["y"], strict=True)}
    here = found["names"].split("\n").index("tabby")
    far = [np.hypot(at[one.label.id][0] - found["x"][here], at[one.label.id][1] - found["y"][here]) for one in near]
    assert np.median(far) < 60  # of a plane 2,000 wide: what means alike stands together
    tabby = found["names"].split("\n").index("tabby")
    assert found["branches"][found["branch"][tabby]] == "animal"


def test_health(served):
    with served.client() as client, served.http() as http:
        health = client.health()
        assert (health.status, health.labels, health.search) == ("ok", 39_990, True)
        assert http.get("/readyz").status_code == 200


def test_a_client_without_a_service():
    with Client("http://127.0.0.1:1") as client, pytest.raises(RefusedError, match="is it running"):
        client.health()


def test_a_service_that_stops_refuses_what_is_new(start, photo: bytes):
    served = start()
    served.service.draining = True
    with served.http() as http:
        answer = http.post("/v1/label", content=photo)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.headers["connection"] == "close"
        assert http.get("/readyz").status_code == 503
        assert http.put("/v1/labels", json={"name": "cat"}).status_code == 503
        assert http.get("/healthz").json()["status"] == "closing"


def test_a_broken_form_writes_no_line_of_its_own(capfd: pytest.CaptureFixture[str]):
    """The parser warns of each; what it says is made of the sender's bytes."""
    loggers = [logging.getLogger(name) for name in ("devise.serve", "uvicorn", "python_multipart")]
    before = [(one.handlers, one.propagate, one.level) for one in loggers]
    try:
        log_to_stderr()
        parser = MultipartParser(b"x")
        with pytest.raises(FormParserError):
            parser.write(b"nonsense")
        assert capfd.readouterr().err == ""
        loggers[2].error("an error")
        assert json.loads(capfd.readouterr().err)["event"] == "an error"
    finally:
        for one, (handlers, propagate, level) in zip(loggers, before, strict=True):
            one.handlers, one.propagate = handlers, propagate
            one.setLevel(level)


def test_logs_say_nothing_of_the_picture_or_the_labels(served, photo: bytes, caplog: pytest.LogCaptureFixture):
    with caplog.at_level("INFO", "devise.serve"), served.client() as client:
        client.label(photo, labels=ZEDONK)
        client.find_labels("secret word")
        for _ in range(1200):  # the line of a request is written after its answer is sent
            if len(caplog.records) >= 2:
                break
            time.sleep(0.05)
    facts = [record.facts for record in caplog.records]
    assert [fact["route"] for fact in facts] == ["/v1/label", "/v1/labels"]
    told = json.dumps(facts)
    assert "zebra" not in told
    assert "secret" not in told


def test_candidate_sets_are_bounded_and_kept(model: Model):
    async def work() -> None:
        runs = Runs(lambda _: model, 2, 2.0)
        zedonk, scooter = SetKey(typed=parse_labels(ZEDONK)), SetKey(typed=parse_labels("kick scooter"))
        async with runs.lease(zedonk) as first:
            async with runs.lease(zedonk) as again:
                assert again is first
                assert again.run("fused", 3, False) is first.run("fused", 3, False)
            async with runs.lease(scooter):
                with pytest.raises(ServiceError, match="too many different lists") as refused:
                    async with runs.lease(SetKey("seen")):
                        pass
                assert refused.value.status == 429
            async with runs.lease(SetKey("seen")):
                assert len(runs) == 2
            with pytest.raises(UsageError, match="noun of WordNet"):
                async with runs.lease(SetKey(under="xyzzy")):
                    pass
            async with runs.lease(
                SetKey(),
            ) as everything:
                assert len(everything.chosen.space.labels) == 30_956
        async with runs.lease(zedonk) as kept:
            assert kept is first
        runs.close()

    asyncio.run(work())


def test_lists_wait_for_their_turn(model: Model):
    async def work() -> list[int]:
        runs = Runs(lambda _: model, 1, 120.0)

        async def use(key: SetKey) -> int:
            async with runs.lease(key) as found:
                await asyncio.sleep(0.02)
                assert len(runs) == 1
                return len(found.chosen.space.labels)

        keys = [SetKey("seen"), SetKey("typed", typed=parse_labels("cat")), SetKey("typed", typed=parse_labels(ZEDONK))]
        found = await asyncio.gather(*(use(key) for key in keys * 3))
        runs.close()
        return found

    assert asyncio.run(work()) == [1000, 1, 1] * 3


def test_a_text_tower_is_compiled_in_the_background_and_once(
    tower_bundle: Path, photo: bytes, monkeypatch: pytest.MonkeyPatch
):
    begun, may_end, made = threading.Event(), threading.Event(), []
    plain = Bundle.text_tower

    def slow(bundle: Bundle) -> TextTower:
        made.append(bundle)
        begun.set()
        assert may_end.wait(60)
        return plain(bundle)

    monkeypatch.setattr(Bundle, "text_tower", slow)
    service = Service(load(tower_bundle), OwnLabels(None, 9))
    try:
        service.warm()  # does not wait for it
        assert begun.wait(60)
        with ThreadPoolExecutor(2) as pool:
            answers = [pool.submit(service.model.label, photo, labels="kick scooter thing", top=10) for _ in range(2)]
            assert not any(one.done() for one in answers)
            may_end.set()
            assert all("user:kick_scooter_thing" in {g.label.id for g in one.result().guesses} for one in answers)
        assert len(made) == 1
    finally:
        may_end.set()
        service.close()


def test_a_damaged_text_tower_is_reported_by_the_first_typed_label(tower_bundle: Path, tmp_path: Path, photo: bytes):
    bundle = tmp_path / "damaged"
    shutil.copytree(tower_bundle, bundle)
    data = bytearray((bundle / TEXT_TOWER).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / TEXT_TOWER).write_bytes(data)
    service = Service(load(bundle), OwnLabels(None, 9))
    try:
        service.warm()
        assert service.model.label(photo).guesses
        with pytest.raises(BundleError, match=r"text\.onnx"):
            service.model.label(photo, labels="kick scooter thing")
    finally:
        service.close()
