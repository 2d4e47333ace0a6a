"""devise text audit: measure the label space without photos."""

from pathlib import Path
from typing import Annotated

import typer

from devise.cli.options import LabelPolicyOption, LabelVectorsOption, ModelOption, OnBadOption, check_place
from devise.cli.progress import showing
from devise.cli.terminal import tell
from devise.cli.text import text

__all__ = ["audit"]


@text.command()
def audit(
    classes: Annotated[
        str | None,
        typer.Option(
            help="Synset ids to add to the trained classes: a text file, or JSON as FILE.json#KEY. [default: all "
            "labels of the model]",
            show_default=False,
        ),
    ] = None,
    pairs: Annotated[
        int, typer.Option(min=2, help="Most pairs of classes to rank; if there are more, a sample.")
    ] = 1_000_000,
    worst: Annotated[int, typer.Option(min=1, help="Worst cases shown per kind.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the sample.")] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write everything to this file; equal runs give equal bytes.")
    ] = None,
    label_vectors: LabelVectorsOption = None,
    on_bad: OnBadOption = "error",
    label_policy: LabelPolicyOption = None,
    model: ModelOption = None,
) -> None:
    """Measure label vectors against WordNet: nearest classes, rank correlation, hubs, worst cases, pairs of words.

    Example: devise text audit --classes imagenet-testsets.json#all --json audit.json
    """
    from devise.cli.text.audit_output import print_audit
    from devise.evaluation.audit import LabelSpaceConfig, audit_label_space
    from devise.files import write_json
    from devise.model.other_space import open_in_space

    check_place("--json", json_file)
    parts = open_in_space(model, label_vectors, label_policy, on_bad=on_bad, say=tell)
    with showing("vectors") as bar:
        found = audit_label_space(parts, classes, LabelSpaceConfig(pairs=pairs, worst=worst, seed=seed), bar.stage)
    print_audit(found, seed)
    if json_file is not None:
        write_json(json_file, found.to_dict())
