"""devise text plot: draw the label space."""

from pathlib import Path
from typing import Annotated

import typer

from devise.cli.options import LabelPolicyOption, LabelVectorsOption, ModelOption, OnBadOption, check_place
from devise.cli.terminal import tell
from devise.cli.text import text

__all__ = ["plot"]


@text.command(no_args_is_help=True)
def plot(
    out: Annotated[
        Path, typer.Option(help="File to write: .png, or .html for an interactive map.", show_default=False)
    ],
    candidates: Annotated[
        str, typer.Option(help="Labels to show: seen (trained), unseen, all, or a file of labels.")
    ] = "seen",
    under: Annotated[
        str | None, typer.Option(help="Show only labels below this noun, such as 'dog'.", show_default=False)
    ] = None,
    offsets: Annotated[
        bool, typer.Option("--offsets", help="Show offsets between words instead: man to woman, big to bigger.")
    ] = False,
    method: Annotated[str, typer.Option(help="Projection: tsne, which keeps neighbours together, or pca.")] = "tsne",
    most: Annotated[int, typer.Option(min=8, help="Most labels to show; if there are more, a sample.")] = 2000,
    branches: Annotated[int, typer.Option(min=2, max=11, help="Most WordNet subtrees with their own colour.")] = 11,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the sample and of t-SNE.")] = 0,
    label_vectors: LabelVectorsOption = None,
    on_bad: OnBadOption = "error",
    label_policy: LabelPolicyOption = None,
    model: ModelOption = None,
) -> None:
    """Draw labels on a plane, coloured by WordNet subtree; or, with --offsets, pairs of words.

    Needs the extra: pip install 'devise-zsl[plots]'. Example: devise text plot --out map.html --under animal
    """
    from devise.errors import UsageError
    from devise.files import atomic_write
    from devise.meaning.atlas import METHODS, label_map, offset_picture
    from devise.model.candidates import choose_candidates
    from devise.model.other_space import open_in_space
    from devise.pages.atlas import picture_html, picture_png

    if out.suffix.lower() not in (".png", ".html"):
        raise UsageError(f"--out must end in .png or .html, got {out}")
    check_place("--out", out)
    if method not in METHODS:
        raise UsageError(f"--method must be one of {', '.join(METHODS)}, got {method!r}")
    parts = open_in_space(model, label_vectors, label_policy, on_bad=on_bad, say=tell)
    if offsets and not parts.has_words:
        raise UsageError("an encoder or a text tower places the labels, and words have no vectors: leave out --offsets")
    if offsets:
        picture = offset_picture(parts.words)
    else:
        chosen = choose_candidates(parts, candidates, under=under)
        picture = label_map(chosen.space, parts.taxonomy, method=method, most=most, colours=branches, seed=seed)
        for note in chosen.notes:
            tell(note)
    for missing in picture.left_out:
        tell(f"left out: {missing}")
    data = picture_png(picture) if out.suffix.lower() == ".png" else picture_html(picture).encode()
    with atomic_write(out, "wb") as file:
        file.write(data)
    print(f"{sum(len(panel.points) for panel in picture.panels):,} points in {out}")
