"""Answers as tables, JSON, JSON lines and CSV."""

import csv
import io
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from devise.errors import UsageError
from devise.files import atomic_write
from devise.labeller.answers import Answer, Guess
from devise.labeller.model import LabelRequest, LabelRun

__all__ = ["Formatter", "Tally", "open_output"]


@dataclass(slots=True)
class Tally:
    """What became of the pictures; files that are no pictures are counted, not labelled."""

    labelled: int = 0
    rejected: int = 0
    failed: int = 0
    skipped: int = 0

    def lines(self) -> Iterator[str]:
        """What the user should know at the end; nothing if all went well."""
        if self.failed:
            yield f"{self.failed} of {self.failed + self.labelled} photos could not be read"
        if self.skipped:
            yield f"{self.skipped} files are not pictures by their name and were left out"
        if not self.labelled and not self.failed:
            yield "there is no picture to label"


@contextmanager
def open_output(path: Path | None) -> Iterator[IO[str]]:
    """Standard output, or a file that appears only when it is whole.

    When Ctrl-C ends the work, what was finished until then is kept.
    """
    if path is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        yield sys.stdout
        sys.stdout.flush()
        return
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"--output needs a file in a folder that exists, got {path}")
    stopped: KeyboardInterrupt | None = None
    with atomic_write(path) as file:
        try:
            yield file
        except KeyboardInterrupt as interrupt:
            stopped = interrupt
    if stopped is not None:
        print(f"devise: stopped; the photos finished so far are in {path}", file=sys.stderr)
        raise stopped


class Formatter:
    """Writes answers one by one as they come."""

    def __init__(self, target: IO[str], request: LabelRequest, run: LabelRun) -> None:
        self.target = target
        self.request = request
        self.tally = Tally()

    @staticmethod
    def of(form: str, target: IO[str], request: LabelRequest, run: LabelRun) -> "Formatter":
        """The formatter of a name: table, json, jsonl or csv."""
        kinds = {
            "table": TableFormatter,
            "json": JsonFormatter,
            "jsonl": JsonLinesFormatter,
            "csv": CsvFormatter,
        }
        return kinds[form](target, request, run)

    def skip(self, path: Path) -> None:
        """Count a file that is not a picture."""
        self.tally.skipped += 1

    def write(self, answers: Iterable[Answer]) -> Tally:
        """Write all answers; problems go to standard error as they come."""
        self.begin()
        try:
            with _progress(self.target) as progress:
                task = progress.add_task("labelling", total=None)
                for answer in answers:
                    if answer.problem is not None:
                        self.tally.failed += 1
                        progress.console.print(
                            f"devise: {_printable(answer.source)}: {answer.problem}",
                            style=None,
                            markup=False,
                            highlight=False,
                            soft_wrap=True,
                        )
                    else:
                        self.tally.labelled += 1
                        self.tally.rejected += answer.rejected
                    self.one(answer)
                    progress.update(task, advance=1)
        finally:
            self.end()
        return self.tally

    def begin(self) -> None:
        """Before the first answer."""

    def one(self, answer: Answer) -> None:
        """An answer."""
        raise NotImplementedError

    def end(self) -> None:
        """After the last answer, also when work was cut off."""


class JsonLinesFormatter(Formatter):
    """One JSON object a picture and line."""

    def one(self, answer: Answer) -> None:
        """An answer."""
        self.target.write(_json(answer) + "\n")


class JsonFormatter(Formatter):
    """One JSON list of all pictures."""

    _first = True

    def begin(self) -> None:
        """Before the first answer."""
        self.target.write("[")

    def one(self, answer: Answer) -> None:
        """An answer."""
        self.target.write(("\n" if self._first else ",\n") + _json(answer))
        self._first = False

    def end(self) -> None:
        """After the last answer."""
        self.target.write("\n]\n")


class CsvFormatter(Formatter):
    """One row a guess; a picture without guesses has one row that says why."""

    _COLUMNS = ("path", "rank", "id", "name", "score", "gloss", "seen", "source", "rejected", "problem")

    def begin(self) -> None:
        """Before the first answer."""
        self._rows = csv.writer(self.target, lineterminator="\n")
        self._rows.writerow(self._COLUMNS)

    def one(self, answer: Answer) -> None:
        """An answer."""
        path = _printable(answer.source)
        if answer.problem is not None:
            self._rows.writerow([path, "", "", "", "", "", "", "", "", answer.problem])
        for rank, guess in enumerate(answer.guesses, start=1):
            label = guess.label
            facts = (label.id, label.name, f"{guess.score:.6f}", label.gloss, int(label.seen), label.source)
            self._rows.writerow([path, rank, *facts, int(answer.rejected), ""])


class TableFormatter(Formatter):
    """A block a picture, for people."""

    def begin(self) -> None:
        """Before the first answer."""
        self._console = Console(file=self.target, highlight=False, soft_wrap=not self.target.isatty())

    def one(self, answer: Answer) -> None:
        """An answer."""
        if answer.problem is not None:
            return
        console = self._console
        verdict = "  [yellow]none of these[/]" if answer.rejected else ""
        console.print(f"[bold]{escape(_printable(answer.source))}[/]{verdict}")
        names = [guess.label.name for guess in answer.guesses]
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(justify="right", no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(overflow="ellipsis", no_wrap=not self.request.explain, style="dim")
        for guess in answer.guesses:
            twice = names.count(guess.label.name) > 1
            seen = "" if guess.label.seen else "[cyan] *[/]"
            remark = guess.label.id if twice else ""
            table.add_row(
                f"{100 * guess.score:5.1f} %",
                f"{escape(guess.label.name)}{seen}" + (f" [dim]{remark}[/]" if remark else ""),
                escape(guess.label.gloss),
            )
            for line in _explained(guess):
                table.add_row("", "", escape(line))
        console.print(table)

    def end(self) -> None:
        """After the last answer."""
        if self.tally.labelled and self.target.isatty():
            self._console.print("[cyan]*[/] [dim]a label no training photo carried[/]")


def _explained(guess: Guess) -> Iterator[str]:
    if guess.explanation is None:
        return
    if guess.explanation.path:
        yield "path: " + " > ".join(guess.explanation.path)
    yield f"vector from: {guess.label.source}; id {guess.label.id}"
    leans = ", ".join(f"{one.label.name} {one.share:.0%}" for one in guess.explanation.leans_on)
    yield f"leans on: {leans or 'no trained label'}"


def _json(answer: Answer) -> str:
    """One line; a path that is not UTF-8 keeps its bytes as \\udcXX escapes, as Python's os.fsdecode has them."""
    line = json.dumps(_record(answer), ensure_ascii=False)
    return line if line.isascii() or _encodable(line) else json.dumps(_record(answer))


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _record(answer: Answer) -> dict[str, Any]:
    """Keys whose value says nothing are left out."""
    record: dict[str, Any] = {"path": answer.source}
    if answer.problem is not None:
        return record | {"problem": answer.problem}
    record["rejected"] = answer.rejected
    record["guesses"] = [_guess_record(guess) for guess in answer.guesses]
    return record


def _guess_record(guess: Guess) -> dict[str, Any]:
    label = guess.label
    record: dict[str, Any] = {"score": round(guess.score, 6), **asdict(label)}
    if guess.explanation is not None:
        record["path"] = list(guess.explanation.path)
        record["leans_on"] = [
            {"id": one.label.id, "name": one.label.name, "share": round(one.share, 4)}
            for one in guess.explanation.leans_on
        ]
    return record


def _printable(source: str) -> str:
    """A path as text that any terminal and file can hold: control characters and broken bytes are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in source)


def _progress(target: IO[str]) -> Progress:
    """A counter on standard error; only where a person looks and the answers go elsewhere."""
    console = Console(stderr=True)
    shown = console.is_terminal and not target.isatty()
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description} {task.completed} photos"),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not shown,
        transient=True,
    )
