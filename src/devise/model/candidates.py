"""Choose the candidate labels: of the model, a file or a subtree, and typed by the user."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from devise.arrays import Int64
from devise.errors import LabelError, UsageError, counted, shortened
from devise.files import read_text
from devise.labels import Label, LabelSet
from devise.model.candidatefile import json_content, read_candidates
from devise.model.classlist import is_foreign_text, json_lines, without_heading
from devise.model.parts import ModelParts
from devise.model.sense_choice import Meanings, spellings_of
from devise.model.typed import (
    TypedLabel,
    asked_name,
    is_id,
    is_synset_like,
    looks_like_id,
    parse_lines,
    user_id,
)
from devise.space.label_vectors import ComposedLabel
from devise.space.labelspace import LabelSpace, placed
from devise.taxonomy.everyday import kinds as kinds_below
from devise.taxonomy.synsets import ID_PATTERN, Synset
from devise.taxonomy.wordnet import Taxonomy
from devise.text.tokens import tokenize

__all__ = [
    "OWN_CANDIDATES",
    "SEVERAL_MEANINGS",
    "Candidates",
    "Kinds",
    "choose_candidates",
    "kinds_of",
    "missing_words",
    "synset_space",
    "with_senses",
]

SEVERAL_MEANINGS = "words have several meanings"
"""End of the note that some words of a list were taken in one of their senses."""

_WITHHOLDING = ("all", "unseen")
_COMMENT = re.compile(r"(?:^|\s)#")

OWN_CANDIDATES = ("all", "seen", "unseen", "typed", "all-nouns")
"""The lists every model has; anything else is a file."""


@dataclass(frozen=True, eq=False, slots=True)
class Kinds:
    """The labels that count for those of a list: each noun of the list means all its kinds.

    space: the model's labels below those of the list, and labels of the list that have none below them. owner: for
        each the position in the list of the label it counts for, which is the nearest one above it.
    """

    space: LabelSpace
    owner: Int64[np.ndarray, "kinds"]


@dataclass(frozen=True, eq=False, slots=True)
class Candidates:
    """The labels to rank, with notes on how they were chosen.

    typed: ids of those typed. words: ids of those that mean their kinds too. kinds: where the labels are a list of
        nouns, what counts for each; None where no noun of the list has kinds.
    """

    space: LabelSpace
    notes: tuple[str, ...] = ()
    typed: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    kinds: Kinds | None = None


@dataclass(frozen=True, eq=False, slots=True)
class _Typed:
    """The typed labels as understood. words: ids of those that mean their kinds too."""

    space: LabelSpace
    notes: tuple[str, ...]
    ids: tuple[str, ...]
    words: tuple[str, ...]


def choose_candidates(
    parts: ModelParts,
    candidates: str = "all",
    *,
    under: str | None = None,
    typed: Sequence[TypedLabel] = (),
    exact: bool = False,
) -> Candidates:
    """Choose the labels to rank.

    candidates: "all", "seen" (the trained labels), "unseen", "typed" (only those in `typed`), "all-nouns", or a file:
        synset ids (a JSON list too, as FILE.json#KEY), or lines of NAME, NAME: DEFINITION or synset ids. Of "all" and
        "unseen" nouns are withheld that should not be an answer to those who did not ask for them: see
        `devise.taxonomy.withheld`. "all-nouns" has them too, and typed labels and files may name them.
    under: keep only what is below this name or id in the taxonomy, in the sense that is meant; typed labels are kept.
    exact: a noun of a list stands for itself alone, not for its kinds; so does an id, always.

    UsageError if nothing is left, LabelError if a label has no vector.
    """
    space, notes, words = _base(parts, candidates)
    if under is not None:
        below, taken = _subtree(parts, under, space.labels, candidates)
        notes = (*notes, taken) if taken else notes
        outside = sum(label.id not in parts.taxonomy for label in space.labels)
        if outside:
            notes = (
                *notes,
                f"left out {counted(outside, 'label')} of {candidates} outside WordNet, so not under {under!r}",
            )
        space = space.subset([i for i, label in enumerate(space.labels) if label.id in below])
        if not len(space.labels) and not typed:
            raise _nothing_under(parts, under, below, candidates)
    ids: tuple[str, ...] = ()
    if typed:
        found = _with_typed(parts, space, typed)
        space, ids = found.space, found.ids
        notes, words = (*notes, *found.notes), (*words, *found.words)
    if not len(space.labels):
        raise UsageError(f"no candidate labels in {candidates!r}: add some")
    listed = candidates == "typed" or candidates not in OWN_CANDIDATES
    kinds = _kinds(parts, space, words) if listed and not exact else None
    return Candidates(space, notes, ids, words, kinds)


def with_senses(taxonomy: Taxonomy, typed: Sequence[TypedLabel], senses: Sequence[str]) -> tuple[TypedLabel, ...]:
    """Set the senses of words to these ids; UsageError for an id that fits no word."""
    chosen = list(typed)
    for text in senses:
        sense = taxonomy.id_in(text)
        fits = [i for i, one in enumerate(chosen) if sense in [found.id for found in taxonomy.find(one.name)]]
        if sense is None or not fits:
            raise UsageError(f"{text} is not a sense of any given word", hint="`devise labels WORD` lists their ids")
        for i in fits:
            chosen[i] = TypedLabel(chosen[i].name, sense)
    return tuple(chosen)


def kinds_of(parts: ModelParts, space: LabelSpace, position: int) -> LabelSpace:
    """Return the model's labels at and below one label of `space`, or itself if there are none."""
    label = space.labels[position]
    below = kinds_below(parts.taxonomy, label.id) if label.id in parts.taxonomy else frozenset[str]()
    own = parts.space.labels
    places = sorted(own.position(one) for one in below if one in own)
    return parts.space.subset(places) if places else space.subset([position])


def synset_space(parts: ModelParts, ids: Sequence[str]) -> LabelSpace:
    """Return labels and vectors of these synsets; compose vectors for those the model lacks."""
    own = parts.space.labels
    missing = [synset_id for synset_id in ids if synset_id not in own]
    made = _composed(parts, missing)
    where = {label.id: len(own) + i for i, label in enumerate(made.labels)}
    full = parts.space.joined(made) if missing else parts.space
    return full.subset([where[i] if i in where else own.position(i) for i in ids])


def _nothing_under(parts: ModelParts, under: str, below: frozenset[str], candidates: str) -> UsageError:
    withheld = sum(one in below for one in parts.withheld) if candidates in _WITHHOLDING else 0
    if withheld:
        message = (
            f"every label under {under!r} is withheld, {withheld:,} in all (docs/people.md): ask for all nouns to "
            "have them"
        )
        return UsageError(message, hint="with --all-nouns")
    return UsageError(f"no candidate label is under {under!r}: give a wider name, or use all labels as candidates")


def _base(parts: ModelParts, candidates: str) -> tuple[LabelSpace, tuple[str, ...], tuple[str, ...]]:
    """Return labels, notes, and the ids of those that mean their kinds."""
    own = parts.space
    match candidates:
        case "all":
            return parts.answerable, (), ()
        case "all-nouns":
            return own, (), ()
        case "seen":
            return own.subset(np.flatnonzero(own.labels.seen)), (), ()
        case "unseen":
            places = parts.answerable_places
            return own.subset(places[~own.labels.seen[places]]), (), ()
        case "typed":
            return own.subset([]), (), ()
    return _from_file(parts, candidates)


def _from_file(parts: ModelParts, spec: str) -> tuple[LabelSpace, tuple[str, ...], tuple[str, ...]]:
    json_list = re.fullmatch(r"(.*?\.json)(#.*)?", spec, re.IGNORECASE | re.DOTALL)
    path = Path(json_list[1] if json_list else spec)
    if not path.is_file():
        raise UsageError(
            f"candidates must be one of {', '.join(OWN_CANDIDATES)} or a file of labels, but there is no file {path}"
        )
    if json_list:
        return _from_json(parts, spec, path)
    if path.suffix.lower() in (".yaml", ".yml"):
        raise UsageError(f"{path.name} is YAML: write one label per line into a text file, or a list into .json")
    try:
        text = read_text(path, UsageError, f"the label file {path}")
    except OSError as error:
        raise UsageError(f"the label file {path} cannot be read: {error.strerror}") from None
    if is_foreign_text(text):
        raise UsageError(f"{path.name} is not a list of labels: write one per line, or save JSON as .json")
    lines = [one for line in re.split(r"[\n\x85\u2028\u2029]", text) if (one := _COMMENT.split(line)[0]).strip()]
    lines, heading = without_heading(lines)
    read = "is read as a label: delete it if it is a heading" if heading in lines else "is a heading: left out"
    notes = (f"{path.name}: the first line, {heading!r}, {read}",) if heading else ()
    return _of_lines(parts, lines, path.name, notes)


def _from_json(parts: ModelParts, spec: str, path: Path) -> tuple[LabelSpace, tuple[str, ...], tuple[str, ...]]:
    """Read a list of ids as `read_candidates` does, or class names as other tools write them."""
    lines = json_lines(json_content(spec))
    if lines is not None and not all(ID_PATTERN.fullmatch(line.partition(" ")[0]) for line in lines):
        return _of_lines(parts, lines, path.name, ())
    listed = read_candidates(spec, parts.taxonomy)
    doubled = (
        (f"{counted(listed.duplicates, 'duplicate label')} in {spec}: each is listed once",)
        if listed.duplicates
        else ()
    )
    return synset_space(parts, listed.ids), doubled, ()


def _of_lines(
    parts: ModelParts, lines: Sequence[str], source: str, notes: tuple[str, ...]
) -> tuple[LabelSpace, tuple[str, ...], tuple[str, ...]]:
    try:
        labels = parse_lines(lines)
        if len(labels) == 1 and (listed := _list_in(parts, labels[0])):
            labels = listed
        found = _with_typed(parts, parts.space.subset([]), labels)
    except (LabelError, UsageError) as error:
        raise type(error)(f"{source}: {error}") from None
    return found.space, (*notes, *found.notes), found.words


def _list_in(parts: ModelParts, label: TypedLabel) -> tuple[TypedLabel, ...]:
    """Split a line that lists several nouns of different synsets; else return none."""
    names = [name.strip() for name in re.split("[,;]", label.name) if name.strip()]
    whole = label.definition or len(names) < 2 or _one_synset(parts, TypedLabel(",".join(names))).definition
    return () if whole or not all(map(parts.taxonomy.find, names)) else parse_lines(names)


def _subtree(parts: ModelParts, name: str, among: LabelSet, candidates: str) -> tuple[frozenset[str], str]:
    """Return all kinds of the most probable sense with labels among them, and a note on it; of an id its subtree.

    Withheld labels count, so that a name means the same with them and without.
    """
    withheld = parts.withheld if candidates in _WITHHOLDING else {}
    name = asked_name(name)
    _require_known_id(parts, name)
    meaning = Meanings(parts).of(name)
    if meaning is None:
        raise UsageError(f"under needs a noun of WordNet or its id, got {name!r}: try a more common word")
    below_sense = parts.taxonomy.subtree if parts.taxonomy.id_in(name) else partial(kinds_below, parts.taxonomy)
    for sense in meaning.senses:
        below = below_sense(sense.id)
        if any(one in among or one in withheld for one in below):
            return below, meaning.note if sense is meaning.chosen else f"{name}: {sense.definition}"
    return below_sense(meaning.chosen.id), ""


def _kinds(parts: ModelParts, space: LabelSpace, words: Iterable[str]) -> Kinds | None:
    """Return the labels that count for each label of a list; None if only themselves do.

    words: ids of the nouns that mean their kinds. Widest first, so that a nearer noun overrides a wider one.
    """
    own, labels = parts.space.labels, space.labels
    below = {one: kinds_below(parts.taxonomy, one) for one in words if one in labels}
    owner: dict[str, int] = {}
    for one in sorted(below, key=lambda one: -len(below[one])):
        place = labels.position(one)
        owner.update((kind, place) for kind in below[one] if kind in own)
    more = sorted(own.position(kind) for kind in owner if kind not in labels)
    if not more:
        return None
    kinds = parts.space.subset(more)
    whole = {owner[kind] for kind in kinds.labels.ids}
    alone = [place for place, one in enumerate(labels.ids) if one in own or place not in whole]
    owners = [*alone, *(owner[kind] for kind in kinds.labels.ids)]
    return Kinds(space.subset(alone).joined(kinds), np.array(owners, dtype=np.int64))


def _with_typed(parts: ModelParts, space: LabelSpace, typed: Iterable[TypedLabel]) -> _Typed:
    """Join the labels of `space` and the typed ones, under their typed names.

    A name that WordNet knows means the sense that `Meanings` chooses, and its kinds; an id means itself.
    """
    notes: list[str] = []
    twice: list[str] = []
    known: dict[str, str] = {}
    words: list[str] = []
    meanings, several, count = Meanings(parts), [], 0
    fresh: list[tuple[Label, ComposedLabel]] = []
    listed: Synset | None = None
    for given in typed:
        count += 1
        if listed is not None and not given.definition and given.name in listed.lemmas:
            continue  # "n02129165 lion, king of beasts": one more name of the same
        listed = None
        label = _one_synset(parts, given)
        sense_id = _given_id(parts, label)
        if sense_id is not None and label.definition:
            listed = parts.taxonomy.synset(sense_id)
        meaning = meanings.of(sense_id or label.name) if sense_id or not label.definition else None
        if meaning is not None:
            sense = meaning.chosen.id
            if sense in known:
                twice.append(f"{known[sense]!r} and {label.name!r} are the same label, {sense}: kept once")
                continue
            if sense_id is None and looks_like_id(label.name):
                notes.append(f"{label.name!r} looks like a number: read as {meaning.chosen.definition!r}")
            bare = sense_id is not None and not label.definition
            known[sense] = meaning.chosen.name if bare else label.name
            words += [] if bare else [sense]
            several += [meaning.note] if meaning.note else []
            continue
        if user_id(label.name) in space.labels:
            notes.append(f"{label.name!r} is also in the label file: the one of the file is kept")
            continue
        kinds = meanings.kinds_of(label.name, label.definition)
        composed = parts.composer.typed(label.name, label.definition, kinds)
        if composed.source == "none":
            name = shortened(label.name, 80)
            raise LabelError(
                f"unknown label {name!r}: none of its words has a vector{spellings_of(parts.taxonomy, label.name)}: "
                f"check the spelling, or add a definition, as in '{name}: a kind of ...'"
            )
        if looks_like_id(label.name):
            notes.append(f"{label.name!r} looks like an id, an address or a number: read as the words in it")
        elif _is_row(parts, label):
            notes.append(f"{label.name!r} names several things: read as one label of all its words")
        fresh.append(
            (Label(user_id(label.name), label.name, label.definition, parts.untrained, composed.source), composed)
        )
    notes += [twice[0] + (f"; {len(twice) - 1} more like this" if len(twice) > 1 else "")] if twice else []
    notes += [*_lacking(parts, fresh), *_several(several, count)]
    added = synset_space(parts, [synset_id for synset_id in known if synset_id not in space.labels])
    space = space.joined(added) if len(added.labels) else space
    space = space.named(space.labels.renamed(known)) if known else space
    ids = (*known, *(label.id for label, _ in fresh))
    space = space.joined(_space_of(parts, fresh)) if fresh else space
    return _Typed(space, tuple(notes), ids, tuple(words))


def _lacking(parts: ModelParts, fresh: Iterable[tuple[Label, ComposedLabel]]) -> Iterator[str]:
    """Yield a note if labels have words without a vector, and no definition to make up for them."""
    pairs = ((label, missing_words(parts, label.name)) for label, made in fresh if made.source == "parts")
    found = [(label.name, missing) for label, missing in pairs if missing and not label.gloss]
    for name, missing in found[:1]:
        more = f"; {len(found) - 1} more like this" if len(found) > 1 else ""
        yield f"{name!r} is read without {', '.join(missing)}: no vector{more}"


def missing_words(parts: ModelParts, name: str) -> tuple[str, ...]:
    """Return the words of a name that have no vector; none for a model whose text tower reads all."""
    words = dict.fromkeys(tokenize(name.replace("-", " ")))
    return () if parts.has_tower else parts.words.missing(words)


def _is_row(parts: ModelParts, label: TypedLabel) -> bool:
    """Whether a label is the cells of a table's row, each a noun of its own."""
    cells = re.split(r"[,;|]", label.name)
    return len(cells) > 1 and not label.definition and all(parts.taxonomy.find(cell) for cell in cells)


def _given_id(parts: ModelParts, label: TypedLabel) -> str | None:
    """Return the id given as a label's definition or name; None if there is none."""
    text = label.definition if is_id(label.definition) else label.name
    _require_known_id(parts, text)
    return parts.taxonomy.id_in(text)


def _one_synset(parts: ModelParts, label: TypedLabel) -> TypedLabel:
    """Return the label; names of one synset ("lion, king of beasts"), as in class lists, get its id."""
    terms = [term for term in label.name.split(",") if term.strip()]
    if len(terms) < 2 or label.definition:
        return label
    senses = [[sense.id for sense in parts.taxonomy.find(term)] for term in terms]
    shared = [one for one in senses[0] if all(one in others for others in senses[1:])]
    return TypedLabel(label.name, shared[0]) if shared else label


def _require_known_id(parts: ModelParts, text: str) -> None:
    if is_synset_like(text) and parts.taxonomy.id_in(text) is None:
        raise LabelError(
            f"{text!r} looks like the id of a synset, but WordNet 3.0 has no such noun: give a name, or an id like "
            "n02129165 or lion.n.01"
        )


def _several(notes: Sequence[str], count: int) -> list[str]:
    """Note the senses chosen for ambiguous words: as text for one, as a count for more."""
    if len(notes) < 2:
        return list(notes)
    return [f"{len(notes)} of {count} {SEVERAL_MEANINGS}"]


def _composed(parts: ModelParts, ids: Sequence[str]) -> LabelSpace:
    pairs = []
    for synset_id in ids:
        synset = parts.taxonomy.synset(synset_id)
        composed = parts.composer.synset(synset_id)
        pairs.append((Label(synset_id, synset.name, synset.definition, parts.untrained, composed.source), composed))
    return _space_of(parts, pairs)


def _space_of(parts: ModelParts, pairs: Sequence[tuple[Label, ComposedLabel]]) -> LabelSpace:
    raw = np.array([composed.vector for _, composed in pairs], dtype=np.float32).reshape(len(pairs), len(parts.centre))
    return LabelSpace(LabelSet(label for label, _ in pairs), placed(raw, parts.centre))
