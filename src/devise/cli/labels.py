"""devise labels: look up labels of the model, and compare two."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devise.cli.app import app
from devise.cli.options import AllNounsOption, LangOption, ModelOption
from devise.cli.terminal import tell
from devise.errors import counted

if TYPE_CHECKING:
    from devise.model.parts import ModelParts

__all__ = ["labels"]


@app.command()
def labels(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="A noun, a plural or a synset id; any other words, or 'NAME: DEFINITION', also work.",
            show_default=False,
        ),
    ] = None,
    other: Annotated[
        str | None,
        typer.Argument(metavar="OTHER", help="A second name, to compare with the first.", show_default=False),
    ] = None,
    sense: Annotated[
        str | None,
        typer.Option(
            help="Id of the sense whose nearest labels are listed. [default: the most probable, listed first]",
            show_default=False,
        ),
    ] = None,
    top: Annotated[int, typer.Option("--top", "-k", help="Most nearest labels, or pairs, to list.")] = 10,
    pairs: Annotated[
        bool,
        typer.Option("--pairs", help="List trained classes that look alike but differ in meaning, and the reverse."),
    ] = False,
    tree: Annotated[
        Path | None,
        typer.Option(
            "--tree",
            metavar="FILE.svg",
            help="Draw a WordNet tree to this file instead: the --top best-known kinds of one name, or two names.",
            show_default=False,
        ),
    ] = None,
    all_nouns: AllNounsOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    lang: LangOption = None,
    model: ModelOption = None,
) -> None:
    """Look up a name: its senses and nearest labels. With two names, compare them; with none, count the labels.

    Examples: devise labels 'snow leopard'; devise labels mouse --sense n03793489; devise labels guitar harp.
    """
    from devise.errors import UsageError
    from devise.model.parts import ModelParts

    if top < 1:
        raise UsageError(f"--top must be at least 1, got {top}")
    if pairs and name is not None:
        raise UsageError(f"--pairs does not take a name, got {name!r}: leave out one of them")
    if sense is not None and (name is None or other is not None):
        raise UsageError("--sense needs exactly one name: to compare two senses, give their ids as names")
    if tree is not None and (name is None or pairs or as_json):
        raise UsageError("--tree needs one or two names, without --pairs and --json")
    parts = ModelParts.open(model, language=lang)
    if parts.language_note:
        tell(parts.language_note)
    if tree is not None:
        _draw(parts, [one for one in (name, other) if one is not None], sense, top, tree, all_nouns=all_nouns)
    elif pairs:
        _pairs(parts, top, as_json)
    elif name is None:
        _count(parts, as_json)
    elif other is None:
        _look_up(parts, name, sense, top, all_nouns=all_nouns, as_json=as_json)
    else:
        _compare(parts, name, other, as_json)


def _draw(parts: "ModelParts", names: list[str], sense: str | None, top: int, path: Path, *, all_nouns: bool) -> None:
    from devise.cli.output import check_output
    from devise.errors import LabelError
    from devise.files import atomic_write
    from devise.meaning.senses import ask
    from devise.pages.tree import Leaf, drawn

    check_output(path, "--tree", "tree.svg")
    chosen = [ask(parts, name, sense) for name in names]
    strange = next((one.chosen.name for one in chosen if not one.in_wordnet), None)
    if strange is not None:
        raise LabelError(f"WordNet has no noun {strange!r}, so the tree cannot show it: give another name")
    ids = [one.chosen.id for one in chosen]
    taxonomy, labels = parts.taxonomy, parts.space.labels
    among = labels if all_nouns else parts.answerable.labels
    if len(ids) == 1:
        below = [one for one in taxonomy.subtree(ids[0]) if one in among and one != ids[0]]
        known = parts.standing
        order = (lambda one: (0.0, one)) if known is None else (lambda one: (-float(known[labels.position(one)]), one))
        ids = sorted(below, key=order)[:top] or ids
    leaves = [Leaf(taxonomy.hypernym_paths(one)[0]) for one in ids]
    with atomic_write(path) as file:
        file.write(drawn(taxonomy, leaves, {}, " and ".join(names)))
    tell(f"tree of {counted(len(ids), 'name')}: {path.absolute()}")


def _look_up(parts: "ModelParts", name: str, sense: str | None, top: int, *, all_nouns: bool, as_json: bool) -> None:
    from devise.cli import labels_output as output
    from devise.meaning.relations import nearest_labels
    from devise.meaning.senses import ask

    asked = ask(parts, name, sense)
    nearest = nearest_labels(parts, asked, top, all_nouns=all_nouns)
    if as_json:
        output.print_json(output.lookup_record(asked, nearest))
    else:
        output.print_lookup(asked, nearest)


def _compare(parts: "ModelParts", name: str, other: str, as_json: bool) -> None:
    from devise.cli import labels_output as output
    from devise.meaning.relations import relation, trained_below
    from devise.meaning.senses import ask

    both = ask(parts, name), ask(parts, other)
    found = relation(parts, *both)
    if parts.taxonomy.find(f"{name} {other}"):
        tell(f"these are two names; write '{name} {other}' in quotes for one name")
    if as_json:
        output.print_json(output.relation_record(both, found))
    else:
        untrained = {one.id: trained_below(parts, one) for one in (found.one, found.other) if not one.seen}
        output.print_relation(both, found, untrained)


def _pairs(parts: "ModelParts", top: int, as_json: bool) -> None:
    from devise.cli import labels_output as output
    from devise.meaning.relations import contrasting_pairs

    found = contrasting_pairs(parts, top)
    if as_json:
        output.print_json(output.pairs_record(found))
    else:
        output.print_pairs(found)


def _count(parts: "ModelParts", as_json: bool) -> None:
    from devise.cli import labels_output as output
    from devise.meaning.senses import coverage

    facts = parts.bundle.manifest
    counts = coverage(parts.bundle.labels)
    if as_json:
        output.print_json(output.counts_record(facts.name, counts, parts.withheld_counts))
    else:
        output.print_counts(facts, counts, parts.withheld_counts)
