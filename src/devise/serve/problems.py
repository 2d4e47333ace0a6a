"""Errors of requests, as one status, one code and one sentence."""

from dataclasses import dataclass

__all__ = ["ServiceError", "busy", "closing", "late"]


@dataclass(eq=False)
class ServiceError(Exception):
    """A refused request. status: of HTTP. code: a word for programs. message: a sentence for people.

    retry_after: seconds after which the same request may succeed; None if it never will.
    """

    status: int
    code: str
    message: str
    retry_after: int | None = None


def busy(message: str, retry_after: int = 1) -> ServiceError:
    """Return 429: the same request may succeed a little later."""
    return ServiceError(429, "busy", message, retry_after)


def late() -> ServiceError:
    """Return 429: the picture waited too long in the queue."""
    return busy("the picture waited too long in the queue: try again", 2)


def closing() -> ServiceError:
    """Return 503: the service is stopping."""
    return ServiceError(503, "closing", "the service is stopping: try again when it is back", 5)
