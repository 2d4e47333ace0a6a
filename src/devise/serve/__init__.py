"""The labeller as an HTTP service with a web page."""

from typing import TYPE_CHECKING

from devise.lazy import lazily

if TYPE_CHECKING:
    from devise.serve.client import Client, RefusedError

__all__ = ["Client", "RefusedError"]

_HOMES = {
    "client": ("Client", "RefusedError"),
}
__getattr__, __dir__ = lazily(__name__, _HOMES)
