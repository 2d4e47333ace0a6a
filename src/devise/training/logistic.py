"""Logistic regression with a ridge."""

import numpy as np
from jaxtyping import Float64

__all__ = ["logistic"]

_STEPS = 50


def logistic(
    rows: Float64[np.ndarray, "cases columns"],
    target: Float64[np.ndarray, "cases"],
    ridge: float,
    weight: Float64[np.ndarray, "cases"] | None = None,
) -> Float64[np.ndarray, "columns"]:
    """Coefficients of the highest penalised likelihood, by Newton's method.

    rows: the last column is the constant, which the ridge leaves alone. target: 1 or 0. weight: of each case; None is
    1 for all.
    """
    penalty = ridge * np.eye(rows.shape[1])
    penalty[-1, -1] = 0
    weight = np.ones(len(target)) if weight is None else weight
    found = np.zeros(rows.shape[1])
    for _ in range(_STEPS):
        expected = 1 / (1 + np.exp(-np.clip(rows @ found, -500, 500)))
        gradient = rows.T @ (weight * (expected - target)) + penalty @ found
        bend = (rows * (weight * expected * (1 - expected))[:, None]).T @ rows + penalty
        step = np.linalg.lstsq(bend, gradient, rcond=None)[0]  # where all targets are alike the constant has no end
        found -= step
        if np.abs(step).max() < 1e-8:
            break
    return found
