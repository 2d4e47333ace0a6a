"""devise text neighbors: list the nearest words and labels of a name."""

from typing import TYPE_CHECKING, Annotated

import typer

from devise.cli.options import LabelPolicyOption, LabelVectorsOption, ModelOption, OnBadOption
from devise.cli.terminal import tell
from devise.cli.text import text

if TYPE_CHECKING:
    from devise.cli.text.neighbors_output import Near
    from devise.model.parts import ModelParts

__all__ = ["neighbors"]


@text.command(no_args_is_help=True)
def neighbors(
    names: Annotated[
        list[str], typer.Argument(metavar="NAMES...", help="Words, phrases or synset ids.", show_default=False)
    ],
    top: Annotated[int, typer.Option("--top", "-k", min=1, help="Number of words, and of labels.")] = 10,
    words: Annotated[bool, typer.Option("--words", help="List only words.")] = False,
    labels: Annotated[bool, typer.Option("--labels", help="List only labels.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    label_vectors: LabelVectorsOption = None,
    on_bad: OnBadOption = "error",
    label_policy: LabelPolicyOption = None,
    model: ModelOption = None,
) -> None:
    """List the nearest words and the nearest labels of each name, side by side.

    A word has one vector for all its senses; a label has one per sense. `devise labels NAME` describes the senses.

    Examples: devise text neighbors "tiger shark" car --words; devise text neighbors sorrel --labels.
    """
    import json

    from devise.cli.text import neighbors_output as output
    from devise.errors import UsageError
    from devise.model.other_space import open_in_space

    if words and labels:
        raise UsageError("--words and --labels exclude each other: give at most one of them")
    parts = open_in_space(model, label_vectors, label_policy, on_bad=on_bad, say=tell)
    found = [_near(parts, name, top, words=not labels, labels=not words) for name in names]
    if as_json:
        print(json.dumps([output.record(one) for one in found], indent=1))
    else:
        output.print_near(found)


def _near(parts: "ModelParts", name: str, top: int, *, words: bool, labels: bool) -> "Near":
    """Look up a name; DeviseError only if it is neither a word nor a label."""
    from devise.cli.text.neighbors_output import Near
    from devise.errors import LabelError
    from devise.meaning.relations import NearWords, near_words, nearest_labels
    from devise.meaning.senses import ask
    from devise.taxonomy.synsets import ID_PATTERN

    asked = ask(parts, name) if labels else None
    near = None if asked is None else nearest_labels(parts, asked, top).labels
    word = asked.chosen.name if asked is not None and ID_PATTERN.fullmatch(name.strip().lower()) else name
    try:
        found = near_words(parts.words, parts.taxonomy, word, top) if words else None
    except LabelError:
        if not labels:
            raise
        found = NearWords((), ())
    return Near(name, found, asked, near)
