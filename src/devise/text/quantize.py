"""Rows of floats as 8-bit codes with one scale per row: a quarter of the size."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int8

from devise.errors import VectorsError

__all__ = ["Codes", "QuantizedRows", "Rows", "Scales", "dequantize_rows", "quantize_rows"]

Rows = Float32[np.ndarray, "rows dim"]
Codes = Int8[np.ndarray, "rows dim"]
"""From -127 to 127."""
Scales = Float32[np.ndarray, "rows"]
"""What one step of a row's codes is worth; 0 for a row of zeros."""

_LARGEST = 127
_BLOCK = 1 << 14


@dataclass(frozen=True, eq=False, slots=True)
class QuantizedRows:
    """Codes and scales; row i is about codes[i] * scales[i]."""

    codes: Codes
    scales: Scales


def quantize_rows(rows: Rows) -> QuantizedRows:
    """Symmetric codes, scale = max |value| of the row / 127, rounded up to the next float32.

    So |value - code * scale| <= scale / 2 for every value. VectorsError if a value is not finite.
    """
    codes = np.empty(rows.shape, dtype=np.int8)
    scales = np.zeros(len(rows), dtype=np.float32)
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK].astype(np.float64)
        largest = np.abs(block).max(axis=1, initial=0.0)
        if not np.isfinite(largest).all():
            row = start + int(np.flatnonzero(~np.isfinite(largest))[0])
            raise VectorsError(f"row {row} contains a value that is not finite: 8-bit codes need finite values")
        scale = (largest / _LARGEST).astype(np.float32)
        too_small = scale.astype(np.float64) * _LARGEST < largest
        scale[too_small] = np.nextafter(scale[too_small], np.float32(np.inf))
        scales[start : start + _BLOCK] = scale
        divisor = np.where(scale > 0, scale, 1).astype(np.float64)
        codes[start : start + _BLOCK] = np.rint(block / divisor[:, None])
    return QuantizedRows(codes, scales)


def dequantize_rows(codes: Codes, scales: Scales) -> Rows:
    """Return the rows that the codes represent: code * scale."""
    rows: Rows = np.multiply(codes, scales[:, None], dtype=np.float32)
    return rows
