"""The prior of the labels asked, also of labels the model did not know."""

import numpy as np

from devise.labels import LabelSet
from devise.model.parts import ModelParts
from devise.space.prior import LabelPrior, standing_of

__all__ = ["label_prior"]


def label_prior(parts: ModelParts, labels: LabelSet) -> LabelPrior | None:
    """One number per label; None if the model keeps no standing of its labels."""
    known = parts.standing
    if known is None:
        return None
    return np.float32(parts.bundle.prior_weight()) * standing_of(labels, parts.space.labels, known, parts.trained)
