"""The prior of the labels asked, also of labels the model did not know."""

import numpy as np

from devise.labeller.parts import ModelParts
from devise.labels import LabelSet
from devise.model.prior import LabelPrior, familiarity_of

__all__ = ["label_prior"]


def label_prior(parts: ModelParts, labels: LabelSet) -> LabelPrior | None:
    """One number a label; None if the model keeps no familiarity of names."""
    known = parts.familiarity
    if known is None:
        return None
    weight = np.float32(parts.setting("fused", "familiarity"))
    return weight * familiarity_of(labels, parts.space.labels, known, parts.trained)
