"""Strict JSON: every key is known and unique, and every value has its type."""

import json
import math
import reprlib
from collections import Counter
from collections.abc import Collection
from typing import NoReturn, cast

from devise.errors import BundleError
from devise.files import parse_json as parse_value

__all__ = ["dump_json", "number", "parse_json", "plain", "record", "sequence", "shown_key", "text", "whole"]

_LONGEST_SHOWN = 160  # letters of a key in an error


def parse_json(data: bytes) -> object:
    """The value in a JSON file.

    BundleError if the bytes are not UTF-8, not JSON, nested too deeply, or have a duplicate key, NaN, a number
    too large for a float64 or half of a surrogate pair.
    """
    try:
        content = data.decode("utf-8")
        value: object = parse_value(content, object_pairs_hook=_unique, parse_float=_finite)
        if "\\u" in content:
            dump_json(value).encode("utf-8")
    except UnicodeError:
        raise BundleError("is not UTF-8 text: get or build the bundle again") from None
    except ValueError as error:
        raise BundleError(f"is not JSON ({error}): get or build the bundle again") from None
    return value


def dump_json(value: object, *, indent: int | None = 2) -> str:
    """Dump canonical JSON: sorted keys, unescaped text, one final line end; equal values give equal text.

    BundleError if a value is not plain (text, whole and finite numbers, true, false, null, lists, and
    mappings from text).
    """
    separators = (",", ":") if indent is None else (",", ": ")
    try:
        written = json.dumps(
            value, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=indent, separators=separators
        )
    except (TypeError, ValueError, RecursionError) as error:
        raise BundleError(f"cannot be written as JSON ({error}): give plain, finite values") from None
    return written + "\n"


def record(value: object, keys: Collection[str], where: str = "") -> dict[str, object]:
    """Require a JSON object with exactly these keys; `where` is its own key, empty for the whole file."""
    found = plain(value, where)
    prefix = f"{where}." if where else ""
    for key in sorted(found.keys() - set(keys)):
        raise BundleError(f"key {shown_key(prefix + key)} is unknown: upgrade devise or build the bundle again")
    for key in sorted(set(keys) - found.keys()):
        raise BundleError(f"key {prefix}{key} is missing: get or build the bundle again")
    return found


def plain(value: object, where: str) -> dict[str, object]:
    """A JSON object with any keys."""
    if not isinstance(value, dict):
        _refuse(where, "an object", value)
    return cast("dict[str, object]", value)


def sequence(value: object, where: str) -> list[object]:
    """A JSON list."""
    if not isinstance(value, list):
        _refuse(where, "a list", value)
    return cast("list[object]", value)


def text(value: object, where: str) -> str:
    """Text that is not empty."""
    if not isinstance(value, str) or not value:
        _refuse(where, "text that is not empty", value)
    return value


def whole(value: object, where: str, least: int = 0) -> int:
    """A whole number of at least `least`."""
    if type(value) is not int or value < least:
        _refuse(where, f"a whole number of at least {least}", value)
    return value


def number(value: object, where: str) -> int | float:
    """A number, whole or not."""
    if type(value) not in (int, float):
        _refuse(where, "a number", value)
    return cast("int | float", value)


def shown_key(where: str) -> str:
    """Shorten a key to one line for an error message."""
    return where if where.isprintable() and len(where) <= _LONGEST_SHOWN else ascii(where[:_LONGEST_SHOWN])


def _refuse(where: str, expected: str, got: object) -> NoReturn:
    place = f"key {shown_key(where)}" if where else "the file"
    raise BundleError(f"{place} must be {expected}, got {reprlib.repr(got)}: get or build the bundle again")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        most = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"key {shown_key(most)} is a duplicate")
    return found


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits} is too large a number")
    return value
