"""Search of 100,000 photos in this process, and an index brought up to date of a folder that did not change."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.figures import Figure, interleaved
from bench.photos import Photos
from devise.model.labeller import Model, load
from devise.model.typed import parse_labels
from devise.search.photofacts import PhotoFact
from devise.search.photoindex import index_photos
from devise.search.query import PhotoSearch, open_search
from devise.search.results import Wanted
from devise.search.rows import Rows

__all__ = ["measure_search", "synthetic_rows"]

_SEARCH_MS = 20.0
_FIRST = 100


def measure_search(photos: Photos, scratch: Path, *, rounds: int, count: int) -> list[Figure]:
    """Both."""
    model = load()
    return [*_searches(model, rounds, count), *_update(model, photos, scratch, rounds)]


def synthetic_rows(model: Model, count: int, rng: np.random.Generator) -> tuple[Rows, np.ndarray]:
    """Photos near to random labels, and their vectors before these went to 16 bits."""
    space = model.parts.space
    near = rng.integers(0, len(space.labels), count)
    noise = rng.standard_normal((count, space.vectors.shape[1]), dtype=np.float32)
    vectors = space.vectors[near] + 1.5 * noise / np.float32(np.sqrt(space.vectors.shape[1]))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    shares = np.sort(rng.dirichlet(np.ones(11), count)[:, :10].astype(np.float32))[:, ::-1].copy()
    classes = rng.integers(0, len(model.parts.trained), (count, 10)).astype(np.uint16)
    facts = tuple(PhotoFact(f"/photos/{number:07d}.jpg", 1, 1, b"") for number in range(count))
    totals = rng.normal(11, 1, count).astype(np.float32)
    return Rows(facts, vectors.astype(np.float16), totals, near.astype(np.int32), classes, shares), vectors


def _searches(model: Model, rounds: int, count: int) -> list[Figure]:
    rows, exact = synthetic_rows(model, count, np.random.default_rng(0))
    search = PhotoSearch(model, rows, often=True)
    once = PhotoSearch(model, rows)
    words = {
        "a trained class": Wanted(parse_labels("zebra")),
        "any other noun": Wanted(parse_labels("n02391994")),
        "five words": Wanted(parse_labels("zebra; kiang; mule; n02131653; n03272010")),
    }
    cases: dict[str, Callable[[], object]] = {
        name: (lambda wanted=wanted: search.find(wanted, 20)) for name, wanted in words.items()
    }
    cases["any other noun, without the 8-bit first pass"] = lambda: once.find(words["any other noun"], 20)
    found = interleaved(cases, 5 * rounds)
    section = f"Search of {count:,} synthetic photos, exact, top 20"
    figures = [
        Figure.of(
            section,
            name,
            [1e3 * one.wall for one in found[name]],
            "ms",
            limit=_SEARCH_MS,
        )
        for name in cases
    ]
    return [*figures, _kept_by_16_bits(model, search, exact)]


def _kept_by_16_bits(model: Model, search: PhotoSearch, exact: np.ndarray) -> Figure:
    """Of the first photos by vectors in 32 bits, how many stay among the first by vectors in 16."""
    labels = model.parts.space.vectors[np.random.default_rng(1).integers(0, len(model.labels), 100)]
    stored = search.rows.vectors.astype(np.float32)
    kept = []
    for label in labels:
        first, second = (set(np.argsort(-(points @ label), kind="stable")[:_FIRST]) for points in (exact, stored))
        kept.append(100 * len(first & second) / len(first))
    what = f"of the top {_FIRST}, share kept with 16-bit vectors, mean of 100 labels"
    return Figure("Vectors in 16 bits", what, float(np.mean(kept)), "%", min(kept), max(kept), len(kept))


def _update(model: Model, photos: Photos, scratch: Path, rounds: int) -> list[Figure]:
    index = scratch / "index"
    count = len(photos.paths)
    first = interleaved({"first": lambda: index_photos(model, [photos.folder], index)}, 1, warm=False)["first"]
    again = interleaved({"again": lambda: index_photos(model, [photos.folder], index)}, rounds)["again"]
    opened = interleaved({"open": lambda: open_search(model, index)}, rounds)["open"]
    section = f"An index of {count:,} photos"
    return [
        Figure.of(section, "made", [count / one.wall for one in first], "photos/s"),
        Figure.of(section, "brought up to date, nothing changed", [1e3 * one.wall for one in again], "ms"),
        Figure.of(section, "opened for search", [1e3 * one.wall for one in opened], "ms"),
    ]
