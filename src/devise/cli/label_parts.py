"""devise label --format parquet: label very many photos in shards, and resume after a stop."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from devise.cli.output import excluded_lines, skipped_lines
from devise.cli.progress import counting
from devise.cli.terminal import Problems, tell
from devise.errors import UsageError, counted
from devise.model.labeller import LabelRequest, LabelRun, Model
from devise.search.label_parts import Counts, chunks, done_in, label_chunk, writing_parts
from devise.search.ray_job import ClusterJob, label_on_cluster
from devise.taxonomy.languages import code_of
from devise.vision.collections import Item, find_items

__all__ = ["PartsJob", "label_in_parts"]


@dataclass(frozen=True, slots=True)
class PartsJob:
    """places: paths, folders, .tar shards, URLs. output: folder of the parts. ray: workers of a cluster, 0 for none.

    bundle: the model's directory, which each worker of a cluster opens itself. exclude: see `find_pictures`.
    language: a code, or a file of names.
    """

    places: tuple[str, ...]
    output: Path | None
    ray: int
    bundle: Path | None
    exclude: tuple[str, ...] = ()
    language: str | None = None


def label_in_parts(
    model: Model, request: LabelRequest, job: PartsJob, *, ready: Callable[[Model, LabelRequest], LabelRun]
) -> None:
    """Label photos that no part contains yet; exit with 1 if one in the folder could not be read, now or before.

    ready: prepares the request, and prints its notes.
    """
    if job.output is None:
        raise UsageError("--format parquet needs a folder: give --output FOLDER")
    if request.explain:
        raise UsageError("--format parquet has no explanations: leave out --explain, or use --format jsonl")
    if request.context:
        raise UsageError(
            "--format parquet works part by part, but --context needs all photos at once: use --format jsonl, or "
            "leave out --context"
        )
    if "-" in job.places or "" in job.places:
        raise UsageError(
            "--format parquet does not read a list from standard input: give photos, folders, shards or URLs"
        )
    run = ready(model, request)
    work = _on_cluster if job.ray else _here
    places = tuple(place if "://" in place else os.path.abspath(place) for place in job.places)
    done = work(model, run, replace(job, places=places), job.output)
    labelled = done.now - done.failed_now  # a photo that cannot be read is in the parts, and has no label
    sys.stdout.write(f"{job.output}: {counted(done.photos, 'photo')}, {labelled:,} of them labelled in this run\n")
    for line in skipped_lines(done.skipped):
        tell(line)
    for folder in done.folders:
        tell(f"{folder.name}: {folder.problem}")
    for failed, when in ((done.failed_now, ""), (done.failed - done.failed_now, " of earlier runs")):
        if failed:
            tell(f"{counted(failed, 'photo')}{when} could not be read: column problem says why")
    if done.folders:
        can = "it" if len(done.folders) == 1 else "they"
        tell(f"{counted(len(done.folders), 'folder')} could not be read: run the command again once {can} can be")
    if done.failed or done.folders or not done.photos:
        raise typer.Exit(1)


def _here(model: Model, run: LabelRun, job: PartsJob, folder: Path) -> Counts:
    skipped: list[str] = []
    excluded: list[Path] = []
    folders: list[Item] = []
    problems = Problems()
    now = failed = 0
    with writing_parts(folder, model, run.request), counting() as advance:
        done = done_in(folder)
        items = find_items(job.places, skipped.append, job.exclude, excluded.append, done.names.__contains__)
        for chunk in chunks(items, done.names, on_folder=folders.append):
            for item, problem in label_chunk(run, chunk, folder, lambda _: advance(), tell):
                problems.tell(f"{item.name}: {problem}")
                failed += 1
            now += len(chunk)
    for line in (*problems.lines(), *excluded_lines(len(excluded))):
        tell(line)
    return Counts(len(done.names) + now, now, done.problems + failed, failed, len(skipped), tuple(folders))


def _on_cluster(model: Model, run: LabelRun, job: PartsJob, folder: Path) -> Counts:
    language = job.language
    return label_on_cluster(
        ClusterJob(
            job.places,
            folder.absolute(),
            run.request,
            job.bundle,
            job.ray,
            fast=model.parts.fast,
            exclude=job.exclude,
            prior=model.parts.with_prior,
            language=language if language is None or code_of(language) else os.path.abspath(language),
            place=model.parts.place,
        )
    )
