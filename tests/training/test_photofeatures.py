from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from devise.errors import UsageError
from devise.training.photofeatures import photo_features
from devise.vision.preprocessing import Preprocessing

TABBY, ZEBRA, KIANG = "n02123045", "n02391049", "n02390738"


class MeanColour:
    """Features are the mean of each channel; counts the pictures it was shown."""

    dim = 3
    preprocessing = Preprocessing(4, 4, "bicubic", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))

    def __init__(self) -> None:
        self.shown = 0

    def features(self, crops: np.ndarray) -> np.ndarray:
        self.shown += len(crops)
        return crops.mean((1, 2)).astype(np.float32)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two photos of a zebra, one of a tabby, one that is broken, and one of a class that was not trained on."""
    root = tmp_path / "photos"
    for class_id, colours in {ZEBRA: [10, 20], TABBY: [30], KIANG: [40]}.items():
        (root / class_id).mkdir(parents=True)
        for colour in colours:
            Image.new("RGB", (5, 5), (colour, colour, 0)).save(root / class_id / f"{colour}.png")
    (root / TABBY / "broken.png").write_bytes(b"no picture")
    return root


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def test_features_and_rows_of_the_classifier(photos: Path, work: Path, capsys: pytest.CaptureFixture[str]):
    found = photo_features([photos], MeanColour(), "mean", [ZEBRA, TABBY], work)
    assert found.features.tolist() == [[30, 30, 0], [10, 10, 0], [20, 20, 0]]  # folders go by name: the tabby first
    assert found.truth.tolist() == [1, 0, 0]
    told = capsys.readouterr().err
    assert "broken.png" in told
    assert "features of 3 photos, 1 unreadable" in told


def test_several_folders(photos: Path, work: Path, tmp_path: Path):
    (tmp_path / "more").mkdir()
    (photos / ZEBRA).rename(tmp_path / "more" / ZEBRA)
    found = photo_features([tmp_path / "more", photos], MeanColour(), "mean", [TABBY, ZEBRA], work)
    assert found.truth.tolist() == [1, 1, 0]


def test_features_are_kept(photos: Path, work: Path):
    first, second = MeanColour(), MeanColour()
    one = photo_features([photos], first, "mean", [ZEBRA, TABBY], work)
    two = photo_features([photos], second, "mean", [ZEBRA, TABBY], work)
    assert (first.shown, second.shown) == (3, 0)
    np.testing.assert_array_equal(one.features, two.features)
    np.testing.assert_array_equal(one.truth, two.truth)


@pytest.mark.parametrize("change", ["key", "order", "size", "more"])
def test_what_is_kept_is_made_anew_when_something_changed(photos: Path, work: Path, change: str):
    photo_features([photos], MeanColour(), "mean", [ZEBRA, TABBY], work)
    key, trained = "mean", [ZEBRA, TABBY]
    match change:
        case "key":
            key = "other"
        case "order":
            trained = [TABBY, ZEBRA]
        case "size":
            Image.new("RGB", (50, 50), (9, 9, 9)).save(photos / TABBY / "30.png")
        case "more":
            Image.new("RGB", (5, 5), (9, 9, 9)).save(photos / TABBY / "9.png")
    backbone = MeanColour()
    found = photo_features([photos], backbone, key, trained, work)
    assert backbone.shown > 0
    tabby = [bool(rows == trained.index(TABBY)) for rows in found.truth]
    assert sum(tabby) == (2 if change == "more" else 1)
    assert tabby[0]


def test_a_write_that_fails_leaves_nothing_to_be_read_again(photos: Path, work: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            photo_features([photos], MeanColour(), "mean", [ZEBRA, TABBY], work)
    assert list(work.iterdir()) == []
    assert len(photo_features([photos], MeanColour(), "mean", [ZEBRA, TABBY], work).truth) == 3


def test_no_photo_of_a_trained_class(photos: Path, work: Path):
    with pytest.raises(UsageError, match="no test photos"):
        photo_features([photos], MeanColour(), "mean", ["n02084071"], work)


def test_no_photo_that_can_be_read(photos: Path, work: Path):
    (photos / TABBY / "30.png").write_bytes(b"")
    with pytest.raises(UsageError, match="none of 2 photos can be read"):
        photo_features([photos], MeanColour(), "mean", [TABBY], work)
    assert list(work.iterdir()) == []


class Remembers(MeanColour):
    """Keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.crops: list[np.ndarray] = []

    def features(self, crops: np.ndarray) -> np.ndarray:
        self.crops += list(crops)
        return super().features(crops)


def test_crops_are_the_same_each_time_and_show_a_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Of a picture that grows brighter to the right, a quarter of the area never shows both edges."""
    folder = tmp_path / "photos" / ZEBRA
    folder.mkdir(parents=True)
    wide = np.zeros((40, 40, 3), np.uint8)
    wide[:] = np.arange(40, dtype=np.uint8)[None, :, None] * 6
    for number in range(12):
        Image.fromarray(wide).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        backbone = Remembers()
        made = photo_features([tmp_path / "photos"], backbone, "k", [ZEBRA], tmp_path / name, 0.25)
        found.append(made.features)
        spans = [int(crop.max()) - int(crop.min()) for crop in backbone.crops]
        assert max(spans) <= 20 * 6, "half of each side"
    assert len(found[0]) == 12
    np.testing.assert_array_equal(*found)
    assert found[0].std() > 1, "crops differ from photo to photo"
    assert "broken.png" in capsys.readouterr().err


def test_whole_photos_and_crops_are_kept_apart(photos: Path, tmp_path: Path):
    work = tmp_path / "work"
    work.mkdir()
    for area in (1.0, 0.5):
        photo_features([photos], MeanColour(), "k", [TABBY, ZEBRA], work, area)
    assert len(list(work.iterdir())) == 2
