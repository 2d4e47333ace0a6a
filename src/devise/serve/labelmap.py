"""Map of the label space: every label and photo as a point on a plane."""

from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path

import numpy as np

from devise.arrays import Float32, Int64, LabelVectors
from devise.model.parts import ModelParts
from devise.taxonomy.wordnet import Taxonomy

__all__ = ["BRANCHES", "EDGE", "PLACES", "Plane"]

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
"""WordNet subtrees with their own colour; a label belongs to the first it is under."""

EDGE = 1000
"""The largest coordinate of a label."""

PLACES = Path(str(files("devise.serve") / "places.tsv"))
"""Labels placed by t-SNE, one per line: id, x, y. Written by tools/label_places.py."""

_NEIGHBOURS = 5
_SHARPNESS = np.float32(20)  # of cosines: a neighbour nearer by 0.05 weighs e times as much
_BLOCK = 4096  # vectors placed at once, 50 MB of cosines
_Points = Float32[np.ndarray, "rows 2"]


@dataclass(frozen=True)
class Plane:
    """Positions on a plane: t-SNE of some 3,000 labels; other vectors near their nearest ones.

    t-SNE keeps neighbours together: of a label's 10 nearest in the default model's space, 57 in 100 are among its 100
    nearest on this plane. The two directions in which the branches of WordNet differ most keep 8 in 100, and so do the
    main axes (PCA). A model that has fewer than half of the labels laid out is shown by the branches' directions.
    """

    parts: ModelParts

    @cached_property
    def branch(self) -> Int64[np.ndarray, " labels"]:
        """Return the number of each label's branch; the last number means none."""
        ids = self.parts.space.labels.ids
        found = np.full(len(ids), len(BRANCHES), dtype=np.int64)
        taxonomy: Taxonomy = self.parts.taxonomy
        for number, root in reversed(list(enumerate(BRANCHES.values()))):
            below = taxonomy.subtree(root) if root in taxonomy else frozenset()
            found[[place for place, label_id in enumerate(ids) if label_id in below]] = number
        return found

    @cached_property
    def _frame(self) -> tuple[Float32[np.ndarray, "2 dim"], Float32[np.ndarray, " 2"], Float32[np.ndarray, " 2"]]:
        """Return the two directions, the centre of the labels along them, and half their range."""
        vectors = self.parts.placed.vectors
        means = np.stack([vectors[self.branch == number].mean(axis=0) for number in np.unique(self.branch).tolist()])
        _, _, directions = np.linalg.svd(means - means.mean(axis=0), full_matrices=False)
        axes = np.zeros((2, vectors.shape[1]), np.float32)
        axes[: len(directions[:2])] = directions[:2]
        placed = vectors @ axes.T
        low, high = placed.min(axis=0), placed.max(axis=0)
        return axes, (low + high) / 2, np.maximum((high - low) / 2, np.float32(1e-6))

    @cached_property
    def _anchors(self) -> tuple[LabelVectors, Float32[np.ndarray, "anchors 2"]] | None:
        """Return vectors and positions of the placed labels; None if the model lacks most of them."""
        laid = [line.split("\t") for line in PLACES.read_text(encoding="ascii").splitlines()]
        labels = self.parts.space.labels
        known = [(labels.position(one), float(x), float(y)) for one, x, y in laid if one in labels]
        if 2 * len(known) < len(laid):
            return None
        table = np.array(known)
        vectors = self.parts.placed.vectors[table[:, 0].astype(int)]
        return vectors, table[:, 1:].astype(np.float32)

    def places(self, vectors: LabelVectors) -> _Points:
        """Return positions of vectors; coordinates of the model's labels are from -1000 to 1000."""
        if self._anchors is None:
            axes, middle, half = self._frame
            placed: _Points = ((vectors @ axes.T - middle) / half * np.float32(EDGE)).astype(np.float32)
            return placed
        near, where = self._anchors
        blocks = [_among(vectors[at : at + _BLOCK] @ near.T, where) for at in range(0, len(vectors), _BLOCK)]
        return np.concatenate([np.zeros((0, 2), np.float32), *blocks])


def _among(cosines: Float32[np.ndarray, "rows anchors"], where: Float32[np.ndarray, "anchors 2"]) -> _Points:
    """Average the positions of each row's nearest anchors, weighted by nearness."""
    count = min(_NEIGHBOURS, len(where))
    nearest = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
    likeness = np.take_along_axis(cosines, nearest, axis=1)
    weights = np.exp(_SHARPNESS * (likeness - likeness.max(axis=1, keepdims=True)))
    weights /= weights.sum(axis=1, keepdims=True)
    points: _Points = (where[nearest] * weights[:, :, None]).sum(axis=1).astype(np.float32)
    return points
