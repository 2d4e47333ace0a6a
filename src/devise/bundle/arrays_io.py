"""Arrays as the bytes of a safetensors file and back."""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from devise.arrays import Float32, Shaped
from devise.errors import BundleError, VectorsError
from devise.files import reason_of
from devise.text.vectors import QuantizedRows, decoded
from devise.text.vectorstore import quantize_rows

__all__ = [
    "Array",
    "Matrix",
    "Stored",
    "Vector",
    "codes_of",
    "from_bytes",
    "matrix_of",
    "narrowed",
    "places_of",
    "quantized",
    "to_bytes",
    "vector_of",
]

Array = Shaped[np.ndarray, "..."]
"""An array of any shape and type."""
Matrix = Float32[np.ndarray, "rows columns"]
Stored = Literal["float16", "float32"]
"""How a float is kept: in about 3 digits, or exactly."""
Vector = Float32[np.ndarray, "length"]

_FARTHEST = 1e9  # squares of sums of thousands of products of such numbers still fit into a float32
_HALF_EXPONENT = np.uint16(0x7C00)  # all ones for NaN and infinity
_BLOCK = 512  # rows: what is made of them fits into the processor's cache


def to_bytes(arrays: Mapping[str, Array]) -> bytes:
    """Write arrays as a safetensors file without metadata; their order does not change the bytes."""
    import safetensors.numpy

    return safetensors.numpy.save({name: np.asarray(array, order="C") for name, array in arrays.items()})


def from_bytes(data: bytes) -> dict[str, Array]:
    """Read the arrays of a safetensors file as they are stored; BundleError if it is not one."""
    import safetensors
    import safetensors.numpy

    try:
        return safetensors.numpy.load(data)
    except safetensors.SafetensorError as error:
        raise BundleError(f"is not a safetensors file ({error}): get or build the bundle again") from None
    except KeyError as error:
        raise BundleError(f"contains numbers of type {error}, which numpy lacks: build the bundle again") from None
    except (MemoryError, OverflowError, TypeError, ValueError) as error:
        raise BundleError(f"is not a safetensors file ({reason_of(error)}): get or build the bundle again") from None


def narrowed(array: Array, stored: Stored) -> Array:
    """Return the floats as they are stored; BundleError if one is not finite or too large for float16."""
    if not np.isfinite(array).all():
        raise BundleError("contains a value that is not finite: give finite arrays")
    with np.errstate(over="ignore"):
        small = array.astype(stored)
    if not np.isfinite(small).all():
        raise BundleError("contains a value too large for float16: store it as float32")
    return small


def quantized(rows: Matrix) -> QuantizedRows:
    """Quantize rows to 8-bit codes. Each row's scale preserves its length, so unit rows stay unit rows.

    Rounding alone would change a row's length by up to about 0.1 %. BundleError if a value is not finite.
    """
    try:
        plain = quantize_rows(rows)
    except VectorsError as error:
        raise BundleError(str(error)) from None
    scales = plain.scales.copy()
    for start in range(0, len(rows), _BLOCK):
        block = slice(start, start + _BLOCK)
        wanted = np.linalg.norm(rows[block].astype(np.float64), axis=1)
        got = np.linalg.norm(plain.codes[block].astype(np.float64), axis=1)
        scales[block] = np.divide(wanted, got, out=np.zeros_like(got), where=got > 0)
    return QuantizedRows(plain.codes, scales)


def matrix_of(arrays: Mapping[str, Array], name: str, shape: tuple[int, int], *, checked: bool = True) -> Matrix:
    """Return the float32 matrix stored under `name`: as float16, float32, or int8 with `scales`.

    BundleError if it is absent, of another shape or of another type, or if a number in it is not finite or beyond
    `_FARTHEST`. checked: without it the caller looks at the numbers.
    """
    array = _shaped(arrays, name, shape)
    if array.dtype != np.int8:
        return _widened(array, name, checked)
    return decoded(codes_of(arrays, name, shape))


def places_of(arrays: Mapping[str, Array], name: str, shape: tuple[int, int]) -> Matrix | QuantizedRows:
    """As `matrix_of`, but 8-bit codes stay codes: a cold process would have 48 MB to touch for 40,000 labels.

    BundleError too if every row is zeros: then no label has a place, and none is the nearest.
    """
    is_coded = name in arrays and arrays[name].dtype == np.int8
    rows = codes_of(arrays, name, shape) if is_coded else matrix_of(arrays, name, shape)
    if not (rows.codes.any() and rows.scales.any() if isinstance(rows, QuantizedRows) else rows.any()):
        raise BundleError(f"array {name} contains only zeros: get or build the bundle again")
    return rows


def codes_of(arrays: Mapping[str, Array], name: str, shape: tuple[int, int]) -> QuantizedRows:
    """Return the int8 codes stored under `name` and their float32 `scales`, one per row."""
    codes, scales = _shaped(arrays, name, shape), _shaped(arrays, "scales", shape[:1])
    if codes.dtype != np.int8 or scales.dtype != np.float32:
        raise BundleError(
            f"{name} and scales must be int8 and float32, got {codes.dtype} and {scales.dtype}: "
            "read it as floats or build the bundle again"
        )
    _require_sensible("scales", scales)
    return QuantizedRows(codes, scales)


def vector_of(arrays: Mapping[str, Array], name: str, length: int) -> Vector:
    """Return the float32 vector stored under `name` as float16 or float32."""
    return _widened(_shaped(arrays, name, (length,)), name)


def _require_sensible(name: str, array: Array) -> None:
    """Raise BundleError for NaN, infinity, and numbers that would overflow in a matrix product."""
    if not array.size:
        return
    if array.dtype == np.float16:  # none is beyond; its comparisons are slow, those of its bits are not
        sensible = not ((array.view(np.uint16) & _HALF_EXPONENT) == _HALF_EXPONENT).any()
    else:
        sensible = bool(float(array.min()) >= -_FARTHEST and float(array.max()) <= _FARTHEST)  # min and max keep NaN
    if not sensible:
        raise BundleError(
            f"array {name} has a number that is not finite or is beyond {_FARTHEST:g}: get or build the bundle again"
        )


def _shaped(arrays: Mapping[str, Array], name: str, shape: tuple[int, ...]) -> Array:
    if name not in arrays:
        raise BundleError(f"has no array {name}, only {', '.join(sorted(arrays))}: build the bundle again")
    array = arrays[name]
    if array.shape != shape:
        raise BundleError(f"array {name} must be {shape}, got {array.shape}: build the bundle again")
    return array


def _widened(array: Array, name: str, checked: bool = True) -> Float32[np.ndarray, "..."]:
    if array.dtype not in (np.float16, np.float32):
        raise BundleError(f"array {name} must be float16 or float32, got {array.dtype}: build the bundle again")
    if checked:
        _require_sensible(name, array)
    return array.astype(np.float32, copy=False)
