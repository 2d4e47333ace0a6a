"""Flat hit@k and hierarchical precision@k, their means, and what chance would reach.

Source: Frome et al., DeViSE, NIPS 2013, section 4.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from devise.arrays import LabelMask, Ranking, Truth
from devise.errors import UsageError

__all__ = [
    "ClassRows",
    "CorrectLabels",
    "PerImage",
    "chance_hit_at_k",
    "chance_hp_at_k",
    "harmonic_mean",
    "hierarchical_precision_at_k",
    "hit_at_k",
    "mean_per_class",
    "mean_per_image",
    "possible_ks",
]

PerImage = Float64[np.ndarray, "images"]
"""One value a test image, in [0, 1]."""
ClassRows = Int64[np.ndarray, "images"]
"""Which of the test classes each image shows, counted from 0."""
_Ranked = Int64[np.ndarray, "images ranked"]
_Positions = Int64[np.ndarray, "members"]
_OneSet = Int64[np.ndarray, "_"]
_PerClass = Int64[np.ndarray, "classes"]


@dataclass(frozen=True, slots=True)
class CorrectLabels:
    """The correct sets of the test classes at one k, one after the other.

    members: positions in the list of valid labels, rising within a class.
    ends: for every class, where its members end in `members`; they start where the class before ends.
    valid: how many valid labels there are.
    """

    members: _Positions
    ends: _PerClass
    valid: int

    @staticmethod
    def of(sets: Iterable[Sequence[int] | _OneSet], valid: int) -> "CorrectLabels":
        """From the positions of each class's correct set, in the order of the classes.

        >>> CorrectLabels.of([[2, 0], [1]], valid=3).sizes.tolist()
        [2, 1]
        """
        parts = [np.unique(np.asarray(positions, dtype=np.int64)) for positions in sets]
        ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
        return CorrectLabels(np.concatenate([np.empty(0, dtype=np.int64), *parts]), ends, valid)

    @property
    def sizes(self) -> _PerClass:
        """How many labels the correct set of each class holds."""
        return np.diff(self.ends, prepend=0)

    def hold(self, classes: ClassRows, ranking: Ranking) -> Bool[np.ndarray, "images k"]:
        """Whether each ranked valid label lies in the correct set of its image's class."""
        keys = np.repeat(np.arange(len(self.ends)), self.sizes) * self.valid + self.members
        asked = classes[:, None] * self.valid + ranking
        places = np.searchsorted(keys, asked)
        return np.asarray(np.append(keys, -1)[places] == asked)

    def among(self, mask: LabelMask) -> _PerClass:
        """How many labels of each class's correct set the mask over the valid labels marks."""
        marked = np.append(0, np.cumsum(mask[self.members], dtype=np.int64))
        return np.asarray(np.diff(marked[self.ends], prepend=0))


def hit_at_k(ranking: _Ranked, truth: Truth, k: int) -> PerImage:
    """1 for an image whose true label is among its first k labels, else 0.

    truth: the true label's position in the ranked label list; -1 where it is not in that list: a miss.
    Raises UsageError when fewer than k labels are ranked.

    >>> hit_at_k(np.array([[4, 2], [0, 3]]), np.array([2, 1]), 2).tolist()
    [1.0, 0.0]
    """
    first = _first("hit", ranking, k)
    return np.asarray((first == truth[:, None]).any(axis=1), dtype=np.float64)


def hierarchical_precision_at_k(ranking: _Ranked, classes: ClassRows, correct: CorrectLabels, k: int) -> PerImage:
    """Share of an image's first k labels that lie in the correct set of its class, in [0, 1].

    The correct set grows outward from the true label's synset over the undirected is-a graph, one edge of
    radius at a time, and stops at the first radius where it holds at least k valid labels (Frome et al. 2013,
    section 4). The valid labels are the candidates and the trained labels.

    ranking: positions in the list of valid labels, whatever list a scorer ranked.
    classes: the row of `correct` that belongs to each image.
    correct: the correct sets at this k.
    Raises UsageError when fewer than k labels are ranked.

    >>> correct = CorrectLabels.of([[0, 1, 2]], valid=5)
    >>> hierarchical_precision_at_k(np.array([[2, 4]]), np.array([0]), correct, 2).tolist()
    [0.5]
    """
    return np.asarray(correct.hold(classes, _first("hp", ranking, k)).sum(axis=1) / k)


def _first(measure: str, ranking: _Ranked, k: int) -> Ranking:
    if k < 1:
        raise UsageError(f"{measure}@k needs k of at least 1, got {k}: raise k")
    ranked = ranking.shape[1]
    if ranked < k:
        raise UsageError(f"{measure}@{k} needs at least {k} candidate labels, got {ranked}: lower k or add labels")
    return ranking[:, :k]


def possible_ks(ks: Iterable[int], labels: int) -> tuple[int, ...]:
    """Those of the ks that a ranking of so many labels can answer; reports print "-" for the others.

    >>> possible_ks((2, 5, 10, 20), labels=12)
    (2, 5, 10)
    """
    return tuple(k for k in ks if 1 <= k <= labels)


def chance_hit_at_k(k: int, candidates: int) -> float:
    """The hit@k that a uniformly random ranking of the candidates is expected to reach, in [0, 1].

    It holds for an image whose true label is among the candidates; for another it is 0.
    """
    if k < 1 or candidates < 1:
        raise UsageError(f"chance needs k and candidates of at least 1, got k {k} and {candidates} candidates")
    return min(k, candidates) / candidates


def chance_hp_at_k(classes: ClassRows, correct: CorrectLabels, candidates: LabelMask) -> PerImage:
    """The hp@k that a uniformly random ranking of the candidates is expected to reach, in [0, 1].

    It is |correct set and candidates| / |candidates|: each of the first k labels is in the correct set with
    that probability. `correct` belongs to the k asked; `candidates` marks them among the valid labels.
    """
    count = int(candidates.sum())
    if count < 1:
        raise UsageError("chance needs at least 1 candidate, got 0: add labels")
    return np.asarray(correct.among(candidates)[classes] / count)


def mean_per_image(values: PerImage) -> float:
    """Every image counts the same. Rounded once, so the order of the images does not matter."""
    if not len(values):
        raise UsageError("a mean needs at least 1 image, got 0: add images")
    return math.fsum(values) / len(values)


def mean_per_class(values: PerImage, classes: ClassRows) -> float:
    """Every class counts the same: the mean over the classes of the mean over each class's images.

    >>> mean_per_class(np.array([1.0, 1.0, 1.0, 0.0]), np.array([0, 0, 0, 1]))
    0.5
    """
    if not len(values):
        raise UsageError("a mean needs at least 1 image, got 0: add images")
    counts = np.bincount(classes)
    sums = np.bincount(classes, weights=values)
    return math.fsum(sums[counts > 0] / counts[counts > 0]) / int(np.count_nonzero(counts))


def harmonic_mean(seen: float, unseen: float) -> float:
    """2 seen unseen / (seen + unseen), the usual summary of generalised zero-shot; 0 if either is 0.

    >>> harmonic_mean(0.6, 0.3), harmonic_mean(0.7, 0.0)
    (0.4, 0.0)
    """
    return 0.0 if 0.0 in (seen, unseen) else 2 * seen * unseen / (seen + unseen)
