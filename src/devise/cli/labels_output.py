"""Labels and their relations, as text and as JSON."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from devise.bundle.manifest import Manifest
from devise.cli.printing import columns, facts, indented, page, plain
from devise.errors import counted
from devise.labels import TOWER, Label, VectorSource
from devise.meaning.relations import ContrastingPair, ContrastingPairs, Nearest, Neighbour, Relation, Similarity
from devise.meaning.senses import VECTOR_FROM, Asked, Sense
from devise.space.texttower import TEXT_POLICY
from devise.taxonomy.synsets import Synset
from devise.taxonomy.withheld import Reason

__all__ = [
    "WITHHELD_AS",
    "counts_record",
    "lookup_record",
    "pairs_record",
    "print_counts",
    "print_json",
    "print_lookup",
    "print_pairs",
    "print_relation",
    "relation_record",
    "withheld_in_words",
]

_Counts = Mapping[VectorSource, tuple[int, int]]

WITHHELD_AS: dict[Reason, str] = {
    "people": "a kind of person that no photo shows",
    "names": "its name insults",
    "unseen": "no photo shows it",
}
"""Reasons why a noun is withheld."""
_WITHHELD_MANY = {"people": "kinds of person", "names": "names that insult", "unseen": "things that no photo shows"}

_STAR = "* a label no training photo carried"
_NAMED = 3


def print_json(record: Mapping[str, Any]) -> None:
    """Print indented JSON in ASCII, for any terminal and file."""
    print(json.dumps(record, indent=1))


# One name.


def print_lookup(asked: Asked, nearest: Nearest) -> None:
    """Print the senses, then the nearest labels of the chosen one."""
    blocks: list[RenderableType] = [plain(note, "yellow") for note in asked.notes]
    if asked.in_wordnet:
        for sense in asked.senses:
            blocks += _sense_block(sense)
    chosen = asked.chosen
    called = f"{chosen.name} ({chosen.id})" if asked.in_wordnet else chosen.name
    if not nearest.labels:
        blocks += [Text(), plain(f"{called} has no vector, so no nearest labels")]
    else:
        blocks += [Text(), plain(f"nearest labels to {called}, by cosine", "bold"), _table(nearest.labels)]
        if nearest.trained:
            blocks += [Text(), plain("nearest trained labels", "bold"), _table(nearest.trained)]
        if any(one.label.seen is False for one in nearest.labels):
            blocks += [plain(_STAR, "dim")]
    page(blocks)


def lookup_record(asked: Asked, nearest: Nearest) -> dict[str, Any]:
    """Return a record for JSON."""
    trained = {"nearest_trained": [_neighbour_record(one) for one in nearest.trained]}
    return {
        "name": asked.name,
        "in_wordnet": asked.in_wordnet,
        "notes": list(asked.notes),
        "senses": [_sense_record(sense) for sense in asked.senses],
        "chosen": asked.chosen.id,
        "nearest": [_neighbour_record(one) for one in nearest.labels],
        **({} if asked.chosen.seen is None else trained),
    }


def _sense_block(sense: Sense) -> Iterator[RenderableType]:
    yield _headed(", ".join(sense.terms), sense.id)
    ways = f" (one of {sense.ways} ways)" if sense.ways > 1 else ""
    yield indented(plain(sense.gloss), plain(" > ".join(sense.path) + ways, "dim"), plain(_standing(sense), "dim"))


def _headed(name: str, remark: str) -> Text:
    return Text.assemble(plain(name, "bold"), plain(f"  {remark}" if remark else "", "dim"), overflow="fold")


def _standing(sense: Sense) -> str:
    if not sense.in_model:
        known = "not among the model's labels"
    elif sense.seen is None:
        known = "a label of the model"
    else:
        known = f"{'a trained' if sense.seen else 'an untrained'} label of the model"
    known += f"; withheld unless requested ({WITHHELD_AS[sense.withheld]})" if sense.withheld else ""
    if sense.source is None:
        return known
    return f"{known}; vector from {TOWER if sense.seen is None else VECTOR_FROM[sense.source]}"


def _table(near: Iterable[Neighbour]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(no_wrap=True, style="dim")
    table.add_column(style="dim")
    for one in near:
        name = plain(one.label.name) + Text(" *" if one.label.seen is False else "", style="cyan")
        gloss = Text(one.label.gloss, no_wrap=True, overflow="ellipsis")
        table.add_row(_number(one.cosine), name, one.label.id, gloss)
    return table


# Two names.


def print_relation(both: Sequence[Asked], found: Relation, untrained: Mapping[str, Sequence[str]]) -> None:
    """Print the two senses and their relation. untrained: the trained labels below each untrained one."""
    blocks: list[RenderableType] = []
    for asked in both:
        blocks += [plain(note, "yellow") for note in asked.notes]
        sense = asked.chosen
        blocks += [_headed(sense.name, sense.id if asked.in_wordnet else "")]
        blocks += [indented(plain(line)) for line in (sense.gloss, _others(asked)) if line]
    missing = "; ".join(_untrained(one, untrained[one.id]) for one in (found.one, found.other) if one.id in untrained)
    looks = f"not trained: no visual similarity ({missing})"
    if found.visual is not None:
        looks = _alike(found.visual)
        if found.predicted:
            looks = f"{_alike(found.visual, 'pairs of labels')}; predicted, because not trained: {missing}"
    rows = [
        *([] if found.one.seen is None else [("looks", looks)]),
        ("meaning", _alike(found.semantic) if found.semantic else "no vector: no semantic similarity"),
        ("in the tree", _apart(found.edges, found.ancestor)),
    ]
    page([*blocks, Text(), facts(rows)])


def relation_record(both: Sequence[Asked], found: Relation) -> dict[str, Any]:
    """Return a record for JSON; a missing similarity is null."""
    visual = {"visual": _similarity_record(found.visual), "visual_is_predicted": found.predicted}
    return {
        "notes": [note for asked in both for note in asked.notes],
        "one": _sense_record(found.one),
        "other": _sense_record(found.other),
        **({} if found.one.seen is None else visual),
        "semantic": _similarity_record(found.semantic),
        **_tree_record(found),
    }


def _others(asked: Asked) -> str:
    if len(asked.senses) < 2:
        return ""
    return (
        f"1 of {counted(len(asked.senses), 'sense')}: list them with devise labels {asked.name!r}, "
        "choose another by its id"
    )


def _untrained(sense: Sense, below: Sequence[str]) -> str:
    if not below:
        return sense.name
    rest = f" and {len(below) - _NAMED} more" if len(below) > _NAMED else ""
    return f"{sense.name}; trained labels below it: {', '.join(below[:_NAMED])}{rest}"


def _alike(similarity: Similarity, among: str = "all pairs of trained labels") -> str:
    if similarity.above is None:
        return _number(similarity.cosine)
    return f"{_number(similarity.cosine)}, above {_share(similarity.above)} of {among}"


def _apart(edges: int | None, ancestor: Synset | None) -> str:
    if edges is None:
        return "not both in WordNet: no distance"
    over = f", lowest common ancestor: {ancestor.name} ({ancestor.id})" if ancestor else ", no common ancestor"
    return f"{edges} {'edge' if edges == 1 else 'edges'} apart{over}"


# Pairs.


def print_pairs(found: ContrastingPairs) -> None:
    """Print the two tables."""
    page(
        [
            plain("look alike, differ in meaning", "bold"),
            _pair_table(found.look_alike),
            Text(),
            plain("alike in meaning, look different", "bold"),
            _pair_table(found.mean_alike),
            Text(),
            plain(
                "looks: cosine of two classifier rows minus the mean row (labels that share photos are alike too); "
                "meaning: cosine of two label vectors; in brackets: the share of all pairs of trained labels that "
                "are less alike; ancestor: the lowest common ancestor, with the edges between the two labels in "
                "brackets",
                "dim",
            ),
        ]
    )


def pairs_record(found: ContrastingPairs) -> dict[str, Any]:
    """Return a record for JSON."""
    return {
        "look_alike": [_pair_record(pair) for pair in found.look_alike],
        "mean_alike": [_pair_record(pair) for pair in found.mean_alike],
    }


def _pair_table(pairs: Sequence[ContrastingPair]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in ("looks", "meaning"):
        table.add_column(head, justify="right", overflow="fold")
    table.add_column("labels", overflow="fold")
    table.add_column("ancestor", overflow="fold", style="dim")
    names = [label.name for pair in pairs for label in (pair.one, pair.other)]
    for pair in pairs:
        called = " / ".join(_called(label, names) for label in (pair.one, pair.other))
        ancestor = f"{pair.ancestor.name} ({pair.edges})" if pair.ancestor else "none"
        table.add_row(_bracketed(pair.visual), _bracketed(pair.semantic), plain(called), plain(ancestor))
    return table


def _called(label: Label, names: Sequence[str]) -> str:
    return f"{label.name} ({label.id})" if names.count(label.name) > 1 else label.name


def _bracketed(similarity: Similarity) -> str:
    return _number(similarity.cosine) + ("" if similarity.above is None else f" ({_share(similarity.above)})")


# Counts.


def withheld_in_words(withheld: Mapping[Reason, int]) -> str:
    """Describe how many nouns are withheld unless requested, by reason.

    >>> withheld_in_words({"people": 2, "names": 1, "unseen": 0})
    '3 (2 kinds of person, 1 name that insults, 0 things that no photo shows)'
    """
    one = {"names": "name that insults"} if withheld["names"] == 1 else {}
    listed = ", ".join(f"{count:,} {(_WITHHELD_MANY | one)[reason]}" for reason, count in withheld.items())
    return f"{sum(withheld.values()):,} ({listed})"


def print_counts(model: Manifest, counts: _Counts, withheld: Mapping[Reason, int]) -> None:
    """Print the labels by source of their vectors, how many are withheld, and commands to try next."""
    trained, others = (sum(pair[side] for pair in counts.values()) for side in (0, 1))
    rows = [
        (VECTOR_FROM[source], *(f"{count:,}" for count in (pair if trained else pair[1:])))
        for source, pair in counts.items()
    ]
    if model.label_policy.name == TEXT_POLICY:
        rows = [(TOWER, f"{others:,}")]
    heads = ("trained", "others") if trained else ("labels",)
    table = columns(("vector from", *heads), rows, right={1, 2})
    how_many = f": {trained:,} trained, {others:,} without training photos" if trained else ""
    page(
        [
            plain(
                f"{trained + others:,} labels{how_many}; vectors of {model.label_space.dim} numbers, policy "
                f"{model.label_policy.name}"
            ),
            Text(),
            table,
            Text(),
            plain(
                f"withheld unless requested: {withheld_in_words(withheld)}; --all-nouns adds them, see docs/people.md"
            ),
            Text(),
            plain("look up a name: devise labels 'snow leopard'; compare two: devise labels guitar harp", "dim"),
        ]
    )


def counts_record(name: str, counts: _Counts, withheld: Mapping[Reason, int]) -> dict[str, Any]:
    """Return a record for JSON."""
    trained, others = (sum(pair[side] for pair in counts.values()) for side in (0, 1))
    return {
        "model": name,
        "labels": trained + others,
        "trained": trained,
        "withheld": dict(withheld),
        "vector_sources": {source: {"trained": pair[0], "others": pair[1]} for source, pair in counts.items()},
    }


# Pieces.


def _sense_record(sense: Sense) -> dict[str, Any]:
    left_out = ("seen",) if sense.seen is None else ()
    return {name: value for name, value in asdict(sense).items() if name not in left_out}


def _neighbour_record(one: Neighbour) -> dict[str, Any]:
    return {"cosine": round(one.cosine, 6), **one.label.to_dict()}


def _similarity_record(similarity: Similarity | None) -> dict[str, Any] | None:
    if similarity is None:
        return None
    above = None if similarity.above is None else round(similarity.above, 6)
    return {"cosine": round(similarity.cosine, 6), "above_share_of_trained_pairs": above}


def _pair_record(pair: ContrastingPair) -> dict[str, Any]:
    return {
        "one": asdict(pair.one),
        "other": asdict(pair.other),
        "visual": _similarity_record(pair.visual),
        "semantic": _similarity_record(pair.semantic),
        **_tree_record(pair),
    }


def _tree_record(found: Relation | ContrastingPair) -> dict[str, Any]:
    ancestor = found.ancestor
    return {
        "edges": found.edges,
        "common_ancestor": None if ancestor is None else {"id": ancestor.id, "name": ancestor.name},
    }


def _number(cosine: float) -> str:
    """Format with three decimals, never as a negative zero."""
    return f"{round(cosine, 3) + 0.0:.3f}"


def _share(share: float) -> str:
    """Format as a percentage, rounded down: only 1 gives 100.0 %."""
    return f"{int(1000 * share) / 10:.1f} %"
