"""Hierarchical precision, slow and obvious, on a graph given as a dict from a node to its parents."""

from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction

Parents = Mapping[str, Collection[str]]


def neighbours(parents: Parents, node: str) -> set[str]:
    """One undirected is-a edge away."""
    return set(parents[node]) | {other for other in parents if node in parents[other]}


def correct_set(parents: Parents, label: str, k: int, valid: Collection[str]) -> set[str]:
    ball = {label}
    while True:
        found = ball & set(valid)
        wider = ball.union(*(neighbours(parents, node) for node in ball))
        if len(found) >= k or wider == ball:
            return found
        ball = wider


def hp_at_k(parents: Parents, predictions: Sequence[str], label: str, k: int, valid: Collection[str]) -> Fraction:
    """Of one image."""
    right = correct_set(parents, label, k, valid)
    return Fraction(sum(1 for prediction in predictions[:k] if prediction in right), k)


def hit_at_k(predictions: Sequence[str], label: str, k: int) -> Fraction:
    """Of one image."""
    return Fraction(int(label in predictions[:k]))


def mean(values: Collection[Fraction]) -> Fraction:
    return sum(values, Fraction(0)) / len(values)


def mean_of_class_means(values: Sequence[Fraction], labels: Sequence[str]) -> Fraction:
    pairs = list(zip(values, labels, strict=True))
    return mean([mean([value for value, other in pairs if other == label]) for label in sorted(set(labels))])
