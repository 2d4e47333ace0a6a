"""What is expected of a label before the picture is looked at.

A cosine alone gives every label the same chance, a sea squirt as much as a helicopter. Which nouns people photograph is
known without a photo: the trained labels were chosen for it. A bundle keeps one number per label, its standing; the
weight of the numbers is chosen on classes left out of the trained ones.
"""

import numpy as np
from jaxtyping import Float32, Int64

from devise.labels import LabelSet

__all__ = ["LabelPrior", "Standing", "standing_of"]

Standing = Float32[np.ndarray, "labels"]
"""Up: more often photographed. Log odds of "people photograph it" (`devise.training.prior`); in bundles made before
there were log odds, the familiarity of the name: log(1 + count in plain text) / sqrt(rank of the sense)."""
LabelPrior = Float32[np.ndarray, "labels"]
"""Added to each label's cosine: its standing times the weight that the model keeps."""


def standing_of(
    asked: LabelSet, own: LabelSet, known: Float32[np.ndarray, "own"], trained: Int64[np.ndarray, "trained"]
) -> Standing:
    """Of the labels asked, where that of a model's own labels is known.

    trained: positions of the trained labels among its own. A label that is not its own was asked for by name: it
    stands where a trained label does on average.
    """
    if asked is own:
        return known
    new = known[trained].mean()
    return np.array([known[own.position(i)] if i in own else new for i in asked.ids], np.float32)
