from base64 import b64decode
from dataclasses import asdict
from io import BytesIO
from json import dumps
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from devise.model.candidates import choose_candidates
from devise.model.comparison import COMPARED, DEFAULT, SIDE, Photo, PhotoRecord, add_labels, compare
from devise.model.labeller import Model, load
from devise.model.methods import make_scorer
from devise.model.typed import parse_labels
from devise.vision.folders import Found
from devise.vision.pipeline import Extracted

Compared = tuple[tuple[PhotoRecord, ...], tuple[Extracted, ...]]


@pytest.fixture(scope="module")
def model() -> Model:
    return load()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Photo]:
    folder = tmp_path_factory.mktemp("photos")
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    wide = Image.fromarray(noise).resize((1000, 300))
    wide.save(folder / "wide.jpg", exif=_secret())
    (folder / "broken.jpg").write_bytes(b"no picture")
    Image.fromarray(noise[::-1]).resize((90, 120)).save(folder / "small.png")
    return [
        Photo(Found(folder / "wide.jpg"), "wide", "a wide thing", "zedonk"),
        Photo(Found(folder / "broken.jpg"), "broken"),
        Photo(Found(folder / "small.png"), "small"),
        Photo(Found(folder / "gone.jpg", "no such file"), "gone"),
    ]


@pytest.fixture(scope="module")
def compared(model: Model, photos: list[Photo]) -> Compared:
    return compare(model, photos, top=3)


def _secret() -> Image.Exif:
    exif = Image.Exif()
    exif[0x9286] = "SECRET PLACE"
    return exif


def test_every_method_says_what_the_model_says_on_its_own(
    model: Model, photos: list[Photo], compared: Compared
) -> None:
    records, _ = compared
    for place in (0, 2):
        path = photos[place].found.path
        assert [column.method for column in records[place].columns] == list(COMPARED)
        for column in records[place].columns:
            alone = model.label(path, method=column.method, top=3, explain=True)
            assert [guess.label.id for guess in column.guesses] == [guess.label.id for guess in alone.guesses]
            assert [g.score for g in column.guesses] == pytest.approx([g.score for g in alone.guesses], rel=1e-3)
            assert column.guesses[0].explanation is not None


def test_the_columns_tell_how_many_labels_they_chose_from(model: Model, compared: Compared) -> None:
    columns = compared[0][0].columns
    assert {column.method: column.labels for column in columns} == {
        method: len(model.parts.trained_ids) if method == "softmax" else len(model.parts.answerable.labels)
        for method in COMPARED
    }


def test_photos_that_fail_keep_their_place_and_reason(model: Model, photos: list[Photo]) -> None:
    seen = []
    records, extracted = compare(model, photos, on_photo=lambda: seen.append(1))
    assert [record.name for record in records] == ["wide", "broken", "small", "gone"]
    assert [record.problem for record in records] == [None, "not a picture of a known format", None, "no such file"]
    assert [one.features is None for one in extracted] == [False, True, False, True]
    assert [bool(record.picture) for record in records] == [bool(record.columns) for record in records]
    assert [bool(record.picture) for record in records] == [True, False, True, False]
    assert len(seen) == 4
    assert dumps([asdict(record) for record in records])


def test_the_embedded_picture_is_small_and_holds_no_metadata(photos: list[Photo], compared: Compared) -> None:
    wide, _, small, _ = compared[0]
    kind, _, data = wide.picture.partition(",")
    assert kind == "data:image/jpeg;base64"
    assert b"SECRET" in photos[0].found.path.read_bytes()
    assert b"SECRET" not in b64decode(data)
    assert Image.open(BytesIO(b64decode(data))).size == (SIDE, SIDE * 300 // 1000)
    assert Image.open(BytesIO(b64decode(small.picture.partition(",")[2]))).size == (90, 120)


def test_a_photo_lost_after_the_network_saw_it_is_a_problem(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (20, 20), "red").save(path)
    records, _ = compare(model, [Photo(Found(path), "a")], on_photo=path.unlink)
    assert records[0].problem == "no such file"
    assert records[0].columns == ()


def test_no_photo_is_no_record(model: Model) -> None:
    assert compare(model, []) == ((), ())


@pytest.mark.slow
def test_more_guesses_than_labels_are_all_of_them(model: Model, photos: list[Photo]) -> None:
    records, _ = compare(model, photos[:1], top=1001)
    counts = {column.method: len(column.guesses) for column in records[0].columns}
    assert counts.pop("softmax") == 1000
    assert set(counts.values()) == {1001}


def test_typed_labels_stand_where_a_full_sort_puts_them(model: Model, compared: Compared) -> None:
    _, extracted = compared
    typed = parse_labels("zedonk: offspring of a zebra and a donkey; grey noise: a pattern of squares; guitar")
    added = add_labels(model, extracted, typed)
    assert [label.name for label in added.labels] == ["zedonk", "grey noise"]
    assert (added.competing, added.typed) == (len(model.parts.answerable.labels) + 2, 3)
    assert added.seconds > 0
    scorer = make_scorer(model.parts, DEFAULT, choose_candidates(model.parts, typed=typed).space)
    for one, told in zip(extracted, added.photos, strict=True):
        assert (told is None) == (one.features is None)
        if told is None or one.features is None:
            continue
        scores = scorer.scores(model.parts.classifier.evidence(one.features[None]))[0].tolist()
        by_score = sorted(scores, reverse=True)
        where = {standing.label.id: standing.rank for standing in told.standings}
        assert where == {
            label.id: 1 + by_score.index(scores[scorer.labels.position(label.id)]) for label in added.labels
        }
        assert list(where.values()) == sorted(where.values())
        assert scores[scorer.labels.position(told.leader.id)] == by_score[0]


def test_the_typed_labels_alone_share_all_of_the_score(model: Model, compared: Compared) -> None:
    extracted = compared[1][:1]
    told = add_labels(model, extracted, parse_labels("zedonk: offspring of a zebra; guitar")).photos[0]
    assert told is not None
    assert {guess.label.name for guess in told.choice} == {"zedonk", "guitar"}
    assert sum(guess.score for guess in told.choice) == pytest.approx(1, abs=1e-5)  # float32


def test_one_label_alone_is_no_choice_and_a_known_one_is_not_new(model: Model, compared: Compared) -> None:
    extracted = compared[1][:1]
    added = add_labels(model, extracted, parse_labels("guitar"))
    assert (added.labels, added.competing, added.typed) == ((), len(model.parts.answerable.labels), 1)
    assert added.photos[0] is not None
    assert added.photos[0].choice == added.photos[0].standings == ()


def test_a_label_that_says_what_the_photo_shows_wins_over_one_that_does_not(model: Model) -> None:
    data = pytest.importorskip("skimage.data", reason="scikit-image's cat is needed")
    features = next(model.features([data.chelsea()]))
    assert isinstance(features, Extracted)
    typed = parse_labels("ginger cat: a house cat with orange striped fur; snow plough: a truck that clears snow")
    told = add_labels(model, [features], typed).photos[0]
    assert told is not None
    assert told.standings[0].label.name == told.choice[0].label.name == "ginger cat"


def test_many_photos_are_answered_in_blocks_as_one_by_one(model: Model, compared: Compared) -> None:
    good, bad = compared[1][:2]
    many = [good if i % 3 else bad for i in range(70)]
    added = add_labels(model, many, parse_labels("zedonk: offspring of a zebra; guitar"))
    assert [told is None for told in added.photos] == [i % 3 == 0 for i in range(70)]
    assert len({told.choice[0].label.id for told in added.photos if told is not None}) == 1
