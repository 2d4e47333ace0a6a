"""Choose the sense of a typed word: its WordNet senses, most probable for photos first."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import islice

import numpy as np

from devise.arrays import Float32
from devise.model.parts import ModelParts
from devise.space.labelspace import placed
from devise.space.prior import Standing
from devise.taxonomy.everyday import everyday_senses
from devise.taxonomy.genus import genus_of_definition, head_phrase
from devise.taxonomy.lexicon import base_forms, normalise
from devise.taxonomy.synsets import Synset
from devise.taxonomy.withheld import withheld_nouns
from devise.taxonomy.wordnet import NamedSense, Taxonomy
from devise.text.phrases import term_key

__all__ = ["Meaning", "MeaningWeights", "Meanings", "close_spellings", "spellings_of"]

_Vector = Float32[np.ndarray, " dim"]
_EVERYDAY = (
    "n03100490",  # conveyance
    "n03964744",  # plaything
    "n03094503",  # container
    "n03294048",  # equipment
    "n03051540",  # clothing
    "n03405725",  # furniture
    "n03528263",  # home appliance
    "n03800933",  # musical instrument
    "n04381994",  # tableware
    "n02913152",  # building
)
_SUGGESTIONS = 3
_LOOKED_AT = 12  # spellings, of which some may be withheld
_CLOSE = 0.7  # difflib's ratio: below it, a suggestion is no longer a spelling of what was typed

_PERSON, _ANIMAL = "n00007846", "n00015388"
_PLANTS = ("n00017222", "n12992868")  # plant, fungus
_THINGS = (
    "n07555863",  # food, the solid
    "n00021265",  # food, all that nourishes
    "n00021939",  # artifact
    "n00019128",  # natural object
    "n09287968",  # geological formation
    "n09225146",  # body of water
    "n05220461",  # body part
    "n13086908",  # plant part
)


@dataclass(frozen=True, slots=True)
class MeaningWeights:
    """Weights of the evidence for a sense; the sense with the highest sum is chosen.

    Chosen on the first half of tests/data/everyday_words.tsv: 243 of its 250 words are right, and 244 of the other
    250. With any one weight halved or doubled, at least 468 of all 500 are right.

    everyday, animal, thing, plant: the kind of thing: goods of everyday life, an animal, any other object, food or
        place, a plant; 0 for persons, acts, substances and all that cannot be seen.
    rank: of the logarithm of the sense's rank in WordNet, which puts common senses first.
    place: of the logarithm of the word's place among the terms of the synset: "turtle" is its second for a turtleneck.
    written: where the word is a plural and WordNet has that plural as a term ("glasses") of a thing that is a label, or
        the singular names no label.
    photos: of log(1 + 5 x trained classes + labels), counted at and below the sense.
    trained: where the classifier was trained on the sense itself.
    named: of log(1 + terms below the sense that end in the word): box kites are kites.
    prior: of the share of all labels with a lower prior than the sense's label.
    context: of the cosine of the word's vector and the label of what the sense is a kind of.
    """

    everyday: float = 5.5
    animal: float = 4.0
    thing: float = 3.0
    plant: float = -1.0
    rank: float = -0.75
    place: float = -2.5
    written: float = 4.5
    photos: float = 0.5
    trained: float = 0.5
    named: float = 1.25
    prior: float = 0.5
    context: float = 2.0


@dataclass(frozen=True, slots=True)
class Meaning:
    """A word and its senses, most probable first; never empty.

    word: as it was typed. kind: what the first sense is a kind of. others: how many further senses can be seen, or are
    a name that only the plural is ("Alps"), and are not withheld.
    """

    word: str
    senses: tuple[Synset, ...]
    kind: str = ""
    others: int = 0

    @property
    def chosen(self) -> Synset:
        """Return the chosen sense."""
        return self.senses[0]

    @property
    def note(self) -> str:
        """Describe the chosen sense in one line; empty if there was no choice.

        >>> mugs = tuple(Synset(f"n0379739{number}", ("mug",)) for number in range(4))
        >>> Meaning("mug", mugs, "drinking vessel", others=2).note
        'mug: drinking vessel, 2 other meanings and 1 not for photos'
        """
        if not self.others:
            return ""
        plain = normalise(self.word) == self.chosen.name.lower()
        meant = (self.kind if plain else self.chosen.name) or self.chosen.definition
        unseen = len(self.senses) - 1 - self.others
        more = f" and {unseen} not for photos" if unseen > 0 else ""
        return f"{self.word}: {meant}, {self.others} other meaning{'' if self.others == 1 else 's'}{more}"


class Meanings:
    """Chooses the senses of words for a model's labels: as `everyday_senses` says, else by weighted evidence.

    prior: one number per label of the model, up = more often photographed; None takes the model's own.
    """

    def __init__(self, parts: ModelParts, prior: Standing | None = None, weights: MeaningWeights | None = None) -> None:
        self._parts = parts
        self._prior = parts.standing if prior is None else prior
        self._weights = weights or MeaningWeights()
        self._trained = frozenset(parts.trained_ids)

    def of(self, word: str) -> Meaning | None:
        """Return the word's senses, most probable first; None if WordNet has no such noun or id.

        Of words that the evidence gets wrong, `everyday_senses` has the first sense.
        """
        readings = self._parts.taxonomy.readings(word)
        if len(readings) > 1:
            written = _written(word, readings)
            usual = "" if self._is_foreign(word) else _usual(word, is_plural_term=bool(written))
            is_singular_known = any(
                one.synset.id in self._parts.space.labels for one in readings if one.synset.id not in written
            )
            vectors = self._vectors({_term(one) for one in readings})
            scores = {
                one.synset.id: self._evidence(one, vectors) + self._naming(one, written, is_singular_known)
                for one in readings
            }
            readings = tuple(sorted(readings, key=lambda one: (one.synset.id != usual, -scores[one.synset.id])))
        if not readings:
            return None
        senses = tuple(one.synset for one in readings)
        found = Meaning(word, senses, self.kind_of(senses[0].id))
        return replace(found, others=len(self.others(found)))

    def others(self, meaning: Meaning) -> tuple[Synset, ...]:
        """Return the other visible senses, and those that a plural has as a name ("Alps"), most probable first."""
        written = _written(meaning.word, self._parts.taxonomy.readings(meaning.word))
        return tuple(
            sense
            for sense in meaning.senses[1:]
            if self._can_be_seen(sense) or (sense.id in written and sense.id not in self._parts.withheld)
        )

    def kind_of(self, sense: str) -> str:
        """Return the name of a synset's first hypernym; empty for the root."""
        above = self._parts.taxonomy.parents(sense)
        return self._parts.taxonomy.synset(above[0]).name if above else ""

    def kinds_of(self, name: str, definition: str = "") -> tuple[str, ...]:
        """Return ids of hypernyms of a typed label: the genus of its definition, and the head of its name.

        The head is the longest end of the name that WordNet knows, up to a preposition ("ginger tom": tom, "cat with
        orange fur": cat); a name of one word has none. Up to two ids, maybe none.
        """
        words = head_phrase(name)
        ends = (" ".join(words[start:]) for start in range(1 if normalise(name) == " ".join(words) else 0, len(words)))
        head = next((found.chosen.id for end in ends if (found := self.of(end)) is not None), None)
        genus = genus_of_definition(self._parts.taxonomy, definition) if definition else None
        return tuple(dict.fromkeys(one for one in (genus, head) if one is not None))

    def _is_foreign(self, word: str) -> bool:
        """Return whether the word is one of the taxonomy's language, not of English."""
        language = self._parts.taxonomy.language
        return language is not None and bool(language.find(word))

    def _can_be_seen(self, sense: Synset) -> bool:
        seen = sense.id in self._visible or sense.id in self._parts.space.labels
        return seen and sense.id not in self._parts.withheld

    @property
    def _visible(self) -> frozenset[str]:
        return _physical(self._parts.taxonomy)

    def _evidence(self, reading: NamedSense, vectors: Mapping[str, _Vector]) -> float:
        """Return the weighted sum of the evidence except `_naming`. vectors: see `_vectors`."""
        weights, sense = self._weights, reading.synset.id
        term = _term(reading)
        below = self._parts.taxonomy.subtree(sense)
        labels = sum(one in self._parts.space.labels for one in below)
        return (
            self._kind(sense)
            + weights.rank * math.log(reading.rank)
            + weights.photos * math.log1p(5 * len(below & self._trained) + labels)
            + weights.trained * (sense in self._trained)
            + weights.named * math.log1p(sum(self._is_called(one, term) for one in below & self._visible))
            + weights.prior * self._prior_share(sense)
            + weights.context * self._context(sense, vectors.get(term))
        )

    def _naming(self, reading: NamedSense, written: frozenset[str], is_singular_known: bool) -> float:
        """Score a term by its place in its synset.

        A plural that is a term counts more than a first name, unless no photo can be answered with it ("parks" of Rosa
        Parks, "judges" of the Book of Judges) and one can be with its singular.
        """
        sense = reading.synset.id
        if sense not in written:
            return self._weights.place * math.log(reading.place)
        is_answer = sense in self._parts.space.labels and sense not in self._parts.withheld
        return self._weights.written if (is_answer and self._kind(sense) != 0) or not is_singular_known else 0.0

    def _kind(self, sense: str) -> float:
        weights = self._weights
        above = self._parts.taxonomy.ancestors(sense) | {sense}
        if not above.isdisjoint(_EVERYDAY):
            return weights.everyday
        if _PERSON in above:
            return 0.0
        if _ANIMAL in above:
            return weights.animal
        if not above.isdisjoint(_PLANTS):
            return weights.plant
        return 0.0 if above.isdisjoint(_THINGS) else weights.thing

    def _is_called(self, synset_id: str, term: str) -> bool:
        """Return whether a term of the synset ends in this one, as a garden hose is a hose."""
        return any(one != term and one.endswith(term) for one in map(str.lower, self._parts.taxonomy.terms(synset_id)))

    def _prior_share(self, sense: str) -> float:
        labels = self._parts.space.labels
        if self._prior is None or sense not in labels:
            return 0.0
        return float(np.searchsorted(self._sorted_prior, self._prior[labels.position(sense)])) / len(labels)

    @cached_property
    def _sorted_prior(self) -> Standing:
        assert self._prior is not None
        ordered: Standing = np.sort(self._prior)
        return ordered

    def _context(self, sense: str, word: _Vector | None) -> float:
        space = self._parts.space
        above = [space.labels.position(one) for one in self._parts.taxonomy.parents(sense) if one in space.labels]
        return 0.0 if word is None or not above else float((space.rows(np.array(above)) @ word).max())

    def _vectors(self, terms: Collection[str]) -> dict[str, _Vector]:
        """Return the vectors of words as points of the label space, as far as the model has them."""
        if not self._parts.has_words:
            return {}
        table = self._parts.words_among({term_key(term) for term in terms})
        found = {term: table.get(term_key(term)) for term in terms}
        return {term: placed(one[None], self._parts.centre)[0] for term, one in found.items() if one is not None}


def _term(reading: NamedSense) -> str:
    return reading.synset.lemmas[reading.place - 1].lower()


def close_spellings(taxonomy: Taxonomy, name: str) -> tuple[str, ...]:
    """Return at most three similarly spelt nouns, closest first, without nouns that are withheld."""
    import difflib

    by_key = {noun.lower(): noun for noun in reversed(taxonomy.lemma_names())}
    key = " ".join(name.replace("_", " ").lower().split())
    withheld = withheld_nouns(taxonomy)
    found = (by_key[one] for one in difflib.get_close_matches(key, by_key, n=_LOOKED_AT, cutoff=_CLOSE))
    plain = (noun for noun in found if any(sense.id not in withheld for sense in taxonomy.find(noun)))
    return tuple(islice(plain, _SUGGESTIONS))


def spellings_of(taxonomy: Taxonomy, name: str) -> str:
    """Return the close spellings as the end of a message; "" without any."""
    close = close_spellings(taxonomy, name)
    return f"; close spellings: {', '.join(close)}" if close else ""


def _written(word: str, readings: tuple[NamedSense, ...]) -> frozenset[str]:
    """Return the senses that have the word itself as a term, where others have only its singular: "glasses", "cola"."""
    name = normalise(word)
    own = frozenset(one.synset.id for one in readings if _term(one) == name)
    return own if len(own) < len(readings) else frozenset()


def _usual(word: str, *, is_plural_term: bool) -> str:
    """Return the sense that `everyday_senses` has of a word, or of its singular if the plural is not a term."""
    name, listed = normalise(word), everyday_senses()
    names = (name,) if is_plural_term else (name, *base_forms(name, {}))
    return next((listed[one] for one in names if one in listed), "")


@cache
def _physical(taxonomy: Taxonomy) -> frozenset[str]:
    return frozenset(taxonomy.physical_nouns())
