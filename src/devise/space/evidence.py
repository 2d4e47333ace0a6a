"""Data of pictures before any label is scored: their features and the classifier's logits."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from devise.arrays import Features, Float32, Float64, Logits

__all__ = ["Classifier", "Evidence", "JoinedEvidence", "Probabilities", "log_sum_exp", "softmax"]

Probabilities = Float32[np.ndarray, "images trained"]
"""Rows sum to 1."""


@dataclass(frozen=True, eq=False, slots=True)
class Classifier:
    """The softmax layer that was trained on top of the backbone: logits = features weight^T + bias.

    weight: one row a trained label. bias: one number a trained label.
    """

    weight: Float32[np.ndarray, "trained features"]
    bias: Float32[np.ndarray, "trained"]

    def logits(self, features: Features) -> Logits:
        """The logits, one column per trained label."""
        logits: Logits = features @ self.weight.T + self.bias
        return logits

    def evidence(self, features: Features) -> "Evidence":
        """Return the features and the classifier's logits for them."""
        return Evidence(features, self.logits(features))


@dataclass(frozen=True, eq=False)
class Evidence:
    """Pictures as input for scorers; values that follow from the logits are computed once."""

    features: Features
    logits: Logits

    @cached_property
    def probabilities(self) -> Probabilities:
        """The softmax over the trained labels."""
        return softmax(self.logits)

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True, eq=False)
class JoinedEvidence(Evidence):
    """The same pictures as the networks of an ensemble see them; features and logits are those of the first."""

    members: tuple[Evidence, ...]


def softmax(logits: Float32[np.ndarray, "images labels"]) -> Float32[np.ndarray, "images labels"]:
    """exp(logit) / sum of exp(logit), row by row, without overflow.

    >>> softmax(np.array([[1000.0, 1000.0]], dtype=np.float32)).tolist()
    [[0.5, 0.5]]
    """
    # exp overflows float32 above 88; less the maximum, the largest term is 1.
    shares: Float32[np.ndarray, "images labels"] = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    shares /= shares.sum(axis=1, keepdims=True)
    return shares


def log_sum_exp(rows: np.ndarray, *, overwrite: bool = False) -> Float64[np.ndarray, "..."]:
    """Return the log of the sum of exp along the last axis, without overflow; -inf where all are -inf.

    overwrite: use the memory of `rows`, whose values are lost.

    >>> log_sum_exp(np.array([[1000.0, 1000.0], [-np.inf, -np.inf]])).round(4).tolist()
    [1000.6931, -inf]
    """
    highest = rows.max(axis=-1, keepdims=True)
    # -inf - -inf is NaN: a row without a finite value is shifted by 0.
    highest = np.where(np.isfinite(highest), highest, rows.dtype.type(0))
    shifted = np.subtract(rows, highest, out=rows if overwrite else None)
    with np.errstate(divide="ignore"):
        return np.asarray(highest[..., 0] + np.log(np.exp(shifted, out=shifted).sum(axis=-1, dtype=np.float64)))
