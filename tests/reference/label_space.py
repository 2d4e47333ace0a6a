"""Scorers and surgery once more, in slow loops over Python floats, as the papers write them down."""

import math
from collections.abc import Sequence

__all__ = ["conse", "cosine", "devise", "fused", "in_context", "placed", "softmax", "unit"]

Vector = Sequence[float]


def unit(vector: Vector) -> list[float]:
    length = math.sqrt(math.fsum(x * x for x in vector))
    return [x / length if length > 0 else 0.0 for x in vector]


def dot(a: Vector, b: Vector) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def cosine(a: Vector, b: Vector) -> float:
    return dot(unit(a), unit(b))


def softmax(logits: Vector) -> list[float]:
    highest = max(logits)
    powers = [math.exp(logit - highest) for logit in logits]
    return [power / math.fsum(powers) for power in powers]


def conse(probabilities: Vector, trained: Sequence[Vector], top: int) -> list[float]:
    """f(x) = 1/Z * sum of p(y_i) s(y_i) over the T most probable (Norouzi et al. 2014, equation 4)."""
    order = sorted(range(len(probabilities)), key=lambda i: -probabilities[i])[:top]
    z = math.fsum(probabilities[i] for i in order)
    dim = len(trained[0])
    return [math.fsum(probabilities[i] / z * trained[i][d] for i in order) for d in range(dim)]


def devise(features: Vector, surgery: Sequence[Vector]) -> list[float]:
    """M f."""
    return [dot(row, features) for row in surgery]


def fused(devise_query: Vector, conse_query: Vector) -> list[float]:
    return [a + b for a, b in zip(unit(devise_query), unit(conse_query), strict=True)]


def placed(vector: Vector, centre: Vector) -> list[float]:
    if not any(vector):
        return list(vector)
    return unit([x - c for x, c in zip(vector, centre, strict=True)])


def in_context(queries: Sequence[Vector], neighbours: int, weight: float) -> list[list[float]]:
    """q' = unit(q + weight * mean of the queries of the nearest other pictures, by cosine)."""
    moved = []
    for own, query in enumerate(queries):
        others = [i for i in range(len(queries)) if i != own]
        nearest = sorted(others, key=lambda i: -cosine(query, queries[i]))[:neighbours]
        means = [math.fsum(queries[i][d] for i in nearest) / len(nearest) for d in range(len(query))]
        moved.append(unit([x + weight * mean for x, mean in zip(query, means, strict=True)]))
    return moved
