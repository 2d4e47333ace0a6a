"""Write answers piece by piece to standard output, or to a file that is complete or absent."""

import io
import os
import select
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from devise.cli.answers_output import Form
from devise.cli.progress import counting
from devise.cli.terminal import Problems, Stream, tell
from devise.errors import DeviseError, UsageError, counted
from devise.files import atomic_write, real_path, remove_unfinished
from devise.model.answers import Answer, Level
from devise.sidecars import SidecarName, not_rejected, sidecar_of, tag_photo, tag_sidecar, takes_keywords
from devise.taxonomy.wordnet import ENGLISH
from devise.vision.folders import EXTENSIONS, IGNORE_FILE, is_video
from devise.xmp import Keyword, SidecarError

if TYPE_CHECKING:
    from devise.model.labeller import LabelRun, Model

__all__ = [
    "IN_DOUBT",
    "KeywordPlaces",
    "Output",
    "Tally",
    "check_output",
    "excluded_lines",
    "keywords_of",
    "open_output",
    "open_sheet",
    "open_sidecars",
    "open_tree",
    "problem_line",
    "skipped_lines",
    "tell_notes",
    "write_answers",
]

IN_DOUBT = 0.7
"""Below this score of the first guess, a table or a sheet also shows a wider name; see decision 23."""


@dataclass(slots=True)
class Tally:
    """Counts of pictures by outcome, and of files that are not pictures. frames: per video, 0 names none.

    folders: those that cannot be read.
    unwritten: photos whose keywords could not be written.
    """

    labelled: int = 0
    rejected: int = 0
    failed: int = 0
    folders: int = 0
    skipped: int = 0
    videos: int = 0
    excluded: int = 0
    frames: int = 0
    problems: Problems = field(default_factory=Problems)
    unwritten: list[str] = field(default_factory=list)

    def skip(self, path: Path) -> None:
        """Count a file that is not a picture by its name."""
        video = is_video(path)
        self.videos += video
        self.skipped += not video

    def leave_out(self, path: Path) -> None:
        """Count a file or folder that is excluded."""
        self.excluded += 1

    @property
    def pictures(self) -> int:
        """Number of finished pictures, labelled or not."""
        return self.labelled + self.failed

    def lines(self) -> Iterator[str]:
        """Yield the closing lines for the user; none if all went well."""
        yield from self.problems.lines()
        if self.failed and self.pictures > 1:
            both = f"{self.pictures:,} photos and videos" if self.frames else counted(self.pictures, "photo")
            yield f"{self.failed:,} of {both} could not be read"
        if self.folders and self.pictures + self.folders > 1:
            yield f"{counted(self.folders, 'folder')} could not be read"
        if self.rejected and self.pictures > 1:
            yield f"{self.rejected:,} of {counted(self.labelled, 'labelled photo')} got 'none of these'"
        yield from skipped_lines(self.skipped, self.videos, live=bool(self.frames))
        yield from excluded_lines(self.excluded)


def skipped_lines(files: int, videos: int = 0, *, live: bool = False) -> Iterator[str]:
    """Yield a line on each kind of files that are not pictures, if there are any. live: videos of live photos."""
    if videos and live:
        yield f"left out {counted(videos, 'video')}: {'it belongs to a' if videos == 1 else 'they belong to'} live " + (
            "photo" if videos == 1 else "photos"
        )
    elif videos:
        yield f"left out {counted(videos, 'video')}: --video names {'it' if videos == 1 else 'them'}"
    if files:
        kept = "not a picture by its name" if files == 1 else "not pictures by their names"
        yield f"left out {counted(files, 'file')}: {kept}"


def problem_line(path: str, reason: str) -> str:
    """Return a photo with its problem; of a video that was given by name, with the option that names it.

    >>> problem_line("clip.mp4", "a video, not a picture"), problem_line("a.jpg", "a video, not a picture")
    ('clip.mp4: a video, not a picture: --video names it', 'a.jpg: a video, not a picture')
    """
    return f"{path}: {reason}" + ": --video names it" * (reason.startswith("a video, ") and is_video(path))


def excluded_lines(count: int) -> Iterator[str]:
    """Yield a line on the files and folders that `find_pictures` excluded, if there are any."""
    if count:
        was = "was" if count == 1 else "were"
        yield (
            f"{count:,} of the files and folders {was} left out by --exclude or {IGNORE_FILE}, or as folders of a file "
            "server or a wastebasket (@eaDir, #recycle, Trash)"
        )


def check_output(path: Path, option: str = "--output", example: str = "labels.csv") -> None:
    """Refuse a path that cannot be written, before the model is loaded; remove what killed runs left next to it.

    option, example: the option that took the path, and an example of a valid name. Only --output may be a pipe or a
    device. UsageError if another path would help; DeviseError if the system does not let a file be created.
    """
    if str(path) == "-":  # of other programs: standard output
        raise UsageError(f"{option} needs a file, got -: give a name, such as {example}, or leave {option} out")
    if _is_stream(path) and not path.is_dir():
        if option == "--output":
            return
        raise UsageError(f"{option} {path} is a pipe or a device: give a file, such as {example}")
    if path.is_dir():
        raise UsageError(f"{option} needs a file, and {path} is a folder: give a name in it, as in {path / example}")
    if not path.parent.is_dir():
        raise UsageError(f"{option} {path} needs an existing folder: make {path.parent} first")
    if path.suffix.lower() in EXTENSIONS:
        raise UsageError(f"{option} {path} has the name of a picture: give another name, such as {example}")
    folder = real_path(path).parent
    with _named(str(path)), TemporaryFile(dir=folder):
        remove_unfinished(folder)


@contextmanager
def open_output(path: Path | None, tally: Tally) -> Iterator["Output"]:
    """Open standard output, or a file that appears only when complete.

    Ctrl-C keeps what is finished. A link is followed. A device or a pipe is written to, never replaced. Raises a
    DeviseError that names the file if it cannot be written.
    """
    if path is None:
        yield _standard_output()
    elif _is_stream(path):
        with _named(str(path)), path.open("w", encoding="utf-8", newline="") as file:
            yield Output(file, str(path))
    else:
        stops: list[KeyboardInterrupt] = []
        whole = real_path(path) if path.is_symlink() else path
        with _named(str(path)), atomic_write(whole) as file, _finishing(stops, lambda: tally.pictures):
            yield Output(file, str(path))
        for stop in stops:
            tell(f"{counted(tally.pictures, 'finished photo')} kept in {path}")
            raise stop


@contextmanager
def _finishing(stops: list[KeyboardInterrupt], done: Callable[[], int]) -> Iterator[None]:
    """Put a Ctrl-C off, to be raised by the caller after it has written what is done; pass it on if nothing is."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if not done():
            raise
        stops.append(stop)


@contextmanager
def open_tree(path: Path | None, model: "Model") -> Iterator[Callable[[Iterable[Answer]], Iterator[Answer]]]:
    """Draw the names of the answers that pass through the yielded function, like `open_sheet`.

    It shows the guesses of a single photo, or how many of several photos have each first name. If no photo has a name,
    nothing is written, and a line says so.
    """
    if path is None:
        yield iter
        return
    from devise.pages.tree import NameTree

    tree = NameTree(model)

    stops: list[KeyboardInterrupt] = []
    with _finishing(stops, lambda: 1):
        yield partial(_passing, tree.add)
    if tree.photos:
        with _named(str(path)), atomic_write(path) as file:
            file.write(tree.drawing())
        tell(f"tree of the names of {counted(tree.photos, 'photo')}: {path.absolute()}")
    else:
        tell(f"no photo has a name: {path} is not written")
    for stop in stops:
        raise stop


def _passing(take: Callable[[Answer], None], answers: Iterable[Answer]) -> Iterator[Answer]:
    for answer in answers:
        take(answer)
        yield answer


@dataclass(frozen=True, slots=True)
class KeywordPlaces:
    """Where keywords go.

    name: of sidecars. embed: into the photos if their format allows it; keep_time: with their old time.
    """

    name: SidecarName = SidecarName.full
    embed: bool = False
    keep_time: bool = False


@contextmanager
def open_sidecars(
    places: KeywordPlaces | None, tally: Tally, report: Callable[[str], None] = tell
) -> Iterator[Callable[[Iterable[Answer]], Iterator[Answer]]]:
    """Write the sure names of each photo whose answer passes through as keywords, before the answer is shown.

    places: None writes none. A sidecar or photo that cannot be changed is reported and counted; the others are written.
    report: prints a line.
    """
    if places is None:
        yield iter
        return
    photo_of: dict[Path, str] = {}
    folders: set[Path] = set()
    photos = sidecars = unchanged = unnamed = 0

    def write(answer: Answer) -> None:
        nonlocal photos, sidecars, unchanged, unnamed
        if answer.problem is not None:
            return
        keywords, photo = keywords_of(answer), Path(answer.source)
        inside = places.embed and takes_keywords(photo)
        path = real_path(photo) if inside else sidecar_of(photo, places.name)
        if path.parent not in folders:
            remove_unfinished(path.parent)
            folders.add(path.parent)
        try:
            keywords = not_rejected(photo, keywords)
            if inside:
                changed = tag_photo(photo, keywords, keep_time=places.keep_time)
            else:
                if (other := photo_of.setdefault(path, answer.source)) != answer.source:
                    raise SidecarError(f"{path} is the sidecar of {other} and {answer.source}: take --xmp-name full")
                changed = tag_sidecar(path, keywords)
        except SidecarError as error:
            tally.unwritten.append(answer.source)
            report(str(error))
            return
        photos += changed and inside
        sidecars += changed and not inside
        unchanged += bool(keywords) and not changed
        unnamed += not keywords

    try:
        yield partial(_passing, write)
    finally:
        written = [counted(photos, "photo")] * places.embed + [counted(sidecars, "sidecar")] * (
            not places.embed or sidecars > 0
        )
        counts = [f"{' and '.join(written)} written", f"{unchanged:,} unchanged"]
        counts += [f"{counted(unnamed, 'photo')} without a sure name"] * bool(unnamed)
        counts += [f"{len(tally.unwritten):,} failed"] * bool(tally.unwritten)
        report(f"keywords: {', '.join(counts)}")


def keywords_of(answer: Answer) -> tuple[Keyword, ...]:
    """The sure names of a photo and of its regions that people use, each from wide to narrow; each path once."""
    hedge = answer.hedge
    named = [(hedge.name, hedge.way)] if hedge is not None and hedge.name is not None and not answer.rejected else []
    named += [(region.name, region.way) for region in answer.regions.found] if answer.regions else []
    found: dict[tuple[str, ...], Keyword] = {}
    for name, way in named:
        found |= {path: one for path, one in _keywords(name, way).items() if path not in found}
    return tuple(found.values())


def _keywords(name: Level, way: Sequence[Level]) -> dict[tuple[str, ...], Keyword]:
    sure = [level.id for level in way].index(name.id)
    levels = [level for level in way[:sure] if level.common and level.bits]
    path: tuple[str, ...] = ()
    keywords = {}
    for level in (*levels, name):
        path = (*path, level.name.removesuffix(ENGLISH))  # a keyword is for other programs: no mark
        keywords[path] = Keyword(path, level.id, level.share)
    return keywords


@contextmanager
def open_sheet(
    path: Path | None, model: "Model", run: "LabelRun"
) -> Iterator[Callable[[Iterable[Answer]], Iterator[Answer]]]:
    """Write a page of the photos whose answers pass through the yielded function.

    None writes no page. The page appears when it is complete; after Ctrl-C it has what was finished. Raises a
    DeviseError that names the file if it cannot be written.
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

        def take(answer: Answer) -> None:
            with _named(name):
                sheet.add(answer)

        stops: list[KeyboardInterrupt] = []
        with _finishing(stops, lambda: sheet.photos):
            yield partial(_passing, take)
        with _named(name):
            file.writelines(sheet.pieces(bool(stops)))
            stack.close()
    tell(f"page of {counted(sheet.photos, 'photo')}: {path.absolute()}")
    for stop in stops:
        raise stop


class Output:
    """A target for text; raises a DeviseError that names it if it cannot be written.

    file: a file, or standard output. name: its name in that error.
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
    """Standard output, flushed after each text and never cut inside one by Ctrl-C.

    The bytes bypass Python's streams. These lose the rest of a text if a pipe took part of it before a signal (with
    PYTHONUNBUFFERED, usual in containers). Ctrl-C waits for the end of the text, but at most one second: the reader
    may have stopped reading.
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
        """Delay Ctrl-C to the end of the block, but at most one second, or to the second Ctrl-C."""
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
    """Print how words were interpreted, and the command that shows more."""
    from devise.model.candidates import SEVERAL_MEANINGS

    for note in notes:
        tell(f"{note}: `devise labels WORD` lists them" if note.endswith(SEVERAL_MEANINGS) else note)


def write_answers(answers: Iterable[Answer], form: Form, output: Output, tally: Tally) -> None:
    """Write all answers and count them; problems go to standard error as they come."""
    output.write(form.begin())
    try:
        with counting(hidden=output.file.isatty()) as advance:
            for answer in answers:
                if remark := answer.problem or answer.note:
                    tally.problems.tell(problem_line(answer.source, remark))
                output.write(form.one(answer))
                is_folder = answer.problem is not None and os.path.isdir(answer.source)
                tally.folders += is_folder
                tally.failed += answer.problem is not None and not is_folder
                tally.labelled += answer.problem is None
                tally.rejected += answer.rejected
                advance()
    except KeyboardInterrupt:
        output.write(form.end())
        raise
    output.write(form.end())
