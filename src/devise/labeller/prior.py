"""The prior of the labels asked, also of labels the model did not know."""

import numpy as np

from devise.labeller.parts import ModelParts
from devise.labels import LabelSet
from devise.model.prior import LabelPrior

__all__ = ["label_prior"]


def label_prior(parts: ModelParts, labels: LabelSet) -> LabelPrior | None:
    """One number a label; None if the model keeps no familiarity of names.

    A label that is not the model's own was asked for by name: it counts as familiar as a trained label on average.
    """
    known = parts.familiarity
    if known is None:
        return None
    own, weight = parts.space.labels, np.float32(parts.setting("fused", "familiarity"))
    if labels is own:
        return weight * known
    asked = np.float32(known[parts.trained].mean())
    familiarity = [known[own.position(i)] if i in own else asked for i in labels.ids]
    return weight * np.array(familiarity, np.float32)
