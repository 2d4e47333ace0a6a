"""devise watch: keep an index and the sidecars up to date while photos come, change and go."""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

from devise.cli import options
from devise.cli.app import app, one_blas_thread
from devise.cli.terminal import tell
from devise.errors import DeviseError, PhotoIndexError, UsageError, counted
from devise.files import reason_of
from devise.sidecars import SidecarName, shares_stem
from devise.xmp import require_xmp

if TYPE_CHECKING:
    from devise.model.labeller import LabelRun, Model
    from devise.search.photoindex import Indexed
    from devise.search.watching import Pending, Unwritten

__all__ = ["watch"]

_TOGETHER = 256  # photos whose sidecars are written before they enter the index
_LOOK_MS = 500  # between two looks at the photos that wait
_POLL_MS = 10_000
_RETRY = 10.0  # seconds until what could not be written is tried again
_RETRY_SIDECAR = 60.0
_UNWRITTEN = ".unwritten.json"  # in the index

_Identity = tuple[int, int] | None


@app.command(no_args_is_help=True)
def watch(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTOS", help="Folders of photos, including subfolders.")],
    index: Annotated[Path, typer.Option("--index", metavar="INDEX", help="Folder of the index; created or updated.")],
    xmp: Annotated[
        bool, typer.Option("--xmp", help="Also write the sure names of new photos into XMP sidecars, as devise label.")
    ] = False,
    xmp_name: Annotated[
        SidecarName,
        typer.Option(metavar="NAME", help="With --xmp: full is photo.jpg.xmp, stem is photo.xmp."),
    ] = SidecarName.full,
    sure: Annotated[
        float, typer.Option(metavar="SHARE", help="With --xmp: least probability of a name, 0 to 1.")
    ] = 0.7,
    wait: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0, help="Read a photo when it has not changed for this long."),
    ] = 2.0,
    poll: Annotated[
        bool,
        typer.Option("--poll", help="Look at all files every 10 seconds: for network drives, which send no events."),
    ] = False,
    exclude: options.ExcludeOption = None,
    lang: options.LangOption = None,
    fast: options.FastOption = False,
    device: options.DeviceOption = "cpu",
    precision: options.PrecisionOption = "f32",
    max_pixels: options.MaxPixelsOption = None,
    model: options.ModelOption = None,
) -> None:
    """Index photos as they are added, changed and removed, until Ctrl-C or SIGTERM.

    It begins with what has changed since the last time. Needs the extra watch: pip install 'devise-zsl[watch]'.
    """
    one_blas_thread()
    from devise.model.labeller import LabelRequest
    from devise.search.watching import Pending, Unwritten

    changes = _watcher()
    if xmp:
        require_xmp()
    if missing := next((path for path in photos if not path.is_dir()), None):
        raise UsageError(f"{missing} is not a folder: devise watch takes folders of photos")
    roots = [Path(os.path.abspath(path)) for path in photos]
    request = LabelRequest(sure=sure)
    loaded = options.opener(model, device, precision, fast=fast)(language=lang)
    run = loaded.run(request) if xmp else None
    unwritten = Unwritten.opened(index / _UNWRITTEN, _RETRY_SIDECAR)
    keeper = _Keeper(loaded, index, tuple(roots), tuple(exclude or ()), run, xmp_name, unwritten)
    pending = Pending(wait)
    begun = False
    with _stoppable() as stop, suppress(KeyboardInterrupt):
        while not stop.is_set():
            there = {root: _identity(root) for root in roots if root.is_dir()}
            for root in roots:
                if root not in there:
                    tell(f"{root} is missing: its photos stay in the index until it is back")
            if there:
                batches = changes(
                    *there,
                    watch_filter=None,
                    step=100,
                    rust_timeout=_LOOK_MS,
                    yield_on_timeout=True,
                    stop_event=stop,
                    force_polling=poll or None,
                    poll_delay_ms=_POLL_MS,
                    ignore_permission_denied=True,
                )
                next(batches, None)  # from now on nothing is missed
                try:
                    keeper.catch_up(list(there))
                except (DeviseError, OSError) as error:
                    if not begun:
                        raise
                    tell(_named(error))
                tell(f"watching {', '.join(map(str, photos))} (Ctrl-C ends it)")
                begun = True
            else:
                batches = iter(lambda: stop.wait(_LOOK_MS / 1000) or (), True)
            _follow(batches, pending, keeper, there)
    tell("stopped")


def _follow(batches: "Iterator[Any]", pending: "Pending", keeper: "_Keeper", there: "Mapping[Path, _Identity]") -> None:
    """Index what changes, until a folder is missing, or another folder or drive has its name.

    What cannot be written now is tried again; each reason is said once.
    """
    from devise.search.watching import path_changes

    said, not_before = "", 0.0
    for batch in batches:
        now = monotonic()
        pending.add(path_changes((path for _, path in batch), list(there), keeper.exclude), now)
        if any(_identity(root) != there.get(root) for root in keeper.roots):
            return
        if now < not_before:
            continue
        ready = pending.ready(now)
        try:
            if ready:
                keeper.update(ready)
                said = ""
            keeper.retry(now)
        except (PhotoIndexError, OSError) as error:
            if (reason := _named(error)) != said:
                tell(f"{reason}; tried again")
            said, not_before = reason, monotonic() + _RETRY
            pending.add(ready, monotonic())


def _named(error: Exception) -> str:
    """Return an error in one line, with the file that it is about."""
    place = error.filename if isinstance(error, OSError) else None
    return f"{place}: {reason_of(error)}" if place else str(error)


def _identity(folder: Path) -> "_Identity":
    """Return the drive and number of a folder; None if it is missing."""
    try:
        state = folder.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino


def _watcher() -> Callable[..., Iterator[Any]]:
    try:
        from watchfiles import watch as changes
    except ModuleNotFoundError:
        raise UsageError("devise watch needs the extra watch: pip install 'devise-zsl[watch]'") from None
    return changes


@contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """End at SIGTERM as at Ctrl-C: what is done is written, then nothing more is begun."""
    stop = threading.Event()

    def end(*_: object) -> None:
        stop.set()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(frozen=True)
class _Keeper:
    """Brings an index and the sidecars up to date.

    run: names the photos; None writes no sidecar. unwritten: photos whose sidecars could not be written.
    """

    model: "Model"
    index: Path
    roots: tuple[Path, ...]
    exclude: tuple[str, ...]
    run: "LabelRun | None"
    name: SidecarName
    unwritten: "Unwritten"

    def catch_up(self, roots: Sequence[Path]) -> None:
        """Do what has changed below these folders since the last time, and report it."""
        from devise.search.photoindex import index_photos
        from devise.vision.folders import find_pictures

        if self.run is not None:
            self._named(one.path for one in find_pictures(roots, exclude=self.exclude) if one.problem is None)
        done = index_photos(self.model, roots, self.index, exclude=self.exclude, states=self._named_before)
        self._report(done, always=True)

    @property
    def _named_before(self) -> "Mapping[str, tuple[int, int]] | None":
        """Return the states in which photos may enter the index now: none, if each needs its sidecar first."""
        return None if self.run is None else {}

    def update(self, paths: "list[str]") -> None:
        """Do what these photos and missing paths need; report what has changed."""
        from devise.search.photoindex import index_photos

        there = [Path(path) for path in paths if os.path.isfile(path)]
        if self.run is not None:
            self._named(there)
        lost = [Path(path) for path in paths if not os.path.lexists(path)]
        absent = [
            root for root in self.roots if any(path.is_relative_to(root) for path in lost) and self._is_absent(root)
        ]
        gone = [path for path in lost if not any(path.is_relative_to(root) for root in absent)]
        if there or gone:
            some = [*there, *gone]
            self._report(
                index_photos(self.model, some, self.index, emptied=True, states=self._named_before), always=False
            )

    def _is_absent(self, root: Path) -> bool:
        """Return whether a folder has no photo left, and report it: its drive may be missing."""
        from devise.vision.folders import find_pictures

        if not root.is_dir():
            return True
        if any(found.problem is None for found in find_pictures([root], exclude=self.exclude)):
            return False
        tell(f"{root}: no photo left; what was there stays in the index: devise index {root} --forget removes it")
        return True

    def _named(self, paths: "Iterable[Path]") -> None:
        """Write sidecars of photos that the index lacks, then put them into it: a kill between repeats only these."""
        from devise.search.watching import changed_photos
        from devise.vision.folders import Found

        fresh = changed_photos(self.model.parts, self.index, map(Found, paths), self.unwritten.paths)
        while some := list(islice(fresh, _TOGETHER)):
            self._name(some)

    def retry(self, now: float) -> None:
        """Try one of the sidecars that could not be written, without a word; if it can be now, the others too."""
        if self.run is None or (path := self.unwritten.due(now)) is None:
            return
        self._name([Path(path)], report=lambda line: None)
        if path not in self.unwritten.paths:
            self._named(map(Path, list(self.unwritten.paths)))

    def _name(self, photos: "list[Path]", report: Callable[[str], None] = tell) -> None:
        from devise.search.photoindex import index_photos
        from devise.search.watching import state_of

        states = {str(photo): state for photo in photos if (state := state_of(str(photo))) is not None}
        self._write_sidecars(photos, report)
        self._report(index_photos(self.model, photos, self.index, emptied=True, states=states), always=False)

    def _write_sidecars(self, photos: "list[Path]", report: Callable[[str], None]) -> None:
        from devise.cli.output import KeywordPlaces, Tally, open_sidecars

        assert self.run is not None
        tagged = []
        for photo in photos:
            if self.name == SidecarName.stem and shares_stem(photo):
                tell(f"{photo}: no sidecar, another photo has the same name with another ending: take --xmp-name full")
            else:
                tagged.append(photo)
        tally = Tally()
        with open_sidecars(KeywordPlaces(self.name), tally, report) as written:
            for _ in written(self.run.answers(tagged)):
                pass
        self.unwritten.tried(set(map(str, photos)), tally.unwritten, monotonic())

    def _report(self, done: "Indexed", *, always: bool) -> None:
        from devise.cli.index import changes_of

        for problem in (*done.problems, *done.notes):
            tell(f"{problem.path}: {problem.reason}")
        if always or done.changes:
            print(f"{self.index}: {counted(done.photos, 'photo')}; {changes_of(done)}", flush=True)
