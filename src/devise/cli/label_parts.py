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
from devise.search.label_parts import chunks, done_names, label_chunk, problems_in, writing_parts
from devise.taxonomy.languages import code_of
from devise.vision.collections import find_items

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
    """Label photos that no part contains yet; exit with 1 if a photo could not be read.

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
    before = problems_in(job.output) if job.output.is_dir() else 0
    photos, now, skipped = work(model, run, replace(job, places=places), job.output)
    failed = problems_in(job.output)
    labelled = now - (failed - before)  # a photo that cannot be read is in the parts, and has no label
    sys.stdout.write(f"{job.output}: {counted(photos, 'photo')}, {labelled:,} of them labelled in this run\n")
    for line in skipped_lines(skipped):
        tell(line)
    if failed:
        tell(f"{counted(failed, 'photo')} could not be read: column problem says why")
    if failed or not photos:
        raise typer.Exit(1)


def _here(model: Model, run: LabelRun, job: PartsJob, folder: Path) -> tuple[int, int, int]:
    """Return the photos in the folder, those labelled in this run, and the files left out."""
    with writing_parts(folder, model, run.request):
        return _labelled(run, job, folder)


def _labelled(run: LabelRun, job: PartsJob, folder: Path) -> tuple[int, int, int]:
    done = done_names(folder)
    skipped: list[str] = []
    excluded: list[Path] = []
    problems = Problems()
    now = 0
    with counting() as advance:
        for chunk in chunks(find_items(job.places, skipped.append, job.exclude, excluded.append), done):
            for item, problem in label_chunk(run, chunk, folder, lambda _: advance(), tell):
                problems.tell(f"{item.name}: {problem}")
            now += len(chunk)
    for line in (*problems.lines(), *excluded_lines(len(excluded))):
        tell(line)
    return len(done) + now, now, len(skipped)


def _on_cluster(model: Model, run: LabelRun, job: PartsJob, folder: Path) -> tuple[int, int, int]:
    """The same."""
    from devise.search.ray_job import ClusterJob, label_on_cluster

    language = job.language
    found = label_on_cluster(
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
    return found.photos, found.now, found.skipped
