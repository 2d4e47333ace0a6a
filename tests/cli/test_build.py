"""The command on a classifier of three colours; labels, words and vectors come from the model of nine labels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import Run
from PIL import Image

from devise.bundle import writer
from devise.bundle.bundle import open_bundle

onnx: Any = pytest.importorskip("onnx")

TABBY, ZEBRA, GUITAR = "n02123045", "n02391049", "n03272010"
HOW = ("--resize", 4, "--crop", 4, "--interpolation", "bilinear", "--mean", "127,127,127", "--std", "128,128,128",
       "--scale", 255)  # fmt: skip
ROWS = 8 * np.eye(3, dtype=np.float32) + 0.25


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """Logits of red, green and blue pictures."""
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Gemm", ["flat", "rows", "bias"], ["logits"], name="head", transB=1),
    ]
    stored = {"rows": ROWS, "bias": np.array([0.5, 0.25, 0], np.float32)}
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("image", float32, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info("logits", float32, ["N", 3])],
        [onnx.numpy_helper.from_array(values, name) for name, values in stored.items()],
    )
    path = tmp_path / "colours.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    path = tmp_path / "classes.txt"
    path.write_text(f"{TABBY}\nzebra\n{GUITAR} electric guitar\n")
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two photos of each class, all of its colour; the third class's second is another colour."""
    for row, class_id in enumerate((TABBY, ZEBRA, GUITAR)):
        (tmp_path / "photos" / class_id).mkdir(parents=True)
        for number in range(2):
            colour = np.full(3, 30 + number)
            colour[0 if (row, number) == (2, 1) else row] = 220
            pixels = np.tile(colour.astype(np.uint8), (9, 7, 1))
            Image.fromarray(pixels).save(tmp_path / "photos" / class_id / f"{number}.png")
    return tmp_path / "photos"


def test_a_model_of_an_onnx_file(run: Run, net: Path, classes: Path, photos: Path, small_bundle: Path, tmp_path: Path):
    out = tmp_path / "mine"
    made = run("build", "--onnx", net, "--classes", classes, *HOW, "--model", small_bundle, "--out", out,
               "--check", photos)  # fmt: skip
    assert made.code == 0, made.err
    assert "features: flat (3 numbers), before Gemm head" in made.err
    assert "classes: 3 synsets, 1 of them by a name with one sense" in made.err
    assert "kernel surgery: none, as in the base model" in made.err
    assert "scoring: the rule and temperatures of the base model" in made.err
    assert "check: top-1 83.3 % of 6 photos of 6" in made.out  # five of six
    assert "labels: 9, seen 3, unseen 6" in made.out
    assert "licence of the weights: unknown: ask who made the weights" in made.out
    bundle = open_bundle(out)
    bundle.verify()
    assert [bundle.labels.ids[place] for place in bundle.trained.tolist()] == [TABBY, ZEBRA, GUITAR]
    np.testing.assert_allclose(bundle.classifier().weight, ROWS, atol=1e-6)
    assert bundle.manifest.backbone.architecture == "onnx:colours"
    weights = bundle.manifest.provenance[0]
    assert (weights.source, weights.licence) == ("colours.onnx", "unknown: ask who made the weights")
    assert not [one for one in bundle.manifest.provenance if one.what == "training photos"]
    labelled = run(
        "label", photos / ZEBRA / "0.png", "--model", out, "--method", "softmax", "--top", 1, "--format", "jsonl"
    )
    assert ZEBRA in labelled.out
    assert run("label", photos / ZEBRA / "0.png", "--model", out).code == 0
    assert not (tmp_path / "mine-build").exists()


def test_a_model_of_another_model(run: Run, small_bundle: Path, tmp_path: Path):
    out = tmp_path / "mine"
    made = run("build", "--bundle", small_bundle, "--model", small_bundle, "--out", out, "--licence", "MIT")
    assert made.code == 0, made.err
    assert "licence of the weights: MIT" in made.out
    assert "logits: within" in made.out
    new, old = open_bundle(out), open_bundle(small_bundle)
    np.testing.assert_array_equal(new.classifier().weight, old.classifier().weight)


def test_what_is_wrong_is_one_line_and_nothing_is_written(
    run: Run, net: Path, classes: Path, small_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "mine"

    def refused(message: str, *arguments: object, code: int = 2) -> None:
        before = sorted(tmp_path.iterdir())
        done = run("build", *arguments, "--model", small_bundle, "--out", out)
        assert message in done.err
        assert (done.code, done.out) == (code, "")
        assert [line for line in done.err.splitlines() if message in line] == done.err.splitlines()[-1:]
        assert sorted(tmp_path.iterdir()) == before

    source = ("--onnx", net, "--classes", classes)
    sources = "--onnx, --lite, --timm, --torchvision, --hf, --tflite, --bundle, --open-clip, --hf-clip"
    refused(f"give one source of {sources}, got none")
    refused("got --onnx, --lite", *source, "--lite", 0)
    refused("--weights is for --timm, --torchvision and --open-clip, not for --onnx", *source, "--weights", net)
    refused("--torchvision needs --weights FILE", "--torchvision", "resnet50")
    refused("the source does not say how pictures are prepared: give --resize, --crop", *source)
    refused("--mean 127,127,127 is above 1, white on --scale 1", *source, *HOW[:-2])
    refused("--mean takes three numbers like 0.485,0.456,0.406, got '0.5'", *source, "--mean", "0.5")
    refused("the network does not name its 3 classes: give --classes FILE", "--onnx", net, *HOW)
    refused("the class list has 1,000 classes, the network 3", "--onnx", net, "--classes", "imagenet", *HOW)
    classes.write_text(f"{TABBY}\nzebra\n")
    refused("the class list has 2 classes, the network 3: give one line per output", *source, *HOW)
    classes.write_text(f"{TABBY}\nzebra\ncrane\n")
    refused("1 class name has several senses or none in WordNet (crane): give --review FILE", *source, *HOW)
    classes.write_text(f"{TABBY}\nzebra\n{GUITAR}\n")
    refused("has no kernel made with an encoder: leave out --encoder", *source, *HOW, "--encoder")
    refused("no value 'other'", *source, *HOW, "--features", "other")
    monkeypatch.setattr("devise.training.sources.EXACT", -1.0)
    refused("the logits differ by", *source, *HOW, code=1)
    monkeypatch.undo()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, "_sync", full)
    refused("cannot be written, No space left on device: free some space", *source, *HOW, code=1)
    monkeypatch.undo()
    out.mkdir()
    (out / "file").write_text("mine")
    refused("exists already: choose another path", *source, *HOW, code=1)


def test_photos_of_too_few_classes_keep_the_rule_of_the_base(
    run: Run, net: Path, classes: Path, photos: Path, small_bundle: Path, tmp_path: Path
):
    out = tmp_path / "mine"
    made = run("build", "--onnx", net, "--classes", classes, *HOW, "--model", small_bundle, "--out", out,
               "--photos", photos)  # fmt: skip
    assert made.code == 0, made.err
    assert "features of 6 photos, 0 unreadable" in made.err
    assert "for 3 classes with photos are too few to leave some out (40)" in made.err
    new, old = open_bundle(out), open_bundle(small_bundle)
    assert new.manifest.scoring["fused"] == old.manifest.scoring["fused"]
