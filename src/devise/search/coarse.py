"""Coarse 8-bit scores of very many vectors: a quarter of the memory reads, with a known error bound."""

from typing import Any

import numpy as np

from devise.arrays import Float16, Float32, Int64
from devise.ranking import top_k
from devise.vision.runtime import import_openvino, openvino_core

__all__ = ["Coarse", "may_be_first"]

_BLOCK = 8192  # rows that are packed at once
_GROUP = 64  # OpenVINO takes products of 8 bits for multiples
_ROUNDING = float(np.finfo(np.float32).eps)

_Numbers = Float32[np.ndarray, "rows"]


class Coarse:
    """Vectors in memory as integers from -127 to 127, one scale per vector; queries are rounded likewise. Thread-safe.

    So a processor with products of 8 bits (VNNI) takes six queries in half as long again as one: 20 ms for a
    million vectors. Without them, OpenVINO takes the same integers as 32-bit numbers.
    """

    def __init__(self, vectors: Float16[np.ndarray, "rows dim"] | Float32[np.ndarray, "rows dim"]) -> None:
        """vectors: at least one."""
        rows, self._dim = vectors.shape
        width = self._dim + -self._dim % _GROUP  # zeros change no product
        whole = np.zeros((rows, width), np.int8)
        scales = np.empty((rows, 1), np.float32)
        self._lost, self._lengths = np.empty(rows, np.float32), np.empty(rows, np.float32)
        for start in range(0, rows, _BLOCK):
            block = slice(start, start + _BLOCK)
            part = vectors[block].astype(np.float32)
            scales[block], whole[block, : self._dim] = _rounded(part)
            self._lost[block] = np.linalg.norm(part - scales[block] * whole[block, : self._dim], axis=1)
            self._lengths[block] = np.linalg.norm(part, axis=1) + self._lost[block]
        self._compiled = _network(whole, scales, width)

    def slack(self, queries: Float32[np.ndarray, "queries dim"]) -> _Numbers:
        """Return per vector the largest error of its product with any of the queries.

        The lengths of what rounding takes from the vector and from the query bound it (Cauchy-Schwarz), and the
        rounding of two sums of 32 bits is added.
        """
        scales, whole = _rounded(queries)
        lost = np.linalg.norm(queries - scales * whole, axis=1).max()
        length = np.linalg.norm(queries, axis=1).max()
        sums = 2 * self._dim * _ROUNDING * (length + lost)
        found: _Numbers = (1.0001 * length) * self._lost + (1.0001 * lost + sums) * self._lengths
        return found

    def products(self, queries: Float32[np.ndarray, "queries dim"]) -> Float32[np.ndarray, "queries rows"]:
        """Return scores of every query and vector, each off by at most its slack."""
        scales, whole = _rounded(queries)
        wide = np.zeros((len(queries), self._dim + -self._dim % _GROUP), np.float32)
        wide[:, : self._dim] = scales * whole
        request = self._compiled.create_infer_request()
        found: Float32[np.ndarray, "queries rows"] = request.infer([wide])[0]
        return found


def _rounded(
    rows: Float32[np.ndarray, "rows dim"],
) -> tuple[Float32[np.ndarray, "rows 1"], Float32[np.ndarray, "rows dim"]]:
    """Return a scale per row, and integers from -127 to 127 that times the scale are near to its numbers."""
    scales = np.abs(rows).max(axis=1, keepdims=True) / np.float32(127)
    scales[scales == 0] = 1
    return scales, np.rint(rows / scales)


def may_be_first(scores: _Numbers, slack: _Numbers, count: int, above: float = 0) -> Int64[np.ndarray, "some"]:
    """Return the sorted rows that can be in the top `count` within their slack, ties included.

    `count` rows reach the bound for certain, so one whose score plus slack stays below it is not among them.
    above: how far a true score can be above its score, beyond the slack.
    """
    # The count-th best of the lower ends: so many true scores are at least that, whatever the errors are.
    bound = top_k((scores - slack)[None], count).scores[0, -1]
    return np.flatnonzero(scores + slack >= bound - np.float32(above))


def _network(whole: np.ndarray, scales: np.ndarray, width: int) -> Any:
    """Build one product with the vectors as 8-bit weights of OpenVINO; inputs and outputs have 32 bits.

    A query is one group of its dynamic quantization, which finds the integers that `_rounded` made.
    """
    openvino = import_openvino()
    op = openvino.opset13
    queries = op.parameter([-1, width], np.float32)
    vectors = op.multiply(op.convert(op.constant(whole), np.float32), op.constant(scales))
    network = openvino.Model([op.matmul(queries, vectors, False, True)], [queries], "first look")
    settings = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": width, "NUM_STREAMS": 1}
    compiled = openvino_core().compile_model(network, "CPU", settings)
    try:
        compiled([np.zeros((1, width), np.float32)])
    except RuntimeError:  # with ONEDNN_MAX_CPU_ISA, OpenVINO asks for what the processor has and may not use
        settings["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = 0
        compiled = openvino_core().compile_model(network, "CPU", settings)
    return compiled
