"""Measures of how well label vectors match the taxonomy, without photos.

A class is right about its neighbour if the neighbour is in its correct set (Frome et al. 2013, section 4),
grown over the *other* classes: a class is not its own neighbour, and a share of 1 can be reached.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from devise.arrays import LabelVectors, Ranking
from devise.errors import UsageError
from devise.evaluation.measures import possible_ks
from devise.ranking import skewness, spearman
from devise.taxonomy.distances import UNREACHED, DistanceRows
from devise.taxonomy.wordnet import Taxonomy

__all__ = [
    "NO_NEIGHBOUR",
    "FarClass",
    "Hub",
    "LabelSpaceAudit",
    "LabelSpaceConfig",
    "correct_radii",
    "k_occurrences",
    "measure_label_space",
]

NO_NEIGHBOUR = -1
"""Stands in a ranking for the neighbours of a class without a vector."""

_Counts = Int64[np.ndarray, "classes"]
_Radii = UInt8[np.ndarray, "sources ks"]
_Cosines = Float32[np.ndarray, "pairs"]
_Edges = UInt8[np.ndarray, "pairs"]


@dataclass(frozen=True, slots=True)
class LabelSpaceConfig:
    """The settings of the measures.

    ks: numbers of nearest classes. hub_k: the k of the k-occurrence. pairs: at most so many pairs of classes are
    ranked; of more, a sample by `seed`. worst: how many of the worst cases are kept, of each kind.
    """

    ks: tuple[int, ...] = (2, 5, 10, 20)
    hub_k: int = 10
    pairs: int = 1_000_000
    worst: int = 10
    seed: int = 0


@dataclass(frozen=True, slots=True)
class FarClass:
    """A class whose nearest classes are all far in the tree.

    nearest: ids, nearest in the label space first. edges: to each of them; None where nothing joins the two.
    """

    id: str
    nearest: tuple[str, ...]
    edges: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Hub:
    """A class that is among the nearest of many others; `count` is their number."""

    id: str
    count: int


@dataclass(frozen=True, slots=True)
class LabelSpaceAudit:
    """The measures of one list of classes.

    classes: how many; without_vector: of them have no vector: they score 0, and are in no pair.
    shares: for each k, the mean over classes of the share of a class's k nearest that lie in its correct set, up
        is better. chance: the same for neighbours drawn at random.
    rank_correlation: Spearman's, of cosine with edges between the two; -1 is best, None if it is not defined.
    pairs: ranked for it; exact: whether these are all pairs with a way between them.
    hubness: skewness of how often a class is among the `hub_k` nearest of another; 0 is best.
    never_near: classes with a vector that are among the nearest of none.
    """

    classes: int
    without_vector: int
    shares: Mapping[int, float]
    chance: Mapping[int, float]
    rank_correlation: float | None
    pairs: int
    exact: bool
    hub_k: int
    hubness: float
    never_near: int
    far: tuple[FarClass, ...]
    hubs: tuple[Hub, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        named = {name: {str(k): value for k, value in getattr(self, name).items()} for name in ("shares", "chance")}
        return asdict(self) | named


def measure_label_space(
    ids: Sequence[str],
    vectors: LabelVectors,
    nearest: Ranking,
    taxonomy: Taxonomy,
    config: LabelSpaceConfig,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> LabelSpaceAudit:
    """Measure the label vectors of these classes against the taxonomy.

    vectors: unit rows, zeros for a class without one. nearest: positions of each class's nearest others, best
    first, as many columns as the largest k that is measured; rows of `NO_NEIGHBOUR` where there is no vector. A k
    without so many columns is left out. on_progress is told how many of how many classes are done.
    UsageError if fewer than three classes have vectors or the ranking is too short.
    """
    known = np.flatnonzero(vectors.any(axis=1))
    if len(known) < 3 or nearest.shape[1] < min(*config.ks, config.hub_k):
        raise UsageError(
            f"the label space needs 3 classes with vectors and {min(*config.ks, config.hub_k)} nearest of each, got "
            f"{len(known)} and {nearest.shape[1]}: give more classes, or smaller k"
        )
    tally = _Tally(vectors, nearest, known, config)
    for rows in taxonomy.distances(ids, ids):
        tally.add(rows)
        on_progress(tally.done, len(ids))
    occurrences = k_occurrences(nearest[:, : config.hub_k], len(ids))[known]
    correlation, pairs = tally.correlation()
    order = np.argsort(-occurrences, kind="stable")[: config.worst]
    return LabelSpaceAudit(
        classes=len(ids),
        without_vector=len(ids) - len(known),
        shares={k: float(tally.right[k] / len(ids)) for k in tally.ks},
        chance={k: float(tally.chance[k] / len(ids)) for k in tally.ks},
        rank_correlation=correlation,
        pairs=pairs,
        exact=tally.exact,
        hub_k=min(config.hub_k, nearest.shape[1]),
        hubness=skewness(occurrences),
        never_near=int((occurrences == 0).sum()),
        far=tally.farthest(ids),
        hubs=tuple(Hub(ids[known[i]], int(occurrences[i])) for i in order.tolist()),
    )


def correct_radii(rows: DistanceRows, ks: Sequence[int]) -> _Radii:
    """Compute for each source the radii of its correct sets at these k, over the targets other than itself.

    A radius is the first that holds k of them; where the connected part holds fewer, the widest there is.

    >>> correct_radii(np.array([[0, 1, 1, 3, 255]], dtype=np.uint8), (2, 3)).tolist()
    [[1, 3]]
    """
    held = np.stack([np.bincount(row, minlength=UNREACHED + 1) for row in rows]).cumsum(axis=1)
    radii = np.stack([(held < k + 1).sum(axis=1) for k in ks], axis=1)
    return np.asarray(np.minimum(radii, UNREACHED - 1), dtype=np.uint8)


def k_occurrences(nearest: Ranking, classes: int) -> _Counts:
    """Count how often each class is among the nearest of another (N_k of Radovanović et al. 2010).

    >>> k_occurrences(np.array([[1], [2], [1]]), 3).tolist()
    [0, 2, 1]
    """
    named = nearest[nearest != NO_NEIGHBOUR]
    return np.bincount(named, minlength=classes).astype(np.int64)


class _Tally:
    """Sums over blocks of classes, so that no table of all pairs is in memory."""

    def __init__(
        self, vectors: LabelVectors, nearest: Ranking, known: Int64[np.ndarray, "known"], config: LabelSpaceConfig
    ) -> None:
        self.done = 0
        self.ks = possible_ks(config.ks, nearest.shape[1])
        self.right: dict[int, float] = dict.fromkeys(self.ks, 0.0)
        self.chance: dict[int, float] = dict.fromkeys(self.ks, 0.0)
        self._vectors, self._nearest, self._config = vectors, nearest, config
        self._known = np.zeros(len(vectors), dtype=bool)
        self._known[known] = True
        every = len(known) * (len(known) - 1) // 2
        self.exact = every <= config.pairs
        self._rng = np.random.default_rng(config.seed)
        self._each = max(1, config.pairs // len(known))
        self._cosines: list[_Cosines] = []
        self._edges: list[_Edges] = []
        self._far: list[tuple[float, float, int, tuple[int, ...]]] = []

    def add(self, rows: DistanceRows) -> None:
        """The next classes' distances to all."""
        sources = np.arange(self.done, self.done + len(rows))
        self.done += len(rows)
        own = self._known[sources]
        near = self._nearest[sources]
        edges = np.where(own[:, None], np.take_along_axis(rows, np.maximum(near, 0), axis=1), np.uint8(UNREACHED))
        radii_of = correct_radii(rows, self.ks)
        for column, k in enumerate(self.ks):
            radii = radii_of[:, column, None]
            self.right[k] += float((edges[:, :k] <= radii).sum() / k)
            self.chance[k] += float(((rows <= radii).sum(axis=1) - 1).sum() / (rows.shape[1] - 1))
        self._keep_far(sources[own], edges[own, : self._config.hub_k])
        for source, row in zip(sources[own].tolist(), rows[own], strict=True):
            self._keep_pairs(source, row)

    def _keep_pairs(self, source: int, row: UInt8[np.ndarray, "classes"]) -> None:
        """Keep all pairs with later classes, or a sample of all others."""
        others = self._known.copy()
        others[: source + 1 if self.exact else 0] = False
        others[source] = False
        others &= row != UNREACHED
        targets = np.flatnonzero(others)
        if not self.exact and len(targets) > self._each:
            targets = self._rng.choice(targets, self._each, replace=False)
        self._cosines.append(self._vectors[targets] @ self._vectors[source])
        self._edges.append(row[targets])

    def correlation(self) -> tuple[float | None, int]:
        """Spearman's over the pairs kept, and how many they are."""
        cosines, edges = np.concatenate(self._cosines), np.concatenate(self._edges)
        return spearman(cosines, edges), len(cosines)

    def _keep_far(self, sources: Int64[np.ndarray, "sources"], edges: UInt8[np.ndarray, "sources k"]) -> None:
        """Keep the worst classes: by their nearest neighbour's distance, then the mean, then the position."""
        means = edges.mean(axis=1)
        found = zip(edges.min(axis=1).tolist(), means.tolist(), sources.tolist(), edges.tolist(), strict=True)
        self._far += [(-least, -mean, source, tuple(row)) for least, mean, source, row in found]
        self._far = sorted(self._far)[: self._config.worst]

    def farthest(self, ids: Sequence[str]) -> tuple[FarClass, ...]:
        """The worst first."""
        return tuple(
            FarClass(
                ids[source],
                tuple(ids[i] for i in self._nearest[source, : len(edges)].tolist()),
                tuple(None if edge == UNREACHED else edge for edge in edges),
            )
            for _, _, source, edges in self._far
        )
