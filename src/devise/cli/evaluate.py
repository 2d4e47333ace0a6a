"""devise evaluate: measure how good the labels are, on photos with known labels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from devise.cli import options
from devise.cli.app import app
from devise.cli.progress import showing
from devise.cli.terminal import Problems, tell
from devise.errors import UsageError

if TYPE_CHECKING:
    from devise.model.labeller import Model
    from devise.text.vectorfiles import OnBad
    from devise.vision.runtime import Placement

__all__ = ["evaluate"]

_CANDIDATES = "unseen"


@dataclass(frozen=True, slots=True)
class _Space:
    """Another label space: the options of these names."""

    label_vectors: str | None
    label_policy: str | None
    distil: bool
    on_bad: "OnBad"


def _opener(
    bundles: Sequence[Path | None],
    weights: Path | None,
    space: _Space,
    place: "Placement",
    settings: Mapping[str, Any],
    *,
    context: bool,
) -> "Callable[[], Model]":
    """Return what opens the model or the ensemble; UsageError for options that only one model has."""
    from devise.model.ensemble import load_ensemble
    from devise.model.labeller import Model
    from devise.model.other_space import open_in_space

    vectors, policy = space.label_vectors, space.label_policy
    if len(bundles) == 1:

        def opened() -> Model:
            rest = {"place": place, "on_bad": space.on_bad, "say": tell, "distil": space.distil, **settings}
            parts = open_in_space(bundles[0], vectors, policy, **rest)
            if not parts.has_tower:
                _ = parts.surgery  # LabelError now, before any photo is read, if no trained label has a vector
            return Model(parts)

        return opened
    if vectors is not None or policy is not None or context:
        raise UsageError(
            "several models are joined in their own spaces: leave out --label-vectors, --label-policy and --context, "
            "or give one model"
        )
    return partial(load_ensemble, bundles, weights, device=place.device, precision=place.precision, **settings)


@app.command(no_args_is_help=True)
def evaluate(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDERS...",
            help="Folders of class folders, each named by a synset id (n02084071), or .tar files of them. With "
            "--truth xmp, any photos and folders.",
        ),
    ],
    truth: Annotated[
        Literal["folders", "xmp"],
        typer.Option(
            help="True labels: folders, the names of the class folders; xmp, the keywords that people gave the photos, "
            "in sidecars or in the photos. Keywords of devise do not count.",
        ),
    ] = "folders",
    candidates: Annotated[
        str | None,
        typer.Option(
            help="Candidates: all labels, seen (trained), unseen (the others), test-classes (those of FOLDERS), or a "
            f"file of synset ids (text, or JSON as FILE.json#KEY). [default: {_CANDIDATES}; all with --truth xmp]",
            show_default=False,
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="Named protocol, which sets candidates and test classes: seen, 2-hops, 3-hops, imagenet-all, "
            "most-N, least-N, test-classes. Append +1K (2-hops+1K) to add the trained classes."
        ),
    ] = None,
    splits: options.SplitsOption = None,
    counts: options.CountsOption = None,
    branch: Annotated[
        str | None,
        typer.Option(help="Also measure the trained classes below this noun or id among themselves, for example dog."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the result to this file; equal runs give equal bytes.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            help="Write the answers of every scorer for every photo to this file, for devise "
            "compare and devise report.",
        ),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print tables as Markdown.")] = False,
    per_class: Annotated[
        bool, typer.Option("--per-class", help="Average over classes instead of over photos.")
    ] = False,
    measures: Annotated[
        bool, typer.Option("--measures", help="Also print all metrics with 95 % bootstrap intervals.")
    ] = False,
    context: Annotated[
        bool,
        typer.Option(
            "--context",
            help="Add the row `context`: the fused scorer, with each photo helped by the most similar "
            "photos of this run.",
        ),
    ] = False,
    no_cache: options.CacheOption = False,
    label_vectors: options.LabelVectorsOption = None,
    on_bad: options.OnBadOption = "error",
    label_policy: options.LabelPolicyOption = None,
    distil: options.DistilOption = False,
    no_prior: options.NoPriorOption = False,
    fast: options.FastOption = False,
    device: options.DeviceOption = "cpu",
    precision: options.PrecisionOption = "f32",
    max_pixels: options.MaxPixelsOption = None,
    weights: options.WeightsOption = None,
    model: options.ModelsOption = None,
) -> None:
    """Measure flat hit@k, hierarchical precision@k and more for every scorer, random embeddings and chance.

    If the photos are of trained and of other classes (for example in two folders), both sides and their harmonic
    means are printed too. Exits with 1 if a photo could not be read; the others are still measured.
    """
    from devise.cli.evaluation_output import print_evaluation
    from devise.evaluation.evaluate import EvaluationRequest, evaluate_folders
    from devise.evaluation.record import write_record
    from devise.evaluation.testsets import ProtocolFiles
    from devise.files import cache_folder, write_json

    if candidates is not None and protocol is not None:
        raise UsageError("--protocol sets the candidates: leave out --candidates")
    if distil and label_vectors is None and label_policy is None:
        raise UsageError("--distil needs another label space: give --label-vectors or --label-policy too")
    if protocol is None and (splits is not None or counts is not None):
        raise UsageError("--splits and --counts need --protocol NAME")
    options.check_place("--json", json_file)
    options.check_place("--images", images)
    place = options.chosen_place(device, precision, fast=fast)
    files = ProtocolFiles(splits, counts)
    cache = None if no_cache else cache_folder()
    tagged = truth == "xmp"
    wanted = candidates or ("all" if tagged else _CANDIDATES)
    request = EvaluationRequest(wanted, protocol, files, branch, cache, context, tagged)
    space = _Space(label_vectors, label_policy, distil, on_bad)
    settings = {"fast": fast, "prior": not no_prior}
    opened = _opener(options.bundles_of(model, weights), weights, space, place, settings, context=context)
    with showing() as bar:
        found = evaluate_folders(opened(), folders, request=request, on_progress=bar.at)
    problems = Problems()
    for problem in (*found.problems, *found.notes):
        problems.tell(problem)
    for line in problems.lines():
        tell(line)
    print_evaluation(found, markdown=markdown, per_class=per_class, measures=measures)
    if json_file is not None:
        write_json(json_file, found.to_dict())
    if images is not None:
        write_record(found.record, images)
    if found.problems:
        raise typer.Exit(1)
