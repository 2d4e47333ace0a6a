"""Output formats of answers: JSON, JSON lines and CSV for programs, a table for people."""

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import IO, Any, cast

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from devise.cli.terminal import Stream, one_line
from devise.files import text_name
from devise.model.answers import Answer, Explanation, Guess, Hedge, Level, Region, typed_places
from devise.model.labeller import LabelRequest
from devise.model.rejection import why_none
from devise.pages.frame import percent
from devise.tabletext import csv_text

__all__ = ["Csv", "Form", "Json", "JsonLines", "Table", "form_of"]

_INDENT = " " * 10  # of what belongs to a guess: below its name
_NAMES = 22  # columns for names, so that most blocks of a table are aligned
_WIDEST = 44  # columns for names at most; a longer one moves what follows it
_LEAST = 8  # columns, below which a definition is not begun
_STAR = " *"


class Form(ABC):
    """Format answers as text, one complete piece at a time."""

    def begin(self) -> str:
        """Return the text before the first answer."""
        return ""

    @abstractmethod
    def one(self, answer: Answer) -> str:
        """Return one complete answer."""

    def end(self) -> str:
        """Return the text after the last answer, even after an interrupt."""
        return ""


def form_of(name: str, file: Stream, request: LabelRequest, *, excel: bool = False, trained: bool = True) -> Form:
    """Return the format of this name (table, json, jsonl or csv) for this file. excel, trained: see `Csv`."""
    unicode = (getattr(file, "encoding", None) or "utf-8").lower().replace("-", "") == "utf8"
    match name:
        case "json":
            return Json(unicode)
        case "jsonl":
            return JsonLines(unicode)
        case "csv":
            sure = request.sure is not None
            mark = excel and unicode
            return Csv(request.explain, file.isatty(), sure, mark, request.context, request.regions, trained)
    return Table(request, Console(file=cast(IO[str], file), highlight=False) if file.isatty() else None)


class JsonLines(Form):
    """Write one JSON object per picture and line, all with the same keys."""

    def __init__(self, unicode: bool = True) -> None:
        self._unicode = unicode

    def one(self, answer: Answer) -> str:
        """Return one complete answer."""
        return _json(answer, self._unicode) + "\n"


class Json(Form):
    """Write one JSON list with one object per picture, as in `JsonLines`."""

    def __init__(self, unicode: bool = True) -> None:
        self._unicode = unicode
        self._before = "\n"

    def begin(self) -> str:
        """Return the text before the first answer."""
        return "["

    def one(self, answer: Answer) -> str:
        """Return one complete answer."""
        before, self._before = self._before, ",\n"
        return before + _json(answer, self._unicode)

    def end(self) -> str:
        """Return the text after the last answer."""
        return "\n]\n"


class Csv(Form):
    """Write one row per guess; an unreadable picture has one row that says why.

    explain: two extra columns. sure: four extra columns, with the photo's wide name in each of its rows. escaped: paths
    as the table shows them, for a terminal; else the true paths as `text_name` and `csv_text` write them. excel: start
    with a byte order mark, which marks UTF-8 for Excel. context: one extra column, how many other photos helped.
    regions: one extra column, the photo's regions as JSON in each of its rows, in the form of `JsonLines`.
    trained: False leaves out the columns on trained labels, for a model that has none.
    """

    _COLUMNS = ("path", "rank", "id", "name", "score", "gloss", "seen", "source", "rejected", "problem")
    _EXPLAINED = ("wordnet_path", "leans_on")
    _SURE = ("sure_id", "sure_name", "sure_share", "sure_bits")
    _CONTEXT = ("context",)
    _REGIONS = ("regions",)
    _ON_TRAINED = ("seen", "leans_on")

    def __init__(
        self,
        explain: bool = False,
        escaped: bool = False,
        sure: bool = False,
        excel: bool = False,
        context: bool = False,
        regions: bool = False,
        trained: bool = True,
    ) -> None:
        self._mark = "\ufeff" if excel else ""
        more = (self._EXPLAINED if explain else ()) + (self._SURE if sure else ()) + (self._CONTEXT if context else ())
        more += self._REGIONS if regions else ()
        self._all = self._COLUMNS + more
        left_out = () if trained else self._ON_TRAINED
        self._columns = tuple(one for one in self._all if one not in left_out)
        self._escaped = escaped

    def begin(self) -> str:
        """Return the column names."""
        return self._mark + csv_text([self._columns])

    def one(self, answer: Answer) -> str:
        """Return all rows of one answer."""
        return csv_text(self._rows(answer))

    def _rows(self, answer: Answer) -> Iterator[list[object]]:
        path = one_line(answer.source) if self._escaped else text_name(answer.source)
        if answer.problem is not None:
            cells = {"path": path, "problem": one_line(answer.problem)}
            yield [cells.get(column, "") for column in self._columns]
        if answer.rejected:
            cells = {"path": path, "rejected": "1", "regions": "".join(_regions_cells(answer))}
            yield [cells.get(column, "") for column in self._columns]
        for rank, guess in enumerate(answer.guesses, start=1):
            label = guess.label
            facts = (label.id, label.name, f"{guess.score:.6f}", label.gloss, int(bool(label.seen)), label.source)
            why = _explained_cells(guess.explanation) if guess.explanation else ()
            wide = _hedged_cells(answer.hedge) if answer.hedge else ()
            helped = () if answer.context is None else (answer.context,)
            filled = (path, rank, *facts, 0, "", *why, *wide, *helped, *_regions_cells(answer))
            yield [cell for column, cell in zip(self._all, filled, strict=False) if column in self._columns]


class Table(Form):
    """Write one block per picture, for people.

    console: the terminal, to whose width lines are cut; None writes whole lines without colours.
    """

    def __init__(self, request: LabelRequest, console: Console | None = None) -> None:
        self._request = request
        self._console = console
        self._blocks = 0
        self._starred = False

    def one(self, answer: Answer) -> str:
        """Return one block; nothing for an unreadable picture, which standard error reports."""
        if answer.problem is not None:
            return ""
        if answer.rejected:
            return self._line(self._head(answer, ""), soft_wrap=True) + self._regions(answer)
        if answer.hedge is not None and self._request.sure is not None and not self._request.explain:
            return self._line(self._head(answer, _hedged(answer.hedge)), soft_wrap=True) + self._regions(answer)
        before = "\n" if self._blocks and (len(answer.guesses) > 1 or self._request.explain) else ""
        self._blocks += 1
        head = self._head(answer, self._wide(answer.hedge))
        return (
            before
            + self._line(head, soft_wrap=True)
            + self._guesses(answer.guesses)
            + self._typed(answer)
            + self._regions(answer)
        )

    def end(self) -> str:
        """Explain the star, if there was one."""
        if not self._starred:
            return ""
        return "\n" + self._line(
            Text.assemble((_STAR.strip(), "cyan"), (" no training photo carried this label", "dim"))
        )

    def _wide(self, hedge: Hedge | None) -> str:
        """Return the wide name shown before the narrower guesses.

        Nothing if it was not requested and no name says more than --under does.
        """
        if hedge is None or (self._request.sure is None and (hedge.name is None or hedge.name.bits == 0)):
            return ""
        return _hedged(replace(hedge, narrower=()))

    def _head(self, answer: Answer, wide: str) -> Text:
        head = Text(one_line(answer.source), style="bold")
        if wide:
            head.append(f"  {wide}", style="not bold")
        if answer.rejected:
            head.append(f"  none of these: {why_none(self._request.rejects)}", style="not bold yellow")
        return head

    def _guesses(self, guesses: tuple[Guess, ...]) -> str:
        self._starred |= any(guess.label.seen is False for guess in guesses)
        named = Counter(guess.label.name for guess in guesses)
        heads = [_name(guess, named[guess.label.name] > 1) for guess in guesses]
        width = min(_WIDEST, max(_NAMES, *(head.cell_len for head in heads)))
        room = _LEAST if self._console is None else self._console.width - len(_INDENT) - width - 2
        written = ""
        for guess, head in zip(guesses, heads, strict=True):
            head.pad_right(max(0, width - head.cell_len))
            row = Text.assemble(f"{percent(guess.score):>8}  ", head)
            if guess.explanation is None and room >= _LEAST:
                row.append(f"  {one_line(guess.label.gloss)}", style="dim")
            written += self._line(row, no_wrap=True, overflow="ellipsis")
            if guess.explanation is not None:
                written += "".join(map(self._below, _explained(guess, guess.explanation)))
        return written

    def _typed(self, answer: Answer) -> str:
        """Return the best few typed labels that are not among the guesses."""
        return "".join(self._below(one_line(line)) for line in typed_places(answer))

    def _regions(self, answer: Answer) -> str:
        """Return one line per region: probability, name, and the box as WIDTHxHEIGHT+X+Y."""
        if answer.regions is None:
            return ""
        lines = (
            f"{percent(one.name.share):>8}  {one_line(one.name.name).ljust(_NAMES)}  at {_shown_box(one)}\n"
            for one in answer.regions.found
        )
        return "".join(lines) or f"{_INDENT}no region has a sure name\n"

    def _below(self, line: str) -> str:
        """Indent a line below its guess and wrap it at the terminal's edge."""
        if self._console is None:
            return f"{_INDENT}{line}\n"
        return self._line(Padding(Text(line, style="dim", overflow="fold"), (0, 0, 0, len(_INDENT)), expand=False))

    def _line(self, line: Text | Padding, **layout: Any) -> str:
        if self._console is None:
            return f"{line.plain.rstrip()}\n" if isinstance(line, Text) else ""
        if isinstance(line, Text):
            line.rstrip()
        with self._console.capture() as written:
            self._console.print(line, **layout)
        return written.get()


def _name(guess: Guess, twice: bool) -> Text:
    """Return the name, a star if untrained, and its id if two labels share the name."""
    label = guess.label
    return Text.assemble(
        one_line(label.name),
        (_STAR if label.seen is False else "", "cyan"),
        (f"  {one_line(label.id)}" if twice else "", "dim"),
    )


def _explained(guess: Guess, why: Explanation) -> Iterator[str]:
    label = guess.label
    leans = ", ".join(f"{one.label.name} {percent(one.share)}" for one in why.leans_on)
    for line in (
        label.gloss,
        f"is a: {' > '.join(why.path)}" if why.path else "",
        "" if label.seen is None else f"leans on: {leans or 'no trained label'}",
        f"id: {label.id}, vector from: {label.vector_from}",
    ):
        if line:
            yield one_line(line)


def _hedged(hedge: Hedge) -> str:
    """Return the wide name with its share, and likely narrower names in parentheses."""
    sure = (
        f"{hedge.name.name} {percent(hedge.name.share)}"
        if hedge.name
        else f"nothing is {percent(hedge.threshold)} sure"
    )
    narrower = ", ".join(f"{one.name} {percent(one.share)}" for one in hedge.narrower)
    return one_line(f"{sure} ({narrower})" if narrower else sure)


def _hedged_cells(hedge: Hedge) -> tuple[object, ...]:
    if hedge.name is None:
        return ("",) * 4
    return hedge.name.id, hedge.name.name, f"{hedge.name.share:.6f}", f"{hedge.name.bits:.4f}"


def _explained_cells(why: Explanation) -> tuple[str, str]:
    leans = "; ".join(f"{one.label.name} {one.share:.4f}" for one in why.leans_on)
    return " > ".join(why.path), leans


def _shown_box(region: Region) -> str:
    """Return the box in the notation of ImageMagick and X11."""
    box = region.box
    return f"{box.width}x{box.height}+{box.x}+{box.y}"


def _regions_cells(answer: Answer) -> tuple[str, ...]:
    return () if answer.regions is None else (json.dumps(_region_records(answer.regions.found)),)


def _region_records(found: tuple[Region, ...]) -> list[dict[str, Any]]:
    return [{**_level_record(one.name), **asdict(one.box)} for one in found]


def _json(answer: Answer, unicode: bool) -> str:
    """Return one line; unprintable characters are escaped, bytes that are not UTF-8 as \\udcXX."""
    record = _record(answer)
    line = json.dumps(record, ensure_ascii=not unicode)
    return line if line.isprintable() else json.dumps(record)


def _record(answer: Answer) -> dict[str, Any]:
    hedged = {"sure": _hedge_record(answer.hedge)} if answer.hedge else {}
    context = {} if answer.context is None else {"context": answer.context}
    regions = {} if answer.regions is None else {"regions": _region_records(answer.regions.found)}
    return {
        "path": answer.source,
        "problem": answer.problem,
        "rejected": answer.rejected,
        "guesses": [_guess_record(guess) for guess in answer.guesses],
        "typed": [{"id": one.label.id, "name": one.label.name, "rank": one.rank} for one in answer.standings],
        **hedged,
        **context,
        **regions,
    }


def _hedge_record(hedge: Hedge) -> dict[str, Any]:
    name = dict.fromkeys(("id", "name", "share", "bits")) if hedge.name is None else _level_record(hedge.name)
    return {
        "threshold": hedge.threshold,
        **name,
        "narrower": [_level_record(one) for one in hedge.narrower],
        "way": [{**_level_record(one), "common": one.common} for one in hedge.way],
    }


def _level_record(level: Level) -> dict[str, Any]:
    return {"id": level.id, "name": level.name, "share": round(level.share, 6), "bits": round(level.bits, 4)}


def _guess_record(guess: Guess) -> dict[str, Any]:
    record: dict[str, Any] = {"score": round(guess.score, 6), **guess.label.to_dict()}
    if guess.explanation is not None:
        record["wordnet_path"] = list(guess.explanation.path)
    if guess.explanation is not None and guess.label.seen is not None:
        record["leans_on"] = [
            {"id": one.label.id, "name": one.label.name, "share": round(one.share, 4)}
            for one in guess.explanation.leans_on
        ]
    return record
