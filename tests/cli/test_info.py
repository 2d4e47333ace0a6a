import hashlib
import io
import json
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from commandline import Cli, Run

from devise.cli.app import main
from devise.cli.info_output import calibration_in_words, policy_in_words, scoring_in_words
from devise.model.parts import DEFAULT_BUNDLE
from devise.space.label_vectors import POLICIES
from devise.vision import quantised

OLD_BUNDLE = Path(__file__).parents[1] / "data" / "bundle-v1"


@pytest.fixture
def info(run: Run) -> Cli:
    return Cli(run, "info")


def test_json_holds_the_manifest_and_its_hash(info: Cli) -> None:
    found = info.json()
    data = (DEFAULT_BUNDLE / "manifest.json").read_bytes()
    stored = json.loads(data)
    assert found["manifest_sha256"] == hashlib.sha256(data).hexdigest()
    for key in ("name", "backbone", "label_space", "label_policy", "scoring", "provenance", "licences", "parts"):
        assert found[key] == stored[key]
    assert found["format"] == f"{stored['format']} {stored['format_version']}"
    assert found["bytes"] == sum((DEFAULT_BUNDLE / part["name"]).stat().st_size for part in stored["parts"])
    assert sum(found["vector_sources"].values()) == stored["label_space"]["labels"]
    assert "verified" not in found


def test_text_says_what_the_manifest_says(info: Cli) -> None:
    text, _ = info()
    data = (DEFAULT_BUNDLE / "manifest.json").read_bytes()
    stored = json.loads(data)
    assert text.startswith(stored["name"] + "\n")
    assert hashlib.sha256(data).hexdigest() in text
    space = stored["label_space"]
    assert f"{space['labels']:,}, {space['trained']:,} of them trained; vectors of {space['dim']} numbers" in text
    assert f"{stored['backbone']['architecture']}, {stored['backbone']['features']:,} features" in text
    fused = stored["scoring"]["fused"]
    assert f"{fused['confidence']:g} x its probability is added to a trained label's cosine" in text
    assert f"prior of a label: {fused['prior']:g} x the log odds that people photograph it" in text
    assert f"the picture is at unit(kernel + {fused['conse']:g} x ConSE), labels by cosine" in text
    assert f"{fused['penalty']:g} is subtracted from every trained label" in text
    assert f"at temperature {fused['temperature']:g}" in text
    for part in stored["parts"]:
        assert f"sha256 {part['sha256'][:12]}..." in text
    for item in stored["provenance"]:
        assert item["source"] in text
    for licence, notice in stored["licences"].items():
        assert licence in text
        assert notice in text
    assert all(line == line.rstrip() and "\x1b" not in line for line in text.splitlines())


@pytest.mark.parametrize(
    ("known", "narrow", "products", "words"),
    [
        (["FP32", "INT8"], False, "wide", "in 32 bits, the weights keep all 8 bits"),
        (["FP32", "INT8"], True, "narrow", "in 16 bits, so the weights are rounded in larger steps"),
        (["FP32"], True, "none", "no 8-bit arithmetic for this processor"),
    ],
)
def test_how_the_fast_form_multiplies_here(
    monkeypatch: pytest.MonkeyPatch,
    info: Cli,
    known: list[str],
    narrow: bool,
    products: str,
    words: str,
) -> None:
    core = SimpleNamespace(get_property=lambda *_: known)
    monkeypatch.setattr(quantised, "openvino_core", lambda: core)
    monkeypatch.setattr(quantised, "sums_are_narrow", lambda: narrow)
    assert info.json()["fast_here"] == products
    (line,) = (line for line in info()[0].splitlines() if line.startswith("--fast here"))
    assert f" {products}: " in line
    assert words in line


def test_nothing_is_tried_for_a_model_without_a_fast_form(monkeypatch: pytest.MonkeyPatch, info: Cli) -> None:
    monkeypatch.setattr(quantised, "products_here", lambda: pytest.fail("tried"))
    assert "fast_here" not in info.json("--model", OLD_BUNDLE)
    assert re.search("--fast here +the model has no fast form", info("--model", OLD_BUNDLE)[0])


def test_verify_reads_every_part(info: Cli) -> None:
    assert "all 10 parts match the hashes in the manifest" in info("--verify")[0]
    assert info.json("--verify", "--model", OLD_BUNDLE)["verified"] is True


def test_an_altered_network_is_found_by_verify_alone(tmp_path: Path, info: Cli) -> None:
    altered = tmp_path / "bundle"
    shutil.copytree(OLD_BUNDLE, altered)
    data = bytearray((altered / "backbone.onnx").read_bytes())
    data[-1] ^= 1
    (altered / "backbone.onnx").write_bytes(data)
    assert info("--model", altered)[0].startswith("old\n")
    for more in ((), ("--json",)):
        out, err = info("--verify", *more, "--model", altered, code=1)
        assert out == ""
        assert err.count("\n") == 1
        assert "backbone.onnx: was changed" in err


@pytest.mark.parametrize("where", ["absent", "file", "empty"])
def test_what_is_no_bundle_is_said_in_one_line(tmp_path: Path, info: Cli, where: str) -> None:
    path = tmp_path / where
    if where == "file":
        path.write_text("x")
    elif where == "empty":
        path.mkdir()
    out, err = info("--model", path, code=1)
    assert out == ""
    assert err.startswith(f"devise: {path}: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("width", [30, 60, 100])
def test_no_line_is_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "dumb-but-wide")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", screen)
    with pytest.raises(SystemExit):
        main(["info"])
    lines = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue()).splitlines()
    assert max(map(len, lines)) <= width
    digest = hashlib.sha256((DEFAULT_BUNDLE / "manifest.json").read_bytes()).hexdigest()
    values = next(line for line in lines if line.startswith("format")).index("devise-bundle")
    assert digest in "".join(line[values:].strip() for line in lines)  # folded, nothing lost


# Words.


def test_scoring_in_words() -> None:
    found = scoring_in_words(
        {"fused": {"confidence": 0.5, "penalty": 0.25, "temperature": 0.1}, "conse": {"top": 10}, "new": {"x": 2.0}}
    )
    assert found["fused"] == (
        "the picture is at unit(DeViSE + ConSE), labels by cosine; 0.5 x its probability is added to a trained label's "
        "cosine; 0.25 is subtracted from every trained label; scores are the softmax over the candidates at "
        "temperature 0.1"
    )
    assert found["conse"] == "labels by cosine; the picture is the weighted mean of its 10 most probable trained labels"
    assert found["new"] == "x 2"


def test_every_policy_has_words_and_a_strange_one_its_names() -> None:
    words = {name: policy_in_words(policy.to_dict()) for name, policy in POLICIES.items()}
    assert words["first-term"].startswith("unit(1 x its first term);")
    assert words["mean-of-terms"].startswith("unit(1 x all its terms);")
    assert words["sense-aware"].startswith("unit(0.5 x all its terms + 1 x its definition + 1 x its hypernyms);")
    assert "frequency" in words["sense-aware"]
    assert "frequency" not in words["first-term"]
    assert policy_in_words({"head_twice": True, "part_weight": 0.6}) == "head_twice True, part_weight 0.6"
    broken = POLICIES["sense-aware"].to_dict() | {"rarity": "often"}
    assert "rarity often" in policy_in_words(broken)


def test_calibration_in_words() -> None:
    config = {
        "calibration": {"folds": 4, "k": 5},
        "calibration_result": {
            "new": 2.5,
            "photos": 1200,
            "seen_hit1": 81.25,
            "unseen_hit": 3.5,
            "prior": 0.04,
            "stacking": {"penalty": 0.6},
        },
    }
    assert list(calibration_in_words(config)) == [
        ("on", "photos of trained classes; each of 4 folds treats some classes as not trained"),
        ("hit@1 of classes kept", "81.2 %"),
        ("hit@5 of classes left out", "3.5 %"),
        ("photos", "1,200"),
        ("weight of the prior", "0.04"),
        ("new", "2.5"),
    ]
    older = {"calibration": {"unseen_k": 20}, "calibration_result": {"unseen_hit": 3.5}}
    assert list(calibration_in_words(older)) == [("hit@20 of classes left out", "3.5 %")]
    assert list(calibration_in_words({})) == []
    assert list(calibration_in_words({"calibration": "by hand", "calibration_result": 3})) == []
