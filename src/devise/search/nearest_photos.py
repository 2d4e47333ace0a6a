"""Open an index for exact search or, with very many photos, for approximate search."""

from contextlib import suppress
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64

from devise.errors import PhotoIndexError
from devise.model.labeller import Model
from devise.search.approximate import NEAREST_FACTS, NEAREST_FILE, Nearest
from devise.search.photoside import header_of
from devise.search.query import PhotoSearch
from devise.search.rows import Rows
from devise.search.store import PhotoStore, fingerprint

__all__ = ["APPROXIMATE_ABOVE", "LabelSide", "open_search", "refresh_nearest"]

APPROXIMATE_ABOVE = 200_000
"""Number of photos above which an approximate index is made; below, exact search is fast enough."""

_QUERIES = 200  # labels that the recall is measured with


class LabelSide:
    """The approximate index of photos: the score of a label and a photo as one inner product.

    A photo has one extra number after its point: the offset that its sum over all labels subtracts from each score.
    """

    def __init__(self, nearest: Nearest) -> None:
        self.nearest = nearest

    def near_labels(self, vectors: Float32[np.ndarray, "labels dim"], count: int) -> Int64[np.ndarray, "some"]:
        """Return photos in the top `count` of any label vector, without the classifier's term."""
        return self.nearest.near(_with(vectors, 1.0), count)

    def near_point(self, point: Float32[np.ndarray, "dim"], count: int) -> Int64[np.ndarray, "some"]:
        """Return photos in the top `count` by cosine."""
        return self.nearest.near(_with(point[None], 0.0), count)


def open_search(model: Model, index: Path, *, often: bool = False, all_nouns: bool = False) -> PhotoSearch:
    """Read the index at `index` into memory; PhotoIndexError if absent or of another model.

    An approximate index that is damaged or of other rows is not used: the search is exact, and its notes say so. often,
    all_nouns: see `PhotoSearch`.
    """
    rows = PhotoStore.opened(index, header_of(model.parts)).rows()
    if len(rows) and not (0 <= rows.labels.min() <= rows.labels.max() < len(model.labels)):
        raise PhotoIndexError(f"{index}: is damaged (a label that the model has not): index the photos again elsewhere")
    try:
        nearest = Nearest.read(index)
    except PhotoIndexError as error:
        notes = (f"searched exactly: {error}",)
        return PhotoSearch(model, rows, notes=notes, often=often, all_nouns=all_nouns)
    if nearest is None:
        return PhotoSearch(model, rows, often=often, all_nouns=all_nouns)
    if nearest.facts.fingerprint != fingerprint(rows):
        note = "searched exactly: the approximate index is out of date; run devise index again to update it"
        return PhotoSearch(model, rows, notes=(note,), often=often, all_nouns=all_nouns)
    return PhotoSearch(model, rows, LabelSide(nearest), all_nouns=all_nouns)


def refresh_nearest(model: Model, index: Path, photos: int, above: int = APPROXIMATE_ABOVE) -> Nearest | None:
    """Make the approximate index above `above` photos if it is missing; below, remove it."""
    if photos <= above:
        for name in (NEAREST_FACTS, NEAREST_FILE):
            (index / name).unlink(missing_ok=True)
        return None
    rows = PhotoStore.opened(index, header_of(model.parts)).rows()
    mark = fingerprint(rows)
    with suppress(PhotoIndexError):  # a damaged one is made anew
        kept = Nearest.read(index)
        if kept is not None and kept.facts.fingerprint == mark:
            return kept
    space = model.parts.placed
    some = np.random.default_rng(0).permutation(len(space.labels))[:_QUERIES]
    temperature = np.float32(model.parts.setting("fused", "temperature"))
    built = Nearest.built(_photo_vectors(rows, temperature), _with(space.vectors[some], 1.0), mark)
    built.write(index)
    return built


def _photo_vectors(rows: Rows, temperature: np.float32) -> Float32[np.ndarray, "photos more"]:
    """Append the offset to each point: inner products with (label vector, 1) order like scores."""
    off = temperature * (rows.totals.mean() - rows.totals)
    return np.concatenate([rows.vectors.astype(np.float32), off[:, None].astype(np.float32)], axis=1)


def _with(vectors: Float32[np.ndarray, "rows dim"], last: float) -> Float32[np.ndarray, "rows more"]:
    return np.concatenate([vectors, np.full((len(vectors), 1), last, np.float32)], axis=1)
