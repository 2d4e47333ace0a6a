"""Which labels compete for a picture: the model's own, a file's, a subtree's, and those the user types."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from devise.errors import LabelError, UsageError
from devise.evaluation.candidates import read_candidates
from devise.files import read_text
from devise.labeller.parts import ModelParts
from devise.labeller.typed import TypedLabel, parse_lines, user_id
from devise.labels import Label, LabelSet
from devise.model.space import LabelSpace, placed
from devise.taxonomy.synsets import Synset
from devise.text.composition import ComposedLabel

__all__ = ["OWN_CANDIDATES", "Candidates", "choose_candidates", "synset_space"]

OWN_CANDIDATES = ("all", "seen", "unseen", "typed")
"""The lists every model has; anything else is a file."""


@dataclass(frozen=True, eq=False, slots=True)
class Candidates:
    """The labels to rank, and what the user should know of how they came about. typed: ids of those typed."""

    space: LabelSpace
    notes: tuple[str, ...] = ()
    typed: tuple[str, ...] = ()


def choose_candidates(
    parts: ModelParts, candidates: str = "all", *, under: str | None = None, typed: Sequence[TypedLabel] = ()
) -> Candidates:
    """The labels to rank.

    candidates: "all", "seen" (the trained labels), "unseen", "typed" (only those in `typed`), or a file: synset
        ids (a JSON list too, as FILE.json#KEY), or lines of NAME, NAME: DEFINITION or synset ids.
    under: keep only what is below this name or id in the taxonomy, all its senses; typed labels are kept.

    UsageError when nothing is left, LabelError when a label has no vector at all.
    """
    space, notes = _base(parts, candidates)
    if under is not None:
        below = _subtree(parts, under)
        outside = sum(label.id not in parts.taxonomy for label in space.labels)
        if outside:
            notes = (
                *notes,
                f"left out {outside} labels of {candidates} that are not in WordNet: none is under {under!r}",
            )
        space = space.subset([i for i, label in enumerate(space.labels) if label.id in below])
        if not len(space.labels) and not typed:
            raise UsageError(f"no candidate label is under {under!r}: take a wider name, or --candidates all")
    ids: tuple[str, ...] = ()
    if typed:
        space, more, ids = _with_typed(parts, space, typed)
        notes = (*notes, *more)
    if not len(space.labels):
        raise UsageError(f"there are no candidate labels in {candidates!r}: add some")
    return Candidates(space, notes, ids)


def synset_space(parts: ModelParts, ids: Sequence[str]) -> LabelSpace:
    """Labels and vectors of these synsets in this order; those the model lacks get their vectors on the spot."""
    own = parts.space.labels
    missing = [synset_id for synset_id in ids if synset_id not in own]
    made = _composed(parts, missing)
    where = {label.id: len(own) + i for i, label in enumerate(made.labels)}
    full = parts.space.joined(made) if missing else parts.space
    return full.subset([where[i] if i in where else own.position(i) for i in ids])


def _base(parts: ModelParts, candidates: str) -> tuple[LabelSpace, tuple[str, ...]]:
    own = parts.space
    match candidates:
        case "all":
            return own, ()
        case "seen":
            return own.subset(np.flatnonzero(own.labels.seen)), ()
        case "unseen":
            return own.subset(np.flatnonzero(~own.labels.seen)), ()
        case "typed":
            return own.subset([]), ()
    return _from_file(parts, candidates)


def _from_file(parts: ModelParts, spec: str) -> tuple[LabelSpace, tuple[str, ...]]:
    json_list = re.fullmatch(r"(.*?\.json)(#.*)?", spec, re.IGNORECASE | re.DOTALL)
    path = Path(json_list[1] if json_list else spec)
    if not path.is_file():
        raise UsageError(
            f"candidates must be one of {', '.join(OWN_CANDIDATES)} or a file of labels, and there is no file {path}"
        )
    if json_list:
        listed = read_candidates(spec, parts.taxonomy)
        notes = (f"{listed.duplicates} labels stood twice in {spec}",) if listed.duplicates else ()
        return synset_space(parts, listed.ids), notes
    try:
        lines = [line.partition("#")[0] for line in read_text(path, UsageError, f"the label file {path}").split("\n")]
    except OSError as error:
        raise UsageError(f"the label file {path} cannot be read: {error.strerror}") from None
    try:
        return _with_typed(parts, parts.space.subset([]), parse_lines(lines))[:2]
    except (LabelError, UsageError) as error:
        raise type(error)(f"{path.name}: {error}") from None


def _subtree(parts: ModelParts, name: str) -> frozenset[str]:
    senses = parts.taxonomy.find(name)
    if not senses:
        raise UsageError(f"--under needs a noun of WordNet or its id, got {name!r}: try a more common word")
    return frozenset().union(*(parts.taxonomy.subtree(sense.id) for sense in senses))


def _with_typed(
    parts: ModelParts, space: LabelSpace, typed: Iterable[TypedLabel]
) -> tuple[LabelSpace, tuple[str, ...], tuple[str, ...]]:
    """The labels of `space` and those typed, what the user should know, and the ids of those typed.

    A name WordNet knows stands for its first visible sense.
    """
    notes: list[str] = []
    known: dict[str, TypedLabel] = {}
    fresh: list[tuple[Label, ComposedLabel]] = []
    for label in typed:
        senses = () if label.definition else parts.taxonomy.find(label.name)
        if senses:
            sense = _visible_first(parts, senses)
            if sense.id in known:
                notes.append(f"{known[sense.id].name!r} and {label.name!r} are one label, {sense.id}: kept once")
            known.setdefault(sense.id, label)
            if len(senses) > 1:
                notes.append(_several(label.name, senses, sense))
            continue
        if user_id(label.name) in space.labels:
            notes.append(f"{label.name!r} is in the label file too: the file's is kept")
            continue
        composed = parts.composer.typed(label.name, label.definition)
        if composed.source == "none":
            raise LabelError(
                f"nothing is known about {label.name!r}: no word of it has a vector; add a definition, as in "
                f"'{label.name}: a kind of ...'"
            )
        fresh.append((Label(user_id(label.name), label.name, label.definition, False, composed.source), composed))
    added = synset_space(parts, [synset_id for synset_id in known if synset_id not in space.labels])
    space = space.joined(added) if len(added.labels) else space
    ids = (*known, *(label.id for label, _ in fresh))
    return (space.joined(_space_of(parts, fresh)) if fresh else space), tuple(notes), ids


def _visible_first(parts: ModelParts, senses: Sequence[Synset]) -> Synset:
    """The commonest sense that was trained on, else that the model has a label for, else the commonest of all."""
    trained = frozenset(parts.trained_ids)
    known = [sense for sense in senses if sense.id in parts.space.labels]
    return next((sense for sense in known if sense.id in trained), (*known, *senses)[0])


def _several(name: str, senses: Sequence[Synset], taken: Synset) -> str:
    return (
        f"{name!r} has {len(senses)} senses, took {taken.id} ({taken.definition}): "
        f"`devise labels {name!r}` lists them, an id or a definition chooses another"
    )


def _composed(parts: ModelParts, ids: Sequence[str]) -> LabelSpace:
    pairs = []
    for synset_id in ids:
        synset = parts.taxonomy.synset(synset_id)
        composed = parts.composer.synset(synset_id)
        pairs.append((Label(synset_id, synset.name, synset.definition, False, composed.source), composed))
    return _space_of(parts, pairs)


def _space_of(parts: ModelParts, pairs: Sequence[tuple[Label, ComposedLabel]]) -> LabelSpace:
    dim = parts.space.vectors.shape[1]
    raw = np.array([composed.vector for _, composed in pairs], dtype=np.float32).reshape(len(pairs), dim)
    return LabelSpace(LabelSet(label for label, _ in pairs), placed(raw, parts.centre))
