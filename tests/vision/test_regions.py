"""Windows of the feature map: the mean of all cells is the network, and boxes are where the cells are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.arrays import Pixels
from devise.errors import UsageError
from devise.vision.backbone import OpenVinoBackbone
from devise.vision.efficientnet import EfficientNetLite
from devise.vision.pipeline import Box
from devise.vision.preprocessing import LONGEST, Preprocessing
from devise.vision.regions import DAMPED, FeatureMaps, window_boxes

LITE2 = Preprocessing.of_lite(260)


@pytest.fixture(scope="module")
def maps(lite0_onnx: bytes, lite0: EfficientNetLite) -> FeatureMaps:
    return FeatureMaps(lite0_onnx, lite0.preprocessing)


def test_the_mean_of_the_map_is_what_the_network_makes_of_the_picture(
    maps: FeatureMaps, lite0_backbone: OpenVinoBackbone, photos: list[Pixels]
):
    for photo in photos[:2]:
        crop = maps.preprocessing.apply(photo)
        cells = maps.feature_map(crop)
        assert cells.shape == (1280, 7, 7)
        assert np.abs(cells.mean(axis=(1, 2)) - lite0_backbone.features(crop[None])[0]).max() < 1e-4


def test_a_window_is_half_the_mean_of_its_cells(maps: FeatureMaps, photos: list[Pixels]):
    photo = photos[0]
    height, width = photo.shape[:2]
    cells = maps.feature_map(maps.preprocessing.whole(photo))
    windows, why = maps.windows(photo, (width, height))
    assert why == ""
    boxes = window_boxes(*cells.shape[1:])
    assert len(windows.boxes) == len(windows.features) == len(boxes)
    for box, features in zip(boxes, windows.features, strict=True):
        part = cells[:, box.y : box.y + box.height, box.x : box.x + box.width]
        assert np.abs(DAMPED * part.mean(axis=(1, 2)) - features).max() < 1e-5
    assert windows.boxes[0].x == windows.boxes[0].y == 0
    assert (windows.boxes[-1].x + windows.boxes[-1].width, windows.boxes[-1].y + windows.boxes[-1].height) == (
        width,
        height,
    )


@given(st.integers(1, 40), st.integers(1, 40))
def test_windows_cover_every_cell_and_none_is_outside(rows: int, columns: int):
    seen = np.zeros((rows, columns), bool)
    boxes = window_boxes(rows, columns)
    for box in boxes:
        assert box.x >= 0
        assert box.y >= 0
        assert box.x + box.width <= columns
        assert box.y + box.height <= rows
        seen[box.y : box.y + box.height, box.x : box.x + box.width] = True
    assert seen.all()
    assert len(set(boxes)) == len(boxes)


def test_a_square_of_nine_cells_has_nine_windows_of_five():
    assert window_boxes(9, 9) == [Box(x, y, 5, 5) for y in (0, 2, 4) for x in (0, 2, 4)]


@given(st.integers(1, 900), st.integers(1, 900))
def test_the_whole_picture_keeps_the_sides_that_the_paddings_were_made_for(width: int, height: int):
    made = LITE2.whole(np.zeros((height, width, 3), np.uint8)).shape
    assert made[2] == 3
    assert min(made[:2]) == 260
    assert all((side - 260) % 32 == 0 and side <= LONGEST * 260 + 16 for side in made[:2])
    if max(width, height) <= LONGEST * min(width, height):
        assert 0.94 < (made[1] / made[0]) / (width / height) < 1.07


def test_a_network_that_ends_in_no_mean_of_a_map_is_refused():
    onnx = pytest.importorskip("onnx")
    tensor, float32 = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Flatten", ["pixels"], ["features"], axis=1)],
        "flat",
        [tensor("pixels", float32, ["N", 3, 4, 4])],
        [tensor("features", float32, ["N", 48])],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    data = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    with pytest.raises(UsageError, match="regions need a convolutional network"):
        FeatureMaps(data, Preprocessing(4, 4, "bicubic", (127.0,) * 3, (128.0,) * 3))
