"""devise corrections: list the names that people accepted and rejected, or make class folders of the photos."""

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devise.cli.app import app
from devise.cli.options import ExcludeOption
from devise.cli.terminal import one_line, tell
from devise.errors import DeviseError, UsageError, counted
from devise.files import new_folder, real_path, text_name
from devise.sidecars import corrections_of
from devise.vision.folders import find_pictures
from devise.xmp import Correction, SidecarError, Verdict, require_xmp

if TYPE_CHECKING:
    from devise.taxonomy.wordnet import Taxonomy

__all__ = ["corrections"]

_LONGEST = 100  # letters of a folder's name


@app.command(no_args_is_help=True)
def corrections(
    paths: Annotated[list[Path], typer.Argument(metavar="PATHS...", help="Photos and folders, including subfolders.")],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Make a new folder with one folder per accepted name, with links to its photos: devise train and "
            "devise evaluate take it.",
            show_default=False,
        ),
    ] = None,
    copy: Annotated[bool, typer.Option("--copy", help="With --out: copies of the photos instead of links.")] = False,
    exclude: ExcludeOption = None,
) -> None:
    """List the names that were accepted (+) and rejected (-) on the page of devise serve --corrections.

    With --out, make class folders of the accepted ones: FOLDER/n02124075/photo.jpg, or the name of your own label. A
    photo with two names, one a kind of the other, goes to the narrower one; with names that exclude each other it is
    left out and counted. Exits with 1 if a sidecar could not be read.
    """
    require_xmp()
    if copy and out is None:
        raise UsageError("--copy is for class folders: give --out FOLDER too")
    if missing := next((path for path in paths if not os.path.lexists(path)), None):
        raise UsageError(f"no photo or folder at {missing}: check the path")
    tally = _Tally()
    found = _corrected(paths, exclude or (), tally)
    if out is None:
        for photo, said in found:
            names = (f"{'+' if one.verdict == Verdict.accepted else '-'}{one.name}" for one in said)
            print(one_line(f"{text_name(str(photo))}  {', '.join(names)}"))
        tell(f"{counted(tally.corrected, 'photo')} of {tally.photos:,} with corrections")
    else:
        if inside := next((path for path in paths if real_path(out).is_relative_to(real_path(path))), None):
            raise UsageError(f"--out {out} is in {inside}, whose photos devise would then find twice: give another")
        _export(found, out, copy, tally)
    if tally.failed:
        raise typer.Exit(1)


@dataclass(slots=True)
class _Tally:
    photos: int = 0
    corrected: int = 0
    failed: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def _corrected(
    paths: Sequence[Path], exclude: Sequence[str], tally: _Tally
) -> Iterator[tuple[Path, tuple[Correction, ...]]]:
    """Yield photos that have corrections; report those whose sidecar cannot be read."""
    for found in find_pictures(paths, exclude=exclude):
        if found.problem is not None:
            tally.failed += 1
            tell(f"{found.path}: {found.problem}")
            continue
        tally.photos += 1
        try:
            said = corrections_of(found.path)
        except SidecarError as error:
            tally.failed += 1
            tell(str(error))
            continue
        if said:
            tally.corrected += 1
            yield found.path, said


def _export(found: Iterator[tuple[Path, tuple[Correction, ...]]], out: Path, copy: bool, tally: _Tally) -> None:
    from devise.taxonomy.wordnet import default_taxonomy

    photos, taken = Counter[str](), set[tuple[str, str]]()
    with new_folder(out, UsageError) as stage:
        for photo, said in found:
            folder = _class_of(said, default_taxonomy(), tally)
            if folder is None:
                continue
            (stage / folder).mkdir(exist_ok=True)
            _put(photo, stage / folder / _free_name(photo, folder, taken), copy)
            photos[folder] += 1
        if not photos:
            raise DeviseError(
                f"no accepted name in {counted(tally.photos, 'photo')}, so {out} is not made: accept names on the page "
                "of devise serve --corrections"
            )
    what = "copy" if copy else "link"
    print(f"{counted(photos.total(), what)} in {counted(len(photos), 'class folder')}: {out}")
    for reason, count in tally.left_out.items():
        tell(f"left out {counted(count, 'photo')} {reason}")


def _class_of(said: Sequence[Correction], taxonomy: "Taxonomy", tally: _Tally) -> str | None:
    """Return the folder of a photo: the accepted name that is a kind of all others; None, counted, without one."""
    accepted = [one for one in said if one.verdict == Verdict.accepted]
    if not accepted:
        tally.left_out["with rejected names only"] += 1
        return None
    wide = {above for one in accepted if one.id in taxonomy for above in taxonomy.ancestors(one.id)}
    narrow = [one for one in accepted if one.id not in wide]
    if len(narrow) > 1:
        tally.left_out["with several accepted names"] += 1
        return None
    one = narrow[0]
    return one.id if one.id in taxonomy else _folder_name(one.name)


def _folder_name(name: str) -> str:
    """Return a name as that of a folder which is neither hidden nor anywhere else.

    >>> _folder_name("../kick scooter"), _folder_name("...")
    ('-kick scooter', '_')
    """
    return "".join("-" if c in '/\\\0:*?"<>|' or not c.isprintable() else c for c in name).lstrip(".")[:_LONGEST] or "_"


def _free_name(photo: Path, folder: str, taken: set[tuple[str, str]]) -> str:
    """Return the photo's name, numbered if another photo of the folder has it, in any letter case."""
    name, number = photo.name, 1
    while (folder, name.lower()) in taken:
        number += 1
        name = f"{photo.stem}-{number}{photo.suffix}"
    taken.add((folder, name.lower()))
    return name


def _put(photo: Path, place: Path, copy: bool) -> None:
    if copy:
        shutil.copy2(photo, place)
        return
    try:
        place.symlink_to(os.path.abspath(photo))
    except (NotImplementedError, PermissionError) as error:
        raise DeviseError(f"links cannot be made in {place.parents[1].parent} ({error}): give --copy") from None
