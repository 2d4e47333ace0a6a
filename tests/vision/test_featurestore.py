import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from devise.errors import PictureError, TrainingError
from devise.files import sole_writer
from devise.vision.featurestore import feature_store, make_room, open_store, store_key
from devise.vision.preprocessing import Preprocessing
from devise.vision.samples import Samples, find_samples


class MeanColour:
    dim = 3

    def __init__(self, resize: int = 4) -> None:
        self.preprocessing = Preprocessing(resize, 4, "bicubic", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        self.shown = 0

    def features(self, crops: np.ndarray) -> np.ndarray:
        self.shown += len(crops)
        return crops.mean((1, 2)).astype(np.float32)


def photos(root: Path, count: int) -> Samples:
    for i in range(count):
        folder = root / ("cat" if i % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (5, 5), (i % 256, i // 256, 7)).save(folder / f"{i:05}.bmp")
    return find_samples([root])


def test_features_rows_and_classes(tmp_path: Path):
    samples = photos(tmp_path / "photos", 6)
    told: list[tuple[int, int]] = []
    store = feature_store(tmp_path, samples, MeanColour(), b"w", on_progress=lambda a, b: told.append((a, b)))
    assert store.features.tolist() == [[i, 0, 7] for i in (1, 3, 5, 0, 2, 4)]
    assert isinstance(store.features, np.memmap)
    assert not store.features.flags.writeable
    assert store.rows.tolist() == list(range(6))
    assert (store.truth.tolist(), store.class_names) == ([0, 0, 0, 1, 1, 1], ("cat", "dog"))
    assert told[-1] == (6, 6)
    assert (store.dim, store.broken) == (3, 0)


def test_it_is_made_once(tmp_path: Path):
    samples, backbone = photos(tmp_path / "photos", 3), MeanColour()
    first = feature_store(tmp_path, samples, backbone, b"w")
    assert feature_store(tmp_path, samples, backbone, b"w").path == first.path
    assert backbone.shown == 3


def test_the_key_holds_weights_preprocessing_and_photos(tmp_path: Path):
    few, more = photos(tmp_path / "a", 2), photos(tmp_path / "b", 3)
    keys = [
        store_key(b"w", MeanColour(), few),
        store_key(b"v", MeanColour(), few),
        store_key(b"w", MeanColour(5), few),
        store_key(b"w", MeanColour(), more),
    ]
    assert len(set(keys)) == 4


def test_a_broken_photo_is_counted_and_skipped(tmp_path: Path):
    photos(tmp_path / "photos", 120)
    (tmp_path / "photos" / "cat" / "00001.bmp").write_bytes(b"no picture")
    problems: list[str] = []
    store = feature_store(tmp_path, find_samples([tmp_path / "photos"]), MeanColour(), b"w", on_problem=problems.append)
    assert store.broken == 1
    assert store.rows.tolist() == list(range(1, 120))
    assert not store.features[0].any()
    assert problems == [f"{tmp_path / 'photos' / 'cat' / '00001.bmp'}: not a picture of a known format"]


def test_more_than_one_per_cent_broken_stops(tmp_path: Path):
    photos(tmp_path / "photos", 10)
    (tmp_path / "photos" / "dog" / "00000.bmp").write_bytes(b"")
    with pytest.raises(TrainingError, match=r"1 of 10 samples are broken.*dog/00000.bmp: empty"):
        feature_store(tmp_path, find_samples([tmp_path / "photos"]), MeanColour(), b"w")
    with pytest.raises(TrainingError, match=r"1 of 10 samples are broken.*dog/00000.bmp: empty"):  # and again
        feature_store(tmp_path, find_samples([tmp_path / "photos"]), MeanColour(), b"w")


def test_a_disk_that_failed_is_asked_again_while_the_store_is_not_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    samples = photos(tmp_path / "photos", 10)
    source = Samples.source

    def failed(of: Samples, row: int) -> Path | bytes:
        if row == 3:
            raise PictureError("no such disk")
        return source(of, row)

    with monkeypatch.context() as failing:
        failing.setattr(Samples, "source", failed)
        with pytest.raises(TrainingError, match="no such disk"):
            feature_store(tmp_path, samples, MeanColour(), b"w")
    store = feature_store(tmp_path, samples, MeanColour(), b"w")
    assert (store.broken, len(store.rows)) == (0, 10)


def test_a_store_that_is_not_finished_or_damaged(tmp_path: Path):
    with pytest.raises(TrainingError, match="not a finished feature store"):
        open_store(tmp_path)
    store = feature_store(tmp_path, photos(tmp_path / "photos", 2), MeanColour(), b"w")
    (store.path / "features.f32").write_bytes(b"1234")
    with pytest.raises(TrainingError, match="must have 24 bytes, got 4"):
        open_store(store.path)


def test_the_oldest_stores_make_room(tmp_path: Path):
    samples = photos(tmp_path / "photos", 10)
    stores = [feature_store(tmp_path / "kept", samples, MeanColour(), bytes([number])) for number in range(3)]
    for age, store in enumerate(reversed(stores)):
        os.utime(store.path / "state.u8", (1000 - age, 1000 - age))
    (tmp_path / "kept" / "other").mkdir()
    size = max(sum(one.stat().st_size for one in store.path.iterdir()) for store in stores)
    make_room(tmp_path / "kept", 3 * size)
    assert all(store.path.exists() for store in stores)
    with sole_writer(stores[0].path, TrainingError):  # in use, although it is the oldest
        make_room(tmp_path / "kept", size)
    assert [store.path.exists() for store in stores] == [True, False, False]
    assert (tmp_path / "kept" / "other").exists()


def test_the_store_of_another_run_in_this_place_is_refused(tmp_path: Path):
    samples = photos(tmp_path / "photos", 2)
    one, other = (feature_store(tmp_path, samples, MeanColour(), weights) for weights in (b"w", b"v"))
    for name in ("store.json", "features.f32", "state.u8"):
        (one.path / name).write_bytes((other.path / name).read_bytes())
    with pytest.raises(TrainingError, match="of another network or of other photos"):
        feature_store(tmp_path, samples, MeanColour(), b"w")


_SLOW = """
import sys, time
from pathlib import Path
sys.path.insert(0, {here!r})
from test_featurestore import MeanColour
from devise.vision.featurestore import feature_store
from devise.vision.samples import find_samples
class Slow(MeanColour):
    def features(self, crops):
        time.sleep(0.002)
        return super().features(crops)
feature_store(Path(sys.argv[1]), find_samples([Path(sys.argv[1]) / "photos"]), Slow(), b"w")
"""


def test_a_killed_process_leaves_what_the_next_goes_on_from(tmp_path: Path):
    samples = photos(tmp_path / "photos", 1200)
    script = _SLOW.format(here=str(Path(__file__).parent))
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], env=os.environ | {"PYTHONPATH": "src"})
    state = tmp_path / store_key(b"w", MeanColour(), samples)[:16] / "state.u8"
    ends = time.monotonic() + 60
    while not state.exists() and process.poll() is None and time.monotonic() < ends:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = state.read_bytes().count(1)
    assert 0 < done < 1200
    backbone = MeanColour()
    store = feature_store(tmp_path, samples, backbone, b"w")
    assert backbone.shown == 1200 - done
    fresh = feature_store(tmp_path / "fresh", samples, MeanColour(), b"w")
    assert np.array_equal(store.features, fresh.features)


def test_a_store_that_another_process_makes_is_refused(tmp_path: Path):
    samples, backbone = photos(tmp_path / "photos", 2), MeanColour()
    folder = tmp_path / store_key(b"w", backbone, samples)[:16]
    folder.mkdir()
    with (
        sole_writer(folder, ValueError),
        pytest.raises(TrainingError, match="another process is writing to it: wait until it ends"),
    ):
        feature_store(tmp_path, samples, backbone, b"w")
    assert len(feature_store(tmp_path, samples, backbone, b"w").rows) == 2
