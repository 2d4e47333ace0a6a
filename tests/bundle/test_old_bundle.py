"""The committed bundle of format 1 must always load, with these values."""

import hashlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from devise.bundle.bundle import Bundle, describe, open_bundle
from devise.bundle.parts import BACKBONE, LABEL_VECTORS
from devise.labels import Label
from devise.vision.backbone import OpenVinoBackbone
from devise.vision.preprocessing import Preprocessing


@pytest.fixture
def old() -> Bundle:
    return open_bundle(Path(__file__).parents[1] / "data" / "bundle-v1")


def test_it_is_whole(old: Bundle) -> None:
    old.verify()
    assert describe(old)["bytes"] == 161 + 152 + 249 + 184 + 168 + 336
    assert old.manifest.created_by == "devise-zsl 0.1.0"


def test_manifest(old: Bundle) -> None:
    manifest = old.manifest
    assert manifest.name == "old"
    assert manifest.backbone.architecture == "mean of each channel"
    assert manifest.scoring == {"conse": {"t": 10}, "fused": {"seen_penalty": 0.02, "temperature": 1.0}}
    assert manifest.label_policy.name == "sense-aware"
    assert manifest.label_policy.parameters == {"head_twice": True, "part_weight": 0.6}
    assert manifest.config == {"surgery": {"penalty": 0.3}, "text": ["glosses", "dictionary"]}
    assert manifest.licences["WordNet-3.0"].endswith("In two lines.")
    assert [(item.what, item.version, item.sha256) for item in manifest.provenance] == [("taxonomy", "3.0", None)]
    assert old.preprocessing() == Preprocessing(5, 4, "bicubic", (127.0, 127.0, 127.0), (128.0, 128.0, 128.0))


def test_labels(old: Bundle) -> None:
    assert list(old.labels) == [
        Label("n02123045", "tabby", "", True, "term"),
        Label("n02391994", "kiang", "", False, "gloss"),
        Label("n02389026", "sorrel", "", True, "term"),
        Label("n02128757", "snow leopard", "", True, "parts"),
        Label("n02374451", "horse", "", False, "parents"),
        Label("n00001740", "entité", "", False, "none"),
    ]
    assert old.trained.tolist() == [2, 0, 3]


def test_arrays(old: Bundle) -> None:
    classifier = old.classifier()
    assert classifier.weight.tolist() == [[1, 0, 0], [0, 0.5, 0], [0, 0, -2]]
    assert classifier.bias.tolist() == [0, 1, -0.25]
    surgery = old.surgery()
    assert surgery.map.tolist() == [[0, 1, 0.5], [1, 0, 0], [0, 0, 0], [0, 0, -1]]
    assert surgery.centring["label_mean"].tolist() == [0.25, 0.5, 0, 0]


def test_label_vectors(old: Bundle) -> None:
    # 0.6 of 0.8 is 95.25 of 127, stored as 95; the row (95, 127) is scaled to the length 1
    short, long = 95 / np.hypot(95, 127), 127 / np.hypot(95, 127)
    expected = [
        [1, 0, 0, 0],
        [0, short, 0, long],
        [0, 1, 0, 0],
        [long, 0, -short, 0],
        [0, 0.5, 0, 0],
        [0, 0, 0, 0],
    ]
    np.testing.assert_allclose(old.label_vectors(), expected, rtol=2e-7)  # float32 rounding
    assert old.arrays(LABEL_VECTORS)["vectors"].tolist()[3] == [127, 0, -95, 0]


def test_words(old: Bundle) -> None:
    words = old.words()
    assert words.words == ("cat", "horse", "naïve")
    np.testing.assert_allclose(words.vectors, [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -2, 0]], rtol=2e-7)


def test_the_network_runs(old: Bundle) -> None:
    crops = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4).transpose(0, 2, 3, 1)
    backbone = OpenVinoBackbone(old.part_bytes(BACKBONE), old.preprocessing())
    assert backbone.dim == old.manifest.backbone.features
    by_hand = (np.array([[7.5, 23.5, 39.5], [55.5, 71.5, 87.5]]) - 127) / 128
    np.testing.assert_allclose(backbone.features(crops), by_hand, rtol=1e-6)


def test_a_reader_made_from_the_description_alone_agrees(old: Bundle) -> None:
    folder = old.path
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert (manifest["format"], manifest["format_version"]) == ("devise-bundle", 1)
    arrays = {}
    for part in manifest["parts"]:
        data = (folder / part["name"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (part["bytes"], part["sha256"])
        if part["kind"] == "safetensors":
            arrays[part["name"]] = _unpacked(data)
    assert arrays["words.safetensors"]["words"] == list("cat\nhorse\nnaïve".encode())
    assert arrays["classifier.safetensors"]["bias"] == [0, 1, -0.25]
    labels = arrays["labels.safetensors"]
    dim = manifest["label_space"]["dim"]
    for row, scale in enumerate(labels["scales"]):
        values = [code * scale for code in labels["vectors"][row * dim : row * dim + dim]]
        np.testing.assert_allclose(old.label_vectors()[row], values, rtol=2e-7)  # float32 rounding


def _unpacked(data: bytes) -> dict[str, list[float]]:
    start = 8 + int.from_bytes(data[:8], "little")
    found = {}
    for name, array in json.loads(data[8:start]).items():
        if name != "__metadata__":
            letter = {"F16": "e", "F32": "f", "I8": "b", "U8": "B"}[array["dtype"]]
            first, last = array["data_offsets"]
            found[name] = [value for (value,) in struct.iter_unpack(f"<{letter}", data[start + first : start + last])]
    return found
