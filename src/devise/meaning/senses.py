"""Look up a name: its senses in WordNet, or a vector composed from its words."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from devise.arrays import Float32
from devise.errors import LabelError, UsageError
from devise.labels import TOWER, VECTOR_SOURCES, LabelSet, VectorSource
from devise.model.candidates import missing_words, synset_space
from devise.model.parts import ModelParts
from devise.model.sense_choice import Meanings, spellings_of
from devise.model.typed import TypedLabel, is_id, is_synset_like, parse_lines, user_id
from devise.space.labelspace import placed
from devise.taxonomy.synsets import Synset
from devise.taxonomy.withheld import Reason
from devise.taxonomy.wordnet import Taxonomy
from devise.text.phrases import term_key

__all__ = ["VECTOR_FROM", "Asked", "Sense", "ask", "coverage"]

VECTOR_FROM: dict[VectorSource, str] = {
    "term": "its own term",
    "parts": "words of its terms",
    "gloss": "its definition",
    "parents": "its hypernyms",
    "none": "nothing",
}
"""Sources of a label's vector, in words; where a text tower places labels, it is `TOWER` for all."""


@dataclass(frozen=True, slots=True)
class Sense:
    """One meaning of a name.

    id: of the synset, or "user:<name>" if WordNet has no such noun. terms: its names, the main one first.
    path: names from the root to it, the first of `ways` paths; empty for a name that WordNet lacks.
    in_model: whether the model has it as a label. seen: see `Label`.
    source: of its vector; None without a vector, if the model lacks the label and none was composed.
    withheld: why it is withheld unless requested; None if it is not.
    """

    id: str
    terms: tuple[str, ...]
    gloss: str = ""
    path: tuple[str, ...] = ()
    ways: int = 0
    in_model: bool = False
    seen: bool | None = False
    source: VectorSource | None = None
    withheld: Reason | None = None

    @property
    def name(self) -> str:
        """Return the first term."""
        return self.terms[0]


@dataclass(frozen=True, eq=False, slots=True)
class Asked:
    """The result for a name.

    name: as typed. senses: all of them, most probable first. chosen: the intended one. vector: of the chosen one,
    in the label space, unit length; zeros if it has none. notes: for the user.
    """

    name: str
    senses: tuple[Sense, ...]
    chosen: Sense
    vector: Float32[np.ndarray, " dim"]
    notes: tuple[str, ...] = ()

    @property
    def in_wordnet(self) -> bool:
        """Return False if the vector was composed from words alone."""
        return bool(self.chosen.path)


def ask(parts: ModelParts, name: str, sense: str | None = None) -> Asked:
    """Return the senses of a name, plural or id, most probable first; choose `sense` or the first.

    A name that WordNet lacks gets its vector from its words, and from a definition: "NAME: DEFINITION".
    LabelError, with close spellings, if none of its words has a vector, and for an invalid id; UsageError if
    `sense` is not among the senses.
    """
    typed = parse_lines([name])[0] if term_key(name) else TypedLabel(" ".join(name.split()))
    wanted = typed.definition if is_id(typed.definition) else typed.name
    meaning = Meanings(parts).of(wanted) if wanted == typed.definition or not typed.definition else None
    if meaning is None and is_synset_like(wanted):
        raise LabelError(f"WordNet 3.0 has no synset {wanted.lower()}: look up its name to find the id")
    if meaning is None:
        if sense is not None:
            raise UsageError(f"a sense needs a noun of WordNet, got {wanted!r}")
        return _typed(parts, typed)
    synsets = meaning.senses
    senses = tuple(_sense(parts, synset) for synset in synsets)
    chosen = _chosen(parts.taxonomy, wanted, senses, sense)
    space = synset_space(parts, [chosen.id])
    made = replace(chosen, source=space.labels[0].source)
    return Asked(wanted, tuple(made if one is chosen else one for one in senses), made, space.vectors[0])


def coverage(labels: LabelSet) -> dict[VectorSource, tuple[int, int]]:
    """Count trained and other labels by source of their vectors."""
    counts = {source: [0, 0] for source in VECTOR_SOURCES}
    for label in labels:
        counts[label.source][not label.seen] += 1
    return {source: (trained, others) for source, (trained, others) in counts.items()}


def _sense(parts: ModelParts, synset: Synset) -> Sense:
    taxonomy, labels = parts.taxonomy, parts.space.labels
    ways = taxonomy.hypernym_paths(synset.id)
    label = labels[labels.position(synset.id)] if synset.id in labels else None
    return Sense(
        id=synset.id,
        terms=synset.terms,
        gloss=synset.definition,
        path=tuple(taxonomy.synset(above).name for above in ways[0]),
        ways=len(ways),
        in_model=label is not None,
        seen=parts.untrained if label is None else label.seen,
        source=None if label is None else label.source,
        withheld=parts.withheld.get(synset.id),
    )


def _chosen(taxonomy: Taxonomy, name: str, senses: Sequence[Sense], wanted: str | None) -> Sense:
    if wanted is None:
        return senses[0]
    for sense in senses:
        if sense.id == taxonomy.id_in(wanted):
            return sense
    ids = ", ".join(sense.id for sense in senses)
    raise UsageError(f"{wanted!r} is not a sense of {name!r}: use one of {ids}")


def _typed(parts: ModelParts, typed: TypedLabel) -> Asked:
    name, definition = typed.name, typed.definition
    composed = parts.composer.typed(name, definition, Meanings(parts).kinds_of(name, definition))
    spellings = spellings_of(parts.taxonomy, name)
    if composed.source == "none":
        raise LabelError(
            f"{name!r} is not a noun of WordNet and none of its words has a vector{spellings}: "
            f"check the spelling, or add a definition, as in '{name}: a kind of ...'"
        )
    source = TOWER if parts.has_tower else _typed_source(composed.source)
    notes = [f"{name!r} is not a noun of WordNet: vector from {source}{spellings}"]
    if composed.source != "term" and (missing := missing_words(parts, name)):
        notes.append(f"no vector for: {', '.join(missing)}")
    sense = Sense(user_id(name), (name,), definition, seen=parts.untrained, source=composed.source)
    vector = placed(composed.vector[None], parts.centre)[0]
    return Asked(f"{name}: {definition}" if definition else name, (sense,), sense, vector, tuple(notes))


def _typed_source(source: VectorSource) -> str:
    return {"term": "its own word", "parts": "its parts", "parents": "what it is a kind of"}.get(
        source, VECTOR_FROM[source]
    )
