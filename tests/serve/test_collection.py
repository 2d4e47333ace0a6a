"""The service as a tool for a photo collection: filters, indexes, languages, and corrections in sidecars."""

import os
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="the index is an extra: pip install 'devise-zsl[search]'")
pytest.importorskip("lxml", reason="sidecars are an extra: pip install 'devise-zsl[photos]'")

from devise import sidecars
from devise.errors import UsageError
from devise.serve.client import RefusedError
from devise.serve.own_labels import OwnLabels
from devise.serve.photos import open_indexes
from devise.serve.service import Service, open_languages
from devise.sidecars import corrections_of, names_in_sidecar, sidecar_of
from devise.xmp import Verdict

EGYPTIAN = "n02124075"


@pytest.fixture
def client(collection, photos_corrected: Path):
    with collection.client() as found:
        yield found


def refusal(client, *asked: object, **more: object) -> tuple[int, str, str]:
    with pytest.raises(RefusedError) as refused:
        client.correct(*asked, **more)
    return refused.value.status, refused.value.code, str(refused.value)


def test_filters_are_those_of_devise_search(client):
    def names(**filters: object) -> list[str]:
        return [hit.name for hit in client.search("cat, espresso", reject=0, **filters).hits]

    assert sorted(names()) == ["chelsea.jpg", "coffee.jpg"]
    assert names(since="2024") == ["coffee.jpg"]
    assert names(until="2023-05-01") == ["chelsea.jpg"]
    assert names(folders=["cups", "tea"]) == ["coffee.jpg"]
    assert names(folders=["photos"]) == []  # patterns are of paths below the common folder: others stay unknown
    found = client.search("cat", rating=3)
    assert (found.hits, found.photos, found.notes[-1]) == ([], 0, "left out 2 photos without a rating")
    for wrong, reason in (
        ({"since": "May"}, "since takes a date such as 2024"),
        ({"rating": 6}, "rating"),
        ({"folders": ["*a*a*a*a*a*a*"]}, "at most 6 \\*"),
        ({"since": "2024", "until": "2023"}, "since must not be after until"),
    ):
        with pytest.raises(UsageError, match=reason):
            client.search("cat", **wrong)
    with pytest.raises(UsageError, match="filters go with words"):
        client.search(like=0, since="2024")


def test_photos_are_listed_in_order(client):
    assert [(one.path, one.label) for one in client.photos(first=0).photos] == [
        ("cats/chelsea.jpg", "Egyptian cat"),
        ("cups/coffee.jpg", "espresso"),
    ]
    assert [one.name for one in client.photos(first=1, top=1).photos] == ["coffee.jpg"]
    assert client.photos(first=2).photos == []


def test_an_index_is_chosen_by_name_and_never_by_path(client, collection, folder: Path, model, tmp_path: Path):
    assert [(one.name, one.photos) for one in client.options().indexes] == [("all", 2), ("cups", 1)]
    hit = client.search("espresso", index="cups").hits[0]
    assert (hit.photo, hit.thumbnail) == (0, "/v1/photos/0?index=cups")
    with collection.http() as http:
        assert http.get(hit.thumbnail).headers["content-type"] == "image/jpeg"
        for path in ("search?q=cat&", "photos?", "photos/0?"):
            for name in (str(folder / "cups"), "../cups", "cup", ""):
                refused = http.get(f"/v1/{path}", params={"index": name, **({"q": "cat"} if "q=" in path else {})})
                assert (refused.status_code, refused.json()["error"]["code"]) == (404, "no_index"), (path, name)
    (tmp_path / "other").mkdir()
    shutil.copytree(folder / "cups", tmp_path / "other" / "cups")
    assert list(open_indexes([folder / "cups", tmp_path / "other" / "cups"], model)) == [
        f"{folder.name}/cups",
        "other/cups",
    ]
    with pytest.raises(UsageError, match="duplicate index"):
        open_indexes([folder / "cups", folder / "all" / ".." / "cups"], model)


def test_names_are_shown_and_understood_in_the_language_of_the_request(client, collection):
    assert client.options().languages == ["en", "fr", "ar"]
    assert client.search("chat", lang="fr").hits[0].name == "chelsea.jpg"
    assert client.search("قط", lang="ar").label == "قِطّ"
    assert client.search("espresso", lang="fr").hits[0].label == "expresso"
    assert client.search("cat").hits[0].label == "Egyptian cat"
    with collection.http() as http:
        assert http.get("/v1/labels", params={"q": "n02121620", "lang": "fr"}).json()["found"][0]["name"] == "chat"
        refused = http.get("/v1/search", params={"q": "cat", "lang": "/etc/passwd"})
        assert (refused.status_code, refused.json()["error"]["message"]) == (
            404,
            "no language '/etc/passwd' in this service: it has en, fr, ar",
        )


def test_the_same_scores_in_every_language(client):
    scores = [
        [hit.score for hit in client.search("n02121620", reject=0, lang=lang).hits] for lang in ("en", "fr", "ar")
    ]
    assert scores[0] == scores[1] == scores[2]


def test_a_language_is_given_once_and_english_is_always_there(model):
    def load(language: str | None):
        return model if language is None else model.in_language(language)

    assert list(open_languages(load, [])) == ["en"]
    assert list(open_languages(load, ["fra", "EN"])) == ["fr", "en"]
    with pytest.raises(UsageError, match="duplicate language fr"):
        open_languages(load, ["fr", "fra"])


def test_accept_reject_and_undo(client, photos_corrected: Path):
    cat = photos_corrected / "cats" / "chelsea.jpg"
    assert [(one.name, one.verdict) for one in client.correct(0, "accept", EGYPTIAN).corrections] == [
        ("Egyptian cat", "accepted")
    ]
    assert names_in_sidecar(sidecar_of(cat)) == ("Egyptian cat",)
    assert client.search("cat").hits[0].corrections[0].verdict == Verdict.accepted
    assert client.correct(0, "reject", EGYPTIAN).corrections[0].verdict == Verdict.rejected
    assert names_in_sidecar(sidecar_of(cat)) == ()
    assert client.correct(0, "undo", EGYPTIAN).corrections == []
    assert os.listdir(cat.parent) == ["chelsea.jpg"]
    assert refusal(client, 0, "undo", EGYPTIAN) == (404, "unknown", f"the photo has no correction of {EGYPTIAN!r}")


def test_a_typed_name_is_read_as_a_label_and_replaces_the_one_shown(client, photos_corrected: Path):
    cat = photos_corrected / "cats" / "chelsea.jpg"
    found = client.correct(0, "accept", "tigres", instead_of=EGYPTIAN, lang="fr")
    assert [(one.id, one.name, one.verdict) for one in found.corrections] == [
        ("n02129604", "tigre", "accepted"),
        (EGYPTIAN, "Egyptian cat (en)", "rejected"),
    ]
    assert corrections_of(cat)[1].path == (
        "animal",
        "mammifère",
        "carnivore",
        "félin",
        "chat",
        "felis domesticus",
        "Egyptian cat",
    )
    client.correct(0, "undo", "n02129604")
    client.correct(0, "undo", EGYPTIAN)
    kind_of_it = client.correct(0, "accept", "tabby", instead_of="n02121620")  # a cat is right too
    assert [one.name for one in kind_of_it.corrections] == ["tabby"]
    own = client.correct(1, "accept", "my mug: a mug that my aunt made", index="all")
    assert (own.corrections[0].id, own.corrections[0].name) == ("user:my_mug", "my mug")
    with pytest.raises(UsageError, match="none of its words has a vector"):
        client.correct(0, "accept", "xqzzy")
    with pytest.raises(UsageError, match="2 names in one correction"):
        client.correct(0, "accept", "cat, dog")
    with pytest.raises(UsageError, match="instead_of"):
        client.correct(0, "reject", "cat", instead_of=EGYPTIAN)
    with pytest.raises(UsageError, match="the model has no label '/etc'"):
        client.correct(0, "accept", "cat", instead_of="/etc")


def test_a_photo_is_named_by_its_number_alone(client, collection):
    assert refusal(client, 2, "accept", "cat")[:2] == (404, "unknown")
    assert refusal(client, 1, "accept", "cat", index="cups")[:2] == (404, "unknown")
    assert refusal(client, 0, "accept", "cat", index="/etc")[:2] == (404, "no_index")
    with collection.http() as http:
        for photo in ("cats/chelsea.jpg", -1, 2**32):
            body = {"photo": photo, "name": "cat", "verdict": "accept"}
            assert http.put("/v1/corrections", json=body).status_code == 422, photo


def test_corrections_are_off_unless_the_service_is_started_with_them(
    running, model, folder: Path, photos_corrected: Path
):
    service = Service(model, OwnLabels(None, 9), open_indexes([folder / "all"], model))
    with running(service) as found, found.client() as client:
        assert not client.options().corrections
        message = "this service was not started to keep corrections"
        assert refusal(client, 0, "accept", "cat") == (403, "corrections_off", message)
    assert not list(photos_corrected.rglob("*.xmp"))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({}, 200),
    ],
)
def test_a_page_of_another_site_changes_nothing(
    collection, photos_corrected: Path, headers: dict[str, str], status: int
):
    body = {"photo": 0, "name": EGYPTIAN, "verdict": "accept"}
    with collection.http() as http:
        answer = http.put("/v1/corrections", json=body, headers=headers)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["error"]["code"] == "origin"
    assert bool(list(photos_corrected.rglob("*.xmp"))) == (status == 200)


def test_no_link_leads_out_of_the_photos(client, photos_corrected: Path, tmp_path: Path):
    (tmp_path / "victim.xml").write_text("<a/>")
    sidecar = sidecar_of(photos_corrected / "cats" / "chelsea.jpg")
    sidecar.symlink_to(tmp_path / "victim.xml")
    told = (409, "link", "the sidecar is a link, through which nothing is written")
    assert refusal(client, 0, "accept", "cat") == told
    assert (tmp_path / "victim.xml").read_text() == "<a/>"
    sidecar.unlink()
    (photos_corrected / "cats").rename(tmp_path / "cats")
    (photos_corrected / "cats").symlink_to(tmp_path / "cats")
    try:
        assert refusal(client, 0, "accept", "cat")[:2] == (409, "link")
        assert os.listdir(tmp_path / "cats") == ["chelsea.jpg"]
    finally:
        (photos_corrected / "cats").unlink()
        (tmp_path / "cats").rename(photos_corrected / "cats")


def test_a_sidecar_that_cannot_be_changed_stays_and_the_reason_names_no_folder(
    client, photos_corrected: Path, monkeypatch: pytest.MonkeyPatch
):
    sidecar = sidecar_of(photos_corrected / "cats" / "chelsea.jpg")
    sidecar.write_bytes(b"no XML")
    status, code, message = refusal(client, 0, "accept", "cat")
    assert (status, code) == (409, "sidecar")
    assert re.fullmatch(
        r"the sidecar cats/chelsea\.jpg\.xmp cannot be changed: not XML \(.*\): it is left as it is", message
    )
    assert sidecar.read_bytes() == b"no XML"
    assert client.photos(first=0).photos[0].corrections == []
    sidecar.unlink()
    for reason in (OSError(28, "No space left on device"), PermissionError(13, "Permission denied")):

        def fail(*_: object, reason: OSError = reason, **__: object) -> None:
            raise reason

        monkeypatch.setattr(sidecars, "atomic_write", fail)
        told = f"the sidecar cats/chelsea.jpg.xmp cannot be changed: {reason.strerror}"
        assert refusal(client, 0, "accept", "cat") == (409, "sidecar", told)
        assert os.listdir(sidecar.parent) == ["chelsea.jpg"]


def test_a_photo_that_is_gone_gets_no_sidecar(client, photos_corrected: Path):
    cat = photos_corrected / "cats" / "chelsea.jpg"
    cat.rename(cat.with_name("elsewhere.jpg"))
    try:
        assert refusal(client, 0, "accept", "cat")[:2] == (404, "unknown")
        assert os.listdir(cat.parent) == ["elsewhere.jpg"]
    finally:
        cat.with_name("elsewhere.jpg").rename(cat)


def test_many_at_once_lose_nothing(collection, client, photos_corrected: Path, monkeypatch: pytest.MonkeyPatch):
    """One change at a time per photo: two at once would each replace what the other wrote."""
    inside, lock, most = 0, threading.Lock(), 0
    change = sidecars.correct_sidecar

    def watched(*asked: object):
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        try:
            return change(*asked)
        finally:
            with lock:
                inside -= 1

    monkeypatch.setattr("devise.serve.corrections.correct_sidecar", watched)
    words = ("cat", "dog", "horse", "cow", "goat", "zebra")
    with ThreadPoolExecutor(len(words)) as pool:
        list(pool.map(lambda word: client.correct(0, "accept", word), words))
    assert most == 1
    assert sorted(one.name for one in corrections_of(photos_corrected / "cats" / "chelsea.jpg")) == sorted(words)
