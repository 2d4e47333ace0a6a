"""The calls of the search, over an index that `devise index` made."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO

import pytest
from PIL import Image

from devise.errors import UsageError
from devise.model.sense_choice import Meanings
from devise.vision.pipeline import cores

HALF = 0.5  # a probability that only the photo of the word itself can have


@pytest.mark.parametrize(("word", "name"), [("Egyptian cat", "chelsea.jpg"), ("espresso", "coffee.jpg")])
def test_the_first_photo_is_that_of_the_word(indexed, word: str, name: str):
    with indexed.client() as client:
        found = client.search(word, top=2, reject=0)
        assert (found.photos, len(found.hits), found.hits[0].name) == (3, 2, name)
        assert found.hits[0].score > HALF > found.hits[1].score


def test_what_is_no_likelier_than_before_is_not_found(indexed):
    with indexed.client() as client:
        assert [hit.name for hit in client.search("Egyptian cat").hits] == ["chelsea.jpg"]
        assert client.search("lighthouse").hits == []
        assert client.search("lighthouse", reject=1).hits == []
        assert len(client.search("lighthouse", reject=0).hits) == 3
        with pytest.raises(UsageError, match="reject"):
            client.search("lighthouse", reject=2)


def test_words_are_joined_and_no_file_is_named(indexed, tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "here.png")
    with indexed.http() as http:
        found = http.get("/v1/search", params={"q": "animal - dog", "reject": 0}).json()
        assert (found["hits"][0]["name"], found["taken"]) == ("chelsea.jpg", None)
        found = http.get("/v1/search", params={"q": "a cup of coffee", "reject": 0}).json()
        assert (found["hits"][0]["name"], found["label"]) == ("coffee.jpg", "a cup of coffee")
        assert found["notes"][0] == "a cup of coffee: read as cup + coffee"
        for query in (f"cat + {tmp_path}/here.png", str(tmp_path / "here.png"), "cat + nowhere.jpg"):
            refused = http.get("/v1/search", params={"q": query})
            assert (refused.status_code, "takes words alone" in refused.text) == (422, True)


def test_searches_wait_for_each_other_and_not_for_ever(indexed, monkeypatch):
    """One runs per core: each of a wide word takes 100 MB and a core."""
    service, lock, may_end, running, most = indexed.service, threading.Lock(), threading.Event(), 0, 0
    full = threading.Semaphore(0)
    find = service.photos.find

    def slow(*asked):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        full.release()
        may_end.wait(60)
        with lock:
            running -= 1
        return find(*asked)

    monkeypatch.setattr(service.photos, "find", slow)

    def status(_: int = 0) -> int:
        with indexed.http() as http:
            return http.get("/v1/search", params={"q": "espresso"}).status_code

    with ThreadPoolExecutor(cores() + 3) as clients:
        asked = [clients.submit(status) for _ in range(cores())]
        for _ in range(cores()):
            assert full.acquire(timeout=60)
        with monkeypatch.context() as hurried:
            hurried.setattr(service, "limits", replace(service.limits, seconds=0.05))
            assert status() == 429
        with indexed.http() as http:
            assert http.get("/healthz").status_code == 200
        asked += [clients.submit(status) for _ in range(2)]
        may_end.set()
        assert [one.result(60) for one in asked] == [200] * (cores() + 2)
    assert most == cores()


@pytest.mark.parametrize("deaf", [False, True], ids=["ends itself", "is abandoned"])
def test_a_search_has_the_time_of_a_request(indexed, monkeypatch, deaf: bool):
    """Until it has really ended, its core is not given to another one."""
    service, may_end, ended = indexed.service, threading.Event(), threading.Semaphore(0)
    find = service.photos.find

    def endless(labels, top, reject, check, *filters):
        assert threading.current_thread().daemon  # so that it does not keep the process alive
        try:
            while not may_end.wait(0.01):
                if not deaf:
                    check()
        finally:
            ended.release()
        return find(labels, top, reject, check)

    with indexed.http() as http, monkeypatch.context() as slow:
        slow.setattr(service.photos, "find", endless)
        slow.setattr(service, "limits", replace(service.limits, seconds=0.05))
        messages = []
        for _ in range(2 * cores()):
            late = http.get("/v1/search", params={"q": "espresso"})
            assert (late.status_code, late.headers["retry-after"]) == (429, "2")
            messages.append(late.json()["error"]["message"])
        took = "the search took over 0.05 seconds: search for a narrower word, or try again"
        waited = "other searches take long: try again"
        assert messages == [took] * cores() + [waited if deaf else took] * cores()
        may_end.set()
        for _ in range(cores() if deaf else 2 * cores()):
            assert ended.acquire(timeout=60)
    with indexed.client() as client:
        assert client.search("espresso", top=1).hits[0].name == "coffee.jpg"


def test_several_words_are_any_of_them(indexed):
    with indexed.client() as client:
        for words in (
            "espresso, Egyptian cat",
            "'espresso'; “Egyptian cat”",
            "n07920052 n02124075",
            "espresso | Egyptian cat",
        ):
            found = client.search(words, top=3, reject=0)
            assert {hit.name for hit in found.hits[:2]} == {"chelsea.jpg", "coffee.jpg"}, words
            assert found.hits[1].score > HALF > found.hits[2].score
        assert client.search("espresso, Egyptian cat").label == "espresso, Egyptian cat"
        with pytest.raises(UsageError, match="looks like the id of a synset"):
            client.search("02129165-n, tiger")


def test_a_score_is_what_label_gives(indexed, model):
    with indexed.client() as client, indexed.http() as http:
        hit = client.search("espresso", top=1).hits[0]
        assert http.get("/healthz").json()["search"] is True
    data = pytest.importorskip("skimage.data")
    buffer = BytesIO()
    Image.fromarray(data.coffee()).save(buffer, "JPEG")
    guess = model.label(buffer.getvalue()).guesses[0]
    assert guess.label.name == "espresso"
    # The index keeps points in 16 bits: 5e-4 of a cosine over a temperature of 0.06 is a hundredth of a share.
    assert hit.score == pytest.approx(guess.score, rel=1e-2)


def test_a_label_of_ones_own_is_looked_for_by_its_definition(indexed):
    with indexed.client() as client:
        client.put_label("moggy", "a domestic cat")
        try:
            found = client.search("moggy", top=1)
        finally:
            client.delete_label("moggy")
        assert (found.label, found.hits[0].name) == ("moggy", "chelsea.jpg")
        with pytest.raises(UsageError, match="not a noun of WordNet"):
            client.search("xqzzy")


def test_photos_are_shown_by_number_and_by_nothing_else(indexed):
    with indexed.client() as client, indexed.http() as http:
        hits = {hit.name: hit for hit in client.search("cat", top=3, reject=0).hits}
        answer = http.get(hits["chelsea.jpg"].thumbnail)
        assert answer.headers["content-type"] == "image/jpeg"
        assert max(Image.open(BytesIO(answer.content)).size) == 320
        gone = http.get(hits["rocket.jpg"].thumbnail)
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "unknown")
        assert "rocket" not in gone.text
        assert http.get("/v1/photos/3").status_code == 404
        for wrong, status in (("-1", 422), ("chelsea.jpg", 422), ("1e0", 422), ("%2Fetc%2Fpasswd", 404)):
            assert http.get(f"/v1/photos/{wrong}").status_code == status, wrong


def test_many_at_once_find_the_same(indexed):
    words = ("cat", "espresso", "rocket", "musical instrument", "dog", "cup") * 8
    with indexed.client() as client:
        alone = {word: client.search(word, top=3).hits for word in set(words)}

    def ask(word: str) -> bool:
        with indexed.client() as client:
            return client.search(word, top=3).hits == alone[word]

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(ask, words))


def test_the_senses_of_a_word_are_told_and_one_can_be_chosen(indexed, model):
    meaning = Meanings(model.parts).of("cup")
    with indexed.client() as client:
        found = client.search("cup", top=3)
        assert found.taken.id == meaning.chosen.id
        assert [one.id for one in found.others] == [one.id for one in Meanings(model.parts).others(meaning)]
        assert len(found.others) == meaning.others > 0
        assert (found.taken.kind, found.taken.gloss) == (meaning.kind, meaning.chosen.definition)
        other = client.search("cup", sense=found.others[0].id, top=3)
        assert other.taken == found.others[0]
        assert found.taken.id in [one.id for one in other.others]
        assert len(other.others) == len(found.others)
        assert [hit.score for hit in other.hits] != [hit.score for hit in found.hits]
        with pytest.raises(UsageError, match="not a sense of 'cup'"):
            client.search("cup", sense="n02121620")
        assert client.search("zedonk: offspring of a zebra and a donkey").taken is None


def test_what_the_photos_are_called_comes_as_kinds(indexed):
    with indexed.client() as client:
        found = client.search("animal", top=3)
        assert [(one.name, one.photos) for one in found.kinds] == [("Egyptian cat", 1)]
        assert [hit.label for hit in found.hits if hit.name == "chelsea.jpg"] == ["Egyptian cat"]
        kind = client.search(found.kinds[0].name, sense=found.kinds[0].id, top=1)
        assert (kind.hits[0].name, kind.hits[0].likeness) == ("chelsea.jpg", "very like")


def test_photos_like_one_of_the_index(indexed, model):
    with indexed.client() as client, indexed.http() as http:
        numbers = {hit.name: hit.photo for hit in client.search("cat", top=3, reject=0).hits}
        found = client.search(like=numbers["chelsea.jpg"], top=3)
        assert sorted(hit.name for hit in found.hits) == ["coffee.jpg", "rocket.jpg"]
        data = pytest.importorskip("skimage.data")
        vectors = []
        for name in ("chelsea", "coffee"):
            buffer = BytesIO()
            Image.fromarray(getattr(data, name)()).save(buffer, "JPEG")
            vectors.append(model.embed(buffer.getvalue()))
        scores = {hit.name: hit.score for hit in found.hits}
        assert scores["coffee.jpg"] == pytest.approx(float(vectors[0] @ vectors[1]), abs=2e-3)
        assert found.hits[0].score >= found.hits[1].score
        assert http.get("/v1/search", params={"like": 3}).status_code == 404
        for wrong in ({}, {"q": "cat", "like": 0}, {"like": 0, "sense": "n02121620"}, {"q": " "}):
            assert http.get("/v1/search", params=wrong).status_code == 422, wrong


def test_some_photos_of_the_index_and_a_larger_copy(indexed):
    with indexed.client() as client, indexed.http() as http:
        some = client.photos(top=2)
        assert (some.total, [one.path for one in some.photos]) == (3, ["chelsea.jpg", "coffee.jpg"])
        assert len(client.photos(top=9).photos) == 3
        large = http.get(some.photos[1].thumbnail, params={"side": "1280"})
        assert Image.open(BytesIO(large.content)).size == (600, 400)  # as the photo is
        assert http.get(some.photos[1].thumbnail, params={"side": "5000"}).status_code == 422


def test_no_message_has_a_command_to_type(indexed, start, photo: bytes):
    bare = start()
    with indexed.http() as http, bare.http() as without:
        answers = [
            http.get("/v1/search", params={"q": "xqzzy"}),
            http.post("/v1/label", params={"under": "xyzzy"}, content=photo),
            http.post("/v1/label", params={"labels": "mug; crane; bat", "candidates": "typed"}, content=photo),
            without.get("/v1/search", params={"q": "cat"}),
        ]
        assert "several meanings" in answers[2].text
        for answer in answers:
            assert "--" not in answer.text
            assert "`" not in answer.text
            assert "devise" not in answer.text.replace('"method":"devise"', "")
