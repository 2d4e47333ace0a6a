"""Backbones: networks that turn preprocessed pictures into features."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from devise.arrays import Features
from devise.errors import BundleError, UsageError
from devise.files import read_file, reason_of
from devise.vision.bounds import Bounds
from devise.vision.networkfile import check_file, check_graph
from devise.vision.preprocessing import Crops, Preprocessing
from devise.vision.quantised import executed_types, quantise, require_int8, sums_are_narrow
from devise.vision.runtime import (
    CUDA_PROVIDER,
    ON_CPU,
    Placement,
    import_openvino,
    infer,
    openvino_core,
    openvino_settings,
)

__all__ = ["Backbone", "JoinedBackbones", "OnnxRuntimeBackbone", "OpenVinoBackbone", "read_network", "taking_pictures"]

_PAIRS_PAY = 2000  # pictures that came together: compiling takes 0.4 core s and 100 MB, and saves 0.5 ms per picture
_CLOSE = 1e-3  # of the largest feature: rounding in another order


@runtime_checkable
class Backbone(Protocol):
    """A network without its classifier."""

    @property
    def preprocessing(self) -> Preprocessing:
        """Return the preprocessing of pictures."""

    @property
    def dim(self) -> int:
        """Return the number of features per picture."""

    def features(self, crops: Crops) -> Features:
        """Return one row per picture, in a new array. Thread-safe. UsageError for anything but bytes."""


class OpenVinoBackbone:
    """An ONNX network run by OpenVINO, in float32, bfloat16 or 8-bit integers.

    OpenVINO's own choice on newer CPUs is bfloat16, which moves logits by as much as 0.34: float32 is asked
    for unless the caller asks for another. The network is compiled for exactly one picture per run, which takes less
    time than a batch of any size, and again for exactly two once many came together. With EfficientNet-Lite2, two
    cores and two streams, two take 5 % less core time per picture than one with AVX-512 and 3 % with AVX2, and four
    take as much as one. Features of two are those of one to the bit with this network, and within rounding with others.

    The network may come from anywhere: see `devise.vision.networkfile` for what is refused with a BundleError.

    onnx: the file, or its bytes.
    streams: calls of `features` that run side by side, each on its share of the threads: 1 answers a single
        picture soonest, one per core labels a folder fastest.
    threads: CPU threads in all; None means one per core.
    bounds: run in 8-bit integers, with these; see `devise.vision.quantised`. UsageError on a CPU that cannot.
    place: where it runs, as `settled` returns it; not cuda.
    """

    def __init__(
        self,
        onnx: Path | bytes,
        preprocessing: Preprocessing,
        *,
        streams: int = 1,
        threads: int | None = None,
        bounds: Bounds | None = None,
        place: Placement = ON_CPU,
    ) -> None:
        core = openvino_core()
        network = read_network(core, onnx, bounds)
        sides = list(network.input(0).partial_shape)[1:]
        settings = openvino_settings(place, streams, threads)
        try:
            single = core.compile_model(taking_pictures(network, preprocessing), place.device.upper(), settings)
        except RuntimeError as error:
            if place.device != "cpu":
                raise BundleError(
                    f"backbone network cannot run on --device {place.device} ({_last_line(error)}): give --device cpu"
                ) from None
            raise _unreadable(error) from None
        _check_sides(sides, preprocessing, list(single.output(0).shape))
        self.preprocessing = preprocessing
        self.dim = int(single.output(0).shape[1])
        self._compiled = {1: single}
        self._requests = threading.local()
        self._lock = threading.Lock()
        self._came_together = 0
        self._compile_pairs: Callable[[], Any] | None = None
        if place == ON_CPU:
            self._compile_pairs = lambda: core.compile_model(
                taking_pictures(read_network(core, onnx, bounds, 2), preprocessing), "CPU", settings
            )

    def executed_types(self) -> Counter[str]:
        """Count convolutions by number type, such as "f32" or "i8"."""
        return executed_types(self._compiled[1])

    def features(self, crops: Crops) -> Features:
        """Return one row per picture, in a new array. Thread-safe."""
        features = np.empty((len(_bytes(crops)), self.dim), np.float32)
        start = 0
        while start < len(crops):
            count = 2 if len(crops) - start > 1 and self._pairs_are_compiled() else 1
            rows = slice(start, start + count)
            request = self._request(count)
            infer(request, crops[rows])
            features[rows] = request.get_output_tensor(0).data
            start += count
        return _finite(features)

    def _request(self, count: int) -> Any:
        """Return this thread's own request for so many pictures."""
        own: dict[int, Any] = self._requests.__dict__.setdefault("by_count", {})
        if count not in own:
            own[count] = self._compiled[count].create_infer_request()
        return own[count]

    def _pairs_are_compiled(self) -> bool:
        """Count two pictures that came together; compile the network for two once that pays.

        Other threads run it one by one meanwhile, and all do if the network takes one picture only.
        """
        with self._lock:
            self._came_together += 2
            compile_pairs = self._compile_pairs if self._came_together >= _PAIRS_PAY else None
            if compile_pairs is not None:
                self._compile_pairs = None
        if compile_pairs is not None:
            with suppress(BundleError, RuntimeError):
                pairs = compile_pairs()
                if self._agree(pairs):
                    self._compiled[2] = pairs
        return 2 in self._compiled

    def _agree(self, pairs: Any) -> bool:
        """Return whether two pictures at once get the features of each: a network may mix those of a batch."""
        noise = np.random.default_rng(0).integers(0, 256, list(pairs.input(0).shape), np.uint8)
        both, single = pairs.create_infer_request(), self._request(1)
        infer(both, noise)
        together = both.get_output_tensor(0).data
        alone = np.empty((2, self.dim), np.float32)
        for row, pixels in zip(alone, noise, strict=True):
            infer(single, pixels[None])
            row[:] = single.get_output_tensor(0).data[0]
        return together.shape == alone.shape and bool(np.abs(together - alone).max() <= _CLOSE * np.abs(alone).max())


class OnnxRuntimeBackbone:
    """The same ONNX network run by ONNX Runtime in float32: on a GPU by CUDA, or on the CPU.

    The features are those of `OpenVinoBackbone` within 1e-4 of the largest. provider: ONNX Runtime's name of the
    device. UsageError if ONNX Runtime cannot start it; else as `OpenVinoBackbone`.
    """

    def __init__(self, onnx: Path | bytes, preprocessing: Preprocessing, *, provider: str = CUDA_PROVIDER) -> None:
        import onnxruntime

        data = _file_bytes(onnx)
        network = read_network(openvino_core(), data, None)
        sides = list(network.input(0).partial_shape)[1:]
        _check_sides(sides, preprocessing, [int(side) for side in network.output(0).shape])
        missing = UsageError(
            "--device cuda cannot start: ONNX Runtime does not find CUDA's libraries or the driver; give another device"
        )
        if provider not in onnxruntime.get_available_providers():
            raise missing
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # CUDA's own choice on newer GPUs is TF32, which has 10 bits of fraction
        own = {"use_tf32": "0"} if provider == CUDA_PROVIDER else {}
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=[(provider, own)])
        except Exception as error:  # of many classes, none of which ONNX Runtime makes public
            raise BundleError(f"backbone network cannot be read by ONNX Runtime ({_last_line(error)})") from None
        if provider not in self._session.get_providers():  # it fell back to the CPU
            raise missing
        self.dim = int(network.output(0).shape[1])
        self.preprocessing = preprocessing
        self._input = self._session.get_inputs()[0].name

    def features(self, crops: Crops) -> Features:
        """Return one row per picture, in a new array. Thread-safe."""
        features = np.empty((len(_bytes(crops)), self.dim), np.float32)
        for row, crop in zip(features, crops, strict=True):
            row[:] = self._session.run(None, {self._input: self.preprocessing.normalised(crop[None])})[0][0]
        return _finite(features)


@dataclass(frozen=True, eq=False)
class JoinedBackbones:
    """Networks that look at the same pictures, each with its own preprocessing."""

    members: Sequence[Backbone]


def _file_bytes(onnx: Path | bytes) -> bytes:
    try:
        return onnx if isinstance(onnx, bytes) else read_file(onnx)
    except OSError as error:
        raise BundleError(f"backbone network cannot be read ({reason_of(error)}): rebuild the bundle") from None


def read_network(core: Any, onnx: Path | bytes, bounds: Bounds | None, pictures: int = 1) -> Any:
    """Return the checked graph, in 8-bit integers with `bounds`; the errors of `OpenVinoBackbone`.

    core: of OpenVINO. pictures: how many it takes at once.
    """
    data = _file_bytes(onnx)
    check_file(data)
    try:
        network = core.read_model(data)
        network.reshape([pictures, *list(network.input(0).partial_shape)[1:]])
        check_graph(network)
        if bounds is not None:
            require_int8(core)
            quantise(network, bounds, narrow=sums_are_narrow())
    except RuntimeError as error:
        raise _unreadable(error) from None
    return network


def taking_pictures(network: Any, preprocessing: Preprocessing) -> Any:
    """Let a network take bytes with their channels last, and normalise them itself.

    Its input is then a quarter as large, and OpenVINO has channels last inside.
    """
    openvino = import_openvino()
    prepared = openvino.preprocess.PrePostProcessor(network)
    prepared.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    steps = prepared.input().preprocess().convert_element_type(openvino.Type.f32)
    steps.mean(list(preprocessing.mean)).scale(list(preprocessing.std))
    prepared.input().model().set_layout(openvino.Layout("NCHW"))
    return prepared.build()


def _check_sides(sides: list[Any], preprocessing: Preprocessing, made: list[int]) -> None:
    taken = [str(side) for side in sides]
    if taken != ["3", str(preprocessing.crop), str(preprocessing.crop)]:
        raise BundleError(
            f"backbone network takes pictures of {'x'.join(taken)}, its preprocessing makes"
            f" 3x{preprocessing.crop}x{preprocessing.crop}: rebuild the bundle"
        )
    if len(made) != 2 or made[0] != 1 or not made[1]:
        raise BundleError(f"backbone network makes features of shape {made}, not [1, features]: rebuild the bundle")


def _unreadable(error: Exception) -> BundleError:
    return BundleError(f"backbone network cannot be read by OpenVINO ({_last_line(error)}): rebuild the bundle")


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]


def _bytes(crops: Crops) -> Crops:
    if crops.dtype != np.uint8:
        raise UsageError(f"a backbone takes pictures as bytes, got {crops.dtype}: give what Preprocessing.apply makes")
    return crops


def _finite(features: Features) -> Features:
    if not np.isfinite(features).all():
        raise BundleError("backbone network makes features that are not finite: get or rebuild the bundle")
    return features
