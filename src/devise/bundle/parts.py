"""The contents of a bundle's parts, to bytes and back. Each `encode_` has a `decode_`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from devise.arrays import Float32, LabelVectors, Surgery
from devise.bundle.arrays_io import (
    Array,
    Stored,
    from_bytes,
    matrix_of,
    narrowed,
    places_of,
    quantized,
    to_bytes,
    vector_of,
)
from devise.bundle.manifest import Manifest
from devise.errors import BundleError, UsageError
from devise.space.evidence import Classifier
from devise.space.kernel import KernelConfig, KernelSurgery
from devise.space.prior import Prior
from devise.text.vectors import QuantizedRows, decoded
from devise.vision.bounds import Bounds

__all__ = [
    "BACKBONE",
    "CLASSIFIER",
    "FAMILIARITY",
    "FAST",
    "KERNEL",
    "LABEL_TABLE",
    "LABEL_VECTORS",
    "PRIOR",
    "RANDOM_SURGERY",
    "SURGERY",
    "TEXT_TOWER",
    "TOKENIZER",
    "WORDS",
    "SurgeryMap",
    "decode_classifier",
    "decode_fast",
    "decode_kernel",
    "decode_label_vectors",
    "decode_prior",
    "decode_surgery",
    "encode_classifier",
    "encode_fast",
    "encode_kernel",
    "encode_label_vectors",
    "encode_prior",
    "encode_surgery",
]

BACKBONE = "backbone.onnx"
CLASSIFIER = "classifier.safetensors"
LABEL_TABLE = "labels.json"
LABEL_VECTORS = "labels.safetensors"
SURGERY = "surgery.safetensors"
RANDOM_SURGERY = "random.safetensors"
"""The map for random label vectors, of the same form: the control row of a table."""
FAMILIARITY = "familiarity.safetensors"
"""How familiar each label's name is: the prior of bundles made before PRIOR. Optional."""
KERNEL = "kernel.safetensors"
"""Kernel surgery. Optional: a bundle without it ranks by DeViSE and ConSE."""
PRIOR = "prior.safetensors"
"""Of each label, the log odds that people photograph it, and how familiar its name is. Optional."""
FAST = "fast.safetensors"
"""What runs the network in 8-bit integers. Optional: a bundle without it has no fast form."""
TEXT_TOWER = "text.onnx"
"""The network that makes label vectors, instead of a classifier and words: see `devise.space.texttower`. Optional."""
TOKENIZER = "tokenizer.json"
"""Of the text tower."""
WORDS = "words.safetensors"

_SHIFT, _NARROW_SHIFT = "shift/", "narrow-shift/"
_Centre = Float32[np.ndarray, "length"]


@dataclass(frozen=True, eq=False, slots=True)
class SurgeryMap:
    """The map M from features to the label space, and the centring vectors by name.

    centring: vectors as long as the features or as a label vector, such as the mean that was taken off all
    label vectors and has to be taken off a new one.
    """

    map: Surgery
    centring: Mapping[str, _Centre] = field(default_factory=dict)


def encode_classifier(classifier: Classifier, stored: Stored = "float16") -> bytes:
    """`weight` and `bias`; BundleError if a value is not finite or does not fit."""
    return to_bytes({"weight": narrowed(classifier.weight, stored), "bias": narrowed(classifier.bias, stored)})


def decode_classifier(data: bytes, manifest: Manifest) -> Classifier:
    """The inverse of `encode_classifier`; BundleError if a shape is not the manifest's."""
    arrays = _only(from_bytes(data), {"weight", "bias"})
    rows = manifest.label_space.trained
    weight = matrix_of(arrays, "weight", (rows, manifest.backbone.features))
    return Classifier(weight, vector_of(arrays, "bias", rows))


def encode_surgery(surgery: SurgeryMap, stored: Stored = "float16") -> bytes:
    """`map` and the centring vectors by their names."""
    if "map" in surgery.centring:
        raise BundleError("a centring vector cannot be named map: use another name")
    arrays: dict[str, Array] = {"map": surgery.map, **surgery.centring}
    return to_bytes({name: narrowed(array, stored) for name, array in arrays.items()})


def decode_surgery(data: bytes, manifest: Manifest) -> SurgeryMap:
    """The inverse of `encode_surgery`; BundleError if a shape is not the manifest's."""
    arrays = from_bytes(data)
    features, dim = manifest.backbone.features, manifest.label_space.dim
    centring = {}
    for name in sorted(arrays.keys() - {"map"}):
        shape = arrays[name].shape
        if shape not in ((features,), (dim,)):
            raise BundleError(
                f"array {name} must have {features} numbers, as features have, or {dim}, as label vectors do, "
                f"got {shape}: build the bundle again"
            )
        centring[name] = vector_of(arrays, name, shape[0])
    return SurgeryMap(matrix_of(arrays, "map", (dim, features)), centring)


def encode_label_vectors(vectors: LabelVectors, stored: Stored | None = None) -> bytes:
    """`vectors`, as int8 codes with float32 `scales`, each row keeping its length.

    stored: keep them as these floats instead. BundleError if a value is not finite or does not fit.
    """
    if stored is not None:
        return to_bytes({"vectors": narrowed(vectors, stored)})
    rows = quantized(vectors)
    return to_bytes({"vectors": rows.codes, "scales": rows.scales})


def decode_label_vectors(data: bytes, manifest: Manifest) -> LabelVectors | QuantizedRows:
    """The inverse of `encode_label_vectors`, still in 8 bits if they are stored so.

    BundleError if a shape is not the manifest's or all rows are zeros.
    """
    space = manifest.label_space
    return places_of(_only(from_bytes(data), {"vectors", "scales"}), "vectors", (space.labels, space.dim))


def encode_kernel(kernel: KernelSurgery) -> bytes:
    """`places` as int8 codes with `scales`, `axes` and `by_label` as float16; the configuration is in the manifest."""
    places = quantized(kernel.places)
    return to_bytes(
        {
            "places": places.codes,
            "scales": places.scales,
            "axes": narrowed(kernel.axes, "float16"),
            "by_label": narrowed(kernel.by_label, "float16"),
        }
    )


def decode_kernel(data: bytes, manifest: Manifest) -> KernelSurgery:
    """The inverse of `encode_kernel`; BundleError if a shape is not the manifest's or the settings are unusable."""
    settings = {name: value for name, value in manifest.scoring.get("kernel", {}).items() if name != "temperature"}
    try:
        config = KernelConfig.from_dict(dict(settings))
    except UsageError as error:
        raise BundleError(f"has unusable settings ({error}): build the bundle again") from None
    arrays = _only(from_bytes(data), {"places", "scales", "axes", "by_label"})
    space, axes = manifest.label_space, arrays.get("axes")
    rank = len(axes) if axes is not None and axes.ndim == 2 else config.rank
    return KernelSurgery(
        config,
        decoded(places_of(arrays, "places", (space.labels, rank))),
        matrix_of(arrays, "axes", (rank, manifest.backbone.features)),
        matrix_of(arrays, "by_label", (space.trained, rank)),
    )


def encode_prior(prior: Prior) -> bytes:
    """`log_odds` and `familiarity`, those that are known, as float16."""
    known = {"log_odds": prior.log_odds, "familiarity": prior.familiarity}
    return to_bytes({name: narrowed(row, "float16") for name, row in known.items() if row is not None})


def decode_prior(data: bytes, manifest: Manifest) -> Prior:
    """The inverse of `encode_prior`; BundleError if a length is not the manifest's."""
    arrays = _only(from_bytes(data), {"log_odds", "familiarity"})
    length = manifest.label_space.labels
    return Prior(*(vector_of(arrays, name, length) if name in arrays else None for name in ("log_odds", "familiarity")))


def encode_fast(bounds: Bounds) -> bytes:
    """Encode `bounds` (one row per value), the `values` by name, their `network`, and each convolution's shifts."""
    names = "\n".join(bounds.of).encode("utf-8")
    both = ((_SHIFT, bounds.shifts), (_NARROW_SHIFT, bounds.narrow_shifts))
    shifts: dict[str, Array] = {
        f"{prefix}{name}": narrowed(shift, "float16") for prefix, kept in both for name, shift in kept.items()
    }
    return to_bytes(
        {
            "bounds": np.array(list(bounds.of.values()), np.float32).reshape(-1, 2),
            "network": np.frombuffer(bytes.fromhex(bounds.network), np.uint8),
            "values": np.frombuffer(names, np.uint8),
            **shifts,
        }
    )


def decode_fast(data: bytes, manifest: Manifest) -> Bounds:
    """The inverse of `encode_fast`; BundleError if it was made for another network than the manifest's."""
    arrays = from_bytes(data)
    shifts, narrow_shifts = (
        {key.removeprefix(prefix): arrays.pop(key) for key in sorted(arrays) if key.startswith(prefix)}
        for prefix in (_SHIFT, _NARROW_SHIFT)
    )
    _only(arrays, {"bounds", "network", "values"})
    network = _text_of(arrays, "network").hex()
    try:
        names = _text_of(arrays, "values").decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise BundleError("array values is not UTF-8 text: get or build the bundle again") from None
    if len(set(names)) != len(names):
        raise BundleError("duplicate value: get or build the bundle again")
    if network != manifest.part(BACKBONE).sha256:
        raise BundleError(f"was made for another network than {BACKBONE}: make it again for this one")
    rows = matrix_of(arrays, "bounds", (len(names), 2), checked=False)  # `Bounds` does
    return Bounds(
        network,
        {name: (low, high) for name, (low, high) in zip(names, rows.tolist(), strict=True)},
        {name: vector_of(shifts, name, shifts[name].size) for name in shifts},
        {name: vector_of(narrow_shifts, name, narrow_shifts[name].size) for name in narrow_shifts},
    )


def _text_of(arrays: Mapping[str, Array], name: str) -> bytes:
    """The bytes kept under a name."""
    array = arrays.get(name)
    if array is None or array.dtype != np.uint8 or array.ndim != 1:
        raise BundleError(f"array {name} must be a row of bytes: get or build the bundle again")
    return array.tobytes()


def _only(arrays: dict[str, Array], known: set[str]) -> dict[str, Array]:
    for name in sorted(arrays.keys() - known):
        raise BundleError(f"array {name} is unknown: upgrade devise or build the bundle again")
    return arrays
