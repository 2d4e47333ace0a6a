"""Taxonomy: WordNet 3.0's nouns and their relations."""

import copy
import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np

from devise.errors import TaxonomyError
from devise.taxonomy.correct_sets import CorrectSets, grow_correct_sets
from devise.taxonomy.graph import Adjacency, DistanceRows, IsaGraph, Nodes, distance_rows
from devise.taxonomy.languages import LanguageNames, language_names
from devise.taxonomy.lexicon import Lexicon
from devise.taxonomy.packing import unpack
from devise.taxonomy.synsets import ID_PATTERN, NounTables, Synset, definition_of, ids_of, tables_of

__all__ = ["ENGLISH", "PACKAGED_FILE", "PHYSICAL_ENTITY", "NamedSense", "Taxonomy", "default_taxonomy", "taxonomy_in"]

PACKAGED_FILE = Path(__file__).with_name("wordnet-3.0-nouns.bin")
"""WordNet 3.0's 82,115 noun synsets, as `tools.pack_wordnet` packs them."""

PHYSICAL_ENTITY = "n00001930"
"""What can be in a photo is a kind of this."""

ENGLISH = " (en)"
"""After an English name that is shown because the language has none."""


_NUMBERED = re.compile(r"(?P<term>.+)\.n\.(?P<number>\d{1,3})")
"""How NLTK writes a sense: its term, n for noun, and the number of the sense among those of the term."""


class NamedSense(NamedTuple):
    """A possible sense of a name.

    rank: of the sense among those of the term that matched, from 1, commonest first. place: of that term among the
    terms of the synset, from 1: the first one names it.
    """

    synset: Synset
    rank: int
    place: int


class Taxonomy:
    """Noun meanings and their is-a edges: "is a kind of" (hypernym), "is an instance of" (instance hypernym).

    A taxonomy is not changed after it is made; what is costly is worked out when first asked.

    >>> animals = Taxonomy.from_synsets(
    ...     [
    ...         Synset("n00000001", ("animal",)),
    ...         Synset("n00000002", ("snow leopard", "ounce"), hypernyms=("n00000001",)),
    ...     ]
    ... )
    >>> animals.find("Snow-Leopards")[0].name, sorted(animals.ball("n00000001", 1))
    ('snow leopard', ['n00000001', 'n00000002'])
    """

    def __init__(self, tables: NounTables) -> None:
        self._tables = tables
        self.ids: tuple[str, ...] = ids_of(tables.offsets)
        self._positions = dict(zip(self.ids, range(len(self.ids)), strict=True))
        self._graph = IsaGraph(len(self.ids), tables.child, tables.parent)
        self._lexicon = Lexicon(tables.lemmas, tables.senses, tables.exceptions)
        self.language: LanguageNames | None = None

    @classmethod
    def load(cls, path: Path | None = None) -> "Taxonomy":
        """The taxonomy packed at `path`; None is the packaged WordNet 3.0.

        TaxonomyError if the file is missing, truncated, altered, or of another format version.
        """
        file = PACKAGED_FILE if path is None else path
        try:
            data = file.read_bytes()
        except OSError as error:
            raise TaxonomyError(f"cannot read the taxonomy {file}: {error.strerror}") from None
        try:
            return cls(unpack(data))
        except TaxonomyError as error:
            raise TaxonomyError(f"{file}: {error}") from None

    @classmethod
    def from_synsets(
        cls, synsets: Iterable[Synset], exceptions: Mapping[str, Sequence[str]] | None = None
    ) -> "Taxonomy":
        """Make a taxonomy from synsets; the senses of a word are in the order of the synsets.

        `exceptions` maps irregular plurals to singulars. TaxonomyError if an id is malformed or a duplicate,
        a hypernym is not among the synsets, or the edges run in a circle.
        """
        taxonomy = cls(tables_of(synsets, exceptions))
        taxonomy.check()
        return taxonomy

    def check(self) -> None:
        """Raise TaxonomyError if the is-a edges form a cycle; `load` skips this, because `build` has checked."""
        _ = self._graph.heights

    def in_language(self, names: LanguageNames) -> "Taxonomy":
        """Return the same taxonomy with names in another language, shown and understood.

        A synset without a name there keeps its English one, marked with ENGLISH. A word that the language lacks is read
        as English.

        >>> french = taxonomy_in("fr")
        >>> french.find("léopard des neiges")[0].id, french.synset("n02129165").name
        ('n02128757', 'lion')
        """
        other = copy.copy(self)
        other.language = names
        return other

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, synset_id: object) -> bool:
        return synset_id in self._positions

    @property
    def licence(self) -> str:
        """The licence of the data, which must accompany every copy."""
        return self._tables.licence

    def summary(self) -> str:
        """The size of the taxonomy, such as "82,115 synsets, 84,427 edges (8,577 of instances), ..."."""
        edges, instances = len(self._tables.instance), int(self._tables.instance.sum())
        terms = len(self._tables.senses)
        return f"{len(self):,} synsets, {edges:,} edges ({instances:,} of instances), {terms:,} terms"

    # Synsets and names.

    def synset(self, synset_id: str) -> Synset:
        """The synset of an id; TaxonomyError if there is none."""
        place = self._position(synset_id)
        gloss = self._glosses[place]
        parents = self._graph.up.row(place)
        instance = self._tables.instance[self._graph.up.starts[place] : self._graph.up.starts[place + 1]]
        return Synset(
            id=synset_id,
            lemmas=tuple(self._lemma_lines[place].split("\t")),
            definition=definition_of(gloss),
            gloss=gloss,
            hypernyms=self._names(parents[~instance]),
            instance_hypernyms=self._names(parents[instance]),
            translations=self.translations(synset_id),
        )

    def definition(self, synset_id: str) -> str:
        """The definition of a synset, without the rest of it; TaxonomyError for an unknown id."""
        return definition_of(self._glosses[self._position(synset_id)])

    def translations(self, synset_id: str) -> tuple[str, ...]:
        """Return the names in the taxonomy's language, the one to show first; empty for English."""
        if self.language is None:
            return ()
        english = self.terms(synset_id)
        return self.language.shown(synset_id, english) or (english[0] + ENGLISH,)

    def terms(self, synset_id: str) -> tuple[str, ...]:
        """The terms of a synset, without the rest of it; TaxonomyError for an unknown id."""
        return tuple(self._lemma_lines[self._position(synset_id)].split("\t"))

    def find(self, name: str) -> tuple[Synset, ...]:
        """Find all senses of a name, most common first; empty if there are none.

        The name may be an id (n02129165, or lion.n.01 as other tools write it), have any case, underscores or spare
        spaces. A plural ("mice", "tigers") stands for its singular's senses too, after those of its own. If no term
        is written so, it is read whatever its spaces, hyphens and accents.
        """
        return tuple(reading.synset for reading in self.readings(name))

    def readings(self, name: str) -> tuple["NamedSense", ...]:
        """Return the senses of `find`, each with its frequency and the rank of the name among its terms."""
        as_id = self.id_in(name)
        if as_id is not None:
            return (NamedSense(self.synset(as_id), 1, 1),)
        if ID_PATTERN.fullmatch(name.strip().lower()):
            return ()
        if self.language is not None and (ids := self.language.find(name)):
            return tuple(
                sorted((NamedSense(self.synset(one), self._rank(one), 1) for one in ids), key=lambda one: one.rank)
            )
        found = self._lexicon.readings(name)
        return tuple(NamedSense(self.synset(self.ids[one.position]), one.rank, one.place) for one in found)

    def _rank(self, synset_id: str) -> int:
        """Return the rank of a synset among the senses of its first English term, from 1."""
        place = self._position(synset_id)
        named = self._lexicon.readings(self.terms(synset_id)[0])
        return next((one.rank for one in named if one.position == place), 1)

    def id_in(self, text: str) -> str | None:
        """Parse a synset id: "n02129165", or "lion.n.01", the first sense of lion; None for other text."""
        as_id = text.strip().lower()
        if as_id in self:
            return as_id
        numbered = _NUMBERED.fullmatch(as_id)
        place = self._lexicon.sense(numbered["term"], int(numbered["number"])) if numbered else None
        return None if place is None else self.ids[place]

    def lemma_names(self) -> tuple[str, ...]:
        """All distinct terms, with spaces and original case, sorted."""
        return tuple(sorted(set(self._tables.lemmas.replace("\n", "\t").split("\t"))))

    # Up and down.

    def parents(self, synset_id: str) -> tuple[str, ...]:
        """The hypernyms, then the instance hypernyms."""
        return self._names(self._graph.up.row(self._position(synset_id)))

    def children(self, synset_id: str) -> tuple[str, ...]:
        """Return the synsets that have this one as a parent, instances included, ascending."""
        return self._names(self._graph.down.row(self._position(synset_id)))

    def place(self, synset_id: str) -> int:
        """Return the position of the synset in `ids`; TaxonomyError for an unknown id."""
        return self._position(synset_id)

    def places(self, ids: Sequence[str]) -> Nodes:
        """Return the positions of several ids in `ids`; -1 for an unknown one."""
        return np.fromiter(map(self._positions.get, ids, repeat(-1)), dtype=np.int64, count=len(ids))

    @property
    def upward(self) -> Adjacency:
        """Edges from each position in `ids` to those of its hypernyms, then its instance hypernyms."""
        return self._graph.up

    @property
    def neighbours(self) -> Adjacency:
        """Edges from each position in `ids` to those of its hypernyms and hyponyms, instances included."""
        return self._graph.around

    def is_instance(self, synset_id: str) -> bool:
        """Whether the synset is one particular thing, such as a city or a person (it has instance hypernyms)."""
        return bool(self._is_instance[self._position(synset_id)])

    def hypernym_paths(self, synset_id: str) -> tuple[tuple[str, ...], ...]:
        """Return every path from a root to the synset, root first, in the order of the parents."""
        parents = self.parents(synset_id)
        if not parents:
            return ((synset_id,),)
        return tuple((*path, synset_id) for parent in parents for path in self.hypernym_paths(parent))

    def ancestors(self, synset_id: str) -> frozenset[str]:
        """Return all ancestors of the synset, without itself."""
        return frozenset(self._names(self._graph.reach(self._graph.up, self._position(synset_id))[1:]))

    def subtree(self, synset_id: str) -> frozenset[str]:
        """Return the synset and all its descendants, instances included."""
        place = self._position(synset_id)
        if not len(self._graph.down.row(place)):
            return frozenset((synset_id,))  # most are leaves, and a walk of no step costs as much as one of many
        return frozenset(self._names(self._graph.reach(self._graph.down, place)))

    def subtrees(self, synset_ids: Sequence[str]) -> frozenset[str]:
        """Several synsets and all that is below any of them, in one walk."""
        places = np.array([self._position(one) for one in synset_ids], dtype=np.int64)
        return frozenset(self._names(np.concatenate([places[:0], *self._graph.down.waves(places)])))

    def depth(self, synset_id: str) -> int:
        """Return the edges on the shortest path from a root; 0 for a root."""
        return int(self._graph.depths[self._position(synset_id)])

    def height(self, synset_id: str) -> int:
        """Return the edges on the longest path down to a leaf; 0 for a leaf."""
        return int(self._graph.heights[self._position(synset_id)])

    @property
    def greatest_height(self) -> int:
        """The height of the highest synset."""
        return int(self._graph.heights.max(initial=0))

    def lowest_common_ancestors(self, a: str, b: str) -> tuple[str, ...]:
        """Return the common ancestors (or the synsets themselves) without a child that is one; closest first.

        Closest is the smallest sum of the two shortest ways up, ties by id. Empty if nothing is above both.
        """
        return self._names(self._graph.lowest_common_ancestors(self._position(a), self._position(b)))

    def lowest_common_ancestor(self, a: str, b: str) -> str | None:
        """The closest of the lowest common ancestors; None if there is none."""
        return next(iter(self.lowest_common_ancestors(a, b)), None)

    def physical_nouns(self) -> tuple[str, ...]:
        """Return all synsets below "physical entity" that are not instances: what a photo may show; ascending.

        The physical entity itself is left out. TaxonomyError if the taxonomy has no n00001930.
        """
        below = np.sort(self._graph.reach(self._graph.down, self._position(PHYSICAL_ENTITY))[1:])
        return self._names(below[~self._is_instance[below]])

    # All around.

    def ball(self, synset_id: str, radius: int) -> frozenset[str]:
        """All synsets at most `radius` undirected is-a edges away, the synset itself included."""
        if radius < 0:
            raise TaxonomyError(f"the radius of a ball must be 0 or more, got {radius}")
        return frozenset(self._names(self._graph.ball(self._position(synset_id), radius)))

    def near(self, ids: Iterable[str], edges: int) -> tuple[str, ...]:
        """Return all synsets at most `edges` undirected is-a edges from one of these, inclusive; ascending."""
        if edges < 0:
            raise TaxonomyError(f"a number of edges must be 0 or more, got {edges}")
        steps = self._graph.around.steps(self._places(tuple(ids)))
        return self._names(np.flatnonzero((steps >= 0) & (steps <= edges)))

    def distance(self, a: str, b: str) -> int | None:
        """Return the fewest undirected is-a edges between two synsets; None if they are not connected."""
        return self._graph.distance(self._position(a), self._position(b))

    def distances(self, sources: Sequence[str], targets: Sequence[str]) -> Iterator[DistanceRows]:
        """The same for many pairs, in blocks of at most 64 sources, in their order; see `distance_rows`."""
        return distance_rows(self._graph.around, self._places(sources), self._places(targets))

    def correct_set(self, synset_id: str, k: int, valid: Collection[str]) -> frozenset[str]:
        """The valid labels that count as right among the first k predictions (Frome et al. 2013, section 4).

        The ball around the synset grows by one undirected edge at a time, through all synsets. At the first
        radius (0 counts) where it contains at least k valid labels, these are the correct set: ties are kept, so
        it may have more than k. If the connected part has fewer than k, all of them are the set.
        """
        order = sorted(set(valid))
        members = self.correct_sets([synset_id], [k], order).members(synset_id, k)
        return frozenset(order[place] for place in members.tolist())

    def correct_sets(self, ids: Sequence[str], ks: Sequence[int], valid: Sequence[str]) -> CorrectSets:
        """Return the correct sets of many classes for several k, one search per class; see `correct_set`.

        The sets have positions into `valid`. TaxonomyError if an id of either is unknown, one of `valid`
        is a duplicate, or a k is below 1.
        """
        if not ks or min(ks) < 1:
            raise TaxonomyError(f"a correct set needs k of 1 or more, got {tuple(ks)}")
        if len(set(valid)) != len(valid):
            raise TaxonomyError("duplicate valid label: list each once")
        nearest, counts = grow_correct_sets(self._graph.around, self._places(ids), tuple(ks), self._places(valid))
        return CorrectSets(tuple(ids), tuple(ks), tuple(nearest), counts)

    @cached_property
    def graph_hash(self) -> str:
        """SHA-256 of ids and edges in hex, independent of the file; tables print the first 12 characters."""
        marks = np.where(self._tables.instance, "@i", "@").tolist()
        edges = zip(self._tables.child.tolist(), marks, self._tables.parent.tolist(), strict=True)
        lines = sorted(f"{self.ids[child]} {mark} {self.ids[parent]}" for child, mark, parent in edges)
        return hashlib.sha256("\n".join([*self.ids, *lines]).encode()).hexdigest()

    # Inside.

    def _position(self, synset_id: str) -> int:
        place = self._positions.get(synset_id)
        if place is None:
            raise TaxonomyError(
                f"no synset {synset_id!r} among {len(self):,}: an id is n and the 8 digits of a WordNet 3.0 "
                "noun, such as n02084071 (dog); find(name) gives the ids of a name"
            )
        return place

    def _places(self, ids: Sequence[str]) -> Nodes:
        return np.array([self._position(synset_id) for synset_id in ids], dtype=np.int64)

    def _names(self, places: Nodes) -> tuple[str, ...]:
        return tuple(self.ids[place] for place in places.tolist())

    @cached_property
    def _lemma_lines(self) -> list[str]:
        return self._tables.lemmas.split("\n")

    @cached_property
    def _glosses(self) -> list[str]:
        return self._tables.glosses().split("\n")

    @cached_property
    def _is_instance(self) -> np.ndarray:
        return np.bincount(self._tables.child[self._tables.instance], minlength=len(self)) > 0


@cache
def default_taxonomy() -> Taxonomy:
    """The packaged WordNet 3.0, loaded once."""
    return Taxonomy.load()


def taxonomy_in(language: str | None) -> Taxonomy:
    """Return the packaged WordNet with names in a language, see `language_names`; None is English."""
    taxonomy = default_taxonomy()
    return taxonomy if language is None else _speaking(language_names(language, taxonomy))


@cache
def _speaking(names: LanguageNames) -> Taxonomy:
    return default_taxonomy().in_language(names)
