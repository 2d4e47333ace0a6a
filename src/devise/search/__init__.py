"""Photo indexes: build, store, search; bulk labels of very many photos."""

from typing import TYPE_CHECKING

from devise.lazy import lazily

if TYPE_CHECKING:
    from devise.search.photoindex import Indexed, index_photos
    from devise.search.query import PhotoSearch, open_search
    from devise.search.results import Hit, Hits, Wanted

__all__ = ["Hit", "Hits", "Indexed", "PhotoSearch", "Wanted", "index_photos", "open_search"]

_HOMES = {
    "photoindex": ("Indexed", "index_photos"),
    "query": ("PhotoSearch", "open_search"),
    "results": ("Hit", "Hits", "Wanted"),
}
__getattr__, __dir__ = lazily(__name__, _HOMES)
