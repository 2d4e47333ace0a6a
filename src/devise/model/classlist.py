"""Convert class lists of other tools to lines of NAME, ID NAME or NAME: DEFINITION."""

import csv
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

__all__ = ["is_foreign_text", "is_heading", "json_lines", "unnumbered", "without_heading"]

_NUMBERED = re.compile(
    r"[\"'\[(#]*(?P<number>\d+)[\"'\])]*(?P<mark>\s*(?:[-=]>|[:=;|\t])\s*|\s*[.,)](?!\d)\s*|\s+)(?P<rest>\S.*)"
)
_COUNTED = re.compile(r"(?P<rest>.*?\S)(?P<mark>\s*[\t,;:=|]\s*|\s+)[\"']?(?P<number>\d+)[\"']?,?")
_MARKED = re.compile(r"(?:__label__|(?:class|label|category|cls)_)(?P<rest>[^\W\d_].*)", re.IGNORECASE)
_PADDED = re.compile(r"\s+\d+ \S.*")  # counts of `uniq -c`
_PER_NUMBER = 2  # ids of COCO: 90 numbers for 80 classes
_FOREIGN = re.compile(
    r"^\s*(?:</?[?!\w][^>]*>.*</?\w+>|[^:]*\{|[}\]][,;]?|(?:names|classes|categories|labels):\s*(?:\[.*)?"
    r"|(?:names|classes|train|valid)\s*=.*)\s*$",
    re.M,
)

_NAMES = tuple(
    re.findall(r"\S+", "display_name displayname class_name label_name category_name name names class classes label")
    + re.findall(r"\S+", "labels word words category categories title english term noun")
)
_DEFINITIONS = ("definition", "gloss", "description")
_COLUMNS = frozenset(
    list(_NAMES + _DEFINITIONS)
    + re.findall(r"\S+", "wnid wnids synset synsets synset_id wordnet_id id class_id label_id category_id mid index")
    + re.findall(r"\S+", "class_index label_index class_number label_code labelname idx number no nr # count counts")
    + re.findall(r"\S+", "frequency supercategory split url score scores confidence probability prob")
)
_SYNSET = re.compile(r"n\d{8}|\S+\.n\.\d+", re.IGNORECASE)
_KEYS = (
    "id2label",
    "label2id",
    "categories",
    "names",
    "classes",
    "labels",
    "class_names",
)  # of an object that contains one list


def unnumbered(lines: Sequence[str]) -> list[str]:
    """Remove numbers before or after the names if they only count the lines, and what marks each line as a label.

    They do if they increase by one from 0 or 1; numbers before the names also with gaps, like COCO's ids, or if a
    separator follows them ("7: lion") or blanks precede them all, as `uniq -c` counts. A name that is a number, or
    ends in one, is unchanged. A mark is fastText's "__label__", or "class_" and the like before every name.

    >>> unnumbered(["0 lion", "1 tiger"]), unnumbered(["lion,0", "tiger,1"]), unnumbered(["7 up", "9 pins"])
    (['lion', 'tiger'], ['lion', 'tiger'], ['7 up', '9 pins'])
    """
    lines = [line for line in lines if line.strip()]
    if len(lines) > 1 and all(map(_PADDED.fullmatch, lines)):
        lines = [line.split(maxsplit=1)[1] for line in lines]
    for pattern, counts in ((_NUMBERED, _counts), (_NUMBERED, _counts), (_COUNTED, _counts_behind)):
        found = [pattern.fullmatch(line.strip()) for line in lines]
        whole = [one for one in found if one]
        if len(lines) < 2 or len(whole) < len(lines) or not counts(whole):
            continue
        lines = [one["rest"] for one in whole]
    marked = [_MARKED.fullmatch(line.strip()) for line in lines]
    return [one["rest"] for one in marked if one] if all(marked) else lines


def without_heading(lines: Sequence[str]) -> tuple[list[str], str]:
    """Return the lines and ""; for a table with a heading, the lines of its names and the heading.

    >>> without_heading(["name,index", "lion,291", "tiger,292"])
    (['"lion"', '"tiger"'], 'name,index')
    """
    if lines and re.fullmatch(r"sep=[,;|\t]", lines[0].strip("\ufeff\r")):  # which shows Excel how cells are separated
        lines = lines[1:]
    if len(lines) < 2 or not is_heading(lines[0]):
        return list(lines), ""
    heading = lines[0].strip()
    mark = re.search(r"[,;|\t]", heading)
    if mark is None:
        return list(lines), heading
    table = list(csv.reader(lines, delimiter=mark[0], skipinitialspace=True))
    columns = [_column(cell) for cell in table[0]]
    rows = [_as_wide(row, len(columns), mark[0]) for row in table[1:]]
    ids = next((place for place, _ in enumerate(columns) if all(_SYNSET.fullmatch(row[place]) for row in rows)), None)
    names = _first(columns, _NAMES)
    if names is None and ids is None:
        return list(lines[1:]), heading
    meant = _first(columns, _DEFINITIONS) if ids is None else None
    return [_line(row, ids, names, meant) for row in rows], heading


def is_heading(line: str) -> bool:
    """Return whether a line only names columns, like the heading of a table.

    >>> is_heading('"wnid","words"'), is_heading(",label"), is_heading("lion, king of beasts")
    (True, True, False)
    """
    columns = [_column(column) for column in re.split(r"[,;|\t]", line)]
    return any(columns) and all(
        column in _COLUMNS or (not column and not place) for place, column in enumerate(columns)
    )


def is_foreign_text(text: str) -> bool:
    """Return whether a text is JSON, YAML, XML or code instead of one label per line."""
    return text.lstrip()[:1] in ("[", "{") or _FOREIGN.search(text) is not None


def json_lines(content: Any) -> list[str] | None:
    """Convert JSON that names classes to one line per label; None for other JSON.

    Names, or names and ids: a list of either, of pairs, or of objects with "name"; an object of names by number or by
    id, of numbers or ids by name; or an object that contains one of these under a usual key, such as "id2label"
    (Hugging Face) or "categories" (COCO).

    >>> json_lines({"1": "tiger", "0": "lion"}), json_lines({"n02129165": "lion"}), json_lines([["n02129165", "lion"]])
    (['lion', 'tiger'], ['n02129165 lion'], ['n02129165 lion'])
    """
    if isinstance(content, dict):
        return _of_object(content)
    if not isinstance(content, list) or not content:
        return None
    lines = [_of_item(one) for one in content]
    return [line for line in lines if line] if all(lines) else None


def _of_object(content: dict[str, Any]) -> list[str] | None:
    numbers = [key for key in content if re.fullmatch(r"\d{1,9}", key, re.ASCII)]
    if content and len(numbers) == len(content):
        return json_lines([content[key] for key in sorted(content, key=int)])
    if content and all(isinstance(one, str) and _SYNSET.fullmatch(key) for key, one in content.items()):
        return [f"{key} {name}" for key, name in content.items()]
    if content and all(isinstance(one, str) and _SYNSET.fullmatch(one) for one in content.values()):
        return [f"{one} {name}" for name, one in content.items()]
    if content and all(isinstance(one, int) and not isinstance(one, bool) for one in content.values()):
        return json_lines(sorted(content, key=lambda key: int(content[key])))
    if content and all(isinstance(one, float) for one in content.values()):
        return json_lines(list(content))
    key = next((key for key in _KEYS if key in content), None)
    return None if key is None else json_lines(content[key])


def _of_item(one: Any) -> str | None:
    if isinstance(one, dict):
        given = {_column(key): value for key, value in one.items() if isinstance(value, str)}
        name = next((given[key] for key in _NAMES if key in given), None)
        synset_id = next((value for value in given.values() if _SYNSET.fullmatch(value)), None)
        one = [synset_id, name] if synset_id and name else synset_id or name
    if isinstance(one, list) and len(one) == 2 and all(isinstance(part, str) for part in one):
        one = " ".join(one) if _SYNSET.fullmatch(one[0]) else None
    return " ".join(one.split()) or None if isinstance(one, str) else None


def _counts(found: Sequence[re.Match[str]]) -> bool:
    numbers = [int(one["number"]) for one in found]
    if all(set(one["mark"]) & set(",;|\t") for one in found):
        return len(set(numbers)) == len(numbers)
    span = numbers[-1] - numbers[0] + 1
    by_one = numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    if by_one:
        return numbers[0] < 2 or not any(one["mark"].isspace() for one in found)
    rising = all(before < after for before, after in pairwise(numbers))
    return rising and numbers[0] < 2 and len(numbers) > 2 and span < _PER_NUMBER * len(numbers)


def _counts_behind(found: Sequence[re.Match[str]]) -> bool:
    numbers = [int(one["number"]) for one in found]
    by_one = numbers[0] < 2 and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    is_column = all(set(one["mark"]) & set(",;|\t") for one in found)
    return (by_one or is_column) and len({one["rest"] for one in found}) == len(found)


def _column(text: str) -> str:
    return re.sub(r"[\s-]+", "_", text.strip(" \"'\ufeff").lower())


def _first(columns: Sequence[str], wanted: Sequence[str]) -> int | None:
    return next((columns.index(name) for name in wanted if name in columns), None)


def _as_wide(row: list[str], width: int, mark: str) -> list[str]:
    """Fit a row to the heading: join extra cells to the last one, fill missing ones with ""."""
    row = [*row[: width - 1], f"{mark} ".join(row[width - 1 :])] if len(row) > width else row
    return [cell.strip() for cell in row] + [""] * (width - len(row))


def _line(row: Sequence[str], ids: int | None, names: int | None, meant: int | None) -> str:
    name = "" if names is None or names == ids else row[names]
    if ids is not None:
        return f"{row[ids]}, {_quoted(name)}" if name else row[ids]
    return f"{_quoted(name)}: {_quoted(row[meant])}" if meant is not None and row[meant] else _quoted(name)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', "") + '"'
