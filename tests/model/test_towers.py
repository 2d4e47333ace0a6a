"""A model of two towers through every way of asking: its labels are where the text tower puts them."""

import csv
import json
import re
import shutil
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from commandline import Run
from PIL import Image
from smallmodel import LABELS
from towermodel import STANDING

from devise.bundle.bundle import open_bundle
from devise.bundle.parts import TEXT_TOWER, TOKENIZER
from devise.errors import BundleError, UsageError
from devise.evaluation.evaluate import evaluate_folders
from devise.meaning.relations import contrasting_pairs, nearest_labels, relation
from devise.meaning.senses import ask
from devise.model.comparison import Photo, compare
from devise.model.labeller import Model, load
from devise.model.methods import rows_of
from devise.model.onepass import try_network
from devise.model.other_space import open_in_space
from devise.training.temperatures import open_base
from devise.vision.folders import Found

TEMPERATURE, PRIOR, TYPED = 0.1, 0.02, 0.5


@pytest.fixture(scope="module")
def model(tower_bundle: Path) -> Model:
    return load(tower_bundle)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for class_id, colour in (("n02123045", (250, 9, 20)), ("n02391049", (5, 240, 30)), ("n03467517", (9, 12, 255))):
        (tmp_path / "photos" / class_id).mkdir(parents=True)
        for number in range(2):
            picture = Image.new("RGB", (6, 5), (*colour[:2], max(0, colour[2] - number)))
            picture.save(tmp_path / "photos" / class_id / f"{number}.png")
    return tmp_path / "photos"


def by_hand(model: Model, colour: tuple[int, int, int], extra: np.ndarray | None = None) -> np.ndarray:
    """Softmax of (cosine + weight x log odds) / temperature, of the model's labels and one typed."""
    place = (np.array(colour, np.float64) - 127) / 128
    vectors, standing = model.parts.space.vectors, STANDING
    if extra is not None:
        vectors, standing = np.vstack([vectors, extra]), np.append(STANDING, TYPED)
    scores = (vectors @ (place / np.linalg.norm(place)) + PRIOR * standing) / TEMPERATURE
    shares = np.exp(scores - scores.max())
    return np.asarray(shares / shares.sum())


def test_probabilities_are_the_softmax_of_cosine_and_prior(model: Model):
    answer = model.label(np.full((6, 6, 3), (250, 9, 20), np.uint8), top=9)
    assert answer.guesses[0].label.name == "tabby"
    found = {guess.label.id: guess.score for guess in answer.guesses}
    wanted = dict(zip(LABELS, by_hand(model, (250, 9, 20)), strict=True))
    assert found == pytest.approx(wanted, abs=2e-3)  # float16 of the stored prior


def test_a_typed_label_goes_through_the_text_tower(model: Model):
    picture = np.full((6, 6, 3), (250, 240, 20), np.uint8)
    answer = model.label(picture, top=10, labels="kick scooter thing")
    typed = model.parts.tower.labels([("kick scooter thing", "")])
    share = {guess.label.id: guess.score for guess in answer.guesses}["user:kick_scooter_thing"]
    assert share == pytest.approx(by_hand(model, (250, 240, 20), typed)[-1], abs=2e-3)
    assert share > 0.2


def test_what_has_no_meaning_is_absent_and_says_so(model: Model, tower_bundle: Path, photos: Path):
    assert rows_of(model.parts) == ("fused", "chance")
    for method in ("softmax", "conse", "devise", "kernel", "branch"):
        with pytest.raises(UsageError, match=f"has a text tower and no trained labels, so there is no {method}"):
            model.label(photos / "n02123045" / "0.png", method=method)
    with pytest.raises(UsageError, match="placed by its text tower"):
        open_in_space(tower_bundle, policy="first-term")
    with pytest.raises(BundleError, match="no classifier to start from: give a model"):
        open_base(tower_bundle)
    with pytest.raises(UsageError, match="no candidate labels in 'seen'"):
        model.label(photos / "n02123045" / "0.png", candidates="seen")
    assert model.label(photos / "n02123045" / "0.png", explain=True).guesses[0].explanation.leans_on == ()
    records, _ = compare(model, [Photo(Found(photos / "n02391049" / "0.png"), "zebra")])
    assert [(one.method, one.guesses[0].label.name) for one in records[0].columns] == [("fused", "zebra")]


def test_evaluation_has_one_row(model: Model, photos: Path):
    found = evaluate_folders(model, [photos], "all")
    assert list(found.record.scorers) == ["fused"]
    right = [model.label(one).guesses[0].label.id == one.parent.name for one in photos.glob("*/*.png")]
    assert sum(right) >= 4
    assert found.result.rows[0].to_dict()["hit@1"] == pytest.approx(np.mean(right))


def test_the_index_gives_the_probabilities_of_the_labeller(model: Model, photos: Path, tmp_path: Path):
    pytest.importorskip("pyarrow")
    from devise.search.photoindex import index_photos
    from devise.search.query import open_search

    index_photos(model, [photos], tmp_path / "index")
    search = open_search(model, tmp_path / "index")
    hits = search.find("zebra", 6).hits
    assert [Path(hit.path).parent.name for hit in hits[:2]] == ["n02391049"] * 2
    answers = {str(path): model.label(path, top=9) for path in photos.glob("*/*.png")}
    phrase = search.find("a photo of my zebra", 6)  # the text tower reads it whole
    assert (phrase.hits[0].path, phrase.notes) == (hits[0].path, ())
    for hit in hits:
        zebra = next(guess.score for guess in answers[hit.path].guesses if guess.label.name == "zebra")
        assert hit.score == pytest.approx(zebra, abs=2e-3)
        assert hit.label.name == answers[hit.path].guesses[0].label.name


def test_labels_are_described(model: Model):
    parts = model.parts
    zebra, guitar = ask(parts, "zebra"), ask(parts, "guitar")
    near = nearest_labels(parts, zebra, 3)
    assert len(near.labels) == 3
    assert near.trained == ()
    found = relation(parts, zebra, guitar)
    assert found.visual is None
    assert found.semantic.cosine == pytest.approx(float(zebra.vector @ guitar.vector))
    assert "vector from the text tower" in ask(parts, "zedonkey tabby").notes[0]
    with pytest.raises(Exception, match="two trained labels with vectors"):
        contrasting_pairs(parts, 2)


def test_frames_of_a_video_are_joined_to_the_most_typical(model: Model):
    frames = np.array([[1, 0, 0], [0, 0, 1], [0.2, 0, 0.9]], np.float32)
    np.testing.assert_array_equal(model._joined(frames), frames[2])


def test_commands(run: Run, tower_bundle: Path, photos: Path, tmp_path: Path):
    asked = ("--model", tower_bundle)
    code, out, err = run("label", photos, *asked, "--sure", 0.9, "--format", "jsonl", "--labels", "kick scooter")
    assert code == 0, err
    assert len(out.splitlines()) == 6
    code, out, err = run("evaluate", photos, *asked)
    assert (code, "fused" in out, "conse" in out) == (0, True, False), err
    code, out, _ = run("info", *asked)
    assert (code, "the text tower, the mean of a photo of a {name}." in out) == (0, True)
    assert "the picture is at its features" in out
    for names in ((), ("zebra",), ("zedonkey tabby",)):
        code, out, _ = run("labels", *names, *asked)
        assert (code, "the text tower" in out, "its own term" in out) == (0, True, False)
    code, out, _ = run("labels", "zedonkey tabby", "zebra", *asked)
    assert (code, "looks" in out) == (0, False)
    assert run("label", photos, *asked, "--method", "conse")[0] == 2


def test_no_label_is_marked_as_untrained(run: Run, tower_bundle: Path, small_bundle: Path, photos: Path):
    """What a classifier's model says of training photos is absent, and the rest is the same."""
    photo = photos / "n02391049" / "0.png"

    def shown(*more: object, of: Path = tower_bundle) -> str:
        code, out, err = run("label", photo, "--model", of, "--labels", "kick scooter thing", "--explain", *more)
        assert code == 0, err
        return out

    marks = (" *", "no training photo", "leans on", "vector from: term", "vector from: the text tower")
    assert [mark in shown(of=small_bundle) for mark in marks] == [True] * 4 + [False]
    assert [mark in shown() for mark in marks] == [False] * 4 + [True]
    heads = [shown("--format", "csv", of=of).splitlines()[0].split(",") for of in (small_bundle, tower_bundle)]
    assert [one for one in heads[0] if one not in ("seen", "leans_on")] == heads[1]
    row = next(csv.DictReader(StringIO(shown("--format", "csv", "--top", 1))))
    assert (row["name"], row["source"], row["rejected"], row["wordnet_path"][-5:]) == ("zebra", "term", "0", "zebra")
    keys = [set(json.loads(shown("--format", "jsonl", of=of))["guesses"][0]) for of in (small_bundle, tower_bundle)]
    assert keys[0] - keys[1] == {"seen", "leans_on"}


def test_pages_and_tables_do_not_speak_of_trained_labels(
    run: Run, tower_bundle: Path, small_bundle: Path, photos: Path, tmp_path: Path
):
    words = re.compile(
        r'class="mark"|>trained<|\d trained|nearest trained|training photo|an? (un)?trained label|softmax ranks|'
        r"vector from its "
    )

    found = {}
    for name, of in (("classifier", small_bundle), ("towers", tower_bundle)):
        sheet, record, report = (tmp_path / f"{name}.{kind}" for kind in ("html", "json", "report.html"))
        asked = ("--model", of)
        assert run("label", photos, *asked, "--sheet", sheet, "--explain")[0] == 0
        ran = run("evaluate", photos, *asked, "--candidates", "all", "--images", record)
        assert ran[0] == 0, ran[2]
        drawn = run("report", record, "--out", report)
        assert drawn[0] == 0, drawn[2]
        others = [run("info", *asked)[1], run("labels", *asked)[1], run("labels", "zebra", *asked)[1]]
        found[name] = [
            words.search(one) is not None for one in (sheet.read_text(), report.read_text(), ran[1], *others)
        ]
    assert found == {"classifier": [True] * 6, "towers": [False] * 6}


def test_a_damaged_tower_is_one_line(tower_bundle: Path, tmp_path: Path):
    open_bundle(tower_bundle).verify()
    try_network(tower_bundle)
    for part in (TEXT_TOWER, TOKENIZER):
        copy = tmp_path / part
        shutil.copytree(tower_bundle, copy)
        data = bytearray((copy / part).read_bytes())
        data[len(data) // 2] ^= 1
        (copy / part).write_bytes(data)
        with pytest.raises(BundleError, match=f"{part}: was changed"):
            open_bundle(copy).verify()
        with pytest.raises(BundleError, match="was changed"):
            load(copy).label(np.zeros((5, 5, 3), np.uint8), labels="kick scooter thing")
    manifest = json.loads((tower_bundle / "manifest.json").read_text())
    manifest["label_policy"]["parameters"] = {"templates": []}
    shutil.copytree(tower_bundle, tmp_path / "policy")
    (tmp_path / "policy" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="must be templates and a context"):
        open_bundle(tmp_path / "policy").verify()
