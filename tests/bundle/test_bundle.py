import errno
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devise.bundle.bundle import Bundle, describe, file_sha256, open_bundle
from devise.bundle.parts import BACKBONE, CLASSIFIER, LABEL_TABLE, LABEL_VECTORS, SURGERY, WORDS
from devise.bundle.writer import write_bundle
from devise.errors import BundleError
from devise.vision.preprocessing import Preprocessing

READERS: dict[str, Callable[[Bundle], object]] = {
    BACKBONE: lambda bundle: bundle.part_path(BACKBONE),
    CLASSIFIER: lambda bundle: bundle.classifier(),
    LABEL_TABLE: lambda bundle: bundle.labels,
    LABEL_VECTORS: lambda bundle: bundle.label_vectors(),
    SURGERY: lambda bundle: bundle.surgery(),
    WORDS: lambda bundle: bundle.words(),
}


def _change_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "manifest.json"
    stored = json.loads(path.read_text("utf-8"))
    change(stored)
    path.write_text(json.dumps(stored), "utf-8")


def _flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def _one_line(error: pytest.ExceptionInfo[BundleError], file: Path) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(f"{file}: ")
    return message


def test_round_trip(bundle: Bundle, model: Any) -> None:
    read = open_bundle(bundle.path)
    read.verify()
    assert read.manifest.name == "small"
    assert list(read.labels) == list(model.labels)
    assert [read.labels[row].id for row in read.trained.tolist()] == model.trained
    assert np.array_equal(read.classifier().weight, model.classifier.weight)
    assert np.array_equal(read.classifier().bias, model.classifier.bias)
    assert np.array_equal(read.surgery().map, model.surgery.map)
    assert np.array_equal(read.surgery().centring["label_mean"], model.surgery.centring["label_mean"])
    np.testing.assert_allclose(read.label_vectors(), model.label_vectors, atol=1 / 254 * 1.5)
    assert read.words().words == ("cat", "snow leopard")
    np.testing.assert_allclose(read.words().vectors, model.words.vectors, atol=1 / 254)
    assert read.words(only={"snow leopard", "unheard of"}).words == ("snow leopard",)
    assert read.part_bytes(BACKBONE) == b"not a network, but bytes"
    assert read.part_path(BACKBONE).read_bytes() == b"not a network, but bytes"
    assert read.arrays(LABEL_VECTORS)["vectors"].dtype == np.int8
    assert read.preprocessing() == Preprocessing.of_lite(224)


def test_opening_reads_no_part(bundle: Bundle) -> None:
    for name in READERS:
        _flip(bundle.path / name, -1)
    opened = open_bundle(bundle.path)
    with pytest.raises(BundleError):
        opened.verify()


@pytest.mark.parametrize("name", READERS)
def test_an_altered_byte_is_found_by_who_reads_the_part_and_by_nobody_else(bundle: Bundle, name: str) -> None:
    length = (bundle.path / name).stat().st_size
    for position in (0, length // 2, length - 1):
        _flip(bundle.path / name, position)
        opened = open_bundle(bundle.path)
        for other, read in READERS.items():
            if other != name:
                read(opened)
        with pytest.raises(BundleError, match="was changed, its sha256 is") as caught:
            READERS[name](opened)
        _one_line(caught, bundle.path / name)
        with pytest.raises(BundleError, match="was changed"):
            opened.verify()
        _flip(bundle.path / name, position)
    open_bundle(bundle.path).verify()


@pytest.mark.parametrize("name", READERS)
def test_a_part_truncated_missing_or_too_long_is_found_on_opening(bundle: Bundle, name: str) -> None:
    path = bundle.path / name
    data = path.read_bytes()
    for damaged, message in (
        (data[:-1], f"is truncated, it has {len(data) - 1} bytes instead of {len(data)}"),
        (b"", "is truncated, it has 0 bytes"),
        (data + b"\0", "is too long"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(BundleError, match=message) as caught:
            open_bundle(bundle.path)
        _one_line(caught, path)
    path.unlink()
    with pytest.raises(BundleError, match="is missing"):
        open_bundle(bundle.path)
    path.mkdir()
    with pytest.raises(BundleError, match="is not a file"):
        open_bundle(bundle.path)


def test_a_part_changed_after_opening_is_found(bundle: Bundle) -> None:
    bundle.label_vectors()
    (bundle.path / LABEL_VECTORS).write_bytes(b"short")
    with pytest.raises(BundleError, match="was changed"):
        bundle.label_vectors()
    with pytest.raises(BundleError, match="is truncated"):
        bundle.part_path(LABEL_VECTORS)
    (bundle.path / LABEL_VECTORS).unlink()
    with pytest.raises(BundleError, match="cannot be read") as caught:
        bundle.label_vectors()
    _one_line(caught, bundle.path / LABEL_VECTORS)


def test_files_that_are_not_listed_are_ignored(bundle: Bundle) -> None:
    (bundle.path / "README.md").write_text("about")
    (bundle.path / "sub").mkdir()
    open_bundle(bundle.path).verify()
    with pytest.raises(BundleError, match=r"README\.md: is not in the bundle, which contains backbone\.onnx, "):
        open_bundle(bundle.path).part_bytes("README.md")


def test_a_part_may_be_a_link(bundle: Bundle, tmp_path: Path) -> None:
    stored = tmp_path / "blob"
    (bundle.path / WORDS).rename(stored)
    (bundle.path / WORDS).symlink_to(stored)
    open_bundle(bundle.path).verify()


@pytest.mark.parametrize("name", ["../secret.json", "/etc/passwd", "a/../../secret.json", "sub/part.json", ".."])
def test_a_part_name_cannot_lead_out(bundle: Bundle, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.json").write_text("{}")
    _change_manifest(bundle.path, lambda stored: stored["parts"][0].update(name=name))
    with pytest.raises(BundleError, match=r"part name .* is refused"):
        open_bundle(bundle.path)
    with pytest.raises(BundleError, match="is not in the bundle"):
        bundle.part_bytes(name)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not JSON"),
        (b"\x80\x04pickle", "is not UTF-8"),
        (b'{"format": "devise-bundle"', "is not JSON"),
        (b"[" * 90_000, "nested too deeply"),
        (b'{"format": "zip"}', "is not a bundle's manifest"),
        (b'{"format": "devise-bundle", "format_version": 7}', "bundle format 7 is newer than this devise"),
        (b" " * 2**21, "is larger than 1048576 bytes, the limit of a manifest"),
    ],
)
def test_a_broken_manifest_is_refused(bundle: Bundle, data: bytes, message: str) -> None:
    (bundle.path / "manifest.json").write_bytes(data)
    with pytest.raises(BundleError, match=message) as caught:
        open_bundle(bundle.path)
    _one_line(caught, bundle.path / "manifest.json")


def test_what_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="does not exist: give the directory of a model bundle"):
        open_bundle(tmp_path / "absent")
    (tmp_path / "file").write_text("x")
    with pytest.raises(BundleError, match="is a file, but a bundle is a directory"):
        open_bundle(tmp_path / "file")
    with pytest.raises(BundleError, match=r"is not a bundle, it has no manifest\.json"):
        open_bundle(tmp_path)
    with pytest.raises(BundleError, match="is not a bundle"):
        open_bundle(Path("/"))


def test_a_part_that_may_not_be_read(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object, **__: object) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied")

    opened = open_bundle(bundle.path)
    monkeypatch.setattr(Path, "read_bytes", refuses)
    with pytest.raises(BundleError, match=r"cannot be read \(Permission denied\)") as caught:
        opened.classifier()
    _one_line(caught, bundle.path / CLASSIFIER)
    monkeypatch.setattr(Path, "open", refuses)
    with pytest.raises(BundleError, match="Permission denied") as caught:
        open_bundle(bundle.path)
    _one_line(caught, bundle.path / "manifest.json")


def test_parts_that_do_not_fit_the_manifest_are_named(bundle: Bundle) -> None:
    for key, value, file, read in (
        ("labels", 8, LABEL_TABLE, lambda opened: opened.labels),
        ("labels", 8, LABEL_VECTORS, lambda opened: opened.label_vectors()),
        ("trained", 2, LABEL_TABLE, lambda opened: opened.trained),
        ("trained", 2, CLASSIFIER, lambda opened: opened.classifier()),
        ("dim", 5, SURGERY, lambda opened: opened.surgery()),
        ("dim", 5, WORDS, lambda opened: opened.words()),
    ):
        before = (bundle.path / "manifest.json").read_bytes()
        _change_manifest(bundle.path, lambda stored, key=key, value=value: stored["label_space"].update({key: value}))
        opened = open_bundle(bundle.path)
        with pytest.raises(BundleError) as caught:
            read(opened)
        _one_line(caught, bundle.path / file)
        with pytest.raises(BundleError):
            opened.verify()
        (bundle.path / "manifest.json").write_bytes(before)


def test_other_preprocessing_is_refused(bundle: Bundle) -> None:
    _change_manifest(bundle.path, lambda stored: stored["preprocessing"].pop("crop"))
    with pytest.raises(BundleError, match="preprocessing") as caught:
        open_bundle(bundle.path).preprocessing()
    _one_line(caught, bundle.path / "manifest.json")


def test_a_part_that_is_absent_is_named(model: Any, tmp_path: Path) -> None:
    parts = model.parts()
    del parts[WORDS], parts[CLASSIFIER]
    small = write_bundle(tmp_path / "small", model.manifest, parts)
    assert len(small.labels) == 7
    with pytest.raises(BundleError, match=r"words\.safetensors: is not in the bundle, which contains backbone"):
        small.words()
    with pytest.raises(BundleError, match=r"classifier\.safetensors: is not in the bundle"):
        small.classifier()


def test_describe_gives_plain_facts(bundle: Bundle) -> None:
    facts = describe(bundle)
    assert json.loads(json.dumps(facts)) == facts
    assert facts["path"] == str(bundle.path)
    assert facts["format"] == "devise-bundle 1"
    assert facts["label_space"] == {"labels": 7, "trained": 3, "dim": 4}
    assert facts["vector_sources"] == {"gloss": 1, "none": 1, "parents": 1, "parts": 1, "term": 3}
    sizes = [file.stat().st_size for file in bundle.path.iterdir() if file.name != "manifest.json"]
    assert facts["bytes"] == sum(sizes)
    assert facts["manifest_sha256"] == file_sha256(bundle.path / "manifest.json")


def test_threads_get_the_same(bundle: Bundle) -> None:
    opened = open_bundle(bundle.path)
    found: list[bytes] = []

    def read() -> None:
        found.append(opened.label_vectors().tobytes() + repr(opened.labels.ids).encode())

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
