"""Surgery without pictures: the map from features to label space that imitates the classifier.

The paper learns M from pictures with a ranking loss. Every trained classifier already knows for each of its
labels a direction w in feature space with logit w . f; so M is chosen so that t . M f imitates w . f for
every trained label vector t:

    minimise over M   || T M - (W - mean of W's rows) ||^2 + ridge || M ||^2

a ridge regression with a closed form. Taking the mean off leaves the softmax as it was.

A label space has fewer dimensions than there are classes, so T M cannot be W, and least squares spends its
effort on all logits alike. `distilled_surgery` continues from there: it makes up features around the class
directions and moves M so that the softmax over t . M f is the one over w . f (distillation, Hinton et al. 2015),
where the largest logits weigh most. Still no picture is used.
"""

import math
from dataclasses import dataclass

import numpy as np

from devise.arrays import Float32, LabelVectors, Surgery
from devise.errors import LabelError
from devise.space.evidence import softmax

__all__ = ["DistillationConfig", "distilled_surgery", "image_free_surgery"]


def image_free_surgery(
    trained_vectors: LabelVectors, weight: Float32[np.ndarray, "trained features"], ridge: float
) -> Surgery:
    """Solve for the map M, [dim, features]; ridge > 0 pulls it to zero.

    trained_vectors: T, one row a trained label; a row of zeros (a label without a vector) takes no part.
    weight: W, the classifier's rows in the same order.
    LabelError if the rows do not match or the ridge is not positive and finite.
    """
    if len(trained_vectors) != len(weight):
        raise LabelError(
            f"surgery needs one vector per trained label: got {len(trained_vectors)} vectors and {len(weight)} rows"
        )
    if not 0 < ridge < math.inf:
        raise LabelError(f"the ridge of the surgery must be above 0 and finite, got {ridge}: take about 1")
    vectors = trained_vectors.astype(np.float64)
    known = vectors.any(axis=1)
    centred = weight.astype(np.float64) - weight.mean(axis=0, dtype=np.float64)
    # The system is dim x dim, not labels x labels; rows of zeros add nothing to it.
    gram = vectors.T @ vectors + ridge * np.eye(vectors.shape[1])
    solved: Surgery = np.linalg.solve(gram, vectors[known].T @ centred[known]).astype(np.float32)
    return solved


@dataclass(frozen=True, slots=True)
class DistillationConfig:
    """The settings of distillation: steps of Adam (Kingma & Ba 2015) at `rate`, each on `batch` synthetic features.

    scale: a made-up feature is scale * (w - mean of W's rows) of a class drawn at random, plus noise.
    noise: length of the noise, as a share of the feature's, on average.
    """

    steps: int = 300
    batch: int = 512
    rate: float = 2e-3
    scale: float = 1.5
    noise: float = 0.7


def distilled_surgery(
    start: Surgery,
    trained_vectors: LabelVectors,
    weight: Float32[np.ndarray, "labels features"],
    config: DistillationConfig,
    rng: np.random.Generator,
) -> Surgery:
    """Move M from `start` so that the softmax of T M f is near the classifier's for synthetic features f.

    trained_vectors, weight: as in `image_free_surgery`. The same generator state gives the same M.
    """
    known = trained_vectors.any(axis=1)
    vectors, directions = trained_vectors[known], (weight - weight.mean(axis=0))[known]
    surgery, first, second = start.copy(), np.zeros_like(start), np.zeros_like(start)
    for step in range(1, config.steps + 1):
        features = _made_up(directions, config, rng)
        wrong = softmax(features @ surgery.T @ vectors.T) - softmax(features @ directions.T)
        # The gradient of the mean cross-entropy; then Adam with its usual decays, 0.9 and 0.999.
        gradient = (vectors.T @ wrong.T) @ features / np.float32(len(features))
        first += np.float32(0.1) * (gradient - first)
        second += np.float32(0.001) * (gradient * gradient - second)
        mean, spread = first / np.float32(1 - 0.9**step), second / np.float32(1 - 0.999**step)
        surgery -= np.float32(config.rate) * mean / (np.sqrt(spread) + np.float32(1e-8))
    return surgery


def _made_up(
    directions: Float32[np.ndarray, "labels features"], config: DistillationConfig, rng: np.random.Generator
) -> Float32[np.ndarray, "batch features"]:
    # Each number of the noise has deviation length / sqrt(dimensions): the noise is about as long as the feature.
    chosen = np.float32(config.scale) * directions[rng.integers(len(directions), size=config.batch)]
    lengths = np.linalg.norm(chosen, axis=1, keepdims=True) / np.float32(np.sqrt(chosen.shape[1]))
    noise = rng.standard_normal(chosen.shape, dtype=np.float32) * lengths
    features: Float32[np.ndarray, "batch features"] = chosen + np.float32(config.noise) * noise
    return features
