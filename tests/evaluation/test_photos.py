import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import devise
from devise.errors import UsageError
from devise.evaluation.photos import class_photos, gather, list_photos
from devise.model.labeller import Model
from devise.taxonomy.wordnet import Taxonomy, default_taxonomy

DOG, CAT, TOOL = "n00000002", "n00000003", "n00000008"
TABBY, LION = "n02123045", "n02129165"


def put(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_photos_are_sorted_by_class_and_path(tmp_path: Path, nine: Taxonomy) -> None:
    put(tmp_path, f"{CAT}/b.JPEG", f"{CAT}/a.png", f"{DOG}/images/z.jpg", f"{DOG}/k.jpg")
    found, skipped = class_photos([tmp_path], nine)
    assert found.names == (f"{DOG}/images/z.jpg", f"{DOG}/k.jpg", f"{CAT}/a.png", f"{CAT}/b.JPEG")
    assert [found.class_names[row] for row in found.truth] == [DOG, DOG, CAT, CAT]
    assert found.place(1) == str(tmp_path / DOG / "k.jpg")
    assert skipped == {}


def test_everything_skipped_has_a_reason(tmp_path: Path, nine: Taxonomy) -> None:
    put(tmp_path, f"{DOG}/a.jpg", f"{DOG}/notes.txt", f"{DOG}/list.csv", "readme.md", "stray.jpg")
    put(tmp_path, "dogs/a.jpg", "dogs/b.jpg", "n99999999/a.jpg", ".hidden/a.jpg", f"{DOG}/.b.jpg", f"{TOOL}/only.txt")
    (tmp_path / CAT).mkdir()
    (tmp_path / DOG / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    found, skipped = class_photos([tmp_path], nine)
    assert found.names == (f"{DOG}/a.jpg",)
    assert found.broken == (f"{tmp_path / DOG / 'gone.jpg'}: a broken link",)
    assert skipped == {
        f"no picture in the class folder ({CAT}, {TOOL})": 2,
        "not a picture by its name": 3,
        "not in a class folder": 2,
        "the folder's name is not a synset id (dogs)": 1,
        "the synset id is not in the taxonomy (n99999999)": 1,
    }


@pytest.mark.parametrize("name", ["N00000002", "n00000002-dog", "n0000002", "n000000020"])
def test_names_that_are_almost_ids(tmp_path: Path, nine: Taxonomy, name: str) -> None:
    put(tmp_path, f"{name}/a.jpg", f"{CAT}/a.jpg")
    found, skipped = class_photos([tmp_path], nine)
    assert (found.names, skipped) == ((f"{CAT}/a.jpg",), {f"the folder's name is not a synset id ({name})": 1})


def test_no_photos_at_all_says_what_was_there(tmp_path: Path, nine: Taxonomy) -> None:
    put(tmp_path, "a.jpg", "b.jpg", "dogs/c.jpg")
    with pytest.raises(UsageError, match=r"no test photos in .*; 2 skipped: not in a class folder; 1 skipped: the"):
        class_photos([tmp_path], nine)


@pytest.mark.parametrize("name", ["absent", "file.txt"])
def test_no_folder(tmp_path: Path, nine: Taxonomy, name: str) -> None:
    put(tmp_path, "file.txt")
    with pytest.raises(UsageError, match=f"{name} .*: give a folder of class folders, or .tar shards"):
        class_photos([tmp_path / name], nine)


@pytest.mark.parametrize(("name", "classes", "photos"), [("seen", 34, 1420), ("unseen", 23, 904), ("related", 16, 340)])
def test_the_shared_photos_are_all_found(shared: Path, name: str, classes: int, photos: int) -> None:
    found, skipped = class_photos([shared / "data/photos/caltech101" / name], default_taxonomy())
    assert (len(found), len(set(found.truth)), found.broken, skipped) == (photos, classes, (), {})


@pytest.fixture(scope="module")
def model() -> Model:
    return devise.load()


def colours(root: Path) -> Path:
    """Four photos of two classes."""
    for number, name in enumerate([f"{TABBY}/a.png", f"{TABBY}/b.png", f"{LION}/a.png", f"{LION}/c.png"]):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (300, 280), (60 * number, 90, 30)).save(root / name)
    return root


def packed(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w") as shard:
        shard.add(folder, "photos")
    return path


def test_a_shard_has_the_photos_and_features_of_its_folder(tmp_path: Path, model: Model) -> None:
    folder = colours(tmp_path / "photos")
    shard = packed(folder, tmp_path / "photos.tar")
    loose, packed_ones = list_photos(model, [folder]), list_photos(model, [shard])
    assert [one.truth for one in packed_ones.images] == [one.truth for one in loose.images]
    assert packed_ones.images[0].id == f"photos.tar/photos/{TABBY}/a.png"
    assert np.array_equal(gather(model, packed_ones).features, gather(model, loose).features)
    both = list_photos(model, [folder, shard])
    assert [one.id for one in both.images][::4] == [f"photos/{TABBY}/a.png", f"photos.tar/photos/{TABBY}/a.png"]


def test_kept_features_are_read_again_until_a_photo_changes(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, keep = colours(tmp_path / "photos"), tmp_path / "cache"
    (folder / LION / "b.png").write_bytes(b"no picture")
    data = (folder / TABBY / "b.png").read_bytes()
    first = gather(model, list_photos(model, [folder]), keep=keep)
    assert len(first.features) == 4
    network = model.backbone()
    runs: list[int] = []
    features = type(network).features
    monkeypatch.setattr(type(network), "features", lambda own, crops: runs.append(1) or features(own, crops))
    again = gather(model, list_photos(model, [folder]), keep=keep)
    assert not runs
    assert np.array_equal(again.features, first.features)
    assert again.listing.images == first.listing.images
    assert again.problems == first.problems == (f"{folder / LION / 'b.png'}: not a picture of a known format",)
    assert again.listing.skipped == first.listing.skipped == {"a photo that cannot be read": 1}
    (folder / TABBY / "b.png").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))  # of the same size
    gather(model, list_photos(model, [folder]), keep=keep)
    assert runs


def test_a_cache_that_cannot_be_written_to_is_said(tmp_path: Path, model: Model) -> None:
    folder = colours(tmp_path / "photos")
    put(tmp_path, "taken")
    found = gather(model, list_photos(model, [folder]), keep=tmp_path / "taken" / "cache")
    assert len(found.features) == 4
    assert len(found.notes) == 1
    assert found.notes[0].startswith("features are not kept for the next run: ")


def test_a_lower_limit_of_pixels_holds_for_kept_features_too(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, keep = colours(tmp_path / "photos"), tmp_path / "cache"
    Image.new("RGB", (600, 500)).save(folder / LION / "wide.png")
    assert len(gather(model, list_photos(model, [folder]), keep=keep).features) == 5
    monkeypatch.setenv("DEVISE_MAX_PIXELS", "100000")
    found = gather(model, list_photos(model, [folder]), keep=keep)
    assert len(found.features) == 4
    assert found.problems[0].startswith(str(folder / LION / "wide.png"))
