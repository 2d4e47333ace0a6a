"""Measures of photos: hit@k, hierarchical precision@k, the size of an error, their means and chance values."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from devise.arrays import Float64, Int64, Ranking, Truth
from devise.errors import UsageError
from devise.taxonomy.correct_sets import CorrectSets
from devise.taxonomy.wordnet import Taxonomy

__all__ = [
    "ClassRows",
    "PerImage",
    "ancestor_overlaps",
    "chance_hit_at_k",
    "chance_precisions",
    "common_ancestor_heights",
    "harmonic_mean",
    "hierarchical_precisions",
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


def hit_at_k(ranking: _Ranked, truth: Truth, k: int) -> PerImage:
    """Return 1 for an image whose true label is among its first k labels, else 0.

    truth: the true label's position in the ranked label list; -1 where it is not in that list: a miss.
    Raises UsageError when fewer than k labels are ranked.

    >>> hit_at_k(np.array([[4, 2], [0, 3]]), np.array([2, 1]), 2).tolist()
    [1.0, 0.0]
    """
    if k < 1:
        raise UsageError(f"hit@k needs k of at least 1, got {k}: raise k")
    ranked = ranking.shape[1]
    if ranked < k:
        raise UsageError(f"hit@{k} needs at least {k} candidate labels, got {ranked}: lower k or add labels")
    return np.asarray((ranking[:, :k] == truth[:, None]).any(axis=1), dtype=np.float64)


def possible_ks(ks: Iterable[int], labels: int) -> tuple[int, ...]:
    """Return the ks that a ranking of so many labels can answer; reports print "-" for the others.

    >>> possible_ks((2, 5, 10, 20), labels=12)
    (2, 5, 10)
    """
    return tuple(k for k in ks if 1 <= k <= labels)


def chance_hit_at_k(k: int, candidates: int) -> float:
    """Compute the expected hit@k of a uniformly random ranking of the candidates, in [0, 1].

    It applies to an image whose true label is among the candidates; for another it is 0.
    """
    if k < 1 or candidates < 1:
        raise UsageError(f"chance needs k and candidates of at least 1, got k {k} and {candidates} candidates")
    return min(k, candidates) / candidates


def mean_per_image(values: PerImage) -> float:
    """Average over images. Rounded once, so their order does not matter."""
    if not len(values):
        raise UsageError("a mean needs at least 1 image, got 0: add images")
    return math.fsum(values) / len(values)


def mean_per_class(values: PerImage, classes: ClassRows) -> float:
    """Average over classes: the mean of the mean over each class's images.

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


_BLOCK = 8192  # images looked up at once


def hierarchical_precisions(
    ranking: Ranking, classes: ClassRows, correct: CorrectSets, valid: int, ks: Sequence[int]
) -> dict[int, PerImage]:
    """Compute by k the share of an image's first k labels in the correct set of its class, in [0, 1].

    The correct set grows outward from the true label's synset over the undirected is-a graph, one edge of radius at a
    time, and stops at the first radius where it contains at least k valid labels (Frome et al. 2013, section 4).
    Correct sets of one class lie inside one another, so a predicted label needs one search: how near it is to the
    class says for which k it is in the set.

    ranking: positions among the valid labels, whatever list a scorer ranked. classes: rows of `correct`. valid: how
    many valid labels there are; correct.ks must contain the ks.
    UsageError when fewer than max(ks) labels are ranked.
    """
    deepest = max(ks, default=0)
    if ranking.shape[1] < deepest:
        raise UsageError(f"hp@{deepest} needs at least {deepest} candidate labels, got {ranking.shape[1]}: lower k")
    sizes = np.array([len(found) for found in correct.nearest], dtype=np.int64)
    members = np.concatenate([np.empty(0, dtype=np.int64), *correct.nearest])
    steps = np.arange(len(members)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # place from the nearest, from 0
    keys = np.repeat(np.arange(len(sizes)), sizes) * valid + members
    order = np.argsort(keys)
    keys, steps = np.append(keys[order], -1), steps[order]
    columns = [correct.ks.index(k) for k in ks]
    found = {k: np.empty(len(ranking)) for k in ks}
    for start in range(0, len(ranking), _BLOCK):
        rows = slice(start, start + _BLOCK)
        asked = classes[rows, None] * valid + ranking[rows, :deepest]
        places = np.searchsorted(keys[:-1], asked)
        near = np.where(keys[places] == asked, np.append(steps, 0)[places], np.iinfo(np.int64).max)
        for k, column in zip(ks, columns, strict=True):
            inside = near[:, :k] < correct.counts[classes[rows], column][:, None]
            found[k][rows] = inside.sum(axis=1) / k
    return found


def chance_precisions(
    classes: ClassRows, correct: CorrectSets, candidates: int, ks: Sequence[int]
) -> dict[int, PerImage]:
    """Compute the expected hp@k of a uniformly random ranking: the share of the candidates in the set.

    candidates: how many of the valid labels, the first ones, are candidates; at least 1.
    """
    if candidates < 1:
        raise UsageError("chance needs at least 1 candidate, got 0: add labels")
    sizes = np.array([len(found) for found in correct.nearest], dtype=np.int64)
    members = np.concatenate([np.empty(0, dtype=np.int64), *correct.nearest])
    marked = np.append(0, np.cumsum(members < candidates))
    first = np.cumsum(sizes) - sizes
    held = marked[first[:, None] + correct.counts] - marked[first][:, None]
    return {k: held[classes, correct.ks.index(k)] / candidates for k in ks}


def common_ancestor_heights(
    taxonomy: Taxonomy, truth: Sequence[str], predicted: Sequence[str]
) -> Float64[np.ndarray, "images"]:
    """Compute the height of the lowest common ancestor of truth and prediction; NaN if they are the same.

    It is the height of their lowest common ancestor (Deng et al. 2010), either of them included: edges on its
    longest way down to a leaf, instances counted; of several the lowest. Where nothing is above both, the
    greatest height of the taxonomy plus 1.
    """
    above: dict[str, frozenset[str]] = {}
    heights: dict[tuple[str, str], float] = {}
    for pair in set(zip(truth, predicted, strict=True)):
        for one in pair:
            if one not in above:
                above[one] = taxonomy.ancestors(one) | {one}
        common = above[pair[0]] & above[pair[1]]
        lowest = min((taxonomy.height(one) for one in common), default=taxonomy.greatest_height + 1)
        heights[pair] = np.nan if pair[0] == pair[1] else float(lowest)
    return np.array([heights[pair] for pair in zip(truth, predicted, strict=True)], dtype=np.float64)


def ancestor_overlaps(
    taxonomy: Taxonomy, truth: Sequence[str], predicted: Sequence[str]
) -> Int64[np.ndarray, "images 3"]:
    """Count the ancestors that truth and prediction share, and those of each.

    The synsets of one are itself and all that is above it, without the roots, which all have (Kiritchenko et al. 2005).
    """
    above: dict[str, frozenset[str]] = {}
    for one in {*truth, *predicted}:
        above[one] = frozenset(node for node in (one, *taxonomy.ancestors(one)) if taxonomy.parents(node))
    pairs = [(above[guess], above[true]) for guess, true in zip(predicted, truth, strict=True)]
    counts = [(len(guess & true), len(guess), len(true)) for guess, true in pairs]
    return np.array(counts, dtype=np.int64).reshape(-1, 3)
