"""What is expected of a label before the picture is looked at.

A cosine alone gives every label the same chance, a sea squirt as much as a helicopter, and puts labels that stand
nowhere in particular before labels that stand apart. Two facts of a label, known without a photo, tell how likely it
is to be the right one: how familiar its name is, and how strongly the map M, turned round, answers to its vector. Their
weights are chosen on classes left out of the trained ones.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from devise.arrays import LabelVectors, Surgery

__all__ = ["Familiarity", "LabelPrior", "PriorRule", "Strength", "label_strength"]

Familiarity = Float32[np.ndarray, "labels"]
"""log(1 + count) / sqrt(rank): how often the label's best known term stands in plain text, and which of the term's
senses, from 1, the label is. 0 for a term that no text holds."""
Strength = Float32[np.ndarray, "labels"]
"""|M^T t| of a label's vector t, over the mean of the trained labels': the length of the classifier row that the map
would give it."""
LabelPrior = Float32[np.ndarray, "labels"]
"""Added to each label's cosine."""
_Trained = Float32[np.ndarray, "trained dim"]


@dataclass(frozen=True, slots=True)
class PriorRule:
    """The weight of each fact; 0 leaves it out."""

    familiarity: float
    strength: float

    def prior(self, familiarity: Familiarity, strength: Strength) -> LabelPrior:
        """One number a label, in units of cosine."""
        prior: LabelPrior = np.float32(self.familiarity) * familiarity + np.float32(self.strength) * strength
        return prior


def label_strength(vectors: LabelVectors, surgery: Surgery, trained_vectors: _Trained) -> Strength:
    """The strength of each of `vectors`; a label without a vector has 0.

    |M^T t|^2 = t M M^T t, so that the features are summed once and not for every label.
    """
    gram = surgery @ surgery.T
    lengths, mean = _lengths(vectors, gram), _lengths(trained_vectors[trained_vectors.any(axis=1)], gram).mean()
    strength: Strength = lengths / mean if mean > 0 else lengths
    return strength


def _lengths(vectors: LabelVectors, gram: Float32[np.ndarray, "dim dim"]) -> Strength:
    lengths: Strength = np.sqrt(np.maximum(np.einsum("ld,ld->l", vectors @ gram, vectors), 0))
    return lengths
