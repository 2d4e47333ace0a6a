"""Kernel surgery: the classifier row of any label, predicted from the rows of the trained ones.

Kernel ridge regression from labels to classifier rows. With K the kernel between the trained labels and W their rows,
centred and at unit length, the row of a label c is

    k(c, trained) (K + ridge I)^-1 W

With a linear kernel this is the closed form of `devise.space.surgery.image_free_surgery`. The kernel here is an RBF
over similarities of two labels: the cosine of their label vectors, of a sentence encoder's vectors of
"terms: definition", and of their places in the is-a tree. No photo is used.

A row has as many numbers as the features. The principal axes of the predicted rows keep `rank` of them, so that labels
and photos are points of one small space and the nearest label wins, as in DeViSE.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from devise.arrays import Features, Float32, Float64, Int64, LabelVectors, Queries, Surgery
from devise.errors import LabelError, UsageError
from devise.space.labelspace import unit_rows

__all__ = [
    "Cosines",
    "Kernel",
    "KernelConfig",
    "KernelSurgery",
    "Projection",
    "centred_rows",
    "fit_kernel",
    "kernel_of",
    "kernel_queries",
    "kernel_ridge",
    "leans",
    "placed_by_label",
    "principal_axes",
    "refitted",
]

Cosines = Float32[np.ndarray, "labels trained"]
"""Of each label with each trained label, in one view of them."""
Kernel = Float32[np.ndarray, "labels trained"]
"""How alike each label and each trained label are, in [0, 1]."""
Rows = Float32[np.ndarray, "trained features"]
TrainedVectors = Float32[np.ndarray, "trained dim"]
Projection = Float32[np.ndarray, "trained rank"]
"""One row per trained label; a label's kernel times this is its place, before it is scaled to unit length."""


@dataclass(frozen=True, slots=True)
class KernelConfig:
    """The similarity of two labels, and how far the regression trusts it.

    label_share, text_share, tree_share: of the cosines of label vectors, of sentence vectors and of places in the tree
        in their weighted mean. The tree's share is 0: on classes left out it helps nowhere (docs/kernel.md).
    width: of the RBF, exp((mean cosine - 1) / width). ridge: above 0. rank: numbers kept per label and per photo.
    """

    label_share: float = 0.55
    text_share: float = 0.45
    tree_share: float = 0.0
    width: float = 0.4
    ridge: float = 0.2
    rank: int = 300

    def __post_init__(self) -> None:
        shares = (self.label_share, self.text_share, self.tree_share)
        if not all(0 <= share < math.inf for share in shares) or not self.label_share:
            raise UsageError(f"kernel shares must be 0 or more, that of the label vectors above 0, got {shares}")
        for name in ("width", "ridge"):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(f"{name} must be above 0 and finite, got {getattr(self, name)}")
        if self.rank < 1:
            raise UsageError(f"rank must be at least 1, got {self.rank}")

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "KernelConfig":
        """The inverse of `to_dict`; UsageError for an unknown or missing key."""
        names = {field.name for field in fields(cls)}
        if set(stored) != names:
            raise UsageError(f"a kernel needs the keys {sorted(names)}, got {sorted(stored)}")
        return cls(**{**stored, "rank": int(stored["rank"])})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON keeps them."""
        return asdict(self)


def kernel_of(views: Iterable[tuple[float, Cosines]], width: float) -> Kernel:
    """exp((mean cosine - 1) / width), the mean over views, each with its share; shares are divided by their sum.

    >>> kernel_of([(1.0, np.array([[1, 0]], np.float32)), (3.0, np.array([[1, 1]], np.float32))], 0.5).round(3).tolist()
    [[1.0, 0.6069999933242798]]
    """
    kept = [(share, cosines) for share, cosines in views if share]
    total = sum(share for share, _ in kept)
    kernel: Kernel = np.zeros_like(kept[0][1])
    for share, cosines in kept:
        kernel += np.float32(share / total) * cosines
    kernel -= np.float32(1)
    np.minimum(kernel, np.float32(0), out=kernel)  # rounding, divided by a small width, may be much
    kernel /= np.float32(width)
    np.exp(kernel, out=kernel)
    return kernel


def centred_rows(weight: Rows) -> Rows:
    """Centre the classifier's rows and scale them to unit length.

    What all rows share separates no label from another, and the length of a row says more of its number of photos than
    of what they show.
    """
    return unit_rows(weight - weight.mean(axis=0))


def kernel_ridge(
    kernel: Float32[np.ndarray, "trained trained"], rows: Float32[np.ndarray, "trained outputs"], ridge: float
) -> Float32[np.ndarray, "trained outputs"]:
    """(K + ridge I)^-1 rows. LabelError if the ridge is not positive and finite."""
    if not 0 < ridge < math.inf:
        raise LabelError(f"the ridge of the surgery must be above 0 and finite, got {ridge}: take about 1")
    # 64 bits: the eigenvalues of K reach up to its size, so that for 1,000 labels and a ridge of 0.2 a solution in
    # 32 bits may lose 4 of its 7 digits.
    system = kernel.astype(np.float64) + ridge * np.eye(len(kernel))
    solved: Float32[np.ndarray, "trained outputs"] = np.linalg.solve(system, rows.astype(np.float64)).astype(np.float32)
    return solved


def principal_axes(rows: Float32[np.ndarray, "labels features"], rank: int) -> Surgery:
    """Find at most `rank` orthonormal axes that keep most of the rows' squared length.

    Axes of the predicted rows of all labels, not of the regression's weights: those are ruled by directions in which
    the kernel hardly varies (decision 24).
    """
    # Eigenvectors of rows' rows, features x features, are the right singular vectors of the 40,000 rows.
    moments: Float64[np.ndarray, "features features"] = (rows.T @ rows).astype(np.float64)
    _, axes = np.linalg.eigh(moments)
    # eigh sorts upwards, the axes that keep most come last.
    kept: Surgery = np.ascontiguousarray(axes[:, ::-1][:, : min(rank, len(rows))].T, dtype=np.float32)
    return kept


def kernel_queries(features: Features, axes: Surgery) -> Queries:
    """Place photos, at unit length. The square root reduces the dominance of a few strong features.

    A feature below zero keeps its sign; a network that ends in ReLU and a mean makes none.
    """
    return unit_rows(np.copysign(np.sqrt(np.abs(features)), features) @ axes.T)


@dataclass(frozen=True, eq=False, slots=True)
class KernelSurgery:
    """The places of labels and photos.

    places: of all labels, unit rows. axes: orthonormal rows, along which photos are placed. by_label: places one label
        of which only the label vector is known, such as one that a user types; see `placed_by_label`.
    """

    config: KernelConfig
    places: LabelVectors
    axes: Surgery
    by_label: Projection


def fit_kernel(
    config: KernelConfig,
    vectors: LabelVectors,
    trained: Int64[np.ndarray, "trained"],
    weight: Rows,
    *,
    text: Float32[np.ndarray, "labels text"] | None = None,
    tree: Cosines | None = None,
) -> KernelSurgery:
    """Kernel surgery for all labels, in seconds.

    vectors: of all labels. trained: the label of each row of the classifier; weight: these rows. text: a sentence
    encoder's unit vectors of all labels. tree: cosines of all labels and the trained ones in the tree.

    UsageError if the configuration gives a share to a view that is missing.
    """
    for name, view in (("text", text), ("tree", tree)):
        if getattr(config, f"{name}_share") and view is None:
            raise UsageError(
                f"the kernel gives {name} a share of {getattr(config, f'{name}_share')}, but there is none"
            )
    by_vector = vectors @ vectors[trained].T
    views = [(config.label_share, by_vector)]
    if text is not None:
        views.append((config.text_share, text @ text[trained].T))
    if tree is not None:
        views.append((config.tree_share, tree))
    kernel, rows = kernel_of(views, config.width), centred_rows(weight)
    solved = kernel_ridge(kernel[trained], rows, config.ridge)
    axes = principal_axes(unit_rows(kernel @ solved), config.rank)
    alone = kernel_of([(1.0, by_vector[trained])], config.width)
    by_label: Projection = kernel_ridge(alone, rows, config.ridge) @ axes.T
    # The axes first: 40,000 labels are then multiplied with `rank` columns, not with all features.
    return KernelSurgery(config, unit_rows(kernel @ (solved @ axes.T)), axes, by_label)


def refitted(
    kernel: KernelSurgery, vectors: LabelVectors, trained: Int64[np.ndarray, "trained"], weight: Rows
) -> KernelSurgery:
    """Fit a model's kernel again for other label vectors, by these alone; arguments as for `fit_kernel`."""
    alone = KernelConfig(1.0, 0.0, 0.0, kernel.config.width, kernel.config.ridge, kernel.config.rank)
    return fit_kernel(alone, vectors, trained, weight)


def placed_by_label(
    vectors: LabelVectors, trained: TrainedVectors, kernel: KernelSurgery
) -> Float32[np.ndarray, "labels rank"]:
    """Place labels by their label vectors alone; zeros for a label without a vector.

    vectors, trained: label vectors, those of the trained labels in the order of the classifier's rows.
    """
    alike = kernel_of([(1.0, vectors @ trained.T)], kernel.config.width)
    alike[~vectors.any(axis=1)] = 0  # a cosine of 0 has a kernel above 0: zeros would get a place
    places: Float32[np.ndarray, "labels rank"] = unit_rows(alike @ kernel.by_label)
    return places


def leans(
    vector: Float32[np.ndarray, "dim"],
    trained: TrainedVectors,
    kernel: KernelSurgery,
    queries: Float32[np.ndarray, "images rank"],
) -> Float32[np.ndarray, "images trained"]:
    """Split the cosine of one label and each photo into one term per trained label; a row sums to the cosine.

    A label's place is a weighted sum of the rows of `by_label`, one row per trained label. vector: the label's.
    """
    alike = kernel_of([(1.0, vector[None] @ trained.T)], kernel.config.width)[0]
    length = np.linalg.norm(alike @ kernel.by_label)
    parts: Float32[np.ndarray, "images trained"] = (queries @ kernel.by_label.T) * (alike / max(length, 1e-12))
    return parts.astype(np.float32)
