"""Search: against the labeller's own probabilities, against brute force, with and without a first look."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from smallmodel import write_small_bundle

from devise.errors import PhotoIndexError, UsageError
from devise.model.labeller import Model, load
from devise.model.rejection import log_expected
from devise.model.typed import TypedLabel, parse_labels
from devise.pages.contact_sheet import contact_sheet
from devise.search.expression import parse_expression
from devise.search.photofacts import PhotoFact
from devise.search.photoindex import PhotoSide, index_photos, refresh_kept
from devise.search.query import PhotoSearch, open_search
from devise.search.results import Hit, Hits, Term, Wanted
from devise.search.rows import Rows

pytest.importorskip("pyarrow")


@pytest.fixture(scope="module", params=[{}, {"slope": 1.3, "offset": -0.4}], ids=["older", "first choice"])
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The small model, as older ones are and with a first choice of its classifier that is sure by itself."""
    path = tmp_path_factory.mktemp("search") / "small"
    write_small_bundle(path, **request.param)
    return load(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(2)
    (tmp_path / "photos").mkdir()
    for number in range(12):
        pixels = np.full((6, 5, 3), rng.integers(0, 256, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number:02d}.png")
    return tmp_path / "photos"


@pytest.fixture
def search(small: Model, photos: Path, tmp_path: Path) -> PhotoSearch:
    index_photos(small, [photos], tmp_path / "index")
    return open_search(small, tmp_path / "index")


def words(*texts: str) -> Wanted:
    return Wanted(parse_labels(*texts))


def probabilities(model: Model, photos: Path, labels: str | None = None) -> dict[str, dict[str, float]]:
    """What `devise label` says of each photo: path -> label id -> probability."""
    answers = model.label_many(sorted(photos.glob("*.png")), top=9, labels=labels)
    return {answer.source: {guess.label.id: guess.score for guess in answer.guesses} for answer in answers}


@pytest.mark.parametrize("text", ["tabby", "kiang", "zebra", "n03272010"])
def test_a_score_is_the_probability_of_devise_label(small: Model, photos: Path, search: PhotoSearch, text: str):
    """The tolerance is that of a vector in 16 bits: 5e-4 of a cosine over a temperature of 0.5."""
    label_id = small.parts.taxonomy.find(text)[0].id
    expected = probabilities(small, photos)
    found = search.find(words(text), top=12)
    assert len(found.hits) == found.photos == 12
    for hit in found.hits:
        assert hit.score == pytest.approx(expected[hit.path][label_id], rel=2e-3, abs=1e-6)
    scores = [hit.score for hit in found.hits]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    "wanted", [words("animal"), words("tabby", "zebra"), Wanted(parse_labels("animal"), by="cosine")]
)
def test_a_check_ends_a_search_between_blocks(small: Model, search: PhotoSearch, monkeypatch, wanted: Wanted):
    monkeypatch.setattr("devise.search.query._BLOCK_BYTES", 1)  # a photo per block
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 7:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        search.find(wanted, top=3, check=check)
    assert calls == 7


def test_a_photo_is_called_what_devise_label_calls_it(small: Model, photos: Path, search: PhotoSearch):
    expected = probabilities(small, photos)
    for hit in search.find(words("zebra"), top=12).hits:
        assert hit.label.id == max(expected[hit.path], key=expected[hit.path].__getitem__)


def test_a_typed_label_competes_with_all_others(small: Model, photos: Path, search: PhotoSearch):
    text = "zedonk: offspring of a zebra and a donkey"
    answers = small.label_many(sorted(photos.glob("*.png")), top=10, labels=text)
    expected = {a.source: next(g.score for g in a.guesses if g.label.id == "user:zedonk") for a in answers}
    for hit in search.find(words(text), top=12).hits:
        assert hit.score == pytest.approx(expected[hit.path], rel=2e-3, abs=1e-6)


def test_any_adds_and_every_multiplies(small: Model, photos: Path, search: PhotoSearch):
    expected = probabilities(small, photos)
    typed = parse_labels("zebra", "tabby")
    for hit in search.find(Wanted(typed), top=12).hits:
        both = [expected[hit.path][i] for i in ("n02391049", "n02123045")]
        assert hit.score == pytest.approx(sum(both), rel=2e-3)
    for hit in search.find(Wanted(typed, "all"), top=12).hits:
        both = [expected[hit.path][i] for i in ("n02391049", "n02123045")]
        assert hit.score == pytest.approx(both[0] * both[1], rel=4e-3)


def test_under_is_the_sum_over_the_branch(small: Model, photos: Path, search: PhotoSearch):

    expected = probabilities(small, photos)
    equine = small.parts.taxonomy.subtree(small.parts.taxonomy.find("equine")[0].id)

    for hit in search.find(Wanted(under="equine"), top=12).hits:
        assert hit.score == pytest.approx(sum(p for i, p in expected[hit.path].items() if i in equine), rel=2e-3)
    alone = {hit.path: hit.score for hit in search.find(Wanted(under="equine"), top=12).hits}
    tabby = {hit.path: hit.score for hit in search.find(words("tabby"), top=12).hits}
    for hit in search.find(Wanted(parse_labels("tabby"), under="equine"), top=12).hits:
        assert hit.score == pytest.approx(alone[hit.path] * tabby[hit.path], rel=1e-4)


def test_like_finds_the_photo_itself_first(search: PhotoSearch, photos: Path):
    found = search.find(Wanted(like=photos / "05.png"), top=3)
    assert found.hits[0].path == str(photos / "05.png")
    assert found.hits[0].score == pytest.approx(1, abs=1e-3)


def test_equal_scores_are_ordered_by_path(small: Model, tmp_path: Path):
    for name in ("c", "a", "b"):
        Image.fromarray(np.full((4, 4, 3), 70, dtype=np.uint8)).save(tmp_path / f"{name}.png")
    index_photos(small, [tmp_path / f"{name}.png" for name in "cab"], tmp_path / "index")
    hits = open_search(small, tmp_path / "index").find(words("zebra")).hits
    assert [Path(hit.path).stem for hit in hits] == ["a", "b", "c"]


def test_what_cannot_be_asked(search: PhotoSearch):
    with pytest.raises(UsageError, match="nothing to search for"):
        Wanted()
    with pytest.raises(UsageError, match="excludes words and under"):
        Wanted(parse_labels("zebra"), like="a.png")
    with pytest.raises(UsageError, match="top must be at least 1"):
        search.find(words("zebra"), top=0)
    with pytest.raises(UsageError, match="under needs a noun"):
        search.find(Wanted(under="qqqq"))


def test_an_empty_index_finds_nothing(small: Model):
    found = PhotoSearch(small, Rows.blank((), 12, 4)).find(words("zebra"))
    assert (found.hits, found.photos) == ((), 0)


def test_a_label_without_a_vector_is_nowhere(small: Model, search: PhotoSearch):
    assert search.find(Wanted((TypedLabel("entity"),), exact=True)).hits[0].score == 0
    assert search.find(words("entity")).hits[0].score == pytest.approx(1)  # its kinds are all there is


def test_a_word_finds_its_kinds(small: Model, search: PhotoSearch):
    under = {hit.path: hit.score for hit in search.find(Wanted(under="equine")).hits}
    assert {hit.path: hit.score for hit in search.find(words("equine")).hits} == pytest.approx(under)
    both = search.find(Wanted((TypedLabel("equine"), TypedLabel("feline")), "all")).hits[0]
    apart = [{hit.path: hit.score for hit in search.find(words(one)).hits} for one in ("equine", "feline")]
    assert both.score == pytest.approx(apart[0][both.path] * apart[1][both.path], rel=1e-4)
    for alone in (Wanted((TypedLabel("equine"),), exact=True), words("n02374149")):
        assert max(hit.score for hit in search.find(alone).hits) < max(under.values())


@pytest.fixture(scope="module")
def many(small: Model) -> Rows:
    rng = np.random.default_rng(4)
    features = rng.uniform(-1, 1, (3000, 3)).astype(np.float32)
    facts = [PhotoFact(f"/p/{i:05d}", 1, 1, i.to_bytes(32, "big")) for i in range(len(features))]
    return PhotoSide(small.parts).rows(facts, features)


@pytest.mark.parametrize("text", ["zebra", "kiang", "tabby, scooter", "zedonk: part zebra, part donkey"])
def test_the_blocks_of_a_large_index_equal_brute_force(
    small: Model, many: Rows, text: str, monkeypatch: pytest.MonkeyPatch
):
    from devise.search import query as module

    whole = PhotoSearch(small, many).scores(words(text))
    monkeypatch.setattr(module, "_BLOCK_BYTES", 1000)
    np.testing.assert_allclose(PhotoSearch(small, many).scores(words(text)), whole, rtol=1e-5, atol=1e-5)
    one_by_one = [PhotoSearch(small, many.taken(np.array([i]))).scores(words(text))[0] for i in range(0, 3000, 211)]
    np.testing.assert_allclose(whole[::211], one_by_one, rtol=1e-5, atol=1e-5)


@pytest.fixture
def first_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small indexes get it too."""
    monkeypatch.setattr("devise.search.query._COARSE_FROM", 1)


@pytest.mark.parametrize(
    "wanted",
    [
        words("zebra"),
        words("kiang"),
        words("tabby, scooter"),
        words("zedonk: part zebra, part donkey"),
        words("zedonk: part zebra, part donkey; zebra; kiang"),
        Wanted(parse_labels("zebra", "kiang"), "all"),
        Wanted(parse_labels("zebra"), under="equine"),
        Wanted(under="equine"),
        Wanted(parse_labels("zebra", "kiang"), by="cosine"),
        Wanted(parse_labels("zebra", "kiang"), "all", by="cosine"),
        Wanted(like=np.full((6, 5, 3), (200, 30, 90), np.uint8)),
    ],
    ids=str,
)
@pytest.mark.parametrize("top", [1, 20, 400])
@pytest.mark.usefixtures("first_look")
def test_a_first_look_in_8_bits_finds_the_same(small: Model, many: Rows, wanted: Wanted, top: int):
    plain, often = PhotoSearch(small, many), PhotoSearch(small, many, often=True)
    expected, found = plain.find(wanted, top), often.find(wanted, top)
    assert [hit.path for hit in found.hits] == [hit.path for hit in expected.hits]
    np.testing.assert_allclose([h.score for h in found.hits], [h.score for h in expected.hits], rtol=1e-5)
    assert found.photos == expected.photos == len(many)
    assert found.notes == expected.notes


@pytest.mark.usefixtures("first_look")
def test_a_first_look_spares_most_photos(small: Model, many: Rows, monkeypatch: pytest.MonkeyPatch):
    looked: list[int] = []
    taken = Rows.taken
    monkeypatch.setattr(Rows, "taken", lambda rows, places: looked.append(len(places)) or taken(rows, places))
    PhotoSearch(small, many, often=True).find(words("kiang"), top=5)
    assert len(looked) == 1
    assert 5 <= looked[0] < len(many) / 4


@pytest.mark.usefixtures("first_look")
def test_photos_that_are_all_alike_are_all_looked_at(small: Model, many: Rows):
    same = many.taken(np.full(300, 7), many.facts[:300])
    for often in (False, True):
        hits = PhotoSearch(small, same, often=often).find(words("kiang"), top=3).hits
        assert [hit.path for hit in hits] == ["/p/00000", "/p/00001", "/p/00002"]


def test_rows_kept_in_one_file_give_the_same_answers(small: Model, tmp_path: Path, many: Rows):
    from devise.search.photoindex import header_of
    from devise.search.store import PhotoStore

    index = tmp_path / "index"
    PhotoStore.created(index, header_of(small.parts)).append(many)
    before = open_search(small, index).find(words("zebra"), top=10)
    assert refresh_kept(small, index, len(many), kept_above=100) is None
    assert (index / "rows.bin").is_file()
    assert open_search(small, index).find(words("zebra"), top=10) == before
    (index / "rows.bin").write_bytes(b"no rows")
    found = open_search(small, index).find(words("zebra"), top=10)
    assert found.hits == before.hits
    assert "rows.bin: cannot be used" in found.notes[0]
    refresh_kept(small, index, len(many), kept_above=100)
    assert open_search(small, index).find(words("zebra"), top=10) == before
    refresh_kept(small, index, len(many))
    assert not (index / "rows.bin").exists()


def test_the_contact_sheet_is_one_page_that_loads_nothing(search: PhotoSearch, photos: Path):
    found = search.find(words("zebra"), top=3)
    Path(found.hits[1].path).unlink()
    page = contact_sheet(found, '<script>alert("x")</script>')
    assert page.count("<img ") == 2
    assert page.count('src="data:image/jpeg;base64,') == 2
    assert "no such file" in page
    assert "<script" not in page
    assert "default-src 'none'" in page


def test_the_contact_sheet_shows_no_small_score_as_zero(search: PhotoSearch):
    label = search.labels_of(np.array([0]))[0]
    hits = tuple(Hit(f"/far/<away>/{n}.jpg", score, label) for n, score in enumerate((0.5, 0.0001, 0.00009, 0.0, -0.2)))
    page = contact_sheet(Hits(hits, 5), "zebra")
    for shown in ("0.5000, ", "0.0001, ", "&lt; 0.0001, ", "0.0000, ", "-0.2000, "):
        assert f"<p>{shown}" in page
    assert '<p class="file">0.jpg</p>' in page
    assert '<p class="folder" title="/far/&lt;away&gt;">/far/&lt;away&gt;</p>' in page


@pytest.mark.parametrize("label", [-1, 2**31 - 1])
def test_a_label_that_the_model_has_not_is_refused(small: Model, tmp_path: Path, many: Rows, label: int):
    from dataclasses import replace

    from devise.search.photoindex import header_of
    from devise.search.store import PhotoStore

    PhotoStore.created(tmp_path / "index", header_of(small.parts)).append(
        replace(many, labels=np.full_like(many.labels, label))
    )
    with pytest.raises(PhotoIndexError, match="a label that the model has not"):
        open_search(small, tmp_path / "index")


def test_auto_leaves_out_what_is_no_likelier_than_before(small: Model, photos: Path, search: PhotoSearch):
    expected = probabilities(small, photos)
    before = np.exp(log_expected(small.parts, small.parts.space))
    kept = {}
    for label_id in small.labels.ids:
        found = search.find(Wanted(parse_labels(label_id), reject="auto"), top=12)
        kept[label_id] = {hit.path for hit in found.hits}
        chance = before[small.labels.position(label_id)]
        near = {path for path, shares in expected.items() if abs(shares[label_id] / chance - 1) < 0.01}  # 16 bits
        assert kept[label_id] - near == {path for path, shares in expected.items() if shares[label_id] > chance} - near
        assert found.photos == 12
    assert 0 < sum(map(len, kept.values())) < 12 * len(kept)
    both = search.find(Wanted(parse_labels("zebra", "tabby"), "all", reject="auto"), top=12)
    assert {hit.path for hit in both.hits} == kept["n02391049"] & kept["n02123045"]


def test_a_score_below_the_one_asked_is_left_out(search: PhotoSearch, photos: Path):
    everything = search.find(words("zebra"), top=12).hits
    least = everything[3].score
    assert search.find(Wanted(parse_labels("zebra"), reject=least), top=12).hits == everything[:4]
    like = search.find(Wanted(like=photos / "00.png", reject="auto"), top=12).hits
    assert len(like) == 12
    assert min(hit.score for hit in like) < 0
    assert search.find(Wanted(like=photos / "00.png", reject=0.0), top=12).hits == like
    assert len(search.find(Wanted(like=photos / "00.png", reject=1.0), top=12).hits) <= 1
    with pytest.raises(UsageError, match="reject must be auto or a score from 0 to 1, got 2"):
        Wanted(parse_labels("zebra"), reject=2.0)


def test_photos_of_an_older_index_are_not_called_by_a_withheld_noun(small: Model, photos: Path, tmp_path: Path):
    """The slow way: of what `devise label` says of the photo, the first that is not withheld."""
    index_photos(small, [photos], tmp_path / "index")
    before = {hit.path: hit.label for hit in open_search(small, tmp_path / "index").find(words("tabby"), 12).hits}
    named = [label for label in before.values() if label is not None]
    common = max({label.id for label in named}, key=[label.id for label in named].count)
    model = Model(type(small.parts)(small.parts.bundle))
    model.parts.__dict__["withheld"] = {common: "people"}
    found = open_search(model, tmp_path / "index")
    every = probabilities(small, photos)
    for _ in range(2):  # the second time they are remembered
        for hit in found.find(words("tabby"), 12).hits:
            assert hit.label is not None
            ranked = [one for one in every[hit.path] if one != common]
            assert hit.label.id == (ranked[0] if before[hit.path].id == common else before[hit.path].id)  # type: ignore[union-attr]
    shown = open_search(model, tmp_path / "index", all_nouns=True).find(words("tabby"), 12).hits
    assert {hit.path: hit.label for hit in shown} == before
    like = found.like(0, 3).hits
    assert common not in {hit.label.id for hit in like if hit.label is not None}


def test_what_is_searched_for_by_name_is_found_though_it_is_withheld(small: Model, photos: Path, tmp_path: Path):
    index_photos(small, [photos], tmp_path / "index")
    model = Model(type(small.parts)(small.parts.bundle))
    model.parts.__dict__["withheld"] = {"n02390738": "people"}
    wanted = words("n02390738")
    scores = [open_search(one, tmp_path / "index").scores(wanted) for one in (small, model)]
    assert np.array_equal(*scores)
    under = Wanted(under="equine")
    assert np.array_equal(*(open_search(one, tmp_path / "index").scores(under) for one in (small, model)))


def summed(small: Model, photos: Path, *parts: tuple[float, str]) -> dict[str, float]:
    """The product that a query of terms must give each photo, from the probabilities of `devise label`."""
    expected = probabilities(small, photos)
    ids = {name: small.parts.taxonomy.find(name)[0].id for _, name in parts}
    return {
        path: float(np.prod([p[ids[n]] ** w if w > 0 else (1 - p[ids[n]]) ** -w for w, n in parts]))
        for path, p in expected.items()
    }


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("zebra + tabby", ((1, "zebra"), (1, "tabby"))),
        ("zebra - tabby", ((1, "zebra"), (-1, "tabby"))),
        ("2*zebra + 0.5*tabby - 3*kiang", ((2, "zebra"), (0.5, "tabby"), (-3, "kiang"))),
    ],
)
def test_terms_are_joined_by_their_probabilities(
    small: Model, photos: Path, search: PhotoSearch, text: str, parts: tuple[tuple[float, str], ...]
):
    expected = summed(small, photos, *parts)
    found = search.find(text, top=12).hits
    assert len(found) == 12
    for hit in found:
        assert hit.score == pytest.approx(expected[hit.path], rel=1e-2, abs=1e-6)


def test_a_photo_in_a_query_counts_by_its_cosine(small: Model, photos: Path, search: PhotoSearch):
    temperature = small.parts.setting("fused", "temperature")
    like = {hit.path: hit.score for hit in search.find(Wanted(like=photos / "03.png"), top=12).hits}
    zebra = {hit.path: hit.score for hit in search.find(words("zebra"), top=12).hits}
    for hit in search.find(f"zebra + {photos / '03.png'}", top=12).hits:
        near = np.exp((like[hit.path] - 1) / temperature)
        assert hit.score == pytest.approx(zebra[hit.path] * near, rel=1e-2, abs=1e-6)
    far = search.find(f"zebra - {photos / '03.png'}", top=12).hits
    assert far[-1].path == str(photos / "03.png")


def test_a_photo_of_what_is_not_wanted_is_rejected(search: PhotoSearch):
    asked = parse_expression("equine - zebra")
    kept = search.accepted(asked.wanted(reject="auto"))
    equine, zebra = (np.exp(search.scores(words(name))) for name in ("equine", "zebra"))
    plain = search.accepted(Wanted(parse_labels("equine"), reject="auto"))
    assert kept.tolist() == (plain & (zebra < equine / 2)).tolist()


def test_terms_exclude_what_they_replace():
    terms = (Term(words=parse_labels("dog")),)
    for more in ({"words": parse_labels("cat")}, {"match": "all"}, {"by": "cosine"}, {"like": "x.png"}):
        with pytest.raises(UsageError, match="joins all its parts"):
            Wanted(terms=terms, **more)
    with pytest.raises(UsageError, match="weight above 0"):
        Wanted(terms=(Term(-1, parse_labels("dog")),))
    for weight in (0, float("inf"), float("nan")):
        with pytest.raises(UsageError, match="must be a number other than 0"):
            Term(weight, parse_labels("dog"))
    with pytest.raises(UsageError, match="words or a photo"):
        Term()


@pytest.mark.parametrize(
    ("name", "changed", "told"),
    [
        ("vectors", lambda array: np.where(np.arange(len(array))[:, None] == 7, np.nan, array), "out of range"),
        ("vectors", lambda array: 2 + 0 * array, "out of range"),
        ("totals", lambda array: np.inf + array, "out of range"),
        ("shares", lambda array: -1 - array, "out of range"),
        ("vectors", lambda array: array[:, 1:], "its vectors are not those"),
        ("labels", lambda array: array[1:], "its labels are not those"),
    ],
)
def test_rows_in_one_file_are_checked_although_their_hashes_are_right(
    name: str, changed: Callable[[Any], Any], told: str, small: Model, tmp_path: Path, many: Rows
):
    from devise.search import store
    from devise.search.arrayfile import read_arrays, write_arrays
    from devise.search.photoindex import header_of

    index = tmp_path / "index"
    store.PhotoStore.created(index, header_of(small.parts)).append(many)
    before = open_search(small, index).find(words("zebra"), top=10)
    refresh_kept(small, index, len(many), kept_above=100)
    facts, arrays = read_arrays(index / "rows.bin", store._FACT_KINDS | store._CONTENT_KINDS)
    arrays[name] = np.asarray(changed(arrays[name]), arrays[name].dtype)
    write_arrays(index / "rows.bin", facts, arrays)
    found = open_search(small, index).find(words("zebra"), top=10)
    assert found.hits == before.hits
    assert "rows.bin: cannot be used" in found.notes[0]
    assert told in found.notes[0]
