"""The top photos of each label: against sorting all scores, and a search with them against one without."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
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
from devise.search import top_photos
from devise.search.arrayfile import write_arrays
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


@pytest.fixture(scope="module", autouse=True)
def nouns_with_few_kinds_have_lists() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(top_photos, "_WIDE", 1)
        patch.setattr(top_photos, "_wide_nouns", cache(top_photos._wide_nouns))
        yield


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


def lists_of(places: np.ndarray, scores: np.ndarray) -> TopPhotos:
    """Lists of labels alone."""
    keys = np.arange(places.max() + 1, dtype=np.uint64)
    return TopPhotos("", keys, places, scores, np.zeros(0, np.int32), np.zeros(0, np.int64))


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


def test_a_noun_with_kinds_has_a_list_of_its_own(small: Model, many: Rows, tops: TopPhotos):
    own = small.labels
    nouns = [set(one.tolist()) for one in np.split(tops.members, tops.ends[:-1])]
    assert nouns == [set(range(len(own))), set(own.places(["n03467517", "n03272010"]).tolist())]  # entity, guitar
    scores = PhotoSearch(small, many).scores(words("guitar"))
    np.testing.assert_allclose(tops.scores[len(own) + 1], -np.sort(-scores)[:LISTED], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(tops.scores[-1], scores[tops.places[-1]], rtol=1e-5, atol=1e-4)
    assert tops._lists(own.places(["n03272010", "n02391049", "n03467517"])).tolist() == [len(own) + 1, 3]
    assert tops._lists(own.places(["n03272010", "n02391049"])).tolist() == [3, 8]


@settings(max_examples=40, deadline=None)
@given(data=st.data(), listed=st.integers(1, 12))
def test_updated_lists_are_those_of_the_new_photos(data: st.DataObject, small: Model, many: Rows, listed: int):
    """Photos are added, changed and removed; some are there several times."""
    some = st.lists(st.integers(0, 59), min_size=listed, max_size=50)
    before = np.array(data.draw(some))
    after = np.array(data.draw(st.one_of(some, st.permutations(before.tolist()).map(lambda one: [*one[1:], 60, 61]))))
    old, new = (many.taken(places, many.facts[: len(places)]) for places in (before, after))
    tops = TopPhotos.of(small.parts, old, listed).updated(small.parts, new)
    whole = TopPhotos.of(small.parts, new, len(new))  # each photo's score
    assert tops.is_of(new)
    assert np.array_equal(tops.keys, whole.keys)
    for places, scores, all_places, all_scores in zip(
        tops.places, tops.scores, whole.places, whole.scores, strict=True
    ):
        filled = int((places >= 0).sum())
        assert (places[filled:] == -1).all()
        assert len(set(places[:filled].tolist())) == filled
        np.testing.assert_allclose(scores[:filled], all_scores[:filled], atol=1e-4)
        true = dict(zip(all_places.tolist(), all_scores.tolist(), strict=True))
        np.testing.assert_allclose(scores[:filled], [true[one] for one in places[:filled].tolist()], atol=1e-4)
        outside = [score for place, score in true.items() if place not in places]
        assert max(outside, default=-np.inf) <= scores[-1] + 1e-4
        assert filled >= min(listed // 2, len(outside))


def test_an_update_of_the_same_photos_is_the_same(small: Model, many: Rows, tops: TopPhotos, monkeypatch):
    back = np.arange(len(many))[::-1].copy()
    looked: list[int] = []
    block = top_photos._Scored.block
    monkeypatch.setattr(
        top_photos._Scored, "block", lambda one, photos: looked.append(len(photos)) or block(one, photos)
    )
    updated = tops.updated(small.parts, many.taken(back))
    assert not looked
    assert np.array_equal(np.where(updated.places < 0, -1, back[updated.places]), tops.places)
    assert np.array_equal(updated.scores, tops.scores)
    one_more = many.taken(np.append(back, 5), (*many.facts, PhotoFact("/q", 1, 1, b"")))
    updated.updated(small.parts, one_more)
    assert sum(looked) == 1


@given(old=st.lists(st.integers(0, 5)), new=st.lists(st.integers(0, 5)))
def test_photos_are_known_again_by_their_keys(old: list[int], new: list[int]):
    where = defaultdict(list)
    for place, key in reversed(list(enumerate(new))):
        where[key].append(place)
    expected = [where[key].pop() if where[key] else -1 for key in old]
    assert top_photos._moved(np.array(old, np.uint64), np.array(new, np.uint64)).tolist() == expected


def test_keys_differ_where_the_content_does(many: Rows):
    keys = top_photos._keys(many)
    content = Counter(
        row.vectors.tobytes() + row.totals.tobytes() + row.classes.tobytes() + row.shares.tobytes()
        for row in (many.taken(np.array([place])) for place in range(500))
    )
    assert len(content) == len(set(keys[:500].tolist())) > 100
    for change in ("vectors", "totals", "classes", "shares"):
        column = getattr(many, change).copy()
        column.reshape(len(many), -1).view(np.uint16)[:, -1] ^= 1
        other = top_photos._keys(replace(many, **{change: column}))
        assert not (other == keys).any()
    assert np.array_equal(top_photos._keys(many.taken(np.arange(7, 9))), keys[7:9])


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
    tops = lists_of(places, np.take_along_axis(scores, places, axis=1))
    asked = np.array(data.draw(st.lists(st.integers(0, len(scores) - 1), min_size=1, unique=True)))
    found = tops.possible(asked, count)
    if found is None:
        return
    assert np.array_equal(found, np.unique(found))
    true = log_sum_exp(scores[asked].T)
    assert set(np.flatnonzero(true >= np.sort(true)[-count] - 1e-5)) <= set(found.tolist())


def test_lists_answer_if_their_ends_are_low_enough():
    scores = np.log(np.array([[0.9, 0.5, 0.1], [0.4, 0.2, 0.1]], np.float32))
    tops = lists_of(np.array([[3, 1, 2], [1, 4, 3]], np.int32), scores)
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
    words("guitar"),
    words("tabby, guitar"),
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
        assert not found.notes or f"{TOP_FILE}: cannot be used" in found.notes[0]
    (index / TOP_FILE).write_bytes(data[:-1])
    refresh_kept(small, index, len(many), listed_above=100)
    assert (index / TOP_FILE).read_bytes() == data
    (index / TOP_FILE).unlink()
    os.mkfifo(index / TOP_FILE)  # which would wait for a reader
    assert "cannot be used" in open_search(small, index).find(words("zebra")).notes[0]
    refresh_kept(small, index, len(many), listed_above=100)
    assert (index / TOP_FILE).read_bytes() == data


def test_lists_of_another_version_are_named_so_and_made_again(small: Model, index: Path, many: Rows, tops: TopPhotos):
    write_arrays(index / TOP_FILE, {"fingerprint": "f"}, {"places": tops.places, "scores": tops.scores})
    (note,) = open_search(small, index).find(words("zebra")).notes
    assert note == (
        f"searches take longer: {index / TOP_FILE}: cannot be used (another version wrote it, with other arrays): "
        "run devise index again, which rebuilds it"
    )
    refresh_kept(small, index, len(many), listed_above=100)
    assert not open_search(small, index).find(words("zebra")).notes


def test_lists_that_do_not_fit_are_refused_though_their_hash_is_right(
    small: Model, many: Rows, tops: TopPhotos, tmp_path: Path
):
    def wrong(**changed: np.ndarray) -> TopPhotos:
        return replace(tops, **changed)

    outside, below = tops.places.copy(), tops.places.copy()
    outside[2, 3], below[0, 0] = len(many), -2
    unlike = tops.scores.copy()
    unlike[1, 1] = np.nan
    cases = [
        wrong(places=outside),
        wrong(places=below),
        wrong(scores=unlike),
        wrong(scores=tops.scores[:, ::-1]),
        wrong(places=tops.places[1:], scores=tops.scores[1:]),
        wrong(places=tops.places[:, :0], scores=tops.scores[:, :0]),
        wrong(ends=tops.ends[::-1]),
        wrong(ends=tops.ends - 1),
        wrong(members=tops.members + len(small.labels)),
    ]
    for case in cases:
        case.write(tmp_path)
        with pytest.raises(PhotoIndexError, match="cannot be used"):
            TopPhotos.read(tmp_path, len(small.labels), many)
    tops.write(tmp_path)
    assert TopPhotos.read(tmp_path, len(small.labels), many) is not None
