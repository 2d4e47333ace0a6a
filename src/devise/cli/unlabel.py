"""devise unlabel: take back the keywords that devise wrote into sidecars."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from devise.cli.app import app
from devise.cli.terminal import tell
from devise.errors import UsageError, counted
from devise.sidecars import SidecarError, SidecarName, clear_sidecar, require_xmp, sidecar_of
from devise.vision.folders import find_pictures

__all__ = ["unlabel"]


@app.command(no_args_is_help=True)
def unlabel(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATHS...", help="Photos, sidecars, and folders (with all folders in them)."),
    ],
) -> None:
    """Remove the keywords that devise label --xmp wrote; what a person or another program wrote stays.

    A sidecar that has nothing else is removed. Exits with 1 if any sidecar could not be changed.
    """
    require_xmp()
    if missing := next((path for path in paths if not path.exists()), None):
        raise UsageError(f"no photo, sidecar or folder at {missing}: check the path")
    changed = found = failed = 0
    for sidecar, problem in dict.fromkeys(one for path in paths for one in _sidecars(path)):
        if problem is not None:
            failed += 1
            tell(f"{sidecar}: {problem}")
            continue
        found += 1
        try:
            changed += clear_sidecar(sidecar)
        except SidecarError as error:
            failed += 1
            tell(str(error))
    told = f", {failed:,} failed" if failed else ""
    print(f"keywords taken back from {changed:,} of {counted(found, 'sidecar')}{told}")
    if failed:
        raise typer.Exit(1)


def _sidecars(path: Path) -> Iterator[tuple[Path, str | None]]:
    """Yield sidecars, those without a photo too, and folders that cannot be read with the reason.

    Photos are found as devise label finds them, so that linked folders are entered.
    """
    if path.suffix.lower() == ".xmp" and not path.is_dir():
        yield path, None
        return
    if path.is_dir():
        yield from ((one, None) for one in sorted(path.rglob("*")) if one.suffix.lower() == ".xmp" and one.is_file())
    for photo in find_pictures([path]):
        if photo.path.is_dir():
            yield photo.path, photo.problem
        else:
            named = (sidecar_of(photo.path, name) for name in SidecarName)
            yield from ((one, None) for one in named if one.is_file())
