"""The calls of the search, over an index that `devise index` made."""

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import pytest
from PIL import Image

from devise.errors import UsageError

HALF = 0.5  # a probability that only the photo of the word itself can have


@pytest.mark.parametrize(("word", "name"), [("Egyptian cat", "chelsea.jpg"), ("espresso", "coffee.jpg")])
def test_the_first_photo_is_that_of_the_word(indexed, word: str, name: str):
    with indexed.client() as client:
        found = client.search(word, top=2)
        assert (found.photos, len(found.hits), found.hits[0].name) == (3, 2, name)
        assert found.hits[0].score > HALF > found.hits[1].score


def test_a_score_is_what_label_gives(indexed, model):
    with indexed.client() as client, indexed.http() as http:
        hit = client.search("espresso", top=1).hits[0]
        assert http.get("/healthz").json()["search"] is True
    data = pytest.importorskip("skimage.data")
    buffer = BytesIO()
    Image.fromarray(data.coffee()).save(buffer, "JPEG")
    guess = model.label(buffer.getvalue()).guesses[0]
    assert guess.label.name == "espresso"
    assert hit.score == pytest.approx(guess.score, abs=2e-3)  # the index keeps 16 bits


def test_a_label_of_ones_own_is_looked_for_by_its_definition(indexed):
    with indexed.client() as client:
        client.put_label("moggy", "a domestic cat")
        try:
            found = client.search("moggy", top=1)
        finally:
            client.delete_label("moggy")
        assert (found.label, found.hits[0].name) == ("moggy", "chelsea.jpg")
        with pytest.raises(UsageError, match="no noun of WordNet"):
            client.search("xqzzy")


def test_photos_are_shown_by_number_and_by_nothing_else(indexed):
    with indexed.client() as client, indexed.http() as http:
        hits = {hit.name: hit for hit in client.search("cat", top=3).hits}
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
