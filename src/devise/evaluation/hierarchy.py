"""Measures over the tree: hierarchical precision at every k at once, and the size of an error."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64

from devise.arrays import Ranking
from devise.errors import UsageError
from devise.evaluation.measures import ClassRows, PerImage
from devise.taxonomy.correct_sets import CorrectSets
from devise.taxonomy.wordnet import Taxonomy

__all__ = ["ancestor_overlaps", "chance_precisions", "common_ancestor_heights", "hierarchical_precisions"]

_BLOCK = 8192  # images looked up at once


def hierarchical_precisions(
    ranking: Ranking, classes: ClassRows, correct: CorrectSets, valid: int, ks: Sequence[int]
) -> dict[int, PerImage]:
    """Compute by k the share of an image's first k labels in the correct set of its class, in [0, 1].

    The correct set grows outward from the true label's synset over the undirected is-a graph, one edge of radius at a
    time, and stops at the first radius where it holds at least k valid labels (Frome et al. 2013, section 4).
    Correct sets of one class lie inside one another, so a predicted label needs one search: how near it is to the
    class says for which k it is in the set.

    ranking: positions among the valid labels, whatever list a scorer ranked. classes: rows of `correct`. valid: how
    many valid labels there are; correct.ks must hold the ks.
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
