"""devise text policies: compare ways to make label vectors."""

from pathlib import Path
from typing import Annotated

import typer

from devise.cli.options import LabelVectorsOption, ModelOption, OnBadOption, check_place
from devise.cli.progress import showing
from devise.cli.terminal import tell
from devise.cli.text import text

__all__ = ["policies"]


@text.command()
def policies(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FOLDERS...",
            help="Class folders of photos, named by synset id, to measure on too.",
            show_default=False,
        ),
    ] = None,
    names: Annotated[
        str | None,
        typer.Option(
            "--policies",
            help="Policies, separated by commas. [default: all that the vectors allow]",
            show_default=False,
        ),
    ] = None,
    candidates: Annotated[
        str | None,
        typer.Option(
            help="Candidates: a text file of synset ids, or JSON as FILE.json#KEY; metrics without photos add the "
            "trained classes. [default: all labels of the model]",
            show_default=False,
        ),
    ] = None,
    pairs: Annotated[
        int, typer.Option(min=2, help="Most pairs of classes to rank; if there are more, a sample.")
    ] = 1_000_000,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the sample.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write everything to this file.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print tables as Markdown.")] = False,
    label_vectors: LabelVectorsOption = None,
    on_bad: OnBadOption = "error",
    model: ModelOption = None,
) -> None:
    """Compare label policies with the same words, against WordNet and, with FOLDERS, on photos.

    Surgery is solved in closed form per policy. Example: devise text policies --candidates imagenet-testsets.json#all
    """
    from devise.cli.text.policies_output import print_policies
    from devise.evaluation.audit import LabelSpaceConfig
    from devise.evaluation.policytable import compare_policies
    from devise.files import write_json
    from devise.model.parts import ModelParts

    check_place("--json", json_file)
    parts = ModelParts.open(model)
    asked = None if names is None else tuple(map(str.strip, names.split(",")))
    with showing("vectors") as bar:
        found = compare_policies(
            parts,
            asked,
            label_vectors,
            classes=candidates,
            folders=folders or (),
            config=LabelSpaceConfig(pairs=pairs, seed=seed),
            on_bad=on_bad,
            say=tell,
            on_progress=bar.stage,
        )
    for problem in found.problems:
        tell(problem)
    print_policies(found, markdown=markdown)
    if json_file is not None:
        write_json(json_file, found.to_dict())
    if found.problems:
        raise typer.Exit(1)
