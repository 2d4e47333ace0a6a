"""The ranking loss as public code writes it: picture by picture, label by label; slow, to check against."""

from collections.abc import Sequence

import numpy as np


def all_negatives(projected: np.ndarray, vectors: np.ndarray, truth: Sequence[int], margin: float) -> float:
    total = 0.0
    for image, own in zip(projected, truth, strict=True):
        for label, vector in enumerate(vectors):
            if label != own:
                total += max(0.0, margin - float(vectors[own] @ image) + float(vector @ image))
    return total / len(projected)


def hardest(projected: np.ndarray, vectors: np.ndarray, truth: Sequence[int], margin: float, k: int) -> float:
    total = 0.0
    for image, own in zip(projected, truth, strict=True):
        hinges = [
            max(0.0, margin - float(vectors[own] @ image) + float(vector @ image))
            for label, vector in enumerate(vectors)
            if label != own
        ]
        total += sum(sorted(hinges, reverse=True)[:k])
    return total / len(projected)


def first_violator(
    projected: np.ndarray, vectors: np.ndarray, truth: Sequence[int], margin: float, rng: np.random.Generator
) -> tuple[float, list[int]]:
    """The loss, and for each picture the label it stopped at, -1 if none violated."""
    total, stopped = 0.0, []
    for image, own in zip(projected, truth, strict=True):
        stopped.append(-1)
        for label in rng.permutation(len(vectors)).tolist():
            if label == own:
                continue
            hinge = margin - float(vectors[own] @ image) + float(vectors[label] @ image)
            if hinge > 0:
                total += hinge
                stopped[-1] = label
                break
    return total / len(projected), stopped
