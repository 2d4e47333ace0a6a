from typing import Any

import numpy as np
import pytest

from devise.errors import BundleError

torch: Any = pytest.importorskip("torch")
pytest.importorskip("onnx")
smallnet: Any = pytest.importorskip("devise.vision.smallnet")
export: Any = pytest.importorskip("devise.vision.export")
restore: Any = pytest.importorskip("devise.vision.export")

SIZE = smallnet.SmallNetSize((8, 12), (1, 2), 16, 20)


def trained(network: Any) -> Any:
    """Some numbers in every normalisation, as training leaves them."""
    made = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                for values in (module.running_mean, module.bias):
                    values.copy_(0.1 * torch.randn(values.shape, generator=made))
                for values in (module.running_var, module.weight):
                    values.copy_(0.5 + torch.rand(values.shape, generator=made))
    return network.eval()


def test_export_and_back_give_the_same_features():
    from devise.vision.backbone import OpenVinoBackbone

    network = trained(smallnet.SmallNet(5, SIZE))
    crops = np.random.default_rng(1).integers(0, 256, (3, 20, 20, 3), np.uint8)
    planes = torch.from_numpy(network.preprocessing.normalised(crops))
    with torch.no_grad():
        wanted = network.forward_features(planes).numpy()
    onnx_file = export.onnx_bytes(network, half=False)
    engine = OpenVinoBackbone(onnx_file, network.preprocessing)
    assert engine.dim == 16
    assert np.allclose(engine.features(crops), wanted, atol=1e-4)
    again = restore.restored_network(onnx_file, network.architecture, 7, 16).eval()
    assert again.classifier.out_features == 7
    with torch.no_grad():
        assert np.allclose(again.forward_features(planes).numpy(), wanted, atol=1e-4)
    again.train()
    restore.freeze_norms(again)
    with torch.no_grad():
        again.forward_features(planes + 3)
        assert np.allclose(again.forward_features(planes).numpy(), wanted, atol=1e-4)


def test_a_block_begins_as_doing_nothing():
    network = smallnet.SmallNet(5, smallnet.SmallNetSize((8,), (1,), 16, 20)).eval()
    x = torch.randn(1, 8, 5, 5)
    assert torch.equal(network.blocks[0](x), x)


def test_a_network_of_another_kind():
    onnx_file = export.onnx_bytes(smallnet.SmallNet(5, SIZE).eval(), half=False)
    for name in ("resnet", "mean of each channel", "smallnet x x x"):
        with pytest.raises(BundleError, match="cannot be trained further"):
            restore.restored_network(onnx_file, name, 5, 16)
    with pytest.raises(BundleError, match=r"lacks blocks\.\S+ of"):
        restore.restored_network(onnx_file, "smallnet 8-12 x 2-2", 5, 16)
