"""The pass by which `devise info --verify` tries a network, in a process of its own."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from devise.bundle.bundle import open_bundle
from devise.bundle.manifest import MANIFEST_FILE, BackboneFacts
from devise.errors import BundleError
from devise.model.onepass import try_network


def test_a_network_that_runs_is_let_through(small_bundle: Path):
    try_network(small_bundle)


def test_a_network_that_does_not_end_is_ended(small_bundle: Path):
    with pytest.raises(BundleError, match=r"needs more than 0\.01 s for one picture"):
        try_network(small_bundle, seconds=0.01)


def test_a_network_of_other_features_is_told_in_one_line(small_bundle: Path, tmp_path: Path):
    copy = tmp_path / "copy"
    shutil.copytree(small_bundle, copy)
    manifest = open_bundle(small_bundle).manifest
    changed = replace(manifest, backbone=BackboneFacts(manifest.backbone.architecture, 5))
    (copy / MANIFEST_FILE).write_text(changed.to_json(), encoding="utf-8")
    with pytest.raises(BundleError, match=r"backbone.onnx: makes 3 features, the manifest says 5") as told:
        try_network(copy)
    assert "\n" not in str(told.value)
