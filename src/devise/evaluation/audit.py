"""Audits a model's label space without photos: measures, coverage, and the pairs of a talk on the paper."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from devise.arrays import LabelVectors, Ranking
from devise.errors import LabelError
from devise.evaluation.labelspace import NO_NEIGHBOUR, LabelSpaceAudit, LabelSpaceConfig, measure_label_space
from devise.labels import VectorSource
from devise.meaning.relations import Neighbour, nearest_labels
from devise.meaning.senses import ask, coverage
from devise.model.candidatefile import read_candidates
from devise.model.candidates import synset_space
from devise.model.parts import ModelParts
from devise.ranking import nearest
from devise.space.labelspace import LabelSpace
from devise.text.phrases import term_key

__all__ = ["TALK_NAME", "TALK_PAIRS", "Audit", "Case", "audit_label_space", "measured", "nearest_others", "wide_space"]

TALK_PAIRS = (
    ("cat", "kitten"),
    ("cat", "dog"),
    ("guitar", "harp"),
    ("guitar", "clock"),
    ("happy", "depressing"),
)
"""The pairs that Tushar Nagarajan's talk on the paper asks about."""

TALK_NAME = "pineapple"
"""A photo of one was called a fruit: its neighbours say why."""

_Progress = Callable[[str, int, int], None]
_NEIGHBOURS = 8


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
    cases: the pairs of `CASES`. neighbours: labels near to `TALK_NAME`; word_neighbours: words near to it.
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
                "labels": [{"cosine": _rounded(n.cosine), **asdict(n.label)} for n in self.neighbours],
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
        of the model. on_progress is told what is measured, and how many of how many classes are done.
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
        cases=tuple(_case(parts, *pair) for pair in TALK_PAIRS),
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
        near = nearest_labels(parts, ask(parts, TALK_NAME), _NEIGHBOURS).labels
    except LabelError:
        near = ()
    if TALK_NAME not in parts.words:
        return near, ()
    found = parts.words.nearest(TALK_NAME, _NEIGHBOURS)
    return near, tuple(zip(found.words, found.similarities, strict=True))


def _rounded(cosine: float | None) -> float | None:
    return None if cosine is None else round(cosine, 6)
