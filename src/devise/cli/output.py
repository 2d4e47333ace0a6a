"""Where answers go, piece by piece: standard output, or a file that is whole or absent."""

import io
import os
import select
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from devise.cli.forms import Form
from devise.cli.terminal import Stream, counted, tell
from devise.errors import DeviseError, UsageError
from devise.files import atomic_write, real_path
from devise.model.answers import Answer
from devise.vision.folders import EXTENSIONS

if TYPE_CHECKING:
    from devise.model.labeller import LabelRun, Model

__all__ = [
    "IN_DOUBT",
    "Output",
    "Tally",
    "check_output",
    "counting",
    "open_output",
    "open_sheet",
    "open_tree",
    "tell_notes",
    "write_answers",
]

IN_DOUBT = 0.7
"""Where the first guess has less, a table or a sheet names the photo more widely; decision 23."""


@dataclass(slots=True)
class Tally:
    """What became of the pictures; files that are no pictures are counted, not labelled."""

    labelled: int = 0
    rejected: int = 0
    failed: int = 0
    skipped: int = 0

    @property
    def pictures(self) -> int:
        """Pictures that are done with, one way or the other."""
        return self.labelled + self.failed

    def lines(self) -> Iterator[str]:
        """What the user should know at the end; nothing if all went well."""
        if self.failed and self.pictures > 1:
            yield f"{self.failed:,} of {counted(self.pictures, 'photo')} could not be read"
        if self.rejected and self.pictures > 1:
            yield f"{self.rejected:,} of {counted(self.labelled, 'labelled photo')} got 'none of these'"
        if self.skipped:
            kept = "its name does not end as a picture's does" if self.skipped == 1 else "not pictures by their names"
            yield f"left out {counted(self.skipped, 'file')}: {kept}"


def check_output(path: Path, option: str = "--output", example: str = "labels.csv") -> None:
    """Refuse a path to which nothing can be written, so that nobody waits for a model first.

    option, example: what the path was given to, and a name that fits it. Only --output may be a pipe or a device.
    UsageError for what another path would cure; DeviseError where the system does not let a file be created.
    """
    if _is_stream(path) and not path.is_dir():
        if option == "--output":
            return
        raise UsageError(f"{option} {path} is a pipe or a device: give a file, such as {example}")
    if path.is_dir():
        raise UsageError(f"{option} needs a file, and {path} is a folder: give a name in it, as in {path / example}")
    if not path.parent.is_dir():
        raise UsageError(f"{option} {path} needs a folder that exists: make {path.parent} first")
    if path.suffix.lower() in EXTENSIONS:
        raise UsageError(f"{option} {path} has the name of a picture: give another, such as {example}")
    with _named(str(path)), TemporaryFile(dir=real_path(path).parent):
        pass


@contextmanager
def open_output(path: Path | None, tally: Tally) -> Iterator["Output"]:
    """Standard output, or a file that appears only when it is whole.

    When Ctrl-C ends the work, what was finished until then is kept. A link is followed. A device or a pipe is
    written to as it is, never replaced. DeviseError, which names the file, if it cannot be written.
    """
    if path is None:
        yield _standard_output()
    elif _is_stream(path):
        with _named(str(path)), path.open("w", encoding="utf-8", newline="") as file:
            yield Output(file, str(path))
    else:
        stopped: KeyboardInterrupt | None = None
        with _named(str(path)), atomic_write(real_path(path) if path.is_symlink() else path) as file:
            try:
                yield Output(file, str(path))
            except KeyboardInterrupt as interrupt:
                if not tally.pictures:
                    raise
                stopped = interrupt
        if stopped is not None:
            tell(f"{counted(tally.pictures, 'finished photo')} kept in {path}")
            raise stopped


@contextmanager
def open_tree(path: Path | None, model: "Model") -> Iterator[Callable[[Iterable[Answer]], Iterator[Answer]]]:
    """A drawing of the names whose answers pass through what is yielded, as `open_sheet` makes a page.

    It shows the guesses of a single photo, or how many of several photos have each first name. If no photo has a name,
    nothing is written, and a line says so.
    """
    if path is None:
        yield iter
        return
    from devise.pages.tree import NameTree

    tree = NameTree(model)

    def seen(answers: Iterable[Answer]) -> Iterator[Answer]:
        for answer in answers:
            tree.add(answer)
            yield answer

    stopped: KeyboardInterrupt | None = None
    try:
        yield seen
    except KeyboardInterrupt as interrupt:
        stopped = interrupt
    if tree.photos:
        with _named(str(path)), atomic_write(path) as file:
            file.write(tree.drawing())
        tell(f"tree of the names of {counted(tree.photos, 'photo')}: {path.absolute()}")
    else:
        tell(f"no photo has a name: {path} is not written")
    if stopped is not None:
        raise stopped


@contextmanager
def open_sheet(
    path: Path | None, model: "Model", run: "LabelRun"
) -> Iterator[Callable[[Iterable[Answer]], Iterator[Answer]]]:
    """A page of the photos whose answers pass through what is yielded; it appears when it is whole.

    None makes no page. When Ctrl-C ends the work, the page has what was finished until then. DeviseError, which names
    the file, if it cannot be written.
    """
    if path is None:
        yield iter
        return
    from devise.pages.contact_sheet import LabelSheet, SheetFacts

    name = str(path)
    with ExitStack() as stack:
        with _named(name):
            file = stack.enter_context(atomic_write(path))
            spool = stack.enter_context(TemporaryFile("w+", encoding="utf-8", newline="", dir=real_path(path).parent))
        sheet = LabelSheet(SheetFacts.of(model, run), spool)

        def seen(answers: Iterable[Answer]) -> Iterator[Answer]:
            for answer in answers:
                with _named(name):
                    sheet.add(answer)
                yield answer

        stopped: KeyboardInterrupt | None = None
        try:
            yield seen
        except KeyboardInterrupt as interrupt:
            if not sheet.photos:
                raise
            stopped = interrupt
        with _named(name):
            file.writelines(sheet.pieces(stopped is not None))
            stack.close()
    tell(f"page of {counted(sheet.photos, 'photo')}: {path.absolute()}")
    if stopped is not None:
        raise stopped


class Output:
    """Takes text; DeviseError, which names it, if it cannot be written.

    file: a file, or standard output. name: what it is called in that error.
    """

    def __init__(self, file: Stream, name: str) -> None:
        self.file = file
        self._name = name

    def write(self, text: str) -> None:
        """Write the text."""
        with _named(self._name):
            self._write(text)

    def _write(self, text: str) -> None:
        self.file.write(text)


class _StandardOutput(Output):
    """Who reads along sees each text at once and whole, also when Ctrl-C comes while it is written.

    The bytes go past Python's own streams: these lose the rest of a text of which a pipe took a part before a
    signal (with PYTHONUNBUFFERED, usual in containers). Ctrl-C waits for the end of the text, but for a second
    at most: the reader may have stopped reading.
    """

    _stopped = False

    def _write(self, text: str) -> None:
        file: Any = self.file
        file.flush()
        try:
            handle = file.fileno()
        except (AttributeError, OSError):  # not a stream of the system's
            handle = None
        if handle is None or sys.platform == "win32":
            file.write(text)
            file.flush()
            return
        left = memoryview(text.encode(file.encoding, file.errors))
        with self._stop_put_off():
            while left:
                try:
                    left = left[os.write(handle, left) :]
                except BlockingIOError:  # a pipe set not to wait
                    select.select((), (handle,), ())

    @contextmanager
    def _stop_put_off(self) -> Iterator[None]:
        """Ctrl-C raises at the end of the block, or in it when a second is over or at the second Ctrl-C."""
        default = signal.default_int_handler
        if signal.getsignal(signal.SIGINT) is not default or threading.current_thread() is not threading.main_thread():
            yield
            return
        late = self._stopped

        def stop(*_: object) -> None:
            if self._stopped:
                raise KeyboardInterrupt
            self._stopped = True
            signal.alarm(1)

        def ring(*_: object) -> None:
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGALRM, ring)
        signal.signal(signal.SIGINT, stop)
        signal.alarm(int(late))
        try:
            yield
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGINT, default)
            signal.signal(signal.SIGALRM, before)
        if self._stopped and not late:
            raise KeyboardInterrupt


def _standard_output() -> Output:
    if sys.stdout is None:
        raise DeviseError("standard output is closed: open it, or give --output FILE")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    return _StandardOutput(sys.stdout, "standard output")


def _is_stream(path: Path) -> bool:
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return False


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise DeviseError(f"{name} cannot be written: {error.strerror or error}") from error


def tell_notes(notes: Iterable[str]) -> None:
    """How the words were understood, and which command says more."""
    from devise.model.candidates import SEVERAL_MEANINGS

    for note in notes:
        tell(f"{note}: `devise labels WORD` lists them" if note.endswith(SEVERAL_MEANINGS) else note)


def write_answers(answers: Iterable[Answer], form: Form, output: Output, tally: Tally) -> None:
    """Write all answers and count them; problems go to standard error as they come."""
    output.write(form.begin())
    try:
        with _progress(output.file) as progress:
            task = progress.add_task("", total=None)
            for answer in answers:
                if told := answer.problem or answer.note:
                    tell(f"{answer.source}: {told}")
                output.write(form.one(answer))
                tally.failed += answer.problem is not None
                tally.labelled += answer.problem is None
                tally.rejected += answer.rejected
                progress.update(task, advance=1)
    except KeyboardInterrupt:
        output.write(form.end())
        raise
    output.write(form.end())


@contextmanager
def counting(what: str) -> Iterator[Callable[[], None]]:
    """A counter on standard error, where a person looks; what it gives is called for each photo."""
    with _counter(what, shown=sys.stderr is not None and sys.stderr.isatty()) as progress:
        task = progress.add_task("", total=None)
        yield lambda: progress.update(task, advance=1)


def _progress(target: Stream) -> Progress:
    """A counter on standard error; only where a person looks and the answers go elsewhere."""
    return _counter("photos", shown=sys.stderr is not None and sys.stderr.isatty() and not target.isatty())


def _counter(what: str, *, shown: bool) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn(f"{{task.completed:,}} {what}"),
        TimeElapsedColumn(),
        console=Console(stderr=True, soft_wrap=True),
        disable=not shown,
        redirect_stdout=False,
        transient=True,
    )
