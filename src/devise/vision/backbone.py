"""Backbones: networks that turn preprocessed pictures into features."""

import threading
from collections import Counter
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from devise.arrays import Features
from devise.errors import BundleError
from devise.files import read_file, reason_of
from devise.vision.bounds import Bounds
from devise.vision.networkfile import check_file, check_graph
from devise.vision.preprocessing import Planes, Preprocessing
from devise.vision.quantised import executed_types, quantise, require_int8, sums_are_narrow
from devise.vision.runtime import import_openvino, infer

__all__ = ["Backbone", "OpenVinoBackbone", "Planes", "read_network", "runtime_settings"]


@runtime_checkable
class Backbone(Protocol):
    """A network without its classifier."""

    @property
    def preprocessing(self) -> Preprocessing:
        """Return the preprocessing of pictures."""

    @property
    def dim(self) -> int:
        """Return the number of features per picture."""

    def features(self, planes: Planes) -> Features:
        """Return one row per picture, in a new array. Thread-safe."""


class OpenVinoBackbone:
    """An ONNX network run by OpenVINO on the CPU, in float32 or in 8-bit integers.

    OpenVINO's own choice on newer CPUs is bfloat16, which moves logits by as much as 0.34: float32 is asked
    for instead. The network is compiled for exactly one picture per run: with EfficientNet-Lite2, two
    cores and two streams, a batch of any size took about 1.1 times the core time per picture, batches of 4 to 16
    1.2 to 1.3 times; a batch of 2 was not measurably different.

    The network may come from anywhere: see `devise.vision.networkfile` for what is refused with a BundleError.

    onnx: the file, or its bytes.
    streams: calls of `features` that run side by side, each on its share of the threads: 1 answers a single
        picture soonest, one per core labels a folder fastest.
    threads: CPU threads in all; None means one per core.
    bounds: run in 8-bit integers, with these; see `devise.vision.quantised`. UsageError on a CPU that cannot.
    """

    def __init__(
        self,
        onnx: Path | bytes,
        preprocessing: Preprocessing,
        *,
        streams: int = 1,
        threads: int | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        core = import_openvino().Core()
        network = read_network(core, onnx, bounds)
        try:
            self._compiled = core.compile_model(network, "CPU", runtime_settings(streams, threads))
        except RuntimeError as error:
            raise _unreadable(error) from None
        taken = [str(side) for side in list(network.input(0).partial_shape)[1:]]
        if taken != ["3", str(preprocessing.crop), str(preprocessing.crop)]:
            raise BundleError(
                f"backbone network takes pictures of {'x'.join(taken)}, its preprocessing makes"
                f" 3x{preprocessing.crop}x{preprocessing.crop}: rebuild the bundle"
            )
        made = list(self._compiled.output(0).shape)
        if len(made) != 2 or made[0] != 1 or not made[1]:
            raise BundleError(f"backbone network makes features of shape {made}, not [1, features]: rebuild the bundle")
        self.preprocessing = preprocessing
        self._requests = threading.local()

    @property
    def dim(self) -> int:
        """Return the number of features per picture."""
        return int(self._compiled.output(0).partial_shape[1].get_length())

    def executed_types(self) -> Counter[str]:
        """Count convolutions by number type, such as "f32" or "i8"."""
        return executed_types(self._compiled)

    def features(self, planes: Planes) -> Features:
        """Return one row per picture, in a new array. Thread-safe."""
        if not len(planes):
            return np.zeros((0, self.dim), np.float32)
        request = getattr(self._requests, "request", None)
        if request is None:
            request = self._requests.request = self._compiled.create_infer_request()
        features = np.empty((len(planes), self.dim), np.float32)
        for row, plane in zip(features, planes, strict=True):
            infer(request, plane[None])
            row[:] = request.get_output_tensor(0).data[0]
        if not np.isfinite(features).all():
            raise BundleError("backbone network makes features that are not finite: get or rebuild the bundle")
        return features


def read_network(core: Any, onnx: Path | bytes, bounds: Bounds | None) -> Any:
    """Return the checked graph for one picture, in 8-bit integers with `bounds`; the errors of `OpenVinoBackbone`.

    core: of OpenVINO.
    """
    try:
        data = onnx if isinstance(onnx, bytes) else read_file(onnx)
    except OSError as error:
        raise BundleError(f"backbone network cannot be read ({reason_of(error)}): rebuild the bundle") from None
    check_file(data)
    try:
        network = core.read_model(data)
        network.reshape([1, *list(network.input(0).partial_shape)[1:]])
        check_graph(network)
        if bounds is not None:
            require_int8(core)
            quantise(network, bounds, narrow=sums_are_narrow())
    except RuntimeError as error:
        raise _unreadable(error) from None
    return network


def runtime_settings(streams: int, threads: int | None = None) -> dict[str, Any]:
    """Return OpenVINO's settings; see `OpenVinoBackbone`."""
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": streams}
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = threads
    return settings


def _unreadable(error: RuntimeError) -> BundleError:
    reason = str(error).strip().splitlines()[-1]
    return BundleError(f"backbone network cannot be read by OpenVINO ({reason}): rebuild the bundle")
