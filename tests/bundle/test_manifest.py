import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.bundle.manifest import LARGEST_MANIFEST, Manifest, Part, part_kind
from devise.errors import BundleError

PARTS = (Part("backbone.onnx", 12, "a" * 64), Part("labels.json", 0, "0123456789abcdef" * 4))


@pytest.fixture
def manifest(model: Any) -> Manifest:
    return replace(model.manifest, parts=PARTS)


def _changed(manifest: Manifest, change: Callable[[dict[str, Any]], object]) -> bytes:
    stored = json.loads(manifest.to_json())
    change(stored)
    return json.dumps(stored).encode()


def test_round_trip(manifest: Manifest) -> None:
    assert Manifest.from_json(manifest.to_json().encode()) == manifest


def test_the_text_is_canonical(manifest: Manifest) -> None:
    turned = replace(manifest, config=dict(reversed(list(manifest.config.items()))))
    assert list(turned.config) != list(manifest.config)
    assert turned.to_json() == manifest.to_json()
    assert Manifest.from_json(manifest.to_json().encode()).to_json() == manifest.to_json()


def test_a_part_says_its_form_in_the_manifest(manifest: Manifest) -> None:
    stored = json.loads(manifest.to_json())["parts"]
    assert stored[0] == {"name": "backbone.onnx", "kind": "onnx", "bytes": 12, "sha256": "a" * 64}


def test_every_top_level_key_is_needed_and_named(manifest: Manifest) -> None:
    for key in json.loads(manifest.to_json()):
        with pytest.raises(BundleError, match=rf"key {key}\b"):
            Manifest.from_json(_changed(manifest, lambda stored, key=key: stored.pop(key)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(extra=1), "key extra is unknown"),
        (lambda m: m.update(name=3), "key name must be text that is not empty, got 3"),
        (lambda m: m.update(name=""), "key name must be text"),
        (lambda m: m["backbone"].update(features="12"), r"key backbone\.features must be a whole number"),
        (lambda m: m["backbone"].update(features=0), r"key backbone\.features must be .* at least 1, got 0"),
        (lambda m: m["backbone"].update(depth=3), r"key backbone\.depth is unknown"),
        (lambda m: m["label_space"].update(trained=True), r"key label_space\.trained must be a whole"),
        (lambda m: m["label_space"].update(trained=8), r"label_space\.trained must be at most the 7 labels"),
        (lambda m: m["label_policy"].pop("parameters"), r"key label_policy\.parameters is missing"),
        (lambda m: m.update(scoring=[]), r"key scoring must be an object, got \[\]"),
        (lambda m: m["scoring"].update(conse=3), r"key scoring\.conse must be an object"),
        (lambda m: m["scoring"]["conse"].update(t="10"), r"key scoring\.conse\.t must be a number, got '10'"),
        (lambda m: m["scoring"]["conse"].update(t=True), r"key scoring\.conse\.t must be a number"),
        (lambda m: m["provenance"][0].pop("licence"), r"key provenance\[0\]\.licence is missing"),
        (lambda m: m["provenance"][0].update(sha256=None), r"provenance\[0\] must have a sha256 or a url"),
        (lambda m: m["provenance"][0].update(sha256="12"), r"provenance\[0\]\.sha256 must be 64 hex"),
        (lambda m: m["licences"].update(MIT=None), r"key licences\.MIT must be text"),
        (lambda m: m.update(config="x"), "key config must be an object"),
        (lambda m: m["parts"][1].update(name="../labels.json"), r"part name '\.\./labels\.json' is refused"),
        (lambda m: m["parts"][1].update(kind="onnx"), r"key parts\[1\]\.kind must be 'json'"),
        (lambda m: m["parts"][1].update(bytes=-1), r"key parts\[1\]\.bytes must be a whole number"),
        (lambda m: m["parts"][1].update(sha256="A" * 64), r"key parts\[1\]\.sha256 must be 64 hexadecimal"),
        (lambda m: m["parts"].append(m["parts"][1]), r"duplicate part labels\.json"),
        (lambda m: m.update(format="other"), "is not a bundle's manifest"),
        (lambda m: m.update(format_version=0), "key format_version must be .* at least 1, got 0"),
        (lambda m: m.update(format_version="1"), "key format_version must be a whole number"),
    ],
)
def test_a_wrong_key_is_named_in_one_line(
    manifest: Manifest, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(BundleError, match=message) as caught:
        Manifest.from_json(_changed(manifest, change))
    assert "\n" not in str(caught.value)


def test_a_newer_format_is_told_before_its_unknown_keys(manifest: Manifest) -> None:
    newer = _changed(manifest, lambda m: m.update(format_version=2, news=1))
    with pytest.raises(BundleError) as caught:
        Manifest.from_json(newer)
    assert str(caught.value) == (
        "bundle format 2 is newer than this devise (reads 1): upgrade with pip install -U devise-zsl"
    )


@pytest.mark.parametrize("data", [b"[]", b"3", b"{}", b'{"format": ["devise-bundle"]}'])
def test_other_json_is_not_a_manifest(data: bytes) -> None:
    with pytest.raises(BundleError, match="is not a bundle's manifest"):
        Manifest.from_json(data)


def test_a_huge_manifest_is_refused(manifest: Manifest) -> None:
    filled = manifest.to_json().encode()
    filled += b" " * (LARGEST_MANIFEST - len(filled))
    assert Manifest.from_json(filled) == manifest
    with pytest.raises(BundleError, match="is larger than 1048576 bytes"):
        Manifest.from_json(filled + b" ")


@pytest.mark.parametrize(
    "name",
    [
        *(
            "../x.json",
            "/x.json",
            "a/b.json",
            "a\\b.json",
            "..json",
            ".x.json",
            "x..json",
            "x.json\n",
            "x.json/",
        ),
        *("", "json", "x", "X.json", "x.pkl", "x.pt", "x.npy", "x.py", "manifest.json", "c:x.json", "é.json"),
        "x" * 100 + ".json",
    ],
)
def test_names_that_no_part_can_have(name: str) -> None:
    with pytest.raises(BundleError, match="is refused"):
        part_kind(name)


@given(st.text(max_size=12).map(lambda name: name + ".json"))
def test_a_name_that_is_taken_is_a_plain_file_name(name: str) -> None:
    try:
        part_kind(name)
    except BundleError:
        return
    assert name.isascii()
    assert name == name.lower()
    assert not set(name) & set("/\\:\0\n ")
    assert not name.startswith(".")


def test_kinds() -> None:
    names = ("a.json", "a-1_b.onnx", "a.b.safetensors", "notice.txt")
    assert [part_kind(name) for name in names] == ["json", "onnx", "safetensors", "text"]


def test_values_that_json_does_not_keep_are_refused(manifest: Manifest) -> None:
    with pytest.raises(BundleError, match="cannot be written as JSON"):
        replace(manifest, config={"path": object()}).to_json()


@pytest.mark.parametrize(
    ("scorer", "name", "value"),
    [
        ("conse", "temperature", 0),
        ("devise", "temperature", 1e308),
        ("fused", "temperature", -0.1),
        ("fused", "penalty", 1e300),
        ("any", "setting", 10**400),
        ("conse", "top", 0),
        ("conse", "top", 2.5),
        ("random", "seed", -1),
        ("random", "seed", 2**64),
        ("devise", "ridge", -1.0),
        ("fused", "penalty", -0.1),
        ("fused", "confidence", -1),
        ("fused", "conse", -0.1),
        ("fused", "prior", -0.05),
        ("kernel", "label_share", -0.5),
        ("kernel", "text_share", 1e300),
        ("kernel", "tree_share", -1),
        ("kernel", "width", 0),
        ("kernel", "ridge", -0.2),
        ("kernel", "rank", 0),
        ("kernel", "rank", 300.5),
        ("kernel", "temperature", 0.0),
    ],
)
def test_settings_out_of_range_are_refused(manifest: Manifest, scorer: str, name: str, value: float) -> None:
    data = _changed(manifest, lambda stored: stored["scoring"].setdefault(scorer, {}).update({name: value}))
    with pytest.raises(BundleError, match=rf"key scoring\.{scorer}\.{name} must be ") as told:
        Manifest.from_json(data)
    assert len(str(told.value)) < 300


def test_a_manifest_nested_deep_is_refused(manifest: Manifest) -> None:
    deep: dict[str, object] = {}
    for _ in range(70):
        deep = {"a": deep}
    with pytest.raises(BundleError, match="nested more than 64 deep"):
        Manifest.from_json(_changed(manifest, lambda stored: stored.update(config=deep)))
