"""Ranks, intervals and curves, slow and obvious: plain loops over images and thresholds."""

from collections.abc import Sequence
from itertools import pairwise


def rank(scores: Sequence[float], true: int) -> int:
    """Labels before the true one: higher scores, and equal ones at lower places; plus 1."""
    before = [i for i, score in enumerate(scores) if score > scores[true] or (score == scores[true] and i < true)]
    return len(before) + 1


def auroc(scores: Sequence[float], positive: Sequence[bool]) -> float:
    """Over all pairs of a positive and a negative image; a tie is half a win."""
    wins = [
        1.0 if one > other else 0.5 if one == other else 0.0
        for one, good in zip(scores, positive, strict=True)
        if good
        for other, bad in zip(scores, positive, strict=True)
        if not bad
    ]
    return sum(wins) / len(wins)


def fpr_at(scores: Sequence[float], positive: Sequence[bool], share: float) -> float:
    """The highest threshold that enough positives pass, tried from above."""
    good = [score for score, yes in zip(scores, positive, strict=True) if yes]
    bad = [score for score, yes in zip(scores, positive, strict=True) if not yes]
    for threshold in sorted(set(scores), reverse=True):
        if sum(score >= threshold for score in good) >= share * len(good):
            return sum(score >= threshold for score in bad) / len(bad)
    raise AssertionError


def calibration_error(confidence: Sequence[float], right: Sequence[bool], bins: int) -> float:
    total = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = [
            (one, yes)
            for one, yes in zip(confidence, right, strict=True)
            if low < one <= high or (number == 0 and one == 0)
        ]
        total += abs(sum(one for one, _ in inside) - sum(yes for _, yes in inside))
    return total / len(confidence)


def adaptive_calibration_error(confidence: Sequence[float], right: Sequence[bool], bins: int) -> float:
    """A bin for each count of images with less confidence; exact in whole numbers."""
    total = 0.0
    for number in range(bins):
        inside = [
            (one, yes)
            for one, yes in zip(confidence, right, strict=True)
            if bins * sum(other < one for other in confidence) // len(confidence) == number
        ]
        total += abs(sum(one for one, _ in inside) - sum(yes for _, yes in inside))
    return total / len(confidence)


def brier(probabilities: Sequence[float], true: int | None) -> float:
    """The squared distance from the probabilities to 1 for the true label and 0 for the others."""
    found = sum((one - (place == true)) ** 2 for place, one in enumerate(probabilities))
    return found + (true is None)


def hedging_area(points: Sequence[tuple[float, float]], possible: float) -> float:
    """Points of (bits, accuracy), fewest bits first; the root before them; a thousand thin strips up to `possible`."""
    way = [(0.0, 1.0), *points]

    def height(bits: float) -> float:
        for (low, left), (high, right) in pairwise(way):
            if low <= bits < high:
                return left + (right - left) * (bits - low) / (high - low)
        return 0.0

    return sum(height((strip + 0.5) / 1000 * possible) for strip in range(1000)) / 1000


def seen_unseen_area(
    images: Sequence[tuple[float, bool, bool, bool]],
) -> float:
    """Over all penalties between two gaps. An image: its gap, whether its best trained label is the true one, whether
    its best other label is, and whether it shows a trained class."""
    gaps = sorted({gap for gap, *_ in images})
    penalties = [gaps[0] - 1, *((low + high) / 2 for low, high in pairwise(gaps)), gaps[-1] + 1]
    seen = [image for image in images if image[3]]
    unseen = [image for image in images if not image[3]]
    points = []
    for penalty in penalties:
        named = {True: 0, False: 0}
        for gap, right_trained, right_other, trained in images:
            named[trained] += right_trained if gap > penalty else right_other
        points.append((named[False] / len(unseen), named[True] / len(seen)))
    return sum((right[0] - left[0]) * (right[1] + left[1]) / 2 for left, right in pairwise(points))


def ancestors(parents: dict[str, tuple[str, ...]], node: str) -> set[str]:
    return {node}.union(*(ancestors(parents, parent) for parent in parents[node]))


def ancestor_scores(
    parents: dict[str, tuple[str, ...]], pairs: Sequence[tuple[str, str]]
) -> tuple[float, float, float]:
    """Precision, recall and F1 over pairs of a predicted and a true node, sums over the pairs; roots do not count."""
    sets = [tuple({node for node in ancestors(parents, one) if parents[node]} for one in pair) for pair in pairs]
    shared = sum(len(guess & true) for guess, true in sets)
    precision, recall = shared / sum(len(guess) for guess, _ in sets), shared / sum(len(true) for _, true in sets)
    return precision, recall, 2 * precision * recall / (precision + recall) if shared else 0.0


def height(parents: dict[str, tuple[str, ...]], node: str) -> int:
    children = [other for other in parents if node in parents[other]]
    return max((1 + height(parents, child) for child in children), default=0)


def common_ancestor_height(parents: dict[str, tuple[str, ...]], one: str, other: str) -> int:
    common = ancestors(parents, one) & ancestors(parents, other)
    if not common:
        return 1 + max(height(parents, node) for node in parents)
    return min(height(parents, node) for node in common)
