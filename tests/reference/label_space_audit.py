"""Measures of a label space once more, in slow loops, on a graph given as a dict from a node to its parents."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from statistics import fmean, pstdev

Parents = Mapping[str, Sequence[str]]
Vector = Sequence[float]


def around(parents: Parents, node: str) -> set[str]:
    return set(parents[node]) | {other for other in parents if node in parents[other]}


def edges(parents: Parents, one: str, other: str) -> float:
    """Fewest undirected edges; infinity where nothing joins them."""
    ball, radius = {one}, 0
    while other not in ball:
        wider = ball.union(*(around(parents, node) for node in ball))
        if wider == ball:
            return math.inf
        ball, radius = wider, radius + 1
    return radius


def cosine(a: Vector, b: Vector) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def nearest(vectors: Mapping[str, Vector], name: str, k: int) -> list[str]:
    """Ties by position; names without a vector are near to nothing."""
    if not any(vectors[name]):
        return []
    others = [other for other in vectors if other != name and any(vectors[other])]
    return sorted(others, key=lambda other: -cosine(vectors[name], vectors[other]))[:k]


def correct_set(parents: Parents, name: str, k: int, classes: Sequence[str]) -> set[str]:
    """Of the other classes those within the first radius that holds k of them, or all that are joined."""
    others = [other for other in classes if other != name]
    radius = 0
    while True:
        found = {other for other in others if edges(parents, name, other) <= radius}
        if len(found) >= k or radius > len(parents):
            return found
        radius += 1


def share(parents: Parents, vectors: Mapping[str, Vector], k: int) -> Fraction:
    """Mean over all classes."""
    classes = list(vectors)
    right = [len(set(nearest(vectors, one, k)) & correct_set(parents, one, k, classes)) for one in classes]
    return Fraction(sum(right), k * len(classes))


def occurrences(vectors: Mapping[str, Vector], k: int) -> list[int]:
    """Of the classes that have a vector."""
    counts = Counter(other for one in vectors for other in nearest(vectors, one, k))
    return [counts[one] for one in vectors if any(vectors[one])]


def skewness(values: Sequence[float]) -> float:
    mean, spread = fmean(values), pstdev(values)
    return fmean(((value - mean) / spread) ** 3 for value in values) if spread else 0.0


def ranks(values: Sequence[float]) -> list[float]:
    return [sum(o < v for o in values) + (sum(o == v for o in values) + 1) / 2 for v in values]


def pearson(a: Sequence[float], b: Sequence[float]) -> float:
    x, y = fmean(a), fmean(b)
    up = sum((p - x) * (q - y) for p, q in zip(a, b, strict=True))
    return up / math.sqrt(sum((p - x) ** 2 for p in a) * sum((q - y) ** 2 for q in b))


def rank_correlation(parents: Parents, vectors: Mapping[str, Vector]) -> float:
    known = [one for one in vectors if any(vectors[one])]
    pairs = [pair for pair in combinations(known, 2) if edges(parents, *pair) < math.inf]
    cosines = [cosine(vectors[one], vectors[other]) for one, other in pairs]
    return pearson(ranks(cosines), ranks([edges(parents, *pair) for pair in pairs]))
