"""devise unlabel: take back the keywords that devise wrote into sidecars and photos."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from devise.cli.app import app
from devise.cli.terminal import tell
from devise.errors import UsageError, counted
from devise.files import remove_unfinished
from devise.sidecars import SidecarName, clear_photo, clear_sidecar, sidecar_of, takes_keywords
from devise.vision.folders import find_pictures
from devise.xmp import SidecarError, require_xmp

__all__ = ["unlabel"]


@app.command(no_args_is_help=True)
def unlabel(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATHS...", help="Photos, sidecars and folders, including subfolders."),
    ],
    keep_time: Annotated[bool, typer.Option("--keep-time", help="Photos keep the time of their last change.")] = False,
) -> None:
    """Remove the keywords that devise label --xmp wrote; what a person or another program wrote stays.

    A sidecar that has nothing else is removed. Exits with 1 if a sidecar or photo could not be changed.
    """
    require_xmp()
    if missing := next((path for path in paths if not path.exists()), None):
        raise UsageError(f"no photo, sidecar or folder at {missing}: check the path")
    found = failed = 0
    changed = {True: 0, False: 0}  # sidecars, photos
    folders: set[Path] = set()
    for place, problem in dict.fromkeys(one for path in paths for one in _places(path)):
        if problem is not None:
            failed += 1
            tell(f"{place}: {problem}")
            continue
        if place.parent not in folders:
            remove_unfinished(place.parent)
            folders.add(place.parent)
        beside = _is_sidecar(place)
        found += beside
        try:
            changed[beside] += clear_sidecar(place) if beside else clear_photo(place, keep_time=keep_time)
        except SidecarError as error:
            failed += 1
            tell(str(error))
    inside = f" and {counted(changed[False], 'photo')}" if changed[False] else ""
    failures = f", {failed:,} failed" if failed else ""
    print(f"keywords taken back from {changed[True]:,} of {counted(found, 'sidecar')}{inside}{failures}")
    if failed:
        raise typer.Exit(1)


def _is_sidecar(path: Path) -> bool:
    return path.suffix.lower() == ".xmp"


def _places(path: Path) -> Iterator[tuple[Path, str | None]]:
    """Yield sidecars, those without a photo too, and photos; folders that cannot be read with the reason.

    Photos are found as devise label finds them, so that linked folders are entered.
    """
    if _is_sidecar(path) and not path.is_dir():
        yield path, None
        return
    if path.is_dir():
        yield from ((one, None) for one in sorted(path.rglob("*")) if _is_sidecar(one) and one.is_file())
    for photo in find_pictures([path]):
        if photo.path.is_dir():
            yield photo.path, photo.problem
        else:
            named = (sidecar_of(photo.path, name) for name in SidecarName)
            yield from ((one, None) for one in named if one.is_file())
            if takes_keywords(photo.path):
                yield photo.path, None
