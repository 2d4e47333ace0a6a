"""Bulk labels in Parquet parts: each photo once, even if the run is killed and restarted."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devise.errors import DeviseError, PictureError, UsageError
from devise.files import atomic_write, read_json, reason_of, text_name, write_json
from devise.model.answers import Answer
from devise.model.labeller import LabelRequest, LabelRun, Model
from devise.resumable import differing, resuming
from devise.search.photoindex import header_of
from devise.search.rows import import_pyarrow, read_parquet
from devise.vision.collections import Item, item_bytes
from devise.vision.folders import Found

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["CHUNK", "Counts", "Done", "chunks", "done_in", "label_chunk", "open_parts", "writing_parts"]

CHUNK = 256
"""Photos per part: a killed run loses at most this many per process, and labels them again."""

_FACTS = "_labels.json"  # readers of Parquet folders pass over names that begin so

_NAMED = {
    "model_sha256": "model (with and without --fast it is another)",
    "typed": "labels",
    "in_doubt": "in doubt",
    "withheld": "withheld nouns",
}


def writing_parts(folder: Path, model: Model, request: LabelRequest) -> AbstractContextManager[None]:
    """Lock `open_parts` for this process; DeviseError if another process writes to the folder."""
    return resuming(folder, partial(open_parts, folder, model, request), DeviseError)


def open_parts(folder: Path, model: Model, request: LabelRequest) -> None:
    """Create the folder, or check its model and request; UsageError if they differ; see `import_pyarrow`."""
    import_pyarrow()  # before there is a folder
    facts: dict[str, Any] = {
        "format": "devise labels",
        "version": 1,
        "model_sha256": header_of(model.parts).model_sha256,
        "request": _asked(request, withholds=bool(model.parts.withheld)),
    }
    if (language := model.parts.taxonomy.language) is not None:
        facts["language"] = language.code
    file = folder / _FACTS
    if file.exists():
        try:
            kept = read_json(file)
        except (OSError, ValueError) as error:
            raise UsageError(f"{file} is damaged ({reason_of(error)}): give another folder") from None
        if kept != facts:
            before: dict[str, Any] = kept if isinstance(kept, dict) else {}
            named = " and ".join(_NAMED.get(key, key) for key in differing(before, facts))
            asked = before.get("request")
            if isinstance(asked, dict) and (fields := differing(asked, facts["request"])):
                named += f" (not the same: {', '.join(_NAMED.get(key, key) for key in fields)})"
            raise UsageError(f"{folder} contains labels of another {named}: give another folder")
        return
    if folder.exists() and (not folder.is_dir() or any(not name.startswith(".") for name in os.listdir(folder))):
        raise UsageError(f"--output {folder} must be a new or empty folder, or one made by an earlier run")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(file, facts)


def _asked(request: LabelRequest, *, withholds: bool) -> dict[str, object]:
    """Return the request as JSON; unused newer options are left out, so that old folders resume.

    Folders made before nouns were withheld resume with all nouns, under their old name.
    """
    asked: dict[str, object] = json.loads(json.dumps(asdict(request) | {"reject": request.rejects}))
    if withholds and request.candidates in ("all", "unseen"):
        asked["withheld"] = True
    elif request.candidates == "all-nouns":
        asked["candidates"] = "all"
    return {
        key: value for key, value in asked.items() if value or key not in ("sure", "in_doubt", "context", "regions")
    }


@dataclass(frozen=True, eq=False, slots=True)
class Done:
    """The names of the photos in the parts, and how many of them could not be read."""

    names: set[str]
    problems: int


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of photos in the folder, those of this run, unreadable ones of both, files skipped as not pictures.

    folders: those that this run could not read.
    """

    photos: int
    now: int
    failed: int
    failed_now: int
    skipped: int
    folders: tuple[Item, ...] = ()


def done_in(folder: Path) -> Done:
    """Return what is in the parts; DeviseError with the file if one is damaged."""
    names: set[str] = set()
    problems = 0
    for table in _tables(folder, ["photo", "problem"]):
        names.update(table.column("photo").to_pylist())
        problems += len(table) - table.column("problem").null_count
    return Done(names, problems)


def chunks(
    items: Iterable[Item],
    done: set[str],
    size: int = CHUNK,
    on_folder: Callable[[Item], None] = lambda folder: None,
) -> Iterator[tuple[Item, ...]]:
    """Yield the photos that are not done, in chunks.

    on_folder: receives each folder that cannot be read; no part keeps it, so a later run tries it again.
    """

    def is_photo(item: Item) -> bool:
        folder = item.problem is not None and os.path.isdir(item.place)
        if folder:
            on_folder(item)
        return not folder

    left = (item for item in items if is_photo(item) and text_name(item.name) not in done)
    while chunk := tuple(islice(left, size)):
        yield chunk


def label_chunk(
    run: LabelRun,
    items: Sequence[Item],
    folder: Path,
    on_answer: Callable[[Answer], None] = lambda answer: None,
    on_note: Callable[[str], None] = lambda note: None,
) -> list[tuple[Item, str]]:
    """Label photos and write one part, complete or not at all; return unreadable ones with reasons.

    The part is named after its photos: if a second worker repeats it after the first was lost, it replaces the same
    file.
    """
    names = [text_name(item.name) for item in items]
    answers = []
    for item, answer in zip(items, run.answers(map(_source, items)), strict=True):
        answers.append(answer)
        on_answer(answer)
        if answer.note:
            on_note(f"{item.name}: {answer.note}")
    mark = hashlib.sha256("\0".join(names).encode()).hexdigest()
    part = folder / f"part-{mark[:24]}.parquet"
    with atomic_write(part, "wb") as file:
        table = _table(names, answers, hedged=run.request.sure is not None, regions=run.request.regions)
        import_pyarrow().parquet.write_table(table, file, compression="zstd", write_page_checksum=True)
    return [(item, one.problem) for item, one in zip(items, answers, strict=True) if one.problem is not None]


def _source(item: Item) -> bytes | Found:
    try:
        return item_bytes(item)
    except PictureError as error:
        return Found(Path(item.place), str(error))


def _table(names: Sequence[str], answers: Sequence[Answer], *, hedged: bool, regions: bool = False) -> "pa.Table":
    pa = import_pyarrow()
    guess = pa.struct([("id", pa.string()), ("name", pa.string()), ("score", pa.float32())])
    guesses = [[{"id": g.label.id, "name": g.label.name, "score": g.score} for g in one.guesses] for one in answers]
    level = pa.struct([("id", pa.string()), ("name", pa.string()), ("share", pa.float32()), ("bits", pa.float32())])
    wide = [one.hedge.name if one.hedge else None for one in answers]
    sure = [{field: getattr(one, field) for field in ("id", "name", "share", "bits")} if one else None for one in wide]
    return pa.table(
        {
            "photo": pa.array(names, pa.string()),
            "problem": pa.array([one.problem for one in answers], pa.string()),
            "rejected": pa.array([one.rejected for one in answers], pa.bool_()),
            "guesses": pa.array(guesses, pa.list_(guess)),
            **({"sure": pa.array(sure, level)} if hedged else {}),
            **({"regions": _regions_column(answers, level)} if regions else {}),
        }
    )


def _regions_column(answers: Sequence[Answer], level: "pa.DataType") -> "pa.Array":
    """Return a list of names with their boxes per photo; null for a photo that could not be read."""
    pa = import_pyarrow()
    region = pa.struct([*level, *((side, pa.int32()) for side in ("x", "y", "width", "height"))])
    rows = [
        None if one.regions is None else [{**asdict(r.name), **asdict(r.box)} for r in one.regions.found]
        for one in answers
    ]
    return pa.array(rows, pa.list_(region))


def _tables(folder: Path, columns: list[str]) -> Iterator["pa.Table"]:
    whole = _table((), (), hedged=False).schema
    schema = import_pyarrow().schema([whole.field(name) for name in columns])  # other versions may write other columns
    for part in sorted(folder.glob("part-*.parquet")):
        try:
            yield read_parquet(part, schema, columns, nullable=("problem", "rejected"))
        except (OSError, ValueError) as error:
            raise DeviseError(
                f"{part}: is damaged ({reason_of(error)}): remove it, and its photos are labelled again"
            ) from None
