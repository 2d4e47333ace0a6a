"""The directory that contains a model."""

from typing import TYPE_CHECKING

from devise.lazy import lazily

if TYPE_CHECKING:
    from devise.bundle.bundle import Bundle, describe, open_bundle

__all__ = ["Bundle", "describe", "open_bundle"]

_HOMES = {
    "bundle": ("Bundle", "describe", "open_bundle"),
}
__getattr__, __dir__ = lazily(__name__, _HOMES)
