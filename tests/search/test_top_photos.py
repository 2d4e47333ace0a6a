"""The top photos of each label: against sorting all scores, and a search with them against one without."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from smallmodel import write_small_bundle

from devise.errors import PhotoIndexError
from devise.model.labeller import Model, load
from devise.model.typed import TypedLabel, parse_labels
from devise.search.photofacts import PhotoFact
from devise.search.photoindex import PhotoSide, header_of, refresh_kept
from devise.search.query import PhotoSearch, open_search
from devise.search.results import Wanted
from devise.search.rows import Rows
from devise.search.store import PhotoStore
from devise.search.top_photos import TOP_FILE, TopPhotos
from devise.space.evidence import log_sum_exp

pytest.importorskip("pyarrow")

LISTED = 150


@pytest.fixture(scope="module", params=[{}, {"slope": 1.3, "offset": -0.4}], ids=["older", "first choice"])
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("tops") / "small"
    write_small_bundle(path, **request.param)
    return load(path)


@pytest.fixture(scope="module")
def many(small: Model) -> Rows:
    rng = np.random.default_rng(4)
    features = rng.uniform(-1, 1, (3000, 3)).astype(np.float32)
    facts = [PhotoFact(f"/p/{i:05d}", 1, 1, i.to_bytes(32, "big")) for i in range(len(features))]
    return PhotoSide(small.parts).rows(facts, features)


@pytest.fixture(scope="module")
def tops(small: Model, many: Rows) -> TopPhotos:
    return TopPhotos.of(small.parts, many, LISTED)


def words(*texts: str) -> Wanted:
    return Wanted(parse_labels(*texts))


def test_the_lists_are_the_best_of_all_scores(small: Model, many: Rows, tops: TopPhotos):
    search = PhotoSearch(small, many)
    for place, label_id in enumerate(small.labels.ids):
        scores = search.scores(Wanted((TypedLabel(label_id),), exact=True))
        np.testing.assert_allclose(tops.scores[place], -np.sort(-scores)[:LISTED], rtol=1e-5, atol=1e-4)
        if np.isfinite(scores).all():  # a label without a vector has no photos
            np.testing.assert_allclose(tops.scores[place], scores[tops.places[place]], rtol=1e-5, atol=1e-4)
            assert len(set(tops.places[place].tolist())) == LISTED


def test_blocks_of_photos_and_of_labels_change_nothing(small: Model, many: Rows, tops: TopPhotos, monkeypatch):
    monkeypatch.setattr("devise.search.top_photos._BLOCK", 7)
    monkeypatch.setattr("devise.search.top_photos._LABELS", 2)
    other = TopPhotos.of(small.parts, many, LISTED)
    np.testing.assert_allclose(other.scores, tops.scores, rtol=1e-5, atol=1e-5)


_EIGHTHS = st.integers(-30, 0).map(lambda eighths: eighths / 8)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), listed=st.integers(1, 8), count=st.integers(1, 5))
def test_no_photo_that_can_be_among_the_first_is_left_out(data: st.DataObject, listed: int, count: int):
    """Logarithms of probabilities that tie often, of up to 4 labels and 25 photos; some are impossible."""
    shape = st.tuples(st.integers(1, 4), st.integers(max(listed, count), 25))
    scores = data.draw(hnp.arrays(np.float32, shape, elements=st.one_of(_EIGHTHS, st.just(-np.inf))))
    places = np.argsort(-scores, axis=1, kind="stable")[:, :listed].astype(np.int32)
    tops = TopPhotos("", places, np.take_along_axis(scores, places, axis=1))
    asked = np.array(data.draw(st.lists(st.integers(0, len(scores) - 1), min_size=1, unique=True)))
    found = tops.possible(asked, count)
    if found is None:
        return
    assert np.array_equal(found, np.unique(found))
    true = log_sum_exp(scores[asked].T)
    assert set(np.flatnonzero(true >= np.sort(true)[-count] - 1e-5)) <= set(found.tolist())


def test_lists_answer_if_their_ends_are_low_enough():
    scores = np.log(np.array([[0.9, 0.5, 0.1], [0.4, 0.2, 0.1]], np.float32))
    tops = TopPhotos("", np.array([[3, 1, 2], [1, 4, 3]], np.int32), scores)
    both = np.array([0, 1])
    assert tops.possible(both, 1).tolist() == [3]  # 0.9 + 0.1; 1 has 0.5 + 0.4
    assert tops.possible(both, 2).tolist() == [1, 3]
    assert tops.possible(both, 3) is None  # 4 has 0.2 and at most 0.1; so may any other photo
    assert tops.possible(np.array([0]), 2).tolist() == [1, 3]
    assert tops.possible(np.array([0]), 3) is None  # a photo that is not listed may have 0.1 too
    assert tops.possible(np.array([1]), 4) is None


WANTED = [
    words("zebra"),
    words("kiang"),
    words("tabby, scooter"),
    words("equine"),
    words("animal"),
    words("zedonk: part zebra, part donkey; zebra; kiang"),
    Wanted((TypedLabel("entity"),), exact=True),
    Wanted(parse_labels("zebra", "kiang"), "all"),
    Wanted(parse_labels("zebra"), under="equine"),
    Wanted(parse_labels("zebra"), reject="auto"),
    Wanted(under="equine"),
    Wanted(parse_labels("zebra", "kiang"), by="cosine"),
    Wanted(like=np.full((6, 5, 3), (200, 30, 90), np.uint8)),
]


@pytest.mark.parametrize("wanted", WANTED, ids=str)
@pytest.mark.parametrize("top", [20, 400])
@pytest.mark.parametrize("often", [False, True])
def test_a_search_with_the_lists_finds_the_same(
    small: Model, many: Rows, tops: TopPhotos, wanted: Wanted, top: int, often: bool, monkeypatch
):
    monkeypatch.setattr("devise.search.query._COARSE_FROM", 1)
    plain, listed = PhotoSearch(small, many), PhotoSearch(small, many, tops, often=often)
    expected, found = plain.find(wanted, top), listed.find(wanted, top)
    assert [hit.path for hit in found.hits] == [hit.path for hit in expected.hits]
    np.testing.assert_allclose([h.score for h in found.hits], [h.score for h in expected.hits], rtol=1e-5)
    assert (found.photos, found.notes) == (expected.photos, expected.notes)


def test_a_search_looks_at_few_photos(small: Model, many: Rows, tops: TopPhotos, monkeypatch: pytest.MonkeyPatch):
    looked: list[int] = []
    taken = Rows.taken
    monkeypatch.setattr(Rows, "taken", lambda rows, places: looked.append(len(places)) or taken(rows, places))
    for text in ("kiang", "zebra"):
        PhotoSearch(small, many, tops).find(words(text), top=5)
    assert len(looked) == 2
    assert max(looked) < LISTED


def test_photos_that_are_all_alike_are_all_looked_at(small: Model, many: Rows):
    same = many.taken(np.full(300, 7), many.facts[:300])
    hits = PhotoSearch(small, same, TopPhotos.of(small.parts, same, 50)).find(words("kiang"), top=3).hits
    assert [hit.path for hit in hits] == ["/p/00000", "/p/00001", "/p/00002"]


@pytest.fixture
def index(small: Model, many: Rows, tmp_path: Path) -> Path:
    PhotoStore.created(tmp_path / "index", header_of(small.parts)).append(many)
    return tmp_path / "index"


def test_an_index_keeps_the_lists_while_it_has_enough_photos(small: Model, index: Path, many: Rows):
    (index / "nearest.faiss").write_bytes(b"of an earlier version")
    before = open_search(small, index).find(words("zebra"), top=10)
    built = refresh_kept(small, index, len(many), listed_above=100)
    assert built is not None
    assert not (index / "nearest.faiss").exists()
    data = (index / TOP_FILE).read_bytes()
    assert open_search(small, index).find(words("zebra"), top=10) == before
    assert refresh_kept(small, index, len(many), listed_above=100) is not None
    assert (index / TOP_FILE).read_bytes() == data
    PhotoStore.opened(index).append(Rows.gone(["/p/00007"], 12, 4))
    stale = open_search(small, index).find(words("zebra"))
    assert "is out of date" in stale.notes[0]
    again = refresh_kept(small, index, len(many) - 1, listed_above=100)
    assert again is not None
    assert again.fingerprint != built.fingerprint
    assert not open_search(small, index).find(words("zebra")).notes
    assert refresh_kept(small, index, 10, listed_above=100) is None
    assert not (index / TOP_FILE).exists()


def test_a_flipped_byte_of_the_lists_changes_no_answer(small: Model, index: Path, many: Rows):
    before = open_search(small, index).find(words("zebra"), top=10).hits
    refresh_kept(small, index, len(many), listed_above=100)
    data = (index / TOP_FILE).read_bytes()
    rng = np.random.default_rng(0)
    for place in [*rng.choice(300, 10, replace=False).tolist(), *rng.choice(len(data), 10).tolist()]:
        flipped = bytearray(data)
        flipped[place] ^= 1 << int(rng.integers(8))
        (index / TOP_FILE).write_bytes(flipped)
        found = open_search(small, index).find(words("zebra"), top=10)
        assert found.hits == before
        assert not found.notes or f"{TOP_FILE}: is damaged" in found.notes[0]
    (index / TOP_FILE).write_bytes(data[:-1])
    refresh_kept(small, index, len(many), listed_above=100)
    assert (index / TOP_FILE).read_bytes() == data
    (index / TOP_FILE).unlink()
    os.mkfifo(index / TOP_FILE)  # which would wait for a reader
    assert "is damaged" in open_search(small, index).find(words("zebra")).notes[0]
    refresh_kept(small, index, len(many), listed_above=100)
    assert (index / TOP_FILE).read_bytes() == data


def test_lists_that_do_not_fit_are_refused_though_their_hash_is_right(
    small: Model, many: Rows, tops: TopPhotos, tmp_path: Path
):
    def wrong(**changed: np.ndarray) -> TopPhotos:
        return replace(tops, **changed)

    outside, below = tops.places.copy(), tops.places.copy()
    outside[2, 3], below[0, 0] = len(many), -1
    unlike = tops.scores.copy()
    unlike[1, 1] = np.nan
    cases = [
        wrong(places=outside),
        wrong(places=below),
        wrong(scores=unlike),
        wrong(scores=tops.scores[:, ::-1]),
        wrong(places=tops.places[1:], scores=tops.scores[1:]),
        wrong(places=tops.places[:, :0], scores=tops.scores[:, :0]),
    ]
    for case in cases:
        case.write(tmp_path)
        with pytest.raises(PhotoIndexError, match="is damaged"):
            TopPhotos.read(tmp_path, len(small.labels), many)
    tops.write(tmp_path)
    assert TopPhotos.read(tmp_path, len(small.labels), many) is not None
