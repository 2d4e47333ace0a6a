"""`--model A --model B` of the commands, and `devise train ensemble`."""

import json
from pathlib import Path

import numpy as np
import pytest
from commandline import Run
from PIL import Image

TYPED = ("--labels", "zedonk: offspring of a zebra and a donkey")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    Image.fromarray(np.full((8, 8, 3), (250, 10, 10), np.uint8)).save(path)
    return path


def test_label_by_two_models(photo: Path, small_bundle: Path, other_small_bundle: Path, run: Run) -> None:
    both = ("--model", small_bundle, "--model", other_small_bundle)
    code, out, err = run("label", photo, *both, "--format", "json", "--top", 9, "--sure", 0.5, "--reject", 0)
    assert code == 0
    assert sum(guess["score"] for guess in json.loads(out)[0]["guesses"]) == pytest.approx(1, abs=1e-3)
    assert "devise: ensemble with equal weights: 0.5 x small + 0.5 x small" in err
    code, out, err = run("label", photo, *both, "--explain", *TYPED)
    assert code == 0
    assert "zedonk" in out


def test_evaluate_has_a_row_of_each_model_and_of_both(
    photo_folders: Path, small_bundle: Path, other_small_bundle: Path, run: Run
) -> None:
    command = ("evaluate", photo_folders, "--candidates", "all", "--no-cache", "--branch", "feline")
    both = ("--model", small_bundle, "--model", other_small_bundle)
    code, out, _ = run(*command, *both)
    assert code == 1  # a broken photo
    found = [line for line in out.splitlines() if line.startswith(("fused", "ensemble"))][:3]  # of the first table
    rows = {line.split("  ")[0]: line.split() for line in found}
    assert list(rows) == ["fused", "fused 2", "ensemble"]
    alone = run(*command, "--model", other_small_bundle)[1]
    second = next(line.split() for line in alone.splitlines() if line.startswith("fused"))
    assert rows["fused 2"][2:] == second[1:]


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("label", "--weights", "w.json"), "--weights is for several models: give --model twice or more"),
        (("label", "--model", "B", "--weights", "w.json"), "--weights w.json cannot be read"),
        (("label", "--model", "B", "--method", "conse"), "joined by the method fused alone, got conse"),
        (("label", "--model", "B", "--context"), "context needs one place per picture"),
        (("label", "--model", "B", "--format", "parquet", "--output", "o"), "--format parquet takes one model"),
        (("label", "--model", "default"), "the models were trained on different labels, "),
        (("evaluate", "--model", "B", "--context"), "several models are joined in their own spaces"),
        (("evaluate", "--model", "B", "--label-policy", "first-term"), "several models are joined in their own spaces"),
        (("evaluate", "--weights", "w.json"), "--weights is for several models"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_several_models_cannot_do(
    command: tuple[str, ...],
    told: str,
    photo: Path,
    small_bundle: Path,
    other_small_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    run: Run,
) -> None:
    monkeypatch.chdir(photo.parent)
    name, *rest = (str(other_small_bundle) if one == "B" else one for one in command)
    code, out, err = run(name, "red.png" if name == "label" else ".", "--model", small_bundle, *rest)
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1
    assert [path.name for path in photo.parent.iterdir()] == ["red.png"]


def test_train_ensemble_stores_weights_that_label_takes(
    photo: Path,
    photo_folders: Path,
    small_bundle: Path,
    other_small_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run: Run,
) -> None:
    monkeypatch.setattr("devise.training.ensemble._FEWEST_CLASSES", 3)
    both = ("--model", small_bundle, "--model", other_small_bundle)
    file = tmp_path / "weights.json"
    code, out, err = run("train", "ensemble", *both, "--photos", photo_folders, "--out", file)
    assert code == 1
    assert "broken.png" in err
    assert "6 photos of 3 classes, all labels as candidates" in out
    assert f"in {file}" in out
    code, _, err = run("label", photo, *both, "--weights", file)
    assert code == 0
    assert "ensemble with the weights of the file" in err
    code, _, err = run("train", "ensemble", *both, "--photos", photo_folders, "--out", tmp_path / "a" / "b")
    assert code == 2
    assert "--out needs a file in an existing folder" in err
