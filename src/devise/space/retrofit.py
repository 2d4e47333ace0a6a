"""Label vectors retrofitted to the taxonomy: each is pulled to those of its hypernyms and hyponyms."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from devise.arrays import Float32, LabelVectors
from devise.errors import TextError
from devise.labels import VectorSource
from devise.space.label_vectors import ComposedLabel, ComposedLabels, LabelComposer
from devise.space.labelspace import unit_vector
from devise.taxonomy.graph import Adjacency
from devise.taxonomy.wordnet import Taxonomy

__all__ = ["MOST_ROUNDS", "TOLERANCE", "Retrofitted", "RetrofittedComposer", "retrofit"]

MOST_ROUNDS = 200
TOLERANCE = 1e-4

_ROWS = 4096  # synsets whose neighbours are gathered at once


@dataclass(frozen=True, eq=False, slots=True)
class Retrofitted:
    """vectors: one per node. rounds: the number of rounds. change: the largest change in the last round."""

    vectors: LabelVectors
    rounds: int
    change: float


def retrofit(
    vectors: LabelVectors,
    around: Adjacency,
    pull: float,
    *,
    tolerance: float = TOLERANCE,
    most_rounds: int = MOST_ROUNDS,
) -> Retrofitted:
    """Find vectors that converge between their old places and their neighbours (Faruqui et al. 2015).

    For a node with an old vector v and neighbours, q = (v + pull * mean of the neighbours' q) / (1 + pull); one without
    neighbours keeps v, one without v (zeros) takes the mean. All are computed from those of the round before, until no
    number changes by more than the tolerance: with pull p a round leaves at most p / (1 + p) of the distance to
    the solution where every node has a vector.

    TextError for a pull that is not above 0, or if it does not settle in `most_rounds`.
    """
    if not 0 < pull < np.inf:
        raise TextError(f"the pull of the neighbours must be above 0 and finite, got {pull:g}")
    degrees = np.diff(around.starts)
    own = vectors.any(axis=1).astype(np.float32)
    share = np.where(degrees > 0, np.float32(pull), np.float32(0))
    weight = np.maximum(own + share, np.float32(1e-30))  # without vector and neighbours: 0 / 1e-30 stays 0
    keep, take = own / weight, share / weight
    now = vectors.astype(np.float32)
    change = np.inf
    for done in range(1, most_rounds + 1):
        new = keep[:, None] * vectors + take[:, None] * _means(now, around, degrees)
        change = float(np.abs(new - now).max(initial=0))
        now = new
        if change <= tolerance:
            return Retrofitted(now, done, change)
    raise TextError(f"{most_rounds} rounds of retrofitting still change vectors by {change:g}: take a smaller pull")


class RetrofittedComposer:
    """A `Composer` that retrofits all synsets of the taxonomy at once, over is-a edges, on first use.

    base: makes the vectors that are retrofitted. pull: see `retrofit`. A name typed by a user is drawn to the synset
    that its last words name, which it does not draw itself.
    """

    def __init__(self, base: LabelComposer, taxonomy: Taxonomy, pull: float) -> None:
        self._base = base
        self._taxonomy = taxonomy
        self._pull = pull

    def labels(self, synset_ids: Sequence[str]) -> ComposedLabels:
        """The vectors of many synsets; TaxonomyError for an unknown id."""
        composed = [self.synset(synset_id) for synset_id in synset_ids]
        rows = [label.vector for label in composed]
        vectors = np.array(rows, dtype=np.float32).reshape(len(rows), self._base.dim)
        return ComposedLabels(vectors, tuple(label.source for label in composed))

    def synset(self, synset_id: str) -> ComposedLabel:
        """The vector of a synset; its source is "parents" where only its neighbours gave one."""
        source = self._base.synset(synset_id).source
        vector = unit_vector(self._all[self._taxonomy.place(synset_id)])
        return ComposedLabel(vector, _source(source, vector))

    def typed(self, name: str, definition: str = "", kinds: Sequence[str] = ()) -> ComposedLabel:
        """The vector of a name that need not be in WordNet; see `LabelComposer.typed`."""
        base = self._base.typed(name, definition, kinds)
        above = [self.synset(one).vector for one in kinds]
        vector = unit_vector(base.vector + np.float32(self._pull) * sum(above, np.zeros_like(base.vector)))
        return ComposedLabel(vector, _source(base.source, vector))

    @cached_property
    def _all(self) -> LabelVectors:
        before = self._base.labels(self._taxonomy.ids).vectors
        return retrofit(before, self._taxonomy.neighbours, self._pull).vectors


def _means(vectors: LabelVectors, around: Adjacency, degrees: np.ndarray) -> LabelVectors:
    """Average the vectors of each node's neighbours; zeros without neighbours."""
    means = np.zeros_like(vectors)
    for start in range(0, len(vectors), _ROWS):
        # Only nodes with neighbours: for an empty slice, reduceat returns the next row instead of 0.
        nodes = start + np.flatnonzero(degrees[start : start + _ROWS])
        if len(nodes):
            counts = degrees[nodes]
            firsts = np.cumsum(counts) - counts
            sums = np.add.reduceat(vectors[around.after(nodes)], firsts, axis=0)
            means[nodes] = sums / counts[:, None].astype(np.float32)
    return means


def _source(base: VectorSource, vector: Float32[np.ndarray, "dim"]) -> VectorSource:
    return "parents" if base == "none" and vector.any() else base
