"""Parts of a picture: windows of the last feature map of the network, from one pass over the whole picture.

A convolutional network ends in the mean of a map: 9 x 9 cells for a picture of 260 pixels, one per 32 pixels. The
mean over some of the cells is, nearly, what the network makes of that part of the picture. All parts cost one pass.

The mean of few cells is more extreme than that of a whole picture, and the classifier is then too sure. Half of it is
taken: on pictures made of photos of trained classes it makes a third of the mistakes (`tools.region_trials`).
"""

import threading
from pathlib import Path
from typing import Any

import numpy as np

from devise.arrays import Float32, Pixels
from devise.errors import BundleError, UsageError
from devise.vision.backbone import read_network, taking_pictures
from devise.vision.bounds import Bounds
from devise.vision.pipeline import Box, Windows
from devise.vision.preprocessing import Preprocessing, Whole
from devise.vision.runtime import ON_CPU, import_openvino, infer, openvino_core, openvino_settings

__all__ = ["DAMPED", "FeatureMaps", "window_boxes"]

DAMPED = 0.5
"""The share that is taken of the mean over a window."""
_WINDOW, _STEP = 5 / 9, 2 / 9  # sides of a window and of a step, of the cells along the short side


def window_boxes(rows: int, columns: int) -> list[Box]:
    """Return the windows of a feature map, in cells: squares that overlap, row by row.

    >>> len(window_boxes(9, 9)), window_boxes(9, 9)[1]
    (9, Box(x=2, y=0, width=5, height=5))
    """
    short = min(rows, columns)
    side, step = max(1, round(_WINDOW * short)), max(1, round(_STEP * short))
    return [Box(x, y, side, side) for y in _starts(rows, side, step) for x in _starts(columns, side, step)]


def _starts(cells: int, side: int, step: int) -> list[int]:
    """Return evenly spaced starts from the first cell to the last window, at most a step apart."""
    count = -(-(cells - side) // step) + 1
    return [round(number * (cells - side) / max(1, count - 1)) for number in range(count)]


class FeatureMaps:
    """The network of a backbone without its last mean. Thread-safe.

    onnx, preprocessing, streams, bounds: see `OpenVinoBackbone`. UsageError if the network does not end in the mean of
    a feature map, or takes pictures of one size only: a transformer, for example.
    """

    def __init__(
        self, onnx: Path | bytes, preprocessing: Preprocessing, *, streams: int = 1, bounds: Bounds | None = None
    ) -> None:
        openvino = import_openvino()
        core = openvino_core()
        network = read_network(core, onnx, bounds)
        self.preprocessing = preprocessing
        try:
            whole = openvino.Model([_map_of(network)], network.get_parameters(), "map")
            whole.reshape([1, 3, -1, -1])  # any height and width: the map is of the whole picture, not of a crop
            self._compiled = core.compile_model(
                taking_pictures(whole, preprocessing), "CPU", openvino_settings(ON_CPU, streams, None)
            )
        except RuntimeError:
            raise _unfit() from None
        self._requests = threading.local()

    def windows(self, pixels: Pixels, size: tuple[int, int]) -> tuple[Windows, str]:
        """Return the parts, and why there are none, or "". size: of the picture before it was reduced."""
        return self.windows_of(self.preprocessing.whole(pixels), size)

    def windows_of(self, whole: Whole, size: tuple[int, int]) -> tuple[Windows, str]:
        """Return the same for what `Preprocessing.whole` made."""
        why = self.preprocessing.why_no_parts(size)
        if why:
            dim = int(self._compiled.output(0).partial_shape[1].get_length())
            return Windows(size, (), np.zeros((0, dim), np.float32)), why
        cells = self.feature_map(whole)
        _, rows, columns = cells.shape
        boxes = window_boxes(rows, columns)
        features = np.stack([cells[:, b.y : b.y + b.height, b.x : b.x + b.width].mean(axis=(1, 2)) for b in boxes])
        placed = tuple(_in_pixels(box, (columns, rows), size) for box in boxes)
        return Windows(size, placed, np.float32(DAMPED) * features), ""

    def feature_map(self, whole: Whole) -> Float32[np.ndarray, "features rows columns"]:
        """Return the map of one picture, in a new array."""
        request = getattr(self._requests, "request", None)
        if request is None:
            request = self._requests.request = self._compiled.create_infer_request()
        try:
            infer(request, whole[None])
        except RuntimeError:
            raise _unfit() from None
        cells: Float32[np.ndarray, "features rows columns"] = np.array(request.get_output_tensor(0).data[0], np.float32)
        if not np.isfinite(cells).all():
            raise BundleError("backbone network makes features that are not finite: get or rebuild the bundle")
        return cells


def _in_pixels(box: Box, cells: tuple[int, int], size: tuple[int, int]) -> Box:
    """Return a box of cells as pixels. cells: columns and rows. size: width and height."""
    x, right = (round(one * size[0] / cells[0]) for one in (box.x, box.x + box.width))
    y, bottom = (round(one * size[1] / cells[1]) for one in (box.y, box.y + box.height))
    return Box(x, y, right - x, bottom - y)


def _map_of(network: Any) -> Any:
    """Return the value whose mean over its last two axes the network puts out; UsageError if there is none."""
    node = network.get_results()[0].input_value(0).get_node()
    while node.get_type_name() in ("Reshape", "Squeeze"):
        node = node.input_value(0).get_node()
    if node.get_type_name() != "ReduceMean":
        raise _unfit()
    value, axes = node.input_value(0), node.input_value(1).get_node()
    if len(value.partial_shape) != 4:
        raise _unfit()
    # The axes of GlobalAveragePool are computed, always to the spatial ones; those of ReduceMean are stored.
    if axes.get_type_name() == "Constant" and sorted(int(one) % 4 for one in np.ravel(axes.get_data())) != [2, 3]:
        raise _unfit()
    return value


def _unfit() -> UsageError:
    return UsageError(
        "regions need a convolutional network that ends in the mean of a feature map, and that of the model does not: "
        "leave out --regions, or use another model"
    )
