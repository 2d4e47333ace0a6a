"""Audit a model's label space without photos: metrics against the taxonomy, coverage, and pairs of words.

A class is right about its neighbour if the neighbour is in its correct set (Frome et al. 2013, section 4),
grown over the *other* classes: a class is not its own neighbour, and a share of 1 can be reached.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from devise.arrays import Float32, Int64, LabelVectors, Ranking, UInt8
from devise.errors import LabelError, UsageError
from devise.evaluation.measures import possible_ks
from devise.labels import VectorSource
from devise.meaning.relations import Neighbour, nearest_labels
from devise.meaning.senses import ask, coverage
from devise.model.candidatefile import read_candidates
from devise.model.candidates import synset_space
from devise.model.parts import ModelParts
from devise.ranking import nearest, skewness, spearman
from devise.space.labelspace import LabelSpace
from devise.taxonomy.graph import UNREACHED, DistanceRows
from devise.taxonomy.wordnet import Taxonomy
from devise.text.phrases import term_key

__all__ = [
    "EXAMPLE_NAME",
    "NO_NEIGHBOUR",
    "WORD_PAIRS",
    "Audit",
    "Case",
    "FarClass",
    "Hub",
    "LabelSpaceAudit",
    "LabelSpaceConfig",
    "audit_label_space",
    "correct_radii",
    "k_occurrences",
    "measure_label_space",
    "measured",
    "nearest_others",
    "wide_space",
]

WORD_PAIRS = (
    ("cat", "kitten"),
    ("cat", "dog"),
    ("guitar", "harp"),
    ("guitar", "clock"),
    ("happy", "depressing"),
)
"""The pairs that Tushar Nagarajan's talk on the paper asks about."""

EXAMPLE_NAME = "pineapple"
"""A photo of one was called a fruit: its neighbours say why."""

_Progress = Callable[[str, int, int], None]
_NEIGHBOURS = 8
NO_NEIGHBOUR = -1
"""In a ranking: the missing neighbours of a class without a vector."""

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
    first, as many columns as the largest k that is measured; rows of `NO_NEIGHBOUR` if a class has no vector. A k
    without so many columns is left out. on_progress: called with classes done and classes in all.
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

    A radius is the first with k of them; if the connected part has fewer, the widest.

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


@dataclass(frozen=True, slots=True)
class Case:
    """Two names. Similarities are cosines in [-1, 1]; None where one of the names has no vector.

    one, other: what was taken for them: ids of synsets, in the sense that is meant, or
        "user:<name>" where WordNet has no such noun.
    labels: of the two label vectors. words: of the two word vectors as the language model made them, all senses
        of the word in one.
    """

    names: tuple[str, str]
    one: str
    other: str
    labels: float | None
    words: float | None

    @property
    def key(self) -> str:
        """As in JSON: "cat|kitten"."""
        return "|".join(self.names)


@dataclass(frozen=True, eq=False, slots=True)
class Audit:
    """The results of an audit.

    model, policy: of the label space. trained, wide: the measures over the trained classes, and over these with
        those of a list, or with all labels of the model. wide_list: what that list is, in words.
    sources: how many classes of the wide list, trained and others, got their vectors how.
    cases: of `WORD_PAIRS`. neighbours: labels near to `EXAMPLE_NAME`; word_neighbours: words near to it.
    names: of every synset that is mentioned.
    """

    model: str
    policy: str
    words: int
    trained: LabelSpaceAudit
    wide: LabelSpaceAudit
    wide_list: str
    sources: Mapping[VectorSource, tuple[int, int]]
    cases: tuple[Case, ...]
    neighbours: tuple[Neighbour, ...]
    word_neighbours: tuple[tuple[str, float], ...]
    names: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "model": self.model,
            "policy": self.policy,
            "words": self.words,
            "similarities": {case.key: _rounded(case.words) for case in self.cases},
            "label_similarities": {case.key: _rounded(case.labels) for case in self.cases},
            "compared": {case.key: [case.one, case.other] for case in self.cases},
            "pineapple": {
                "labels": [{"cosine": _rounded(n.cosine), **n.label.to_dict()} for n in self.neighbours],
                "words": [{"cosine": _rounded(cosine), "word": word} for word, cosine in self.word_neighbours],
            },
            "coverage": {source: {"trained": pair[0], "others": pair[1]} for source, pair in self.sources.items()},
            "trained": self.trained.to_dict(),
            "wide": {"list": self.wide_list, **self.wide.to_dict()},
            "names": dict(sorted(self.names.items())),
        }


def audit_label_space(
    parts: ModelParts,
    classes: str | None = None,
    config: LabelSpaceConfig | None = None,
    on_progress: _Progress = lambda what, done, total: None,
) -> Audit:
    """Measure the label space of a model.

    classes: a list of synset ids to join to the trained ones, as `read_candidates` reads it; None takes all labels
        of the model. on_progress: called with what is measured, classes done and classes in all.
    """
    config = config or LabelSpaceConfig()
    space, listed = wide_space(parts, classes)
    trained = parts.space.subset(parts.trained)
    small = measured(parts, trained, config, partial(on_progress, "trained classes"))
    wide = measured(parts, space, config, partial(on_progress, "all classes"))
    near, words = _pineapple(parts)
    mentioned = {one for found in (small, wide) for far in found.far for one in (far.id, *far.nearest)}
    mentioned |= {hub.id for found in (small, wide) for hub in found.hubs}
    return Audit(
        model=parts.bundle.manifest.name,
        policy=parts.label_policy,
        words=len(parts.words),
        trained=small,
        wide=wide,
        wide_list=listed,
        sources=coverage(space.labels),
        cases=tuple(_case(parts, *pair) for pair in WORD_PAIRS),
        neighbours=near,
        word_neighbours=words,
        names={one: parts.taxonomy.synset(one).name for one in mentioned},
    )


def nearest_others(vectors: LabelVectors, k: int) -> Ranking:
    """Return the k rows of highest cosine for each row, without itself and rows of zeros; fewer if there are fewer.

    Rows of zeros get `NO_NEIGHBOUR`. vectors: unit rows, or zeros.
    """
    known = np.flatnonzero(vectors.any(axis=1))
    wanted = max(0, min(k, len(known) - 1))
    found = np.full((len(vectors), wanted), NO_NEIGHBOUR, dtype=np.int64)
    if wanted:
        rows = vectors[known]
        near = nearest(rows, rows, wanted + 1).positions
        others = near != np.arange(len(known))[:, None]
        others[others.all(axis=1), -1] = False  # twins came before the row itself: the last is one too many
        found[known] = known[near[others].reshape(len(known), wanted)]
    return found


def wide_space(parts: ModelParts, classes: str | None) -> tuple[LabelSpace, str]:
    """Join the trained labels and a list (None: all labels of the model), with a description."""
    if classes is None:
        return parts.space, "all labels of the model"
    listed = read_candidates(classes)
    more = tuple(one for one in listed.ids if one not in frozenset(parts.trained_ids))
    return synset_space(parts, (*parts.trained_ids, *more)), f"the trained and {listed.source}"


def measured(
    parts: ModelParts, space: LabelSpace, config: LabelSpaceConfig, on_progress: Callable[[int, int], None]
) -> LabelSpaceAudit:
    """Measure these labels; LabelError if one is not in WordNet. on_progress: done and total."""
    outside = [one for one in space.labels.ids if one not in parts.taxonomy]
    if outside:
        raise LabelError(f"{len(outside)} classes are not in WordNet ({outside[0]}): leave them out of the list")
    near = nearest_others(space.vectors, max(*config.ks, config.hub_k))
    return measure_label_space(space.labels.ids, space.vectors, near, parts.taxonomy, config, on_progress)


def _case(parts: ModelParts, *names: str) -> Case:
    vectors, ids = [], []
    for name in names:
        try:
            asked = ask(parts, name)
        except LabelError:
            vectors.append(np.zeros(parts.space.vectors.shape[1], dtype=np.float32))
            ids.append("")
        else:
            vectors.append(asked.vector)
            ids.append(asked.chosen.id)
    plain = [parts.words.get(term_key(name)) for name in names]
    words = None if plain[0] is None or plain[1] is None else _cosine(plain[0], plain[1])
    return Case((names[0], names[1]), ids[0], ids[1], _cosine(*vectors), words)


def _cosine(one: np.ndarray, other: np.ndarray) -> float | None:
    lengths = float(np.linalg.norm(one)) * float(np.linalg.norm(other))
    return float(one @ other) / lengths if lengths else None


def _pineapple(parts: ModelParts) -> tuple[tuple[Neighbour, ...], tuple[tuple[str, float], ...]]:
    try:
        near = nearest_labels(parts, ask(parts, EXAMPLE_NAME), _NEIGHBOURS).labels
    except LabelError:
        near = ()
    if EXAMPLE_NAME not in parts.words:
        return near, ()
    found = parts.words.nearest(EXAMPLE_NAME, _NEIGHBOURS)
    return near, tuple(zip(found.words, found.similarities, strict=True))


def _rounded(cosine: float | None) -> float | None:
    return None if cosine is None else round(cosine, 6)
