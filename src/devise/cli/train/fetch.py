"""devise train fetch: download public photo sets as shards."""

from pathlib import Path
from typing import Annotated

import typer

from devise.cli.train import train
from devise.errors import UsageError, counted

__all__ = ["fetch"]


@train.command(no_args_is_help=True)
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Photo set: cifar100 or tiny-imagenet.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the shards, and for a downloaded archive.")],
    source: Annotated[
        str | None, typer.Option("--from", help="Path of the archive, or another URL. [default: the authors' URL]")
    ] = None,
) -> None:
    """Download a public photo set, verify its checksum, and write NAME-train.tar and NAME-test.tar."""
    from devise.training.downloads import DATASETS, fetched, write_shards

    if name not in DATASETS:
        raise UsageError(f"the photo set must be one of {', '.join(DATASETS)}, got {name!r}")
    archive = fetched(DATASETS[name], out, source)
    for shard, count in write_shards(DATASETS[name], archive, out).items():
        print(f"{counted(count, 'photo')} in {out / f'{name}-{shard}.tar'}")
