"""The prior of the labels asked, also of labels the model did not know."""

import numpy as np

from devise.labeller.parts import ModelParts
from devise.model.prior import LabelPrior, PriorRule, label_strength
from devise.model.space import LabelSpace

__all__ = ["label_prior"]


def label_prior(parts: ModelParts, space: LabelSpace) -> LabelPrior | None:
    """One number a label of `space`; None if the model keeps no prior.

    A label that is not the model's own was asked for by name: it counts as familiar as a trained label on average. Its
    strength follows from its vector.
    """
    facts = parts.prior_facts
    if facts is None:
        return None
    rule = PriorRule(parts.setting("fused", "familiarity"), parts.setting("fused", "strength"))
    own = parts.space.labels
    if space.labels is own:
        return rule.prior(facts.familiarity, facts.strength)
    places = np.array([own.position(i) if i in own else -1 for i in space.labels.ids], dtype=np.int64)
    known = places >= 0
    familiarity = np.full(len(places), facts.familiarity[parts.trained].mean(), np.float32)
    strength = np.zeros(len(places), np.float32)
    familiarity[known], strength[known] = facts.familiarity[places[known]], facts.strength[places[known]]
    if not known.all():
        trained = parts.space.vectors[parts.trained]
        strength[~known] = label_strength(space.vectors[~known], parts.surgery.map, trained)
    return rule.prior(familiarity, strength)
