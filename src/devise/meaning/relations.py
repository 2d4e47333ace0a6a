"""Relations of labels: near in the label space, similar to the classifier, close in the tree."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from devise.arrays import Float32, Int64
from devise.errors import LabelError, UsageError
from devise.labels import Label, LabelSet
from devise.meaning.senses import Asked, Sense
from devise.model.methods import photo_space
from devise.model.parts import ModelParts
from devise.model.sense_choice import close_spellings
from devise.ranking import top_k
from devise.space.labelspace import LabelSpace, unit_rows
from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import Taxonomy
from devise.text.phrases import JOINT, term_key
from devise.text.vectors import WordTable

__all__ = [
    "ContrastingPair",
    "ContrastingPairs",
    "NearWords",
    "Nearest",
    "Neighbour",
    "Relation",
    "Similarity",
    "TrainedPairs",
    "close_words",
    "contrasting_pairs",
    "near_words",
    "nearest_labels",
    "neighbours",
    "relation",
    "trained_below",
]

Alikeness = Float32[np.ndarray, "trained trained"]
"""Cosine of all pairs of trained labels, in the order of the classifier's rows."""
_Pairs = Int64[np.ndarray, "pairs"]
_Cosines = Float32[np.ndarray, "pairs"]
_Places = Int64[np.ndarray, "places"]

_LEAST = 0.25
_SAMPLED = 1500  # labels whose pairs a predicted similarity is compared with


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A label near another. cosine: of the two label vectors, in [-1, 1]."""

    label: Label
    cosine: float


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest labels of the model, and the nearest trained ones; best first."""

    labels: tuple[Neighbour, ...]
    trained: tuple[Neighbour, ...]


@dataclass(frozen=True, slots=True)
class Similarity:
    """A cosine, and the share of pairs of trained labels with a lower one, in [0, 1]; None without pairs."""

    cosine: float
    above: float | None


@dataclass(frozen=True, slots=True)
class Relation:
    """The relation of two senses.

    visual: similarity to the classifier; None unless both are trained, or the model has a kernel.
    predicted: whether `visual` is from classifier rows predicted by the kernel, because one label is not trained.
    semantic: similarity of their label vectors; None if one has no vector.
    edges: the shortest path over undirected is-a edges; None if there is none.
    ancestor: the lowest common ancestor; None if there is none.
    """

    one: Sense
    other: Sense
    visual: Similarity | None
    semantic: Similarity | None
    edges: int | None
    ancestor: Synset | None
    predicted: bool = False


@dataclass(frozen=True, slots=True)
class ContrastingPair:
    """Two trained labels and their relation; see `Relation`."""

    one: Label
    other: Label
    visual: Similarity
    semantic: Similarity
    edges: int | None
    ancestor: Synset | None


@dataclass(frozen=True, slots=True)
class ContrastingPairs:
    """Pairs of trained labels that look alike but differ in meaning, and the reverse; clearest first."""

    look_alike: tuple[ContrastingPair, ...]
    mean_alike: tuple[ContrastingPair, ...]


@dataclass(frozen=True, eq=False)
class TrainedPairs:
    """Similarities of the trained labels, by the classifier and by label vectors.

    visual: cosine of two classifier rows minus the mean row: a softmax ignores what all classes share. Things in the
        same photos look alike too.
    semantic: cosine of two label vectors.
    known: the trained labels that have a vector; pairs are made of these.
    """

    visual: Alikeness
    semantic: Alikeness
    known: _Places

    @classmethod
    def of(cls, parts: ModelParts) -> "TrainedPairs":
        """Compute the similarities for a model."""
        weight = parts.classifier.weight
        if len(weight):
            weight = weight - weight.mean(axis=0, dtype=np.float64).astype(np.float32)
        directions = unit_rows(weight)
        vectors = parts.space.vectors[parts.trained]
        return cls(directions @ directions.T, vectors @ vectors.T, np.flatnonzero(vectors.any(axis=1)))

    @cached_property
    def places(self) -> tuple[_Pairs, _Pairs]:
        """Return the two rows of every pair, each pair once, in ascending order."""
        first, second = np.triu_indices(len(self.known), 1)
        return self.known[first], self.known[second]

    @cached_property
    def visual_cosines(self) -> _Cosines:
        """Return one cosine per pair."""
        cosines: _Cosines = self.visual[self.places]
        return cosines

    @cached_property
    def semantic_cosines(self) -> _Cosines:
        """Return one cosine per pair."""
        cosines: _Cosines = self.semantic[self.places]
        return cosines

    def visual_of(self, row: int, other: int) -> Similarity:
        """Return the visual similarity of the labels of two classifier rows."""
        return _similarity(float(self.visual[row, other]), self.visual_cosines)

    def semantic_of(self, cosine: float) -> Similarity:
        """Compare a cosine of any two label vectors with those of the trained labels."""
        return _similarity(cosine, self.semantic_cosines)


def nearest_labels(parts: ModelParts, asked: Asked, top: int, *, all_nouns: bool = False) -> Nearest:
    """Return at most `top` nearest labels of a label, without itself.

    all_nouns: include withheld labels; see `devise.taxonomy.withheld`.
    """
    trained = parts.space.subset(parts.trained)
    every = parts.space if all_nouns else parts.answerable
    found = (neighbours(space, asked.vector, top, asked.chosen.id) for space in (every, trained))
    return Nearest(*(tuple(Neighbour(parts.labelled(n.label), n.cosine) for n in near) for near in found))


def neighbours(
    space: LabelSpace, vector: Float32[np.ndarray, " dim"], top: int, without: str | None = None
) -> tuple[Neighbour, ...]:
    """Return at most `top` labels by cosine with a unit vector, highest first, ties by position.

    without: the id of a label to leave out. Labels without a vector are near to nothing, and nothing is near to a
    vector of zeros. UsageError if `top` is below 1.
    """
    if top < 1:
        raise UsageError(f"the number of nearest labels must be at least 1, got {top}: raise it")
    if not vector.any():
        return ()
    scores = space.cosines(vector[None])
    if without is not None and without in space.labels:
        scores[0, space.labels.position(without)] = -np.inf
    count = min(top, int(np.isfinite(scores).sum()))
    if not count:
        return ()
    found = top_k(scores, count)
    return tuple(
        Neighbour(space.labels[position], cosine)
        for position, cosine in zip(found.positions[0].tolist(), found.scores[0].tolist(), strict=True)
    )


def relation(parts: ModelParts, one: Asked, other: Asked) -> Relation:
    """Return the relation of the chosen senses of two names."""
    pairs = TrainedPairs.of(parts)
    visual = None
    if one.chosen.seen and other.chosen.seen:
        rows = [parts.trained_ids.index(asked.chosen.id) for asked in (one, other)]
        visual = pairs.visual_of(*rows)
    else:
        visual = _predicted(parts, one, other)
    predicted = visual is not None and not (one.chosen.seen and other.chosen.seen)
    has_vectors = one.vector.any() and other.vector.any()
    semantic = pairs.semantic_of(float(one.vector @ other.vector)) if has_vectors else None
    edges, ancestor = None, None
    if one.in_wordnet and other.in_wordnet:
        edges, ancestor = _tree(parts, one.chosen.id, other.chosen.id)
    return Relation(one.chosen, other.chosen, visual, semantic, edges, ancestor, predicted)


def _predicted(parts: ModelParts, one: Asked, other: Asked) -> Similarity | None:
    """Compare the cosine of two predicted classifier rows with those of other pairs of labels.

    Predicted rows are more alike than trained ones, so they are compared with other predicted rows: of some 1,500
    labels from the whole table. None if the model has no kernel, or one of the two has no vector.
    """
    if parts.kernel is None or not (one.vector.any() and other.vector.any()):
        return None
    places = [
        photo_space(parts, LabelSpace(LabelSet([Label(asked.chosen.id, asked.name)]), asked.vector[None])).vectors[0]
        for asked in (one, other)
    ]
    some = parts.placed.vectors[:: max(1, len(parts.placed.labels) // _SAMPLED)]
    cosines: _Cosines = (some @ some.T)[np.triu_indices(len(some), 1)]
    return _similarity(float(places[0] @ places[1]), cosines)


def trained_below(parts: ModelParts, sense: Sense) -> tuple[str, ...]:
    """Return names of the trained labels below a sense, in the order of the classifier."""
    if sense.id not in parts.taxonomy:
        return ()
    below = parts.taxonomy.subtree(sense.id) - {sense.id}
    return tuple(parts.taxonomy.synset(one).name for one in parts.trained_ids if one in below)


def contrasting_pairs(parts: ModelParts, count: int) -> ContrastingPairs:
    """Return the pairs of trained labels whose looks and meaning disagree most, `count` per kind.

    Look alike: the highest visual cosines among the quarter of all pairs with the lowest semantic cosines. Mean
    alike: the highest semantic cosines among the quarter with the lowest visual ones. For variety, no two of a kind
    share a label or a direct hypernym. UsageError if `count` is below 1; LabelError if fewer than two
    trained labels have vectors.
    """
    if count < 1:
        raise UsageError(f"the number of pairs must be at least 1, got {count}: raise it")
    pairs = TrainedPairs.of(parts)
    if not len(pairs.visual_cosines):
        raise LabelError("pairs need two trained labels with vectors, this model has fewer")
    visual, semantic = pairs.visual_cosines, pairs.semantic_cosines
    known = parts.taxonomy
    kin = [{one, *(known.parents(one) if one in known else ())} for one in parts.trained_ids]
    kinds = ((visual, semantic), (semantic, visual))
    chosen = (_apart(_ordered(high, low), pairs.places, kin, count) for high, low in kinds)
    return ContrastingPairs(*(tuple(_contrasting_pair(parts, pairs, *rows) for rows in kind) for kind in chosen))


def _ordered(high: _Cosines, low: _Cosines) -> _Places:
    """Return the pairs in the lowest quarter of one, by the other in descending order."""
    least = np.flatnonzero(low <= np.quantile(low, _LEAST))
    return least[np.argsort(-high[least], kind="stable")]


def _apart(
    order: _Places, places: tuple[_Pairs, _Pairs], kin: Sequence[set[str]], count: int
) -> Iterator[tuple[int, int]]:
    """Return the first pairs that share no label or hypernym with an earlier one."""
    used: set[str] = set()
    for pair in order.tolist():
        one, other = int(places[0][pair]), int(places[1][pair])
        if not used & (kin[one] | kin[other]):
            used |= kin[one] | kin[other]
            yield one, other
            count -= 1
        if not count:
            return


def _contrasting_pair(parts: ModelParts, pairs: TrainedPairs, row: int, other: int) -> ContrastingPair:
    ids = parts.trained_ids[row], parts.trained_ids[other]
    one, two = (parts.labelled(parts.space.labels[parts.space.labels.position(label_id)]) for label_id in ids)
    semantic = pairs.semantic_of(float(pairs.semantic[row, other]))
    return ContrastingPair(one, two, pairs.visual_of(row, other), semantic, *_tree(parts, *ids))


def _tree(parts: ModelParts, one: str, other: str) -> tuple[int | None, Synset | None]:
    """Return the edges between two synsets and their lowest common ancestor."""
    taxonomy = parts.taxonomy
    if one not in taxonomy or other not in taxonomy:
        return None, None
    ancestor = taxonomy.lowest_common_ancestor(one, other)
    return taxonomy.distance(one, other), None if ancestor is None else taxonomy.synset(ancestor)


def _similarity(cosine: float, pairs: _Cosines) -> Similarity:
    return Similarity(cosine, float((pairs < cosine).mean()) if len(pairs) else None)


_SUGGESTIONS = 3
_CLOSE = 0.75


@dataclass(frozen=True, slots=True)
class NearWords:
    """Words and terms by their cosine with a name, best first.

    made_of: the words whose unit vectors were summed, if the name has no vector; else empty.
    """

    words: tuple[str, ...]
    cosines: tuple[float, ...]
    made_of: tuple[str, ...] = ()


def near_words(table: WordTable, taxonomy: Taxonomy, name: str, top: int) -> NearWords:
    """Return at most `top` words near a word or phrase, without itself and its own words.

    LabelError, with close spellings, if neither it nor any of its words has a vector.
    """
    key = term_key(name)
    if key in table:
        found = table.nearest(key, top)
        return NearWords(found.words, found.similarities)
    pieces = tuple(piece for piece in key.replace("-", JOINT).split(JOINT) if piece in table)
    if not pieces:
        close = close_words(table, taxonomy, key)
        raise LabelError(
            f"no word vector for {name!r}" + (f"; close spellings: {', '.join(close)}" if close else ": check it")
        )
    rows = table.unit()[[table.position(piece) or 0 for piece in pieces]]
    found = table.nearest(np.asarray(rows.sum(axis=0), dtype=np.float32), top + len(pieces))
    kept = [pair for pair in zip(found.words, found.similarities, strict=True) if pair[0] not in pieces][:top]
    return NearWords(tuple(word for word, _ in kept), tuple(cosine for _, cosine in kept), pieces)


def close_words(table: WordTable, taxonomy: Taxonomy, key: str) -> tuple[str, ...]:
    """Return at most three similarly spelt words of the table, or nouns."""
    among = [word for word in table.words if word[:1] == key[:1] and abs(len(word) - len(key)) <= 2]
    found = difflib.get_close_matches(key, among, n=_SUGGESTIONS, cutoff=_CLOSE)
    return tuple(word.replace(JOINT, " ") for word in found) or close_spellings(taxonomy, key)
