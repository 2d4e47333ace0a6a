"""Protocols by name: candidate labels and test classes."""

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from devise.errors import LabelError, UsageError, counted
from devise.files import parse_json, read_text, reason_of
from devise.model.candidatefile import read_candidates
from devise.taxonomy.wordnet import Taxonomy

__all__ = ["PROTOCOLS", "Protocol", "ProtocolFiles", "choose_protocol", "hops_away", "read_counts"]

PROTOCOLS = ("seen", "2-hops", "3-hops", "imagenet-all", "most-N", "least-N", "test-classes")
"""Their names; all but the first also with "+1K", the trained labels as candidates and test classes too."""

_LISTS = {"2-hops": "2-hops", "3-hops": "3-hops", "imagenet-all": "all"}
_EDGES = {"2-hops": 1, "3-hops": 2}


@dataclass(frozen=True, slots=True)
class Protocol:
    """Candidates and test classes.

    name: as asked. candidates: in the order of ranking. classes: photos of other classes are left out.
    source: where the classes come from, in words. left_out: entries of the lists that were, by reason.
    """

    name: str
    candidates: tuple[str, ...]
    classes: frozenset[str]
    source: str
    left_out: dict[str, int]


@dataclass(frozen=True, slots=True)
class ProtocolFiles:
    """Files a protocol is read from.

    splits: a JSON object of synset lists, "2-hops", "3-hops" and "all". counts: see `read_counts`.
    """

    splits: Path | None = None
    counts: Path | None = None


def choose_protocol(
    name: str, trained: Sequence[str], taxonomy: Taxonomy, photographed: Sequence[str], files: ProtocolFiles
) -> Protocol:
    """The protocol of a name, see `PROTOCOLS`.

    trained: the labels the model was trained on; they are taken out of every other list, and counted.
    photographed: the classes of the photos, of which "test-classes" takes those that are not trained.

    Without a split file "2-hops" and "3-hops" are what `hops_away` gives. UsageError for an unknown name, or one
    that needs a file which is not given.
    """
    base, plus, _ = name.partition("+1K")
    if name not in (base, f"{base}+1K") or (base == "seen" and plus):
        raise UsageError(f"no protocol {name!r}: use one of {', '.join(PROTOCOLS)}, all but the first also as NAME+1K")
    if base == "seen":
        return Protocol(name, tuple(trained), frozenset(trained), "the trained labels", {})
    listed, source, left_out = _listed(base, trained, taxonomy, photographed, files)
    known = frozenset(trained)
    others = tuple(one for one in listed if one not in known)
    if not others:
        raise UsageError(f"{source} names only trained classes: expected at least one other")
    left_out = left_out | {"a class of the protocol that the model was trained on": len(listed) - len(others)}
    left_out = {reason: count for reason, count in left_out.items() if count}
    if not plus:
        return Protocol(name, others, frozenset(others), source, left_out)
    return Protocol(name, (*others, *trained), frozenset(others) | known, f"{source}, and the trained labels", left_out)


def hops_away(taxonomy: Taxonomy, trained: Sequence[str], hops: int) -> tuple[str, ...]:
    """Compute a hop set: synsets at most hops - 1 is-a edges from a trained one.

    Edges are undirected, instances are not classes, the trained labels are left out; ascending. The published lists
    contain only synsets that ImageNet has photos of, and "3-hops" others as well (see docs/evaluation.md).
    """
    if hops < 2:
        raise UsageError(f"hops start at 2, got {hops}")
    known = frozenset(trained)
    return tuple(one for one in taxonomy.near(trained, hops - 1) if one not in known and not taxonomy.is_instance(one))


def read_counts(path: Path, known: Container[str]) -> dict[str, int]:
    """Read the number of photos per class: a JSON object from synset id to number, or lines of "id number".

    UsageError for a missing file; LabelError for one of another form, an id that is a duplicate or not known.
    """
    try:
        text = read_text(path, LabelError, path.name)
        pairs = _json_counts(text) if path.suffix.lower() == ".json" else _line_counts(text)
        counts: dict[str, int] = {}
        for one, count in pairs:
            if one not in known or one in counts or count < 0:
                raise ValueError(f"{one} {count}: unknown, duplicate, or below 0")
            counts[one] = count
    except OSError as error:
        raise UsageError(f"no file of counts at {path}: {error.strerror}") from None
    except ValueError as error:
        got = reason_of(error)
        raise LabelError(f"{path.name}: expected a synset id and a number per line, got {got}: correct it") from None
    return counts


def _listed(
    base: str, trained: Sequence[str], taxonomy: Taxonomy, photographed: Sequence[str], files: ProtocolFiles
) -> tuple[tuple[str, ...], str, dict[str, int]]:
    """List the classes of a protocol, their source, and what was left out."""
    populated = re.fullmatch(r"(most|least)-(\d{1,6})", base, re.ASCII)
    if populated:
        return _populated(populated[1] == "most", int(populated[2]), trained, taxonomy, files)
    if base == "test-classes":
        return tuple(sorted(set(photographed))), "the classes of the photos", {}
    if base not in _LISTS:
        raise UsageError(f"no protocol {base!r}: use one of {', '.join(PROTOCOLS)}, all but the first also as NAME+1K")
    if files.splits is not None:
        read = read_candidates(f"{files.splits}#{_LISTS[base]}", taxonomy)
        return read.ids, read.source, {"a duplicate class in the split file": read.duplicates}
    if base not in _EDGES:
        raise UsageError(f"{base} is a published list: give a file that contains it with --splits")
    edges = _EDGES[base]
    return hops_away(taxonomy, trained, edges + 1), f"WordNet, {edges} is-a edges or fewer from a trained label", {}


def _populated(
    most: bool, number: int, trained: Sequence[str], taxonomy: Taxonomy, files: ProtocolFiles
) -> tuple[tuple[str, ...], str, dict[str, int]]:
    """Choose the classes with most or fewest photos, ties by id; from the split file's "all" if there is one."""
    if files.counts is None:
        raise UsageError("the most and least populated classes need a file of counts: give it with --counts")
    counts = read_counts(files.counts, taxonomy)
    among = None if files.splits is None else set(read_candidates(f"{files.splits}#all", taxonomy).ids)
    known = frozenset(trained)
    kept = [one for one in sorted(counts) if one not in known and (among is None or one in among)]
    if not 1 <= number <= len(kept):
        raise UsageError(
            f"{counted(number, 'class')} were requested, but {files.counts.name} has {len(kept)} that are not trained"
        )
    kept.sort(key=lambda one: -counts[one] if most else counts[one])
    words = f"the {number:,} {'most' if most else 'least'} populated classes of {files.counts.name}"
    return tuple(kept[:number]), words, {}


def _json_counts(text: str) -> list[tuple[str, int]]:
    content = parse_json(text, object_pairs_hook=list)
    if not isinstance(content, list) or not all(isinstance(pair, tuple) and type(pair[1]) is int for pair in content):
        raise ValueError("another form of JSON")
    return content


def _line_counts(text: str) -> list[tuple[str, int]]:
    pairs = []
    for line in text.split("\n"):
        words = re.split(r"[\s,;]+", line.partition("#")[0].strip())
        if words == [""]:
            continue
        if len(words) != 2:
            raise ValueError(repr(line))
        pairs.append((words[0], int(words[1])))
    return pairs
