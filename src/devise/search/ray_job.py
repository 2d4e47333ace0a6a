"""Bulk labels on a cluster: the job of `label_parts`, with chunks distributed by Ray Data."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from devise.errors import DeviseError, counted
from devise.model.labeller import LabelRequest, Model, load
from devise.search.label_parts import CHUNK, Counts, chunks, done_in, label_chunk, writing_parts
from devise.vision.collections import Item, find_items
from devise.vision.runtime import ON_CPU, Placement

__all__ = ["ClusterJob", "label_on_cluster"]


@dataclass(frozen=True, slots=True)
class ClusterJob:
    """Photos to label, and workers to use.

    places: paths, folders, .tar shards, URLs; every worker must reach them by these names, and `folder` too.
    bundle: a model's directory, None for the one in the package. workers: processes with one core each.
    chunk: photos per part. exclude: see `find_pictures`. fast, prior, language: see `load`; every worker must reach a
    file of names by its name. place: device and precision of every worker; workers share the GPUs that Ray knows of.
    """

    places: tuple[str, ...]
    folder: Path
    request: LabelRequest
    bundle: Path | None = None
    workers: int = 2
    chunk: int = CHUNK
    fast: bool = False
    exclude: tuple[str, ...] = ()
    prior: bool = True
    language: str | None = None
    place: Placement = ON_CPU

    def model(self) -> Model:
        """Load the model."""
        return load(
            self.bundle,
            fast=self.fast,
            prior=self.prior,
            language=self.language,
            device=self.place.device,
            precision=self.place.precision,
        )


def label_on_cluster(job: ClusterJob) -> Counts:
    """Label photos missing from the folder on the Ray cluster of this process, or a local one.

    A lost worker is restarted with its chunk. The part of a chunk is named after its photos and is complete or absent,
    so each photo is in one part, however often its chunk was started.
    DeviseError if photos are missing at the end, or if Ray is not installed.
    """
    ray = _ray()
    with writing_parts(job.folder, job.model(), job.request):
        return _on_cluster(ray, job)


def _on_cluster(ray: Any, job: ClusterJob) -> Counts:
    skipped: list[str] = []
    before = done_in(job.folder)
    folders: list[Item] = []
    items = find_items(job.places, skipped.append, job.exclude)
    waiting = list(chunks(items, before.names, job.chunk, folders.append))
    asked = sum(map(len, waiting))
    if waiting:
        rows = [{"items": [asdict(item) for item in chunk]} for chunk in waiting]
        workers = min(job.workers, len(rows))
        labelled = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            _Worker,
            fn_constructor_args=(job,),
            batch_size=1,
            num_cpus=1,
            num_gpus=_gpu_share(ray, job.place, workers),
            compute=ray.data.ActorPoolStrategy(size=workers),
        )
        labelled.materialize()
    after = done_in(job.folder)
    if len(after.names) != len(before.names) + asked:
        missing = len(before.names) + asked - len(after.names)
        raise DeviseError(f"{missing} of {counted(asked, 'photo')} without labels: run the job again to label them")
    failed_now = after.problems - before.problems
    return Counts(len(after.names), asked, after.problems, failed_now, len(skipped), tuple(folders))


def _gpu_share(ray: Any, place: Placement, workers: int) -> float | None:
    """The GPUs that Ray reserves per worker, at most one; None for other devices.

    Without them, Ray hides all NVIDIA GPUs from a worker. DeviseError if the cluster has none.
    """
    if place.device not in ("gpu", "cuda"):
        return None
    gpus = float(ray.cluster_resources().get("GPU", 0))
    if not gpus:
        raise DeviseError(f"the Ray cluster has no GPU for --device {place.device}: start it with --num-gpus")
    return min(1.0, int(1000 * gpus / workers) / 1000)


class _Worker:
    """An actor in a worker process; it reads the model once."""

    def __init__(self, job: ClusterJob) -> None:
        self._job = job
        self._run = job.model().run(job.request)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[int]]:
        """Label the chunks of the batch; return the number of unreadable photos per chunk."""
        return {"failed": [self._failed(items) for items in batch["items"]]}

    def _failed(self, items: Sequence[dict[str, Any]]) -> int:
        chunk = [Item(**{name: _plain(value) for name, value in item.items()}) for item in items]
        return len(label_chunk(self._run, chunk, self._job.folder))


def _plain(value: Any) -> Any:
    """Restore a Python number after transport; None for a missing one."""
    if value is None or isinstance(value, str):
        return value
    return None if math.isnan(value) else int(value)  # NaN stands for None in a column of numbers


def _ray() -> Any:
    try:
        import ray
        import ray.data
    except ModuleNotFoundError:
        raise DeviseError("a cluster needs Ray, which is not installed: pip install 'devise-zsl[ray]'") from None
    return ray
