"""What is expected of a label before the picture is looked at.

A cosine alone gives every label the same chance, a sea squirt as much as a helicopter. How familiar a label's name is
tells without a photo how likely it is to be right. Its weight is chosen on classes left out of the trained ones.
"""

import numpy as np
from jaxtyping import Float32, Int64

from devise.labels import LabelSet

__all__ = ["Familiarity", "LabelPrior", "familiarity_of"]

Familiarity = Float32[np.ndarray, "labels"]
"""log(1 + count) / sqrt(rank): how often the label's best known term stands in plain text, and which of the term's
senses, from 1, the label is. 0 for a term that no text holds."""
LabelPrior = Float32[np.ndarray, "labels"]
"""Added to each label's cosine: its familiarity times the weight that the model keeps."""


def familiarity_of(
    asked: LabelSet, own: LabelSet, known: Float32[np.ndarray, "own"], trained: Int64[np.ndarray, "trained"]
) -> Familiarity:
    """Of the labels asked, where that of a model's own labels is known.

    trained: positions of the trained labels among its own. A label that is not its own was asked for by name: it
    counts as familiar as a trained label on average.
    """
    if asked is own:
        return known
    new = known[trained].mean()
    return np.array([known[own.position(i)] if i in own else new for i in asked.ids], np.float32)
