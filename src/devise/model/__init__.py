"""A model: its parts, candidate labels, scorers, and answers for photos."""

from typing import TYPE_CHECKING

from devise.lazy import lazily

if TYPE_CHECKING:
    from devise.model.typed import TypedLabel, parse_labels

__all__ = ["TypedLabel", "parse_labels"]

_HOMES = {
    "typed": ("TypedLabel", "parse_labels"),
}
__getattr__, __dir__ = lazily(__name__, _HOMES)
