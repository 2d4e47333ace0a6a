"""devise unlabel: take back the keywords that devise wrote into sidecars."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from devise.cli.app import app
from devise.cli.terminal import counted, tell
from devise.errors import UsageError
from devise.sidecars import SidecarError, SidecarName, clear_sidecar, require_xmp, sidecar_of

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
    for sidecar in dict.fromkeys(one for path in paths for one in _sidecars(path)):
        try:
            found += 1
            changed += clear_sidecar(sidecar)
        except SidecarError as error:
            failed += 1
            tell(str(error))
    told = f", {failed:,} failed" if failed else ""
    print(f"keywords taken back from {changed:,} of {counted(found, 'sidecar')}{told}")
    if failed:
        raise typer.Exit(1)


def _sidecars(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(one for one in path.rglob("*") if one.suffix.lower() == ".xmp" and one.is_file())
    elif path.suffix.lower() == ".xmp":
        yield path
    else:
        yield from (one for one in (sidecar_of(path, name) for name in SidecarName) if one.is_file())
