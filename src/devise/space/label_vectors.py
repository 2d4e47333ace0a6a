"""Label vectors: one per synset, composed from words under a named policy."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np

from devise.arrays import LabelVectors
from devise.errors import LabelError, TextError
from devise.labels import VECTOR_SOURCES, VectorSource
from devise.space.labelspace import unit_vector
from devise.taxonomy.wordnet import Taxonomy
from devise.text.documents import SENSE_MARK, sense_tag
from devise.text.phrases import JOINT, PhraseJoiner, term_key
from devise.text.tokens import tokenize
from devise.text.vectors import WordTable, WordVector

__all__ = [
    "POLICIES",
    "ComposedLabel",
    "ComposedLabels",
    "Composer",
    "LabelComposer",
    "LabelPolicy",
    "composer_for",
    "untagged",
]

_STOP_WORDS = (
    "a about all also an and any are as at be been being but by can each especially etc for from had has have having "
    "he her his if in into is it its large made many more most no not of often on one only or other others over she "
    "small so some something sometimes somewhat such than that the their them they this those to typically up usually "
    "used very was were when where which who whose will with without"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""Words of a definition that say nothing about its subject."""


@dataclass(frozen=True, slots=True)
class LabelPolicy:
    """The rule that makes a synset's vector from word vectors; a weight of 0 leaves a part out.

    terms: how many of the synset's terms count, from the first; 0 is all of them.
    term_weight, gloss_weight, parents_weight: of the three unit vectors whose sum the label is. The parents'
        part is the mean of the hypernyms' own composed vectors, so every ancestor has its share.
    parts_weight: length of a term that has no vector of its own and is made of its words (a term has 1).
    head_weight: how often the last word of such a term counts: a "kick scooter" is a scooter.
    rarity: a word of the gloss with frequency f (of all words, 0 to 1) weighs rarity / (rarity + f)
        (Arora et al. 2017, the smooth inverse frequency).
    tags: whether the gloss's part is the vector of the synset's sense tag, which was learnt from its gloss; without a
        tag, the words of the gloss as ever.
    retrofit: how much hypernyms and hyponyms draw the vector to them in the end (see `retrofit`); 0 leaves it.
    """

    name: str
    terms: int = 0
    term_weight: float = 1.0
    gloss_weight: float = 0.0
    parents_weight: float = 0.0
    parts_weight: float = 0.6
    head_weight: float = 2.0
    rarity: float = 3e-4
    tags: bool = False
    retrofit: float = 0.0

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "LabelPolicy":
        """The inverse of `to_dict`; LabelError on an unknown or missing key."""
        names = {field.name for field in fields(cls)}
        if set(stored) | _LATER.keys() != names:
            raise LabelError(f"a label policy needs the keys {sorted(names - _LATER.keys())}, got {sorted(stored)}")
        for name, value in stored.items():
            kinds = {"name": (str,), "tags": (bool,), "terms": (int,)}.get(name, (int, float))
            if type(value) not in kinds or (kinds[0] is int and not 0 <= value <= _HEAVIEST):
                raise LabelError(f"label policy: {name} is out of range, {value!r}: get or build the bundle again")
        return cls(**stored)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON keeps them; those that the first bundles did not know only where they are used."""
        return {name: value for name, value in asdict(self).items() if name not in _LATER or value != _LATER[name]}


_HEAVIEST = 1e6  # of weights
_LATER = {"tags": False, "retrofit": 0.0}
"""Settings that came later, and what they are where a bundle does not name them."""


POLICIES = {
    policy.name: policy
    for policy in (
        LabelPolicy("first-term", terms=1),
        LabelPolicy("mean-of-terms"),
        LabelPolicy("sense-aware", term_weight=0.5, gloss_weight=1.0, parents_weight=1.0),
        LabelPolicy("retrofitted", term_weight=0.5, gloss_weight=1.0, parents_weight=1.0, retrofit=0.5),
        LabelPolicy("sense-tagged", term_weight=0.5, gloss_weight=1.0, parents_weight=1.0, tags=True),
    )
}
"""`first-term` is the paper's (footnote 4), `mean-of-terms` ConSE's (Norouzi et al. 2014), `sense-aware` ours;
`retrofitted` draws that to the taxonomy, `sense-tagged` learns the definition's part instead of adding up its words."""


@dataclass(frozen=True, eq=False, slots=True)
class ComposedLabel:
    """A label's vector, unit length (zeros if the source is "none"), and its source."""

    vector: WordVector
    source: VectorSource


@dataclass(frozen=True, eq=False, slots=True)
class ComposedLabels:
    """One vector and one source per label, in the requested order."""

    vectors: LabelVectors
    sources: tuple[VectorSource, ...]

    def coverage(self) -> dict[VectorSource, int]:
        """Count the labels by the source of their vector; the counts sum to the labels."""
        return {source: self.sources.count(source) for source in VECTOR_SOURCES}


class LabelComposer:
    """Composes vectors for synsets and for names typed by a user.

    words: word vectors of any length; counts, where the table has them, separate rare words from common ones,
        without them Zipf's law over the order of the table does.
    policy: one that retrofits is not for this class alone: see `composer_for`.
    """

    def __init__(self, words: WordTable, taxonomy: Taxonomy, policy: LabelPolicy) -> None:
        assert not policy.retrofit, "labels are retrofitted by RetrofittedComposer"
        self.policy = policy
        self._words = words
        self._taxonomy = taxonomy
        self._memory: dict[str, ComposedLabel] = {}

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self._words.dim

    def labels(self, synset_ids: Sequence[str]) -> ComposedLabels:
        """The vectors of many synsets; TaxonomyError for an unknown id."""
        composed = [self.synset(synset_id) for synset_id in synset_ids]
        vectors = np.array([label.vector for label in composed], dtype=np.float32)
        return ComposedLabels(
            vectors.reshape(len(composed), self._words.dim), tuple(label.source for label in composed)
        )

    def synset(self, synset_id: str) -> ComposedLabel:
        """The vector of a synset: its own terms, its gloss and its hypernyms, as the policy weighs them."""
        if synset_id not in self._memory:
            synset = self._taxonomy.synset(synset_id)
            parents = (*synset.hypernyms, *synset.instance_hypernyms) if self.policy.parents_weight else ()
            tag = self._words.get(sense_tag(synset_id)) if self.policy.tags else None
            terms = synset.lemmas[: self.policy.terms or None]  # 0: all
            self._memory[synset_id] = self._compose(terms, synset.definition, parents, tag)
        return self._memory[synset_id]

    def typed(self, name: str, definition: str = "", kinds: Sequence[str] = ()) -> ComposedLabel:
        """The vector of a name that need not be in WordNet, with or without a definition.

        kinds: ids of synsets that it is a kind of, which count as a synset's hypernyms do.
        LabelError if the name contains no word, TaxonomyError for an unknown id.
        """
        if not term_key(name):
            raise LabelError(f"a label needs a word in its name, got {name!r}")
        return self._compose((name,), definition, kinds)

    def _compose(
        self, terms: Iterable[str], definition: str, parents: Sequence[str], tag: WordVector | None = None
    ) -> ComposedLabel:
        policy = self.policy
        own, source = self._of_terms(terms)
        total = policy.term_weight * unit_vector(own)
        if policy.gloss_weight:
            gloss = self._of_gloss(definition) if tag is None else tag
            total = total + policy.gloss_weight * unit_vector(gloss)
            source = "gloss" if source == "none" and gloss.any() else source
        if policy.parents_weight and parents:
            above = np.sum([self.synset(parent).vector for parent in parents], axis=0)
            total = total + policy.parents_weight * unit_vector(above)
            source = "parents" if source == "none" and above.any() else source
        return ComposedLabel(unit_vector(total), source if total.any() else "none")

    def _of_terms(self, terms: Iterable[str]) -> tuple[WordVector, VectorSource]:
        """Sum of the terms' unit vectors, a term made of parts shorter."""
        total = self._nothing()
        found: set[VectorSource] = set()
        for term in terms:
            key = term_key(term)
            whole = self._words.get(key)
            if whole is not None and whole.any():
                total += unit_vector(whole)
                found.add("term")
                continue
            parts = self._of_parts(key)
            if parts.any():
                total += self.policy.parts_weight * unit_vector(parts)
                found.add("parts")
        source: VectorSource = "term" if "term" in found else "parts" if found else "none"
        return total, source

    def _of_parts(self, key: str) -> WordVector:
        words = key.replace("-", JOINT).split(JOINT)
        total = self._nothing()
        for place, word in enumerate(words):
            vector = self._words.get(word)
            if vector is not None:
                weight = self.policy.head_weight if place == len(words) - 1 else 1.0
                total += np.float32(weight) * unit_vector(vector)
        return total

    def _of_gloss(self, definition: str) -> WordVector:
        total = self._nothing()
        for word in self._joiner.join(tokenize(definition)):
            vector, position = self._words.get(word), self._words.position(word)
            if vector is not None and position is not None and word not in STOP_WORDS:
                total += self._rarity[position] * unit_vector(vector)
        return total

    def _nothing(self) -> WordVector:
        return np.zeros(self._words.dim, dtype=np.float32)

    @cached_property
    def _joiner(self) -> PhraseJoiner:
        """Joins the multi-word terms that have vectors."""
        return PhraseJoiner.of_terms(word for word in self._words.words if JOINT in word)

    @cached_property
    def _rarity(self) -> np.ndarray:
        counts = self._words.counts
        if counts is None:
            counts = 1 / np.arange(1, len(self._words) + 1)  # Zipf: a frequency goes with 1 / rank
        frequencies = counts / counts.sum()
        weights: np.ndarray = (self.policy.rarity / (self.policy.rarity + frequencies)).astype(np.float32)
        return weights


@runtime_checkable
class Composer(Protocol):
    """Makes a vector for any label; `LabelComposer` does it from word vectors."""

    def labels(self, synset_ids: Sequence[str]) -> ComposedLabels:
        """The vectors of many synsets, in the order asked."""

    def synset(self, synset_id: str) -> ComposedLabel:
        """The vector of a synset."""

    def typed(self, name: str, definition: str = "", kinds: Sequence[str] = ()) -> ComposedLabel:
        """Return the vector of a name that need not be in WordNet; LabelError if it contains no word.

        kinds: ids of synsets that it is a kind of, for composers that look at them.
        """


def composer_for(words: WordTable, taxonomy: Taxonomy, policy: LabelPolicy) -> Composer:
    """Return the composer of label vectors from these words under the policy.

    TextError if the policy needs sense tags and the words have none.
    """
    from devise.space.retrofit import RetrofittedComposer

    if policy.tags and not any(word.startswith(SENSE_MARK) for word in words.words):
        raise TextError(
            f"the policy {policy.name} needs vectors of sense tags, and these words contain none: train them with "
            "devise text train --sense-tags, and give them as --label-vectors"
        )
    base = LabelComposer(words, taxonomy, replace(policy, retrofit=0.0))
    return RetrofittedComposer(base, taxonomy, policy.retrofit) if policy.retrofit else base


def untagged(words: WordTable, policy: LabelPolicy, synset_ids: Sequence[str]) -> int | None:
    """Count the synsets without a sense tag, which use their definition. None if the policy reads no tags."""
    return sum(sense_tag(one) not in words for one in synset_ids) if policy.tags else None
