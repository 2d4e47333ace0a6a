"""devise label --format parquet: very many photos, in parts, each once however often it is stopped."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from devise.cli.terminal import counted, tell
from devise.errors import UsageError
from devise.model.labeller import LabelRequest, LabelRun, Model
from devise.search.label_parts import chunks, done_names, label_chunk, problems_in, writing_parts
from devise.vision.collections import find_items

__all__ = ["PartsJob", "label_in_parts"]


@dataclass(frozen=True, slots=True)
class PartsJob:
    """places: paths, folders, .tar shards, URLs. output: folder of the parts. ray: workers of a cluster, 0 for none.

    bundle: the model's directory, which workers of a cluster open for themselves.
    """

    places: tuple[str, ...]
    output: Path | None
    ray: int
    bundle: Path | None


def label_in_parts(
    model: Model, request: LabelRequest, job: PartsJob, *, ready: Callable[[Model, LabelRequest], LabelRun]
) -> None:
    """Label what the parts do not hold yet; exits with 1 if a photo of any part could not be read.

    ready: makes the request ready, and tells its notes.
    """
    if job.output is None:
        raise UsageError("--format parquet needs a folder for its parts: give --output FOLDER")
    if request.explain:
        raise UsageError("--format parquet has no explanations: leave out --explain, or take jsonl")
    if request.context:
        raise UsageError(
            "--format parquet labels and resumes part by part, and with --context every name depends on all photos: "
            "take jsonl, or leave out --context"
        )
    if "-" in job.places or "" in job.places:
        raise UsageError("--format parquet takes no list on standard input: give photos, folders, shards or URLs")
    if job.ray and not model.parts.with_prior:
        raise UsageError("--no-prior is not passed on to a Ray cluster: leave out one of them")
    run = ready(model, request)
    work = _on_cluster if job.ray else _here
    places = tuple(place if "://" in place else os.path.abspath(place) for place in job.places)
    before = problems_in(job.output) if job.output.is_dir() else 0
    photos, now, skipped = work(model, run, replace(job, places=places), job.output)
    failed = problems_in(job.output)
    labelled = now - (failed - before)  # a photo that cannot be read is in the parts, and has no label
    sys.stdout.write(f"{job.output}: {counted(photos, 'photo')}, {labelled:,} of them labelled now\n")
    if skipped:
        tell(f"left out {counted(skipped, 'file')}: not pictures by their names")
    if failed:
        tell(f"{counted(failed, 'photo')} could not be read: column problem says why")
    if failed or not photos:
        raise typer.Exit(1)


def _here(model: Model, run: LabelRun, job: PartsJob, folder: Path) -> tuple[int, int, int]:
    """Photos in the folder, of them labelled now, and files left out."""
    with writing_parts(folder, model, run.request):
        return _labelled(run, job.places, folder)


def _labelled(run: LabelRun, places: tuple[str, ...], folder: Path) -> tuple[int, int, int]:
    done = done_names(folder)
    skipped: list[str] = []
    now = 0
    console = Console(stderr=True, soft_wrap=True)
    columns = (SpinnerColumn(), TextColumn("{task.completed:,} photos"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        for chunk in chunks(find_items(places, skipped.append), done):
            for item, problem in label_chunk(run, chunk, folder, lambda _: progress.update(task, advance=1), tell):
                tell(f"{item.name}: {problem}")
            now += len(chunk)
    return len(done) + now, now, len(skipped)


def _on_cluster(model: Model, run: LabelRun, job: PartsJob, folder: Path) -> tuple[int, int, int]:
    """The same."""
    from devise.search.ray_job import ClusterJob, label_on_cluster

    found = label_on_cluster(
        ClusterJob(job.places, folder.absolute(), run.request, job.bundle, job.ray, fast=model.parts.fast)
    )
    return found.photos, found.now, found.skipped
