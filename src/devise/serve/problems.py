"""What a request can fail of, as one status, one code and one sentence."""

import re
from dataclasses import dataclass

__all__ = ["ServiceError", "busy", "closing", "late", "without_commands"]

_COMMAND = re.compile(r":? `devise [^`]*`[^;,.]*")
_OPTION = re.compile(r"--([a-z][a-z-]*)")


@dataclass(eq=False)
class ServiceError(Exception):
    """A refusal. status: of HTTP. code: a word for programs. message: a sentence for people.

    retry_after: seconds after which the same request may succeed; None where it never will.
    """

    status: int
    code: str
    message: str
    retry_after: int | None = None


def without_commands(text: str) -> str:
    """A message of the library without commands to type, which who reads the page or calls the API cannot use.

    >>> without_commands("2 of 3 words have several meanings: `devise labels WORD` lists them")
    '2 of 3 words have several meanings'
    >>> without_commands("--under needs a noun of WordNet")
    'under needs a noun of WordNet'
    """
    return _OPTION.sub(r"\1", _COMMAND.sub("", text))


def busy(message: str, retry_after: int = 1) -> ServiceError:
    """429: the same request may succeed a little later."""
    return ServiceError(429, "busy", message, retry_after)


def late() -> ServiceError:
    """429: the picture waited for its turn as long as it may."""
    return busy("the picture waited too long for its turn: try again", 2)


def closing() -> ServiceError:
    """503: the service is stopping."""
    return ServiceError(503, "closing", "the service is stopping: ask again when it is back", 5)
