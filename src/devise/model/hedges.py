"""Wider names: the answer for a photo whose exact name is in doubt."""

from functools import cached_property, lru_cache

import numpy as np

from devise.arrays import Bool, Float, Float32, Float64, Int64
from devise.labels import Label, LabelSet
from devise.model.answers import Hedge, Level
from devise.model.parts import ModelParts
from devise.model.sense_choice import Meanings
from devise.taxonomy.hedging import LabelTree, information, label_tree, narrowing, pruned, shares_up, sure_node
from devise.taxonomy.wordnet import ENGLISH, Taxonomy

__all__ = ["LEAST_STANDING", "WIDTH_ALLOWED", "Hedger", "names_people_use"]

LEAST_STANDING = 3.0
"""Threshold of familiarity, log(1 + count) / sqrt(rank): below it a noun is a technical term ("ceratopsian")."""
WIDTH_ALLOWED = 4.3
"""Largest excess of log2(labels at or below a noun) over its standing: wider nouns must be better known.
"Mammal" and "musical instrument" pass, "placental", "vertebrate" and "whole" do not; see decision 23."""


def names_people_use(
    own: LabelTree, standing: Float32[np.ndarray, "labels"] | None, trained: frozenset[str]
) -> frozenset[str]:
    """Return the ids of nodes that may be an answer although they are not exact.

    own: of all labels of the model. A node that is none of these labels is not used.
    standing: of each label of `own`; up is a noun that people rather say. None: the model knows nothing of it, and all
        its labels are used.
    trained: ids of the trained labels, which were chosen as names of what people photograph: used in any case.
    """
    labels = [own.ids[node] for node in own.own.tolist()]
    if standing is None:
        return frozenset(labels)
    least = np.maximum(LEAST_STANDING, np.log2(own.counts[own.own]) - WIDTH_ALLOWED)
    return trained | frozenset(label for label, used in zip(labels, (standing >= least).tolist(), strict=True) if used)


@lru_cache(maxsize=4)  # of a service: each language has its own
def _own_tree(taxonomy: Taxonomy, own: LabelSet) -> LabelTree:
    return label_tree(taxonomy, own.ids)


@lru_cache(maxsize=8)  # of a service: four methods need one tree, not four, and each language has its own
def _asked_tree(taxonomy: Taxonomy, own: LabelSet, asked: LabelSet, kinds: tuple[tuple[str, str], ...]) -> LabelTree:
    if not kinds and (places := own.places(asked.ids)).min(initial=0) >= 0:
        return pruned(_own_tree(taxonomy, own), places)
    return label_tree(taxonomy, asked.ids, dict(kinds))


class Hedger:
    """Names photos as widely as needed.

    asked: the candidates, with the definitions of typed ones: information is counted over these.
    ranked: those that the method can name, one column of probabilities each.
    """

    def __init__(self, parts: ModelParts, asked: LabelSet, ranked: LabelSet) -> None:
        self._parts = parts
        self._asked = asked
        self._ranked = ranked
        self._ways_up: dict[str, frozenset[str]] = {}

    @property
    def tree(self) -> LabelTree:
        """Return the candidates and everything above them."""
        parts = self._parts
        return _asked_tree(parts.taxonomy, parts.space.labels, self._asked, self._kinds)

    @cached_property
    def _kinds(self) -> tuple[tuple[str, str], ...]:
        """Return the parents of labels that WordNet lacks: the genus of their definition, else of their name."""
        unknown = np.flatnonzero(self._parts.taxonomy.places(self._asked.ids) < 0)
        strange = [self._asked[place] for place in unknown.tolist()]
        meanings = Meanings(self._parts) if strange else None
        found = [(one.id, meanings.kinds_of(one.name, one.gloss)) for one in strange if meanings is not None]
        return tuple((label_id, kinds[0]) for label_id, kinds in found if kinds)

    @cached_property
    def _withheld(self) -> frozenset[str]:
        """Return names that no hedge may have: nobody asked for these labels."""
        return frozenset(self._parts.withheld).difference(self._asked.ids)

    @cached_property
    def _bits(self) -> Float64[np.ndarray, "nodes"]:
        return information(self.tree)

    @cached_property
    def _allowed(self) -> Bool[np.ndarray, "nodes"]:
        """Return common names, and labels without others below them: a probable exact name is the answer."""
        parts, tree = self._parts, self.tree
        own = _own_tree(parts.taxonomy, parts.space.labels)
        used = names_people_use(own, parts.familiarity, frozenset(parts.trained_ids)) - self._withheld
        allowed = np.array([one in used for one in tree.ids])
        allowed[tree.own] |= tree.counts[tree.own] == 1
        return allowed

    def related(self, one: str, other: str) -> bool:
        """Return whether two nodes are the same, or one is above the other."""
        return one in self._above(other) or other in self._above(one)

    def _above(self, one: str) -> frozenset[str]:
        """Return the ids of a node and of all above it."""
        if one not in self._ways_up:
            tree = self.tree
            up = tree.graph.reach(tree.graph.up, tree.positions[one])
            self._ways_up[one] = frozenset(tree.ids[node] for node in up.tolist())
        return self._ways_up[one]

    def usual_path(self, label: Label) -> tuple[str, ...]:
        """Return the names above a label that people use, from wide to narrow, and its own: those of its keyword."""
        taxonomy, tree, above = self._parts.taxonomy, self.tree, label.id
        if label.id not in taxonomy:
            above = next(iter(Meanings(self._parts).kinds_of(label.name, label.gloss)), "")
        found = []
        for one in taxonomy.hypernym_paths(above)[0] if above in taxonomy else ():
            node = tree.positions.get(one)
            if one != label.id and node is not None and self._allowed[node] and self._bits[node]:
                found.append(taxonomy.synset(one).name.removesuffix(ENGLISH))
        return (*found, label.name.removesuffix(ENGLISH))

    def hedges(self, probabilities: Float[np.ndarray, "images ranked"], threshold: float, most: int) -> list[Hedge]:
        """Return one hedge per photo. threshold: the share that is enough. most: narrower names at most."""
        of_asked = probabilities
        if self._ranked is not self._asked:
            of_asked = np.zeros((len(probabilities), len(self._asked)), dtype=np.float64)
            of_asked[:, self._asked.places(self._ranked.ids)] = probabilities
        shares = shares_up(self.tree, of_asked)
        return [self._hedge(*row, threshold, most) for row in zip(of_asked, shares, strict=True)]

    def _hedge(
        self,
        probabilities: Float[np.ndarray, "asked"],
        shares: Float64[np.ndarray, "nodes"],
        threshold: float,
        most: int,
    ) -> Hedge:
        tree = self.tree
        node = sure_node(tree, shares, threshold, self._allowed)
        inside = np.ones(len(tree.ids), dtype=bool)
        if node >= 0:
            inside[:] = False
            inside[tree.graph.reach(tree.graph.down, node)] = True
        of_label = np.where(inside[tree.own], probabilities, -1)
        best = _best(of_label, most + 1)
        likeliest = tree.own[best[0]]
        way = narrowing(tree, shares, int(likeliest) if node < 0 else node, int(likeliest))
        narrower = [place for place in best.tolist() if of_label[place] > 0 and tree.own[place] != node][:most]
        return Hedge(
            threshold,
            None if node < 0 else self._level(node, shares[node]),
            tuple(self._level(int(tree.own[place]), probabilities[place]) for place in narrower),
            tuple(self._level(one, shares[one]) for one in way if tree.ids[one] not in self._withheld),
        )

    def _level(self, node: int, share: float) -> Level:
        label_id = self.tree.ids[node]
        taxonomy = self._parts.taxonomy
        name = (
            taxonomy.synset(label_id).name if label_id in taxonomy else self._asked[self._asked.position(label_id)].name
        )
        return Level(label_id, name, min(1.0, float(share)), float(self._bits[node]), bool(self._allowed[node]))


def _best(values: Float[np.ndarray, "asked"], count: int) -> Int64[np.ndarray, "_best"]:
    """Return positions of the highest values, highest first; sorting all 40,000 of a photo is ten times slower."""
    some = np.argpartition(-values, count - 1)[:count] if count < len(values) else np.arange(len(values))
    return some[np.lexsort((some, -values[some]))]
