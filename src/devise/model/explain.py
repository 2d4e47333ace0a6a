"""Explain guesses: the path in the taxonomy, and the trained labels that a guess leans on."""

import numpy as np

from devise.arrays import Float32
from devise.labels import Label
from devise.model.answers import Explanation, TrainedShare
from devise.model.parts import ModelParts
from devise.space.evidence import Evidence
from devise.space.kernel import kernel_queries, leans

__all__ = ["Explainer"]

_MOST = 3


class Explainer:
    """Explains guesses for the pictures of some evidence."""

    def __init__(self, parts: ModelParts, evidence: Evidence) -> None:
        self._parts = parts
        self._evidence = evidence
        self._trained = parts.space.rows(parts.trained)

    def explanation(self, image: int, label: Label, vector: Float32[np.ndarray, " dim"]) -> Explanation:
        """Explain one guess for the image at this row. vector: of the label, unit length."""
        return Explanation(self._path(label), self._leans_on(image, vector))

    def _path(self, label: Label) -> tuple[str, ...]:
        taxonomy = self._parts.taxonomy
        if label.id not in taxonomy:
            return ()
        return tuple(taxonomy.synset(synset_id).name for synset_id in taxonomy.hypernym_paths(label.id)[0])

    def _leans_on(self, image: int, vector: Float32[np.ndarray, " dim"]) -> tuple[TrainedShare, ...]:
        """Return each trained label's share in the kernel score of the guess, or in the sum of probability x cosine if
        the model has no kernel; negative contributions are left out.
        """
        kernel = self._parts.kernel
        if kernel is None:
            lean = np.maximum(self._evidence.probabilities[image] * (self._trained @ vector), 0)
        else:
            query = kernel_queries(self._evidence.features[image : image + 1], kernel.axes)
            lean = np.maximum(leans(vector, self._trained, kernel, query)[0], 0)
        total = float(lean.sum())
        if total <= 0:
            return ()
        best = np.argsort(-lean, kind="stable")[:_MOST]
        ids = self._parts.trained_ids
        return tuple(
            TrainedShare(self._parts.space.labels[self._parts.space.labels.position(ids[i])], float(lean[i]) / total)
            for i in best.tolist()
            if lean[i] > 0
        )
