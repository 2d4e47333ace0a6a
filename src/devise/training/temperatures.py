"""Fit the temperatures of a trained model's scorers, on photos held out of its training."""

from pathlib import Path

import numpy as np

from devise.arrays import Features, Int64, Scores, Surgery, Truth
from devise.bundle.bundle import Bundle, open_bundle
from devise.bundle.parts import TEXT_TOWER
from devise.errors import BundleError
from devise.space.evidence import Classifier, log_sum_exp
from devise.space.labelspace import LabelSpace
from devise.space.prior import standing_of
from devise.space.scorers import ConseScorer, DeviseScorer, FusedScorer, KernelScorer
from devise.training.targetspace import TargetSpace, trained_kernel

__all__ = ["TEMPERATURES", "best_temperature", "best_temperatures", "open_base", "spread"]

_CALIBRATED = 500  # photos at most that choose the temperatures
TEMPERATURES = tuple(round(float(0.01 * 1.2**step), 4) for step in range(28))
"""From 0.01 to 1.37, each 1.2 times the last."""


def open_base(path: Path) -> Bundle:
    """The bundle to train from; BundleError if it lacks what `best_temperatures` needs: now, not after the training."""
    base = open_bundle(path)
    if base.has(TEXT_TOWER):
        raise BundleError(f"{path}: has a text tower and no classifier to start from: give a model with a classifier")
    base.setting("conse", "top")
    base.stacking()
    if base.prior().standing is not None:
        base.prior_weight()
    return base


def best_temperatures(
    base: Bundle, space: TargetSpace, surgery: Surgery, classifier: Classifier, features: Features, truth: Truth
) -> dict[str, float]:
    """By scorer, all labels competing, with the stacking rule and the prior that the model keeps of its base.

    Where the rule says how sure the first choice is, the fused scorer keeps its temperature: it shares out what the
    first choice leaves, of which photos of trained classes say nothing.

    truth: position of each photo's label in `space`.
    """
    labels = LabelSpace(space.labels, space.vectors)
    trained = space.positions(space.trained)
    devise = DeviseScorer(labels, surgery)
    conse = ConseScorer(labels, space.vectors[trained], int(base.setting("conse", "top")))
    rule = base.stacking()
    scorers: dict[str, DeviseScorer | ConseScorer | KernelScorer | FusedScorer] = {"devise": devise, "conse": conse}
    kernel = trained_kernel(base, space, classifier)
    placing: DeviseScorer | KernelScorer = devise
    near, share = conse, 1.0
    if kernel is not None:
        placing = scorers["kernel"] = KernelScorer(LabelSpace(space.labels, kernel.places), kernel.axes)
        near, share = ConseScorer(placing.space, kernel.places[trained], conse.top), base.setting("fused", "conse")
    if rule.first is None:
        prior, known = None, base.prior().standing
        if known is not None:
            prior = np.float32(base.prior_weight()) * standing_of(space.labels, base.labels, known, base.trained)
        scorers["fused"] = FusedScorer(placing, near, trained, rule, prior, share)
    evidence = classifier.evidence(features)
    best = {name: best_temperature(scorer.scores(evidence), truth) for name, scorer in scorers.items()}
    return best if rule.first is None else best | {"fused": rule.first.temperature}


def spread(rows: Int64[np.ndarray, "rows"]) -> Int64[np.ndarray, "some"]:
    """Up to 500 of these photos to choose temperatures by, evenly spread: they may be in the order of their classes.

    >>> spread(np.arange(1500)).tolist()[:3]
    [0, 3, 6]
    """
    count = min(len(rows), _CALIBRATED)
    return rows[np.arange(count) * len(rows) // max(count, 1)]


def best_temperature(scores: Scores, truth: Truth) -> float:
    """The temperature under which the softmax over the scores gives the true labels the highest likelihood."""

    def mean_log_likelihood(temperature: float) -> float:
        scaled = scores / np.float32(temperature)
        return float((scaled[np.arange(len(truth)), truth] - log_sum_exp(scaled)).mean())

    return max(TEMPERATURES, key=mean_log_likelihood)
