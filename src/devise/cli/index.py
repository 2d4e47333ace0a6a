"""devise index: make folders of photos searchable by words."""

import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devise.cli import options
from devise.cli.app import app, one_blas_thread
from devise.cli.terminal import Problems, tell
from devise.errors import UsageError, counted, counted_unread

if TYPE_CHECKING:
    from devise.search.photoindex import Indexed

__all__ = ["changes_of", "index", "missing_folder"]

_NAMED = 3  # folders of old paths


@app.command(no_args_is_help=True)
def index(
    photos: Annotated[list[str], typer.Argument(metavar="PHOTOS...", help="Photos and folders, including subfolders.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="INDEX", help="Folder of the index; created or updated.")],
    rehash: Annotated[
        bool,
        typer.Option(
            "--rehash",
            help="Also compare the content of photos whose size and time are unchanged, and check the index.",
        ),
    ] = False,
    forget: Annotated[
        bool,
        typer.Option(
            "--forget", help="Also remove photos whose whole folder is empty or missing, and those of broken links."
        ),
    ] = False,
    listed_above: Annotated[
        int | None,
        typer.Option(
            metavar="PHOTOS",
            help="Keep the top photos of each label above this number of photos, for fast searches. [default: 200000]",
            show_default=False,
        ),
    ] = None,
    video: options.VideoOption = False,
    frames: options.FramesOption = None,
    exclude: options.ExcludeOption = None,
    fast: options.FastOption = False,
    device: options.DeviceOption = "cpu",
    precision: options.PrecisionOption = "f32",
    max_pixels: options.MaxPixelsOption = None,
    model: options.ModelOption = None,
) -> None:
    """Make photos searchable: see devise search.

    A second run reads new and changed photos, recognises moved ones and removes deleted ones. An interrupted run keeps
    what is done. Exits with 1 if a photo could not be read; the others are in the index.
    """
    one_blas_thread()
    from devise.cli.output import excluded_lines, problem_line, skipped_lines
    from devise.cli.progress import counting
    from devise.search.photoindex import LISTED_ABOVE, index_photos, refresh_kept

    taken = options.frames_of(video, frames)
    if "" in photos:
        raise UsageError("a path is empty: give a photo or a folder, such as . for this folder")
    if str(out) == "-":  # of other programs: standard output
        raise UsageError("--out needs the folder of an index, got -")
    if listed_above is not None and listed_above < 0:
        raise UsageError(f"--listed-above must be at least 0, got {listed_above}")
    loaded = options.opener(model, device, precision, fast=fast)()
    with counting() as advance:
        done = index_photos(
            loaded,
            [Path(path) for path in photos],
            out,
            rehash=rehash,
            emptied=forget,
            exclude=exclude or (),
            frames=taken,
            on_progress=advance,
        )
    problems = Problems()
    for problem in (*done.problems, *done.notes):
        problems.tell(problem_line(problem.path, problem.reason))
    for line in problems.lines():
        tell(line)
    print(f"{out}: {counted(done.photos, 'photo')}; {changes_of(done)}")
    tops = refresh_kept(loaded, out, done.photos, LISTED_ABOVE if listed_above is None else listed_above)
    if tops is not None:
        listed, labels = counted(tops.places.shape[1], "photo"), counted(len(loaded.labels), "label")
        print(f"the top {listed} of each of {labels} kept for fast searches")
    for line in (
        *_hidden_lines(done.hidden, emptied=forget),
        *_stale_lines(done.stale, out),
        *skipped_lines(done.skipped, done.videos, live=video),
        *excluded_lines(done.excluded),
    ):
        tell(line)
    if done.problems:
        folders = sum(os.path.isdir(problem.path) for problem in done.problems)
        tell(f"{counted_unread(len(done.problems) - folders, folders)} could not be read")
        raise typer.Exit(1)


def changes_of(done: "Indexed") -> str:
    """Return the counts of what was indexed, in words."""
    counts = {
        "new": done.new,
        "changed": done.changed,
        "moved": done.moved,
        "copied": done.copied,
        "with a new time": done.touched,
        "with new metadata": done.described,
        "gone": done.gone,
        "unchanged": done.unchanged,
    }
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "none found"


def _hidden_lines(photos: int, *, emptied: bool) -> Iterator[str]:
    """Yield how many photos stay in the index that this run could not reach, if there are any."""
    if photos:
        links = "" if emptied else "; --forget removes those of broken links"
        yield (
            f"{counted(photos, 'photo')} of broken links or of folders that cannot be read "
            f"{'stays' if photos == 1 else 'stay'} in the index{links}"
        )


def _stale_lines(paths: Sequence[str], out: Path) -> Iterator[str]:
    """Yield what to do about copied photos without a file at their old path: a renamed folder, a missing drive."""
    if not paths:
        return
    folders = sorted({missing_folder(path) for path in paths})
    named = " ".join(shlex.quote(folder) for folder in folders[:_NAMED])
    more = f" (and {len(folders) - _NAMED:,} more folders)" if len(folders) > _NAMED else ""
    yield (
        f"{counted(len(paths), 'copied photo')} {'is' if len(paths) == 1 else 'are'} no longer at the old path, which "
        f"stays in the index: if it was renamed or deleted, devise index {named}{more} --out {shlex.quote(str(out))} "
        "--forget removes it"
    )


def missing_folder(path: str) -> str:
    """Return the outermost folder of a missing file that is missing too, or the folder that it was in."""
    folder = os.path.dirname(path)
    while not os.path.lexists(os.path.dirname(folder)):
        folder = os.path.dirname(folder)
    return folder
