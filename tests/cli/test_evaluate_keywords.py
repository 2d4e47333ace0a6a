"""devise evaluate --truth xmp: keywords that people wrote are the truth; those of devise are not."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from commandline import Run
from PIL import Image

from devise.evaluation.photos import list_tagged_photos
from devise.model.labeller import Model
from devise.sidecars import SidecarName, keywords_of_person, sidecar_of, tag_photo, tag_sidecar
from devise.xmp import Keyword

CRANE_BIRD, CRANE_LIFT, HERON, COFFEE = "n02012849", "n03126707", "n02008041", "n07929519"


def packet(subject: Sequence[str] = (), hierarchical: Sequence[str] = ()) -> str:
    """What another program writes."""
    lists = {"dc:subject": subject, "lr:hierarchicalSubject": hierarchical}
    inside = "".join(
        f"<{name}><rdf:Bag>{''.join(f'<rdf:li>{one}</rdf:li>' for one in values)}</rdf:Bag></{name}>"
        for name, values in lists.items()
        if values
    )
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:lr="http://ns.adobe.com/lightroom/1.0/">'
        f'<rdf:Description rdf:about="">{inside}</rdf:Description></rdf:RDF></x:xmpmeta>'
    )


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Photos without keywords, in a folder and a folder in it."""
    folder = tmp_path / "album"
    (folder / "trip").mkdir(parents=True)
    rng = np.random.default_rng(3)
    for name in ("a.jpg", "b.jpg", "c.png", "d.jpg", "e.jpg", "trip/f.jpg"):
        coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((160, 120), Image.Resampling.BICUBIC).save(folder / name)
    return folder


def write(photo: Path, *subject: str, hierarchical: Sequence[str] = (), name: SidecarName = SidecarName.full) -> None:
    sidecar_of(photo, name).write_text(packet(subject, hierarchical))


@pytest.fixture(autouse=True)
def _alone(packaged_once: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The packaged model read once, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def truths(model: Model, *places: Path) -> dict[str, str]:
    listing, _ = list_tagged_photos(model, places)
    return {image.id: image.truth for image in listing.images}


def test_the_narrowest_of_a_thing_is_its_true_label(packaged: Model, album: Path):
    write(album / "a.jpg", "animal", "bird", "heron", "Heron", "herons")
    write(album / "b.jpg", "crane", hierarchical=["animal|bird|crane"])
    write(album / "c.png", hierarchical=["device|crane"], name=SidecarName.stem)
    write(album / "d.jpg", "coffee", "2024", "my favourite", "Paris", "ünïcode &amp; more")
    write(album / "trip/f.jpg", "trips", "lake", "heron", hierarchical=["trips|lake|heron"])
    assert truths(packaged, album) == {
        "a.jpg": HERON,
        "b.jpg": CRANE_BIRD,
        "c.png": CRANE_LIFT,
        "d.jpg": COFFEE,
        "trip/f.jpg": HERON,
    }
    assert truths(packaged, album / "a.jpg", album / "trip") == {"a.jpg/a.jpg": HERON, "trip/f.jpg": HERON}


def test_keywords_of_devise_are_no_truth(packaged: Model, album: Path):
    heron = (Keyword(("bird",), "n01503061", 0.9), Keyword(("bird", "heron"), HERON, 0.8))
    tag_sidecar(sidecar_of(album / "a.jpg"), heron)
    tag_photo(album / "b.jpg", heron)
    write(album / "c.png", "heron")
    tag_sidecar(sidecar_of(album / "c.png"), (*heron, Keyword(("cat",), "n02121620", 0.9)))
    assert keywords_of_person(album / "b.jpg") == ()
    assert keywords_of_person(album / "c.png") == (("heron",),)
    listing, problems = list_tagged_photos(packaged, [album])
    assert {image.id: image.truth for image in listing.images} == {"c.png": HERON}
    assert (listing.skipped, problems) == ({"a photo without a keyword": 5}, ())


def test_what_is_left_out_is_counted(packaged: Model, album: Path):
    write(album / "a.jpg", "heron")
    write(album / "b.jpg", "heron", "coffee")
    write(album / "c.png", "Paris", "2024", "qwrtz", "x" * 5000)
    sidecar_of(album / "d.jpg").write_text("no xml")
    write(album / "e.jpg", *(f"word {number}" for number in range(1001)))
    (album / "notes.txt").touch()
    listing, problems = list_tagged_photos(packaged, [album])
    assert listing.skipped == {
        "a photo whose keywords are no label of the model": 1,
        "a photo whose keywords cannot be read": 1,
        "a photo whose keywords name several things": 1,
        "a photo with over 1,000 keywords": 1,
        "a photo without a keyword": 1,
        "not a picture by its name": 1,
    }
    assert len(problems) == 1
    assert problems[0].startswith(f"{sidecar_of(album / 'd.jpg')}: not XML")


def test_the_command_measures_shows_and_records_it(run: Run, album: Path, tmp_path: Path):
    for name in ("a.jpg", "trip/f.jpg"):
        write(album / name, "heron")
    write(album / "b.jpg", "coffee", "heron")
    record = tmp_path / "r.json"
    code, out, err = run("evaluate", album, "--truth", "xmp", "--images", record)
    assert (code, err) == (0, "")
    assert "2 photos, 1 class" in out
    assert "truth: keywords in XMP that devise did not write" in out
    assert "candidates: all labels of the model" in out
    assert "a photo whose keywords name several things 1" in out
    assert "a photo without a keyword 3" in out
    stored = json.loads(record.read_text())
    assert stored["images"] == [{"id": "a.jpg", "truth": HERON}, {"id": "trip/f.jpg", "truth": HERON}]
    assert stored["facts"]["truth"] == "keywords in XMP that devise did not write"


def test_without_a_true_keyword_there_is_one_line(run: Run, album: Path, tmp_path: Path):
    write(album / "a.jpg", "heron", "coffee")
    code, out, err = run("evaluate", album, "--truth", "xmp")
    assert (code, out) == (2, "")
    assert "no photo with one true keyword in" in err
    assert "5 left out: a photo without a keyword" in err
    code, _, err = run("evaluate", tmp_path / "none", "--truth", "xmp")
    assert code == 2
    assert "no such file" in err
