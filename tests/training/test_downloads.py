import functools
import hashlib
import http.server
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from devise.cli.app import main
from devise.errors import TrainingError
from devise.training import downloads
from devise.training.downloads import DATASETS, Dataset, fetched, write_shards
from devise.vision.decoding import read_picture
from devise.vision.samples import find_samples


def cifar(path: Path) -> Dataset:
    """Three training photos and one test photo, in the archive's form."""
    rng = np.random.default_rng(0)
    files = {"fine_label_names.txt": b"apple\nbaby\n"}
    for shard, count in (("train", 3), ("test", 1)):
        rows = rng.integers(0, 256, (count, 3074), dtype=np.uint8)
        rows[:, 1] = np.arange(count) % 2
        files[f"{shard}.bin"] = rows.tobytes()
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(f"cifar-100-binary/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return summed(DATASETS["cifar100"], path)


def tiny(path: Path) -> Dataset:
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("tiny-imagenet-200/train/n02123045/images/n02123045_0.JPEG", b"one")
        packed.writestr("tiny-imagenet-200/val/images/val_0.JPEG", b"two")
        packed.writestr("tiny-imagenet-200/val/val_annotations.txt", "val_0.JPEG\tn02391049\t0\t0\t9\t9\n")
    return summed(DATASETS["tiny-imagenet"], path)


def summed(dataset: Dataset, path: Path) -> Dataset:
    return replace(dataset, md5=hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "served").mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_a_download_and_a_local_file_give_the_same_shards(tmp_path: Path, server: str):
    dataset = cifar(tmp_path / "served" / "c.tar.gz")
    loaded = fetched(replace(dataset, url=f"{server}/c.tar.gz"), tmp_path / "kept")
    local = fetched(dataset, tmp_path / "unused", str(tmp_path / "served" / "c.tar.gz"))
    assert loaded.read_bytes() == local.read_bytes()
    assert not (tmp_path / "unused").exists()
    assert write_shards(dataset, loaded, tmp_path / "a") == {"train": 3, "test": 1}
    write_shards(dataset, local, tmp_path / "b")
    for name in ("cifar100-train.tar", "cifar100-test.tar"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    samples = find_samples([tmp_path / "a" / "cifar100-train.tar"])
    assert samples.class_names == ("apple", "baby")
    assert samples.truth.tolist() == [0, 1, 0]
    with tarfile.open(loaded) as tar:
        stored = tar.extractfile("cifar-100-binary/train.bin")
        assert stored is not None
        first = np.frombuffer(stored.read()[2:3074], np.uint8).reshape(3, 32, 32).transpose(1, 2, 0)
    assert np.array_equal(read_picture(samples.source(0), min_side=None), first)


def test_it_is_downloaded_once(tmp_path: Path, server: str):
    dataset = replace(cifar(tmp_path / "served" / "c.tar.gz"), url=f"{server}/c.tar.gz")
    fetched(dataset, tmp_path)
    (tmp_path / "served" / "c.tar.gz").unlink()
    assert fetched(dataset, tmp_path).is_file()


def test_tiny_imagenet(tmp_path: Path):
    dataset = tiny(tmp_path / "t.zip")
    assert write_shards(dataset, tmp_path / "t.zip", tmp_path) == {"train": 1, "test": 1}
    samples = find_samples([tmp_path / "tiny-imagenet-train.tar", tmp_path / "tiny-imagenet-test.tar"])
    assert samples.class_names == ("n02123045", "n02391049")
    assert [samples.source(row) for row in range(2)] == [b"one", b"two"]


def test_what_is_wrong_is_told(tmp_path: Path, server: str):
    dataset = tiny(tmp_path / "t.zip")
    with pytest.raises(TrainingError, match=r"has MD5 \w+, tiny-imagenet has 0"):
        fetched(replace(dataset, md5="0" * 32), tmp_path, str(tmp_path / "t.zip"))
    with pytest.raises(TrainingError, match="no file at"):
        fetched(dataset, tmp_path, str(tmp_path / "none.zip"))
    with pytest.raises(TrainingError, match="cannot be downloaded"):
        fetched(dataset, tmp_path, f"{server}/none.zip")
    assert not (tmp_path / "none.zip").exists()
    (tmp_path / "bad.zip").write_bytes(b"no zip")
    with pytest.raises(TrainingError, match="is not the archive of tiny-imagenet"):
        write_shards(dataset, tmp_path / "bad.zip", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    dataset = tiny(tmp_path / "t.zip")
    monkeypatch.setattr(downloads, "DATASETS", {"tiny-imagenet": dataset})
    with pytest.raises(SystemExit) as stop:
        main(["train", "fetch", "tiny-imagenet", "--out", str(tmp_path / "out"), "--from", str(tmp_path / "t.zip")])
    assert not stop.value.code
    assert "1 photo in" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(["train", "fetch", "mnist", "--out", str(tmp_path)])
    assert stop.value.code == 2
