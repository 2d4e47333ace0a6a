"""Run a backbone in 8-bit integers: values between convolutions are rounded to 256 levels."""

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Literal, TypeVar

import numpy as np

from devise.arrays import Float32
from devise.errors import BundleError, UsageError
from devise.vision.bounds import Bounds, Shift, network_of
from devise.vision.preprocessing import Planes, Preprocessing
from devise.vision.runtime import import_openvino, infer, openvino_core

__all__ = [
    "Products",
    "executed_types",
    "measure_bounds",
    "products_here",
    "quantise",
    "require_int8",
    "rounded_values",
    "shift_of",
    "sums_are_narrow",
]

Weight = Float32[np.ndarray, "..."]
Products = Literal["none", "narrow", "wide"]
_Kept = TypeVar("_Kept")
_CAPABILITIES, _INT8 = "OPTIMIZATION_CAPABILITIES", "INT8"
_CONVOLUTIONS = ("Convolution", "GroupConvolution")
_LEVELS = 256  # of what flows: 8 bits
_WEIGHT_LEVELS = 255  # -127 to 127, so that zero stays zero
_LEAST = 1e-6  # width of the bounds of a value that is always the same


def rounded_values(network: Any) -> dict[str, Any]:
    """Rounded values of an OpenVINO graph, by name: inputs of convolutions and of additions."""
    found: dict[str, Any] = {}
    for node in _readers(network):
        for place in _places(node):
            source = node.input_value(place)
            found.setdefault(source.get_node().get_friendly_name(), source)
    return found


@cache
def sums_are_narrow() -> bool:
    """Return whether OpenVINO adds 8-bit products in pairs of 16 bits here, which can overflow.

    A processor without VNNI or its like does (vpmaddubsw: 2 x 255 x 127 becomes 32,767). It is tried, not looked up:
    two convolutions of the greatest numbers, 0.06 s of core time once per process. So the answer is right for every
    processor, system and `ONEDNN_MAX_CPU_ISA`.
    """
    openvino = import_openvino()
    opset13 = openvino.opset13
    pixels = opset13.parameter([1, 32, 4, 4], np.float32, name="pixels")
    outputs, names = [], ("one", "nine")
    for name, side in zip(names, (1, 3), strict=True):
        weight = opset13.constant(np.full((32, 32, side, side), 1 / (32 * side * side), np.float32))
        value = opset13.convolution(pixels, weight, [1, 1], [0, 0], [0, 0], [1, 1])
        outputs.append(opset13.add(value, opset13.constant(np.zeros((1, 32, 1, 1), np.float32)), name=name))
    network = openvino.Model(outputs, [pixels], "sums")
    nothing = np.zeros(32, np.float32)
    quantise(network, Bounds("", {"pixels": (0.0, 1.0)}, dict.fromkeys(names, nothing)), narrow=False)
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    request = openvino_core().compile_model(network, "CPU", settings).create_infer_request()
    infer(request, np.ones((1, 32, 4, 4), np.float32))
    # each sum is 1; where all pairs overflow, 0.51
    return any(bool((request.get_output_tensor(place).data < 0.9).any()) for place in range(len(names)))


def quantise(network: Any, bounds: Bounds, *, narrow: bool) -> None:
    """Insert the rounding into an OpenVINO graph, so that the CPU plugin runs it in 8-bit integers.

    Values are rounded to 256 levels between their bounds, evenly spaced; the weights of each output channel to 255,
    from minus the greatest magnitude among them to plus it (a FakeQuantize operation each). The shifts are added to
    the biases. BundleError if the bounds are of another network.

    narrow: for processors with `sums_are_narrow`: larger steps of the weights keep the sum of two products within 16
        bits.
    """
    opset13 = import_openvino().opset13

    def rounded(value: Any, low: Any, high: Any, levels: int) -> Any:
        return opset13.fake_quantize(value, low, high, low, high, levels).output(0)

    readers, made = _readers(network), dict[str, Any]()
    shifts = bounds.narrow_shifts if narrow and bounds.narrow_shifts else bounds.shifts
    for name, value in rounded_values(network).items():
        low, high = (np.full((1, 1, 1, 1), bound, np.float32) for bound in _known(bounds.of, name))
        made[name] = rounded(value, low, high, _LEVELS)
    for node in readers:
        for place in _places(node):
            node.input(place).replace_source_output(made[node.input_value(place).get_node().get_friendly_name()])
        if node.get_type_name() not in _CONVOLUTIONS:
            continue
        weight, bias = _weight(node), _bias(node)
        most = _most(weight, narrow=narrow)
        node.input(1).replace_source_output(rounded(opset13.constant(weight), -most, most, _WEIGHT_LEVELS))
        shift = _known(shifts, bias.get_node().get_friendly_name()).reshape(1, -1, 1, 1)
        bias.replace_source_output(opset13.add(bias.get_source_output(), opset13.constant(shift)).output(0))
    network.validate_nodes_and_infer_types()


def measure_bounds(onnx: bytes, preprocessing: Preprocessing, planes: Iterable[Planes]) -> Bounds:
    """Measure the bounds of a network: the mean over pictures of each value's minimum and maximum.

    planes: one picture each.

    The mean cuts what is rare off, which leaves finer steps to what is common. The bounds of the pixels are those of
    bytes, so that rounding loses nothing of them. The shift of a convolution is what its rounded weights lack of the
    others times the mean of what it reads, channel by channel: the mean of its output stays, except at the margins (the
    bias correction of Nagel et al. 2019, section 4.2). UsageError if there is no picture.
    """
    core = openvino_core()
    network = core.read_model(onnx)
    network.reshape([1, *list(network.input(0).partial_shape)[1:]])
    seen = _seen(core, network, planes)
    of = {name: (low, max(high, low + _LEAST)) for name, (low, high, _) in seen.items()}
    of[network.input(0).get_node().get_friendly_name()] = _pixel_bounds(preprocessing)
    shifts: dict[bool, dict[str, Shift]] = {False: {}, True: {}}
    for node in _readers(network):
        if node.get_type_name() in _CONVOLUTIONS:
            _, _, means = seen[node.input_value(0).get_node().get_friendly_name()]
            name, weight = _bias(node).get_node().get_friendly_name(), _weight(node)
            for narrow, found in shifts.items():
                found[name] = shift_of(weight, means, narrow=narrow)
    return Bounds(network_of(onnx), of, shifts[False], shifts[True])


def shift_of(weight: Weight, means: Shift, *, narrow: bool) -> Shift:
    """Return the correction of a convolution's output channels that keeps their means after rounding.

    weight: [out in k k], or [groups out in k k]. means: of the channels that the convolution reads. narrow: of
    `quantise`.
    """
    step = _most(weight, narrow=narrow) / np.float32(_WEIGHT_LEVELS // 2)
    lost = (weight - np.rint(weight / step) * step).sum(axis=(-2, -1), dtype=np.float64)
    groups = means.reshape(lost.shape[0] if lost.ndim == 3 else 1, -1)
    shift: Shift = np.einsum("goi,gi->go", lost.reshape(len(groups), -1, groups.shape[1]), groups)
    return shift.astype(np.float32).ravel()


def _seen(core: Any, network: Any, planes: Iterable[Planes]) -> dict[str, tuple[float, float, Shift]]:
    """Average each value's minimum, maximum and channel means over pictures; UsageError without pictures."""
    openvino = import_openvino()
    opset13 = openvino.opset13
    values, outputs = rounded_values(network), []
    if not values:
        raise BundleError("the network has no convolution, so there is no fast form of it")
    if any(value.get_partial_shape().rank.get_length() != 4 for value in values.values()):
        raise BundleError(
            "the network adds values that are not maps of pixels, as transformers do, so it has no fast form: use "
            "--precision bf16 where the processor has it"
        )
    for value in values.values():
        whole, sides = np.arange(4), np.array([0, 2, 3])
        outputs += [opset13.reduce_min(value, whole, False), opset13.reduce_max(value, whole, False)]
        outputs += [opset13.reduce_mean(value, sides, False)]
    observed = openvino.Model(outputs, network.get_parameters(), "observed")
    request = core.compile_model(observed, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    sums: list[Any] = []
    count = 0
    for one in planes:
        count += 1
        infer(request, one)
        found = [request.get_output_tensor(i).data.astype(np.float64) for i in range(len(outputs))]
        sums = [one + more for one, more in zip(sums, found, strict=True)] if sums else found
    if not count:
        raise UsageError("measuring an 8-bit network needs readable photos, got none: give some")
    return {
        name: (float(low / count), float(high / count), (mean / count).astype(np.float32))
        for name, low, high, mean in zip(values, sums[::3], sums[1::3], sums[2::3], strict=True)
    }


def products_here() -> Products:
    """Return how OpenVINO adds 8-bit products on this CPU: in "wide" or "narrow" sums, or "none"."""
    if _INT8 not in openvino_core().get_property("CPU", _CAPABILITIES):
        return "none"
    return "narrow" if sums_are_narrow() else "wide"


def require_int8(core: Any) -> None:
    """Raise UsageError if OpenVINO does not run 8-bit integers on this CPU, so rounding would only cost accuracy."""
    known = core.get_property("CPU", _CAPABILITIES)
    if _INT8 not in known:
        raise UsageError(f"OpenVINO has no 8-bit arithmetic for this CPU ({', '.join(known)}): leave the fast form out")


def executed_types(compiled: Any) -> Counter[str]:
    """Count the layers of a compiled network by number type: "i8" or "u8", "f32", ...

    Only convolutions are counted: they are what takes the time.
    """
    found: Counter[str] = Counter()
    for node in compiled.get_runtime_model().get_ordered_ops():
        facts = node.get_rt_info()
        if facts["layerType"].value in _CONVOLUTIONS:
            found[str(facts["runtimePrecision"].value)] += 1
    return found


def _pixel_bounds(preprocessing: Preprocessing) -> tuple[float, float]:
    """Return the inputs for bytes 0 and 255: the 256 levels between them are the bytes."""
    pairs = list(zip(preprocessing.mean, preprocessing.std, strict=True))
    return min((0 - mean) / std for mean, std in pairs), max((255 - mean) / std for mean, std in pairs)


def _readers(network: Any) -> list[Any]:
    """Return the convolutions, and the additions of two values that depend on the picture."""
    depends = {parameter.get_friendly_name() for parameter in network.get_parameters()}
    found = []
    for node in network.get_ordered_ops():
        kind = node.get_type_name()
        flows = [value.get_node().get_friendly_name() in depends for value in node.input_values()]
        if any(flows) and kind != "ShapeOf":  # a shape is the same for every picture
            depends.add(node.get_friendly_name())
        if kind in _CONVOLUTIONS or (kind == "Add" and all(flows)):
            found.append(node)
    return found


def _places(node: Any) -> tuple[int, ...]:
    """Return which inputs of a node are rounded values."""
    return (0,) if node.get_type_name() in _CONVOLUTIONS else (0, 1)


def _known(kept: Mapping[str, _Kept], name: str) -> _Kept:
    if name not in kept:
        raise BundleError(
            f"the fast part has no bounds for {name} of the network: it was made for another one, make it again"
        )
    return kept[name]


def _most(weight: Weight, *, narrow: bool) -> Weight:
    """Return the value of the largest rounded weight per output channel, shaped like the weights.

    That is 127 steps. Without `narrow` it is the greatest magnitude among the weights.

    Narrow: two weights of one sign whose products may be added in 16 bits have a sum of at most 127 steps, rounded at
    most 128, and 255 x 128 is below 32,768. In a convolution of one pixel these are the weights of two adjacent
    input channels, as its kernels store them; in a larger one any two, because its kernels differ. A depthwise one
    is left as it is: each of its products is added in 32 bits, also there.
    """
    outer = weight.shape[: weight.ndim - 3]  # out, or groups and out; after them in, k, k
    flat = weight.reshape(*outer, -1)
    if not narrow or (weight.ndim == 5 and weight.shape[1:3] == (1, 1)):
        greatest = np.abs(flat).max(axis=-1)
    elif weight.shape[-2:] == (1, 1):
        pairs = np.pad(flat, [(0, 0)] * len(outer) + [(0, flat.shape[-1] % 2)]).reshape(*outer, -1, 2)
        greatest = np.maximum(*(np.maximum(one, 0).sum(axis=-1).max(axis=-1) for one in (pairs, -pairs)))
    else:
        greatest = np.maximum(*(np.sort(np.maximum(one, 0))[..., -2:].sum(axis=-1) for one in (flat, -flat)))
    most: Weight = np.maximum(greatest, np.float32(_LEAST)).reshape(*outer, 1, 1, 1)
    return most


def _bias(node: Any) -> Any:
    """Return the bias input of the addition after a convolution; BundleError if there is none."""
    for reader in node.output(0).get_target_inputs():
        addition = reader.get_node()
        if addition.get_type_name() == "Add":
            return addition.input(1 - reader.get_index())
    raise BundleError(f"convolution {node.get_friendly_name()} has no bias, which the fast form needs")


def _weight(node: Any) -> Weight:
    """Return a convolution's weights, which an ONNX file may store as float16 and in another shape."""
    shape = [side.get_length() for side in node.input_value(1).partial_shape]
    source = node.input_value(1).get_node()
    while source.get_type_name() != "Constant":
        source = source.input_value(0).get_node()
    weight: Weight = source.get_data().astype(np.float32).reshape(shape)
    return weight
