"""The label space on a plane: every label a point, photos beside them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float32, Int64

from devise.arrays import LabelVectors
from devise.model.parts import ModelParts
from devise.taxonomy.wordnet import Taxonomy

__all__ = ["BRANCHES", "Plane"]

BRANCHES: dict[str, str] = {
    "animal": "n00015388",
    "plant": "n00017222",
    "person": "n00007846",
    "food": "n00021265",
    "clothing": "n03051540",
    "vehicle": "n04524313",
    "building": "n04341686",
    "other artifact": "n00021939",
    "place": "n00027167",
}
"""Branches of WordNet that are told apart by colour; a label belongs to the first it is under."""

_EDGE = 1000
_Points = Float32[np.ndarray, "rows 2"]


@dataclass(frozen=True)
class Plane:
    """The two directions in which the branches differ most: principal axes of the branches' mean vectors.

    Directions of the largest variance of all labels would show how words are used, not what things are.
    """

    parts: ModelParts

    @cached_property
    def branch(self) -> Int64[np.ndarray, " labels"]:
        """For each label the number of its branch; the last number stands for none of them."""
        ids = self.parts.space.labels.ids
        found = np.full(len(ids), len(BRANCHES), dtype=np.int64)
        taxonomy: Taxonomy = self.parts.taxonomy
        for number, root in reversed(list(enumerate(BRANCHES.values()))):
            below = taxonomy.subtree(root) if root in taxonomy else frozenset()
            found[[place for place, label_id in enumerate(ids) if label_id in below]] = number
        return found

    @cached_property
    def _frame(self) -> tuple[Float32[np.ndarray, "2 dim"], Float32[np.ndarray, " 2"], Float32[np.ndarray, " 2"]]:
        """The two directions, the middle of the labels along them, and half of what they span."""
        vectors = self.parts.placed.vectors
        means = np.stack([vectors[self.branch == number].mean(axis=0) for number in np.unique(self.branch).tolist()])
        _, _, directions = np.linalg.svd(means - means.mean(axis=0), full_matrices=False)
        axes = np.zeros((2, vectors.shape[1]), np.float32)
        axes[: len(directions[:2])] = directions[:2]
        placed = vectors @ axes.T
        low, high = placed.min(axis=0), placed.max(axis=0)
        return axes, (low + high) / 2, np.maximum((high - low) / 2, np.float32(1e-6))

    def places(self, vectors: LabelVectors) -> _Points:
        """Where vectors stand; each coordinate of the model's own labels is from -1000 to 1000, whatever they span."""
        axes, middle, half = self._frame
        placed: _Points = ((vectors @ axes.T - middle) / half * np.float32(_EDGE)).astype(np.float32)
        return placed
