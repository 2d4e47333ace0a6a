"""Coarse 8-bit scores of very many vectors: a quarter of the memory reads, with a known error bound."""

from typing import Any

import numpy as np

from devise.arrays import Float16, Float32, Int64
from devise.ranking import top_k
from devise.vision.runtime import import_openvino

__all__ = ["Coarse", "may_be_first"]

_BLOCK = 8192  # rows that are packed at once
_ROUNDING = float(np.finfo(np.float32).eps)

_Numbers = Float32[np.ndarray, "rows"]


class Coarse:
    """Vectors in memory as integers from -127 to 127, one scale per vector. Thread-safe.

    slack: per vector, the largest error of the inner product with a query of length 1: the length of the rounding
    error (Cauchy-Schwarz), plus the rounding of two sums of 32 bits.
    """

    def __init__(self, vectors: Float16[np.ndarray, "rows dim"] | Float32[np.ndarray, "rows dim"]) -> None:
        """vectors: at least one."""
        rows, dim = vectors.shape
        whole = np.empty((rows, dim), np.int8)
        scales = np.empty((rows, 1), np.float32)
        self.slack: _Numbers = np.empty(rows, np.float32)
        for start in range(0, rows, _BLOCK):
            block = slice(start, start + _BLOCK)
            part = vectors[block].astype(np.float32)
            scales[block] = np.abs(part).max(axis=1, keepdims=True) / 127
            scales[block][scales[block] == 0] = 1
            whole[block] = np.rint(part / scales[block])
            lost = np.linalg.norm(part - scales[block] * whole[block], axis=1)
            self.slack[block] = 1.0001 * lost + 2 * dim * _ROUNDING * (np.linalg.norm(part, axis=1) + lost)
        self._compiled = _network(whole, scales)

    def products(self, queries: Float32[np.ndarray, "queries dim"]) -> Float32[np.ndarray, "queries rows"]:
        """Return scores of every query and vector, each off by at most query length times slack."""
        request = self._compiled.create_infer_request()
        found: Float32[np.ndarray, "queries rows"] = request.infer([np.ascontiguousarray(queries)])[0]
        return found


def may_be_first(scores: _Numbers, slack: _Numbers, count: int, above: float = 0) -> Int64[np.ndarray, "some"]:
    """Return the sorted rows that can be in the top `count` within their slack, ties included.

    `count` rows reach the bound for certain, so one whose score plus slack stays below it is not among them.
    above: how far a true score can be above its score, beyond the slack.
    """
    bound = top_k((scores - slack)[None], count).scores[0, -1]
    return np.flatnonzero(scores + slack >= bound - np.float32(above))


def _network(whole: np.ndarray, scales: np.ndarray) -> Any:
    """Build one product with the vectors as 8-bit weights of OpenVINO; inputs and outputs have 32 bits."""
    openvino = import_openvino()
    op = openvino.opset13
    queries = op.parameter([-1, whole.shape[1]], np.float32)
    vectors = op.multiply(op.convert(op.constant(whole), np.float32), op.constant(scales))
    network = openvino.Model([op.matmul(queries, vectors, False, True)], [queries], "first look")
    settings = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0, "NUM_STREAMS": 1}
    return openvino.Core().compile_model(network, "CPU", settings)
