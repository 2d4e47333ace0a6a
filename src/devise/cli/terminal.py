"""Print to standard error, and make text safe for a terminal."""

import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

from devise.errors import PHOTOS_EXTRA, VIDEO_EXTRA, counted, shortened

__all__ = ["Problems", "Stream", "one_line", "tell"]

_LONGEST = 5000  # letters of a line: a path has 4,096 at most
_JOINERS = "\u200c\u200d"  # between letters of Persian names and parts of emoji
_HARMFUL = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


@runtime_checkable
class Stream(Protocol):
    """Target for text: a file, a pipe or a terminal."""

    def write(self, text: str, /) -> Any:
        """Write the text."""

    def flush(self) -> Any:
        """Flush what is written so far."""

    def isatty(self) -> bool:
        """Return whether this is a terminal."""


def one_line(text: str) -> str:
    """Return the text on one line, with control characters, bidirectional marks and broken bytes escaped.

    >>> one_line("a\\nb\\x1b\\u202e")
    'a\\\\nb\\\\x1b\\\\u202e'
    """
    return "".join(c if _harmless(c) else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def _harmless(c: str) -> bool:
    return c.isprintable() or c in _JOINERS or unicodedata.category(c) not in _HARMFUL


def tell(message: str) -> None:
    """Print a line on standard error."""
    print(f"devise: {one_line(shortened(message, _LONGEST))}", file=sys.stderr, flush=True)


class Problems:
    """Problems of photos: each is printed as it comes, but a missing package only once, at the end, with a count."""

    def __init__(self) -> None:
        self._missing: Counter[tuple[str, str]] = Counter()

    def tell(self, line: str) -> None:
        """Print a photo and its problem, or count it."""
        if line.endswith((PHOTOS_EXTRA, VIDEO_EXTRA)):
            _, needs, cure = line.rsplit(": ", 2)
            self._missing[needs, cure] += 1
        else:
            tell(line)

    def lines(self) -> Iterator[str]:
        """Yield a line per missing package."""
        for (needs, cure), count in self._missing.items():
            noun = "video" if VIDEO_EXTRA.endswith(cure) else "photo"
            yield f"{counted(count, noun)} not read: {needs}: {cure}"
