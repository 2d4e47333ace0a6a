"""Lists of candidate labels: a text file with one synset id per line, or a list in a JSON file."""

import re
import reprlib
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devise.errors import LabelError, TaxonomyError, UsageError, counted
from devise.files import parse_json, read_text
from devise.model.classlist import json_lines

__all__ = ["CandidateList", "json_content", "read_candidates"]

_SYNSET_ID = re.compile(r"n\d{8}", re.ASCII)
_NAMED_ID = re.compile(r"(?:\d+[\s,;:]+)?[\"']?(?P<id>n\d{8})[\"']?(?:[\s,;:=|_-].*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class CandidateList:
    """Candidate labels in the order of their file, each once.

    ids: WordNet 3.0 synset ids; checked against a taxonomy only where one was given.
    duplicates: how many entries repeated an earlier one and were left out.
    source: what was read, "FILE" or "FILE.json#KEY", without its folders.
    """

    ids: tuple[str, ...]
    duplicates: int
    source: str


def read_candidates(spec: str, known: Container[str] | None = None) -> CandidateList:
    """Read the candidate labels that `spec` names.

    spec: `FILE`, one synset id a line (blank lines are skipped, `#` starts a comment, and a name after the id, as in
    other tools' lists of classes, is passed over); `FILE.json`, a list of
    synset ids, or classes with their ids as other tools keep them (`json_lines`), such as Keras's class index,
    {"0": ["n01440764", "tench"], ...}; or `FILE.json#KEY`, one of several lists in an object.
    known: the ids there are, such as a taxonomy; None does not ask.

    Raises UsageError for a missing file or key (it names the keys there are) and LabelError for a file that
    is not of this form, naming the line or item, or that contains no id. Raises TaxonomyError for ids that are not
    known, naming the file and the first of them.
    """
    path, key = _split(spec)
    entries = _json_entries(spec) if path.suffix.lower() == ".json" else _line_entries(_text(path))
    source = path.name if key is None else f"{path.name}#{key}"
    ids: dict[str, None] = {}
    count = 0
    for place, entry in entries:
        if not isinstance(entry, str) or not _SYNSET_ID.fullmatch(entry):
            got = reprlib.repr(entry)
            raise LabelError(f"{source}, {place}: expected a synset id like n02084071, got {got}: correct it")
        ids[entry] = None
        count += 1
    if not ids:
        raise LabelError(f"{source} contains no synset ids: expected at least one")
    unknown = [] if known is None else [one for one in ids if one not in known]
    if unknown:
        raise TaxonomyError(
            f"{source} names {counted(len(unknown), 'synset')} that WordNet 3.0 lacks, the first "
            f"{unknown[0]}: leave them out"
        )
    return CandidateList(tuple(ids), count - len(ids), source)


def json_content(spec: str) -> Any:
    """Read the list in `FILE.json` or `FILE.json#KEY`; the errors of `read_candidates`."""
    path, key = _split(spec)
    try:
        content = parse_json(_text(path))
    except ValueError as error:
        raise LabelError(f"{path.name} is not JSON ({error}): expected a list of synset ids") from None
    if key is None:
        return content
    if not isinstance(content, dict):
        raise UsageError(f"{path.name} contains one list without keys: leave out #{key}")
    if key not in content:
        raise UsageError(f"{path.name} has no key {key!r}: use one of {', '.join(content) or 'none'}")
    return content[key]


def _split(spec: str) -> tuple[Path, str | None]:
    """Split into file and key; a `#` counts only after `.json`, so other names may contain one."""
    found = re.fullmatch(r"(?P<file>.*?\.json)#(?P<key>.*)", spec, re.IGNORECASE | re.DOTALL)
    return (Path(found["file"]), found["key"]) if found else (Path(spec), None)


def _text(path: Path) -> str:
    try:
        return read_text(path, LabelError, path.name)
    except FileNotFoundError:
        raise UsageError(f"no file {path}: check the path of the candidate labels") from None
    except OSError as error:
        raise UsageError(f"candidate labels cannot be read from {path}: {error.strerror}") from None


def _line_entries(text: str) -> Iterable[tuple[str, object]]:
    for number, line in enumerate(text.split("\n"), start=1):
        entry = line.partition("#")[0].strip()
        named = _NAMED_ID.fullmatch(entry)
        if entry:
            yield f"line {number}", named["id"] if named else entry


def _json_entries(spec: str) -> Iterable[tuple[str, object]]:
    (path, key), content = _split(spec), json_content(spec)
    lines = json_lines(content)
    if lines is None and isinstance(content, dict) and key is None:
        keys = ", ".join(content) or "none"
        raise UsageError(f"{path.name} contains several lists: give {path.name}#KEY, with KEY one of {keys}")
    if lines is None and not isinstance(content, list):
        raise LabelError(f"{path.name}: expected a list of synset ids, got {type(content).__name__}")
    entries = (
        content if lines is None else [line.partition(" ")[0] if _NAMED_ID.fullmatch(line) else line for line in lines]
    )
    return ((f"item {number}", entry) for number, entry in enumerate(entries, start=1))
